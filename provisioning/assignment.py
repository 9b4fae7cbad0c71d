"""The use case "assign", readable from top to bottom: decide, render, store, owe a NOTIFY.

Console, admin, CLI and API all call `save`. It renders and encrypts before any lock is taken; if rendering fails the
save fails, and the technician reads why. A phone that was not heard yet gets its file when it is plugged in
(jobs/arrivals.py); what is wrong with it is found here all the same.
"""

import logging
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext

from devices import holders, inventory
from devices.catalog import MODELS, PhoneModel
from devices.choices import EventKind, Stage
from devices.crypto import CannotDecrypt
from devices.mac import colons
from devices.models import Phone
from provisioning import file_key, outbox, plan, rendering
from provisioning.gxp.config import ConfigError
from provisioning.jobs import runner, telling
from provisioning.layers import store
from provisioning.models import ConfigFile, Job, Notify, NotifyOrigin, SettingsLayer
from provisioning.rendering import Wanted

log = logging.getLogger(__name__)

ROUNDS = 3  # how often a save is rendered anew because a job was faster
NO_ADDRESS_YET = "127.0.0.1"  # stands for our address towards a phone that was not heard; such a file is thrown away

__all__ = [
    "Along", "AssignmentError", "ConfigError", "Saved", "base_url_changed", "bring_back", "catch_up", "check_ahead",
    "heed", "heed_each", "save", "store_ahead",
]  # fmt: skip


class AssignmentError(Exception):
    """The assignment cannot be saved as things stand; the text says what to do. VersionConflict is another reason."""


@dataclass(frozen=True)
class Saved:
    """What a save did. `notify` is None if the phone already has exactly this configuration; both are None if it was
    not heard yet: it gets its file when it is plugged in."""

    config_file: ConfigFile | None
    notify: Notify | None
    changed: bool


@dataclass(frozen=True)
class Along:
    """What happens in the same transaction as a save: the phones that it takes too, and what to do with them."""

    phone_ids: tuple[int, ...] = ()
    run: Callable[[], None] = lambda: None
    told_as: str = inventory.ASSIGNED_BY  # how its timeline says what was saved

    def lock(self, phone_id: int) -> None:
        """Lock the phone that is saved with these, all at once and in order."""
        outbox.lock_phones([phone_id, *self.phone_ids])


def save(
    phone: Phone,
    draft: plan.Draft,
    *,
    by: str,
    seen_host: str | None,
    own: Mapping[str, str | None] | None = None,
    templates: Sequence[SettingsLayer] | None = None,
    why: str = "Saved.",
    along: Along | None = None,
    attended: bool = True,
    job: Job | None = None,
    given: Sequence[str] = (),
    kept: Collection[int] = (),
    anew: bool = False,
) -> Saved:
    """Give this phone this assignment; `phone` is as the technician saw it, `seen_host` the address shown then.

    `own` are the values of the phone's own layer and `templates` its templates, where they are to change; `along` is
    what has to happen in the same transaction. What is not `attended` confirms no address, so that secrets go only
    where the phone is known to be; a `job` tells the phone when it has its turn. `given` are extensions whose secrets
    were taken from the directory for this, which the phone's timeline then tells; `kept` are the accounts whose
    password nobody gave anew. With `anew` there is a new version in any case: where somebody typed a password who must
    not learn whether it is the stored one, what a save leaves behind is the same for a right and a wrong one. Raises
    AssignmentError, ConfigError
    (with a field path for each problem) or inventory.VersionConflict. Nothing is written if anything is raised.
    """
    model = _configurable(phone)
    if phone.source_host != seen_host:
        words = gettext("This phone has moved from %(old)s to %(new)s. Check that it is the same phone and save again.")
        raise AssignmentError(words % {"old": seen_host or gettext("an unknown address"), "new": phone.source_host})
    if along is None and phone.stage == Stage.RETIRED:
        _nobody_else_has([(account.user_id, account.sip_server) for account in draft.accounts], phone)
    order = _Order(
        phone, model, draft, by, why, own, templates, along or Along(), attended and job is None, job, tuple(given),
        frozenset(kept), anew,
    )  # fmt: skip
    if not phone.is_heard:
        checked = check_ahead(phone, draft, own, templates)
        with transaction.atomic():
            order.along.lock(phone.pk)
            store_ahead(phone, draft, checked, templates, by=by, kept=kept, anew=order.own_anew)
            order.tell_given()
            order.along.run()
        return Saved(None, None, changed=True)
    for _ in range(ROUNDS):
        # Read before the layers: a job that gives it a newer version meanwhile may have had newer layers.
        current = outbox.current_file(phone.pk)
        try:
            return _save(order, current)
        except (_NewerFile, ConfigFile.DoesNotExist):  # its content is read late: an undoing may have deleted it
            continue
    raise AssignmentError(gettext("This phone was given a new file at the same moment, three times over. Save again."))


def given_words(number: str, by: str) -> str:
    """What a phone's timeline tells of a secret that the directory gave it."""
    return f"The secret of extension {number} was given to this phone by {by}."


class _NewerFile(Exception):
    """A job gave the phone another version since it was read."""


@dataclass(frozen=True)
class _Order:
    """What somebody wants saved."""

    phone: Phone
    model: PhoneModel
    draft: plan.Draft = field(repr=False)
    by: str
    why: str
    own: Mapping[str, str | None] | None = field(repr=False)
    templates: Sequence[SettingsLayer] | None
    along: Along
    attended: bool
    job: Job | None
    given: tuple[str, ...]
    kept: frozenset[int]
    anew: bool

    @property
    def own_anew(self) -> bool:
        """Whether the phone's own layer counts as saved although it says the same."""
        return self.anew and self.own is not None

    def tell_given(self) -> None:
        """Whose secrets went to the phone unseen: it tells them to who owns its address."""
        for number in self.given:
            inventory.tell(self.phone.pk, EventKind.LOOKED, given_words(number, self.by))


def _save(order: _Order, current: ConfigFile | None) -> Saved:
    phone, draft, by = order.phone, order.draft, order.by
    layers = rendering.with_passwords(store.chosen(phone, order.own, order.templates), order.model)
    base = plan.base_url(phone.local_host)
    wanted = Wanted(phone, order.model, draft, layers, base, **rendering.switched_on(phone))
    anew = order.anew or not phone.is_assigned or not _same_rows(phone, draft) or bool(order.along.phone_ids)
    config_file = rendering.next_version(wanted, current, by=by, why=order.why, anew=anew)
    if config_file is None:
        assert current is not None  # only what is there can be the same
        rendering.note_step(wanted, current)
        if order.own is not None or order.templates is not None:
            with transaction.atomic():
                _still_newest(order, current)
                inventory.count_save(phone)
                store.keep(phone, wanted.own, order.templates, by)
        if not order.attended:
            return Saved(current, None, changed=False)  # to ask again would confirm its address
        return _same_again(phone, current, by)
    with transaction.atomic():
        told = telling.state_and_note(order.job) if order.job else None  # its row before the phone's, as everybody does
        _still_newest(order, current)
        inventory.assign(
            phone,
            plan.account_rows(phone, draft.accounts),
            plan.key_rows(phone, draft.keys),
            approved_host=phone.source_host,
            by=by,
            attended=order.attended,
            kept=order.kept,
            told_as=order.along.told_as,
        )
        store.keep(phone, wanted.own, order.templates, by, anew=order.own_anew)
        config_file.number = current.number + 1 if current else 1
        config_file.created_at = timezone.now()
        file_key.carry([config_file])
        config_file.save(force_insert=True)
        origin = NotifyOrigin.SAVE if order.attended else NotifyOrigin.JOB
        notify = outbox.enqueue(config_file, origin, config_file.created_at)
        if order.job is not None and told is not None:
            telling.give_turn(order.job, notify, *told)
        order.tell_given()
        order.along.run()
    log.info("%s: version %d saved by %s", colons(phone.mac), config_file.number, by)
    return Saved(config_file, notify, changed=True)


def check_ahead(
    phone: Phone,
    draft: plan.Draft,
    own: Mapping[str, str | None] | None = None,
    templates: Sequence[SettingsLayer] | None = None,
) -> dict[str, str | None]:
    """Make the file of a phone that was not heard yet, and throw it away: whatever is wrong is said now, and not when
    it is plugged in. The values of its own layer, to be stored. `phone` may be a row that is not stored yet.

    Raises ConfigError.
    """
    model = phone.known_model
    assert model is not None  # nobody can list another one
    layers = rendering.with_passwords(store.chosen(phone, own, templates), model)
    # Its firmware is not known: all of the assignment is looked at, also where a part would be held back at first.
    switched = rendering.switched_on(phone) | {"firmware": "", "is_short": False}
    wanted = Wanted(phone, model, draft, layers, plan.base_url(NO_ADDRESS_YET), **switched)
    rendering.next_version(wanted, None, by="", why="", anew=True)
    return wanted.own


def store_ahead(
    phone: Phone,
    draft: plan.Draft,
    own: Mapping[str, str | None],
    templates: Sequence[SettingsLayer] | None,
    *,
    by: str,
    kept: Collection[int] = (),
    anew: bool = False,
) -> None:
    """Store what was checked; call it inside a transaction that has locked the phone. Raises VersionConflict."""
    accounts, keys = plan.account_rows(phone, draft.accounts), plan.key_rows(phone, draft.keys)
    inventory.assign(phone, accounts, keys, approved_host=None, by=by, awaits_file=True, kept=kept)
    store.keep(phone, own, templates, by, anew=anew)
    log.info("%s: assigned by %s before it was heard", colons(phone.mac), by)


def _still_newest(order: _Order, current: ConfigFile | None) -> None:
    """Lock the phone; raises _NewerFile if a job has given it another version than that."""
    phone = order.phone
    order.along.lock(phone.pk)
    newest = outbox.current_file(phone.pk)
    if (newest and newest.pk) != (current and current.pk):
        raise _NewerFile


def _configurable(phone: Phone) -> PhoneModel:
    if phone.known_model is None:
        known = ", ".join(MODELS)
        if not phone.model:
            raise AssignmentError(gettext("This model cannot be configured; gspnp knows %(known)s.") % {"known": known})
        words = gettext("%(model)s cannot be configured; gspnp knows %(known)s.")
        raise AssignmentError(words % {"model": phone.model, "known": known})
    if phone.is_heard and phone.local_host is None:
        raise AssignmentError(
            gettext(
                "Our address towards this phone is not known, so it could fetch from nowhere. Switch it off and on, "
                "and save again."
            )
        )
    return phone.known_model


def _same_rows(phone: Phone, draft: plan.Draft) -> bool:
    """What the file does not show (a blank authentication id, say) is a change too: it must be stored."""
    try:
        return draft.in_order() == plan.draft_of(phone).in_order()
    except CannotDecrypt:
        return False  # a new version is the way out of a lost key


def _same_again(phone: Phone, current: ConfigFile, by: str) -> Saved:
    """Nothing new to tell a phone that has fetched this version; one that has not is asked once more."""
    if current.fetched_at is not None:
        return Saved(current, None, changed=False)
    try:
        return Saved(current, outbox.notify_again(phone.pk, by, phone.source_host, at_once=False), changed=False)
    except outbox.AddressMoved as moved:
        raise AssignmentError(str(moved)) from None


def heed(phone_id: int, by: str) -> bool:
    """Stop ignoring a phone: it goes on where it had come to, and is notified when it starts up and needs it."""
    heeded = heed_each([phone_id], by)
    if heeded.get(phone_id):
        catch_up([phone_id], by)
    return phone_id in heeded


def heed_each(phone_ids: Sequence[int], by: str) -> dict[int, bool]:
    """Stop ignoring many; who was ignored until now, and whether it has a file of ours. These shall `catch_up`."""
    heeded = {}
    for phone_id in phone_ids:
        stage, current = _how_far(phone_id)
        if inventory.heed(phone_id, stage, by):
            heeded[phone_id] = current is not None
    return heeded


def catch_up(phone_ids: Sequence[int], by: str) -> None:
    """Have a job look at phones that were ignored: what their layers said meanwhile has not reached their files."""
    title = "A phone is not ignored any more" if len(phone_ids) == 1 else "Phones are not ignored any more"
    runner.start(title, {"phones": sorted(phone_ids)}, by=by)


def bring_back(phone_id: int, by: str) -> bool:
    """Take a retired phone into service again, with what it had; False if it is not retired.

    Raises AssignmentError if another phone has one of its extensions by now.
    """
    phone = Phone.objects.filter(pk=phone_id).first()
    if phone is None:
        return False
    stage, current = _how_far(phone_id)
    with transaction.atomic():
        outbox.lock_phones([phone_id])
        if phone.stage == Stage.RETIRED:
            _nobody_else_has(phone.accounts.values_list("user_id", "sip_server"), phone)
        brought = inventory.bring_back(phone_id, stage, by)
    if brought and current is not None:
        runner.start("A phone is in service again", {"phones": [phone_id]}, by=by)
    return brought


def _nobody_else_has(extensions: Iterable[tuple[str, str]], phone: Phone) -> None:
    """A phone that was replaced must not register what its successor has without anybody noticing: extension and
    server of each account. The same number at another server of the site may be meant."""
    wanted = [holders.Wanted(user_id, sip_server, phone.site) for user_id, sip_server in extensions]
    for one, held in holders.of(wanted, but=phone.mac).items():
        taken = next((holder for holder in held if one.is_at_server(holder.sip_server)), None)
        if taken is not None:
            words = gettext(
                "Extension %(number)s is on %(phone)s now, and this phone is retired. Assign this one another "
                "extension, or swap %(phone)s for it."
            )
            raise AssignmentError(words % {"number": one.user_id, "phone": colons(taken.mac)})


def _how_far(phone_id: int) -> tuple[Stage, ConfigFile | None]:
    """The stage that a phone beside the way had come to, and its newest file."""
    current = outbox.current_file(phone_id)
    if current is None:
        awaits = Phone.objects.filter(pk=phone_id, awaits_file=True).exists()
        return (Stage.ASSIGNED if awaits else Stage.SEEN), None
    if current.applied_at is not None:
        return Stage.APPLIED, current
    return (Stage.ASSIGNED if current.fetched_at is None else Stage.FETCHED), current


def base_url_changed(local_host: str | None, base_url: str) -> str | None:
    """The address under which this server is reached now, if a file still names another."""
    now = plan.base_url(local_host)
    return now if base_url not in (now, plan.plainly(now)) else None
