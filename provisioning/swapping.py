"""The use case "swap": a broken phone is replaced by another one in one step, and retired.

The new phone takes over accounts, keys, own settings, templates and site, as far as its model can hold them; what it
cannot hold is said before. It may be on the list, or a MAC that was never heard. Both phones change, or none does.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from django.db import transaction
from django.utils.translation import gettext, ngettext

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
        raise SwapError(
            gettext("None of its accounts fits on a %(model)s: choose a phone with as many accounts.")
            % {"model": new.model}
        )
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
        raise SwapError(gettext("%(phone)s was forgotten in the meantime.") % {"phone": new})
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
        raise SwapError(gettext("This is the phone itself. Choose the one that replaces it."))
    if not old.is_assigned:
        words = gettext("%(phone)s has no assignment that another phone could take over: it is %(stage)s.")
        raise SwapError(words % {"phone": old, "stage": old.get_stage_display().lower()})
    if new.is_assigned:
        words = gettext("%(phone)s has an assignment of its own. Choose a phone that nobody has assigned.")
        raise SwapError(words % {"phone": new})
    if new.stage not in MAY_TAKE_OVER:
        words = gettext("%(phone)s is %(stage)s. Stop ignoring it first.")
        raise SwapError(words % {"phone": new, "stage": new.get_stage_display().lower()})
    model = new.known_model
    if model is None:
        named = gettext("%(phone)s is a %(model)s, which cannot be configured.")
        unnamed = gettext("%(phone)s is a phone of an unknown model, which cannot be configured.")
        raise SwapError((named if new.model else unnamed) % {"phone": new, "model": new.model})
    return model


# --- in words ---------------------------------------------------------------------------------------------------------


def _taken(
    old: Phone, new: Phone, draft: plan.Draft, own: Mapping[str, str | None], templates: list[SettingsLayer]
) -> Iterator[str]:
    yield from (_account_words(one) for one in draft.accounts)
    yield from (_key_words(one) for one in draft.keys)
    yield from (_setting_words(name) for name in own)
    yield from (gettext("Template: %(name)s") % {"name": one.name} for one in templates)
    if old.site or new.site:
        same, moved = gettext("Site: %(site)s"), gettext("Site: %(site)s (it was put at %(other)s)")
        default = gettext("the default site")
        words = same if new.site == old.site else moved
        yield words % {"site": old.site or default, "other": new.site or default}


def _left(stored: plan.Draft, own: Mapping[str, str | None], model: PhoneModel) -> Iterator[Left]:
    for account in stored.accounts:
        if account.number > model.accounts:
            yield Left(_account_words(account), _accounts_of(model))
    for key in stored.keys:
        why = _why_no_key(key, model)
        if why:
            yield Left(_key_words(key), why)
    for name, text in own.items():
        why = _why_no_setting(name, text, model)
        if why:
            yield Left(_setting_words(name), why)


def _why_no_key(key: KeyConfig, model: PhoneModel) -> str:
    """Why this key cannot be on a phone of this model; empty if it can."""
    kind = key.slot.kind
    if key.slot not in slots(model):
        return _mpks_of(model) if kind is KeyKind.MPK else _line_keys_of(model)
    if key.mode not in model.modes(kind):
        return gettext("such a key of a %(model)s cannot do that") % {"model": model.name}
    if key.account > model.accounts:
        words = ngettext(
            "it uses account %(account)s, and a %(model)s has %(n)d account",
            "it uses account %(account)s, and a %(model)s has %(n)d accounts",
            model.accounts,
        )
        return words % {"account": key.account, "model": model.name, "n": model.accounts}
    return ""


def _why_no_setting(name: str, text: str | None, model: PhoneModel) -> str:
    slot = KEY_NAMES.get(name)
    if slot is not None:
        if slot not in slots(model):
            return gettext("a %(model)s has no such key") % {"model": model.name}
        return _why_no_key(read_key(slot, text).key, model) if text is not None else ""
    if name in FILE_OPTIONS or expanded({name: text}, model):
        return ""
    return gettext("a %(model)s has no such setting") % {"model": model.name}


def _accounts_of(model: PhoneModel) -> str:
    words = ngettext("a %(model)s has %(n)d account", "a %(model)s has %(n)d accounts", model.accounts)
    return words % {"model": model.name, "n": model.accounts}


def _line_keys_of(model: PhoneModel) -> str:
    n = model.line_keys
    words = ngettext("a %(model)s has %(n)d line key", "a %(model)s has %(n)d line keys", n)
    return (words if n else gettext("a %(model)s has no line key")) % {"model": model.name, "n": n}


def _mpks_of(model: PhoneModel) -> str:
    n = model.mpks
    words = ngettext("a %(model)s has %(n)d key beside the screen", "a %(model)s has %(n)d keys beside the screen", n)
    return (words if n else gettext("a %(model)s has no key beside the screen")) % {"model": model.name, "n": n}


def _setting_words(name: str) -> str:
    return gettext("Own setting: %(name)s") % {"name": label_of(name)}


def _account_words(account: AccountConfig) -> str:
    named = f"{account.user_id} {account.display_name}".rstrip()
    return gettext("Account %(number)s: %(name)s") % {"number": account.number, "name": named}


def _key_words(key: KeyConfig) -> str:
    on_mpk, on_line = gettext("Key %(number)s: %(what)s"), gettext("Line key %(number)s: %(what)s")
    said = " ".join(filter(None, (KEY_MODE_LABELS[key.mode], key.value, key.label and f"“{key.label}”")))
    return (on_mpk if key.slot.kind is KeyKind.MPK else on_line) % {"number": key.slot.number, "what": said}
