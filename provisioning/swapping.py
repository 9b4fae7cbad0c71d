"""The use case "swap": a broken phone is replaced by another one in one step, and retired.

The new phone takes over accounts, keys, own settings, templates and site, as far as its model can hold them; what it
cannot hold is said before. It may be on the list, or a MAC that was never heard. Both phones change, or none does.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from django.db import transaction

from devices import inventory
from devices.catalog import KEY_MODE_LABELS, KeyKind, PhoneModel, slots
from devices.choices import EventKind, Stage
from devices.inventory import VersionConflict
from devices.mac import MacError, parse_mac
from devices.models import Phone
from provisioning import assignment, outbox, plan
from provisioning.assignment import Along, Saved
from provisioning.gxp.config import AccountConfig, KeyConfig
from provisioning.gxp.entries import label_of
from provisioning.gxp.layers import FILE_OPTIONS, expanded
from provisioning.gxp.layout import KEY_NAMES, read_key
from provisioning.layers import stack
from provisioning.models import SettingsLayer

CHANGED_MEANWHILE = "One of the two phones was changed by somebody else in the meantime. Look at them again."
MAY_TAKE_OVER = (Stage.SEEN, Stage.RETIRED)


class SwapError(Exception):
    """These two cannot be swapped as things stand; the text says what to do."""


@dataclass(frozen=True)
class Left:
    """One thing that the new phone cannot hold, and why."""

    what: str
    why: str


@dataclass(frozen=True)
class Preview:
    """What a swap would do, in words; no secret is in them. `new` is not stored if it was never listed."""

    old: Phone
    new: Phone
    taken: list[str]
    left: list[Left]
    draft: plan.Draft = field(repr=False)
    own: Mapping[str, str | None] = field(repr=False)
    templates: list[SettingsLayer]


@dataclass(frozen=True)
class Swapped:
    """Both phones as they are now, and what the new one's save did."""

    old: Phone
    new: Phone
    saved: Saved


def successor(mac: str, model: str, old: Phone) -> Phone:
    """The phone with this MAC, in any usual spelling; one that is not listed is of `model`, or of the old one's.

    Raises SwapError, and inventory.CannotList for what cannot be listed.
    """
    try:
        found = Phone.objects.filter(mac=parse_mac(mac)).first()
    except MacError as error:
        raise inventory.CannotList("mac", str(error)) from error
    return found or inventory.to_be_listed(mac, model or old.model, old.site)


def preview(old: Phone, new: Phone) -> Preview:
    """Look, and write nothing. Raises SwapError, ConfigError for layers that are wrong, and CannotDecrypt."""
    model = _fit(old, new)
    stored = plan.draft_of(old)
    accounts = tuple(one for one in stored.accounts if one.number <= model.accounts)
    keys = tuple(one for one in stored.keys if not _why_no_key(one, model))
    of_old = stack.own_values(stack.stack(old))
    own = {name: text for name, text in of_old.items() if not _why_no_setting(name, text, model)}
    templates = [one.layer for one in old.templates.select_related("layer").order_by("place")]
    draft = plan.Draft(accounts, keys)
    left = list(_left(stored, of_old, model))
    return Preview(old, new, list(_taken(old, new, draft, own, templates)), left, draft, own, templates)


def swap(old: Phone, new: Phone, *, by: str, seen_host: str | None = None) -> Swapped:
    """Do it; both are as the person saw them, and `seen_host` is the address of the new one that was shown.

    Raises SwapError, VersionConflict, CannotDecrypt, inventory.CannotList, and what assignment.save raises. Nothing is
    written if anything is raised.
    """
    seen = preview(old, new)
    if not seen.draft.accounts:
        raise SwapError(f"None of its accounts fits on a {new.model}: choose a phone with as many accounts.")
    if new.pk is None:
        checked = assignment.check_ahead(new, seen.draft, seen.own, seen.templates)
        with transaction.atomic():
            outbox.lock_phones([old.pk])  # first: a listener that has it may insert the new one at this moment
            listed = inventory.prestage(new.mac, new.model, new.site, by)
            assignment.store_ahead(listed, seen.draft, checked, seen.templates, by=by)
            _hand_over(old, listed, by)
        return Swapped(old, listed, Saved(None, None, changed=True))
    as_seen, site = Phone.objects.filter(pk=new.pk).first(), old.site
    if as_seen is None:
        raise SwapError(f"{new} was forgotten in the meantime.")
    as_seen.version, as_seen.site = new.version, site  # rendered as it will stand
    along = Along((old.pk,), lambda: _hand_over(old, as_seen, by, site))
    saved = assignment.save(
        as_seen,
        seen.draft,
        by=by,
        seen_host=seen_host,
        own=seen.own,
        templates=seen.templates,
        why=f"Takes over from {old}.",
        along=along,
    )
    return Swapped(old, as_seen, saved)


def _hand_over(old: Phone, new: Phone, by: str, site: str | None = None) -> None:
    """The other half of a swap, in the new phone's own transaction: the old one is out of service."""
    if site is not None:
        inventory.move(new.pk, site, by)
        new.refresh_from_db(fields=("version",))
    outbox.drop_for(old.pk, "The phone is retired.")
    if not inventory.retire(old, f"Replaced by {new}.", by):
        raise VersionConflict(CHANGED_MEANWHILE)
    inventory.tell(new.pk, EventKind.STAGE, f"Takes over from {old}, which is retired.")


def _fit(old: Phone, new: Phone) -> PhoneModel:
    """The new phone's model. Raises SwapError."""
    if old.mac == new.mac:
        raise SwapError("This is the phone itself. Choose the one that replaces it.")
    if not old.is_assigned:
        raise SwapError(f"{old} has no assignment that another phone could take over: it is {old.stage}.")
    if new.is_assigned:
        raise SwapError(f"{new} has an assignment of its own. Choose a phone that nobody has assigned.")
    if new.stage not in MAY_TAKE_OVER:
        raise SwapError(f"{new} is {new.stage}. Stop ignoring it first.")
    model = new.known_model
    if model is None:
        raise SwapError(f"{new} is a {new.model or 'phone of an unknown model'}, which cannot be configured.")
    return model


# --- in words ---------------------------------------------------------------------------------------------------------


def _taken(
    old: Phone, new: Phone, draft: plan.Draft, own: Mapping[str, str | None], templates: list[SettingsLayer]
) -> Iterator[str]:
    yield from (_account_words(one) for one in draft.accounts)
    yield from (_key_words(one) for one in draft.keys)
    yield from (f"Own setting: {label_of(name)}" for name in own)
    yield from (f"Template: {one.name}" for one in templates)
    if old.site or new.site:
        where = old.site or "the default site"
        heard = f" (it was put at {new.site or 'the default site'})" if new.site != old.site else ""
        yield f"Site: {where}{heard}"


def _left(stored: plan.Draft, own: Mapping[str, str | None], model: PhoneModel) -> Iterator[Left]:
    for account in stored.accounts:
        if account.number > model.accounts:
            yield Left(_account_words(account), f"a {model.name} has {_count(model.accounts, 'account')}")
    for key in stored.keys:
        why = _why_no_key(key, model)
        if why:
            yield Left(_key_words(key), why)
    for name, text in own.items():
        why = _why_no_setting(name, text, model)
        if why:
            yield Left(f"Own setting: {label_of(name)}", why)


def _why_no_key(key: KeyConfig, model: PhoneModel) -> str:
    """Why this key cannot be on a phone of this model; empty if it can."""
    kind = key.slot.kind
    if key.slot not in slots(model):
        noun = "key beside the screen" if kind is KeyKind.MPK else "line key"
        return f"a {model.name} has {_count(model.key_count(kind), noun)}"
    if key.mode not in model.modes(kind):
        return f"such a key of a {model.name} cannot do that"
    if key.account > model.accounts:
        return f"it uses account {key.account}, and a {model.name} has {_count(model.accounts, 'account')}"
    return ""


def _why_no_setting(name: str, text: str | None, model: PhoneModel) -> str:
    slot = KEY_NAMES.get(name)
    if slot is not None:
        if slot not in slots(model):
            return f"a {model.name} has no such key"
        return _why_no_key(read_key(slot, text).key, model) if text is not None else ""
    return "" if name in FILE_OPTIONS or expanded({name: text}, model) else f"a {model.name} has no such setting"


def _count(number: int, noun: str) -> str:
    if number == 0:
        return f"no {noun}"
    first, _, rest = noun.partition(" ")
    many = noun if number == 1 else f"{first}s {rest}".rstrip() if first == "key" else f"{noun}s"
    return f"{number} {many}"


def _account_words(account: AccountConfig) -> str:
    return f"Account {account.number}: {account.user_id} {account.display_name}".rstrip()


def _key_words(key: KeyConfig) -> str:
    noun = "Key" if key.slot.kind is KeyKind.MPK else "Line key"
    said = " ".join(filter(None, (KEY_MODE_LABELS[key.mode], key.value)))
    return f"{noun} {key.slot.number}: {said}{f' “{key.label}”' if key.label else ''}"
