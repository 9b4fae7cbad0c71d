"""The outbox of owed NOTIFYs: intentions, not datagrams. Every state change is a conditional UPDATE.

A row goes waiting → sending → delivered, refused or unanswered. Its transaction's identifiers are stored by `claim`,
before the first datagram, so that after a crash the same transaction goes on. This module speaks no SIP.
Which rows are due is in due.py, how they end in settling.py, when a phone is owed one in starts.py.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext

from devices import batch, inventory, live
from devices.choices import WAY, EventKind, Stage
from devices.fields import sealed_names
from devices.models import Phone
from devices.wording import in_english
from provisioning.due import Due, due, heard_at, read
from provisioning.models import OPEN_STATES, ConfigFile, Job, Notify, NotifyKind, NotifyOrigin, NotifyState

__all__ = [
    "FIRST_PATH_HOURS", "SEALED", "SEALED_OF_NOTIFY", "TOO_LATE", "TRANSACTION_SECONDS", "UNWANTED", "AddressMoved",
    "Due", "Forgotten", "Opening", "adoptable", "after_the_last", "claim", "current_file", "drop", "drop_all",
    "drop_for", "drop_unwanted", "drop_waiting", "due", "enqueue", "expire_commands", "is_too_late", "lock_phones",
    "notify_again", "open_row", "put_off", "put_off_all", "read", "reopen", "retire_older", "still_sending",
    "take_over", "withhold",
]  # fmt: skip

TRANSACTION_SECONDS = 32.0  # RFC 3261 17.1.2.2, timer F: 64 * T1
FIRST_PATH_HOURS = 24
COMMAND_SECONDS = 120  # a command is meant for now: nobody wants a restart an hour after the click. Our choice.
UNWANTED = "The phone is ignored or retired."
TOO_LATE = "Not sent in time: no listener was there. Ask again."
ADOPT_LIMIT = 500  # transactions of a listener that is gone, taken over in one look
SEALED = sealed_names(ConfigFile)  # what a lost key makes unreadable: loaded only when needed
SEALED_OF_NOTIFY = ("datagram", *(f"config_file__{name}" for name in SEALED))
CLAIMED = (
    "pk", "state", "claimed_by", "first_sent_at", "opened_at", "note", "call_id", "branch", "from_tag", "cseq",
    "datagram", "interface", "local_host", "target_host", "target_port", "url_form", "to_user",
)  # fmt: skip
SENT_WORDS = {
    NotifyKind.PROFILE: "NOTIFY sent to {}.",
    NotifyKind.CHECK_SYNC: "Asked at {} to check for a new configuration.",
    NotifyKind.RESYNC: "Asked at {} to load its configuration again.",
    NotifyKind.REBOOT: "Asked at {} to restart.",
}


class AddressMoved(Exception):
    """The phone is at another address than the one that the person saw; the text says where."""

    def __init__(self, host: str | None) -> None:
        words = gettext("This phone is now at %(host)s. Check that it is the same one; try again.")
        super().__init__(words % {"host": host})


class Forgotten(AddressMoved):
    """The phone was forgotten since the person saw it, so that it is at no address any more; the text says so."""

    def __init__(self) -> None:
        Exception.__init__(
            self, gettext("This phone was forgotten in the meantime. It appears anew when it is next heard.")
        )


@dataclass(frozen=True, slots=True)
class Opening:
    """The SIP transaction that a claim opens. `datagram` may hold a secret URL: it is not in the repr."""

    call_id: str
    branch: str
    from_tag: str
    datagram: bytes = field(repr=False)
    target: tuple[str, int]
    interface: str
    local_host: str
    cseq: int = 1
    url_form: str = ""
    to_user: str = ""


def current_file(phone_id: int) -> ConfigFile | None:
    """The phone's newest version. Content and secrets are read when they are used, and raise CannotDecrypt then."""
    return ConfigFile.objects.defer(*SEALED).filter(phone_id=phone_id).order_by("-number").first()


def enqueue(
    config_file: ConfigFile,
    origin: NotifyOrigin,
    next_at: datetime,
    note: str = "",
    unless_steady_since: datetime | None = None,
    kind: NotifyKind = NotifyKind.PROFILE,
    job: Job | None = None,
) -> Notify:
    """Owe this phone a NOTIFY; what was open for it of that kind is superseded. Call it inside a transaction."""
    now = timezone.now()
    Notify.objects.filter(phone_id=config_file.phone_id, kind=kind, state__in=OPEN_STATES).update(
        state=NotifyState.SUPERSEDED, settled_at=now
    )
    return Notify.objects.create(
        phone_id=config_file.phone_id,
        config_file=config_file,
        kind=kind,
        origin=origin,
        note=note[:300],
        created_at=now,
        next_at=next_at,
        unless_steady_since=unless_steady_since,
        job=job,
    )


def notify_again(phone_id: int, by: str, seen_host: str | None, at_once: bool = True) -> Notify | None:
    """A person asks for another NOTIFY of the current version, and thereby confirms `seen_host`, the address shown.

    Without `at_once` it waits until the last transaction has died out. Raises AddressMoved, and Forgotten.
    """
    with transaction.atomic():
        phone = Phone.objects.select_for_update().filter(pk=phone_id).first()
        if phone is None:
            raise Forgotten
        config_file = current_file(phone_id)
        if config_file is None or not phone.is_assigned:
            return None
        sending = open_row(phone_id, NotifyKind.PROFILE)
        if sending is not None and sending.state == NotifyState.SENDING:
            return sending  # it is under way: a second transaction within its 32 s would only confuse the phone
        if not inventory.approve_address(phone_id, seen_host):
            raise AddressMoved(phone.source_host)
        now = timezone.now()
        notify = enqueue(config_file, NotifyOrigin.PERSON, now if at_once else after_the_last(config_file, now))
        inventory.explain(phone_id, "")
        inventory.tell(phone_id, EventKind.NOTIFY, f"NOTIFY asked for by {by}.")
    return notify


def open_row(phone_id: int, kind: NotifyKind) -> Notify | None:
    """The phone's row of that kind that is not over, if there is one."""
    rows = Notify.objects.filter(phone_id=phone_id, kind=kind, state__in=OPEN_STATES)
    return rows.defer("datagram").first()


def after_the_last(config_file: ConfigFile, now: datetime) -> datetime:
    """When the last transaction of this version has died out: no two of them within one's 32 s."""
    sent = Notify.objects.filter(config_file=config_file, kind=NotifyKind.PROFILE, first_sent_at__lte=now)
    last = sent.order_by("-first_sent_at").values_list("first_sent_at", flat=True).first()
    return now if last is None else max(now, last + timedelta(seconds=TRANSACTION_SECONDS))


def adoptable(claimed_by: str, lost: Iterable[int], left_before: datetime, site: str | None = None) -> list[Notify]:
    """Rows under way that nobody looks after: `lost` ones of this listener, those of one that ran in its place before,
    and whatever was opened before that time for a phone of its site: another site's listener may come back to its own,
    and only that one reaches the phone. Oldest first; the datagram is read when it is used."""
    predecessor = Q(claimed_by__startswith=claimed_by.partition("#")[0] + "#") & ~Q(claimed_by=claimed_by)
    old = (Q(opened_at__lt=left_before) | Q(opened_at__isnull=True)) & heard_at(site)
    # Sorted here: asked to, SQLite would go through all that ever was sent, in this order.
    rows = Notify.objects.filter(predecessor | old | Q(pk__in=list(lost)), state=NotifyState.SENDING)
    oldest = sorted(rows.order_by().values_list("pk", flat=True))[:ADOPT_LIMIT]
    return list(Notify.objects.filter(pk__in=oldest).select_related("phone").defer("datagram").order_by("pk"))


def take_over(notify: Notify, claimed_by: str) -> bool:
    """Go on with a transaction whose listener is gone; False if another one was faster."""
    return bool(
        Notify.objects.filter(pk=notify.pk, state=NotifyState.SENDING, claimed_by=notify.claimed_by).update(
            claimed_by=claimed_by
        )
    )


def claim(rows: Sequence[tuple[Due, Opening]], claimed_by: str) -> set[int]:
    """Store these transactions and take the rows; those that somebody else took or superseded are not in the answer.

    From here on each first path works, for its target address only.
    """
    now = timezone.now()
    with transaction.atomic():
        lock_phones(row.phone_id for row, _ in rows)
        won = batch.update(
            Notify,
            CLAIMED,
            [
                (row.pk, NotifyState.SENDING, claimed_by, now, now, "", one.call_id, one.branch, one.from_tag,
                 one.cseq, one.datagram, one.interface, one.local_host, *one.target, one.url_form, one.to_user)
                for row, one in rows
            ],
            only_if=("state", [NotifyState.WAITING]),
        )  # fmt: skip
        taken = [(row, one) for row, one in rows if row.pk in won]
        until = now + timedelta(hours=FIRST_PATH_HOURS)
        profiles = [(row, one) for row, one in taken if row.kind == NotifyKind.PROFILE]
        batch.update(
            ConfigFile,
            ("pk", "first_host", "first_until", "bootstrap_at"),
            [(row.config_file_id, one.target[0], until, row.has_key) for row, one in profiles],
        )
        told = _no_longer_wait([row for row, _ in profiles], now)
        live.append_rows([*told, *(_sent_event(row, one, now) for row, one in taken)])
    return won


def _sent_event(row: Due, opening: Opening, now: datetime) -> live.EventRow:
    words = SENT_WORDS[NotifyKind(row.kind)].format(f"{opening.target[0]}:{opening.target[1]}")
    return row.phone_id, row.mac, EventKind.NOTIFY.value, row.stage, words, now


def lock_phones(phone_ids: Iterable[int]) -> None:
    """Take these phones' rows before their NOTIFYs', in a fixed order, as a save does: else two could wait for each
    other."""
    batch.select(Phone, ("pk",), "pk", set(phone_ids), lock=True)


def _no_longer_wait(rows: Sequence[Due], now: datetime) -> list[live.EventRow]:
    """Why these phones waited is over. What one proved before is void if it came back without its configuration; the
    events that tell this."""
    reset = {row.phone_id: row.config_file_id for row in rows if row.unless_steady_since is not None}
    phones = batch.select(Phone, ("pk", "mac", "stage", "stage_reason"), "pk", [row.phone_id for row in rows])
    back = [(pk, mac) for pk, mac, stage, _ in phones if pk in reset and stage == Stage.APPLIED]
    batch.write(ConfigFile, list(reset.values()), fetched_at=None, applied_at=None)
    batch.write(Phone, [pk for pk, _ in back], stage=Stage.ASSIGNED, stage_at=now)
    batch.write(Phone, [pk for pk, _, _, reason in phones if reason], stage_reason="")
    words = "It started up without its configuration: notified again."
    return [(pk, mac, EventKind.STAGE.value, Stage.ASSIGNED.value, words, now) for pk, mac in back]


def reopen(notify: Notify, opening: Opening, **changes: object) -> bool:
    """Store a further transaction of a row that is under way; False if it is not any more what the caller read."""
    return bool(
        Notify.objects.filter(pk=notify.pk, state=NotifyState.SENDING, branch=notify.branch).update(
            call_id=opening.call_id,
            branch=opening.branch,
            from_tag=opening.from_tag,
            cseq=opening.cseq,
            datagram=opening.datagram,
            to_user=opening.to_user,
            opened_at=timezone.now(),
            **changes,
        )
    )


def put_off(notify_id: int, next_at: datetime) -> None:
    """Look at a waiting row again later."""
    Notify.objects.filter(pk=notify_id, state=NotifyState.WAITING).update(next_at=next_at)


def put_off_all(rows: Sequence[tuple[int, datetime]]) -> None:
    """The same for a batch of (NOTIFY, when)."""
    batch.update(Notify, ("pk", "next_at"), rows, only_if=("state", [NotifyState.WAITING]))


def withhold(row: Due, why: str, alarm: bool) -> None:
    """Keep a NOTIFY back until a person confirms the address or the phone is seen again."""
    with transaction.atomic():
        lock_phones([row.phone_id])
        kept = Notify.objects.filter(pk=row.pk, state=NotifyState.WAITING).update(
            state=NotifyState.WITHHELD, note=why[:300]
        )
        if kept:
            inventory.explain(row.phone_id, why)
            if alarm:
                inventory.raise_alarm(row.phone_id, why)


def drop_unwanted(states: Collection[str] = OPEN_STATES) -> None:
    """Rows in these states of phones that were ignored or retired meanwhile: nothing more is sent to them.

    Those that are under way are few; all that wait are looked through, a twentieth of a second where 100,000 do.
    """
    found = dict(_unwanted(states))
    if not found:  # an UPDATE would take SQLite's lock, four times a second, for nothing
        return
    with transaction.atomic():
        lock_phones(found.values())
        # Looked at again under the lock: somebody may have stopped ignoring one.
        still = [pk for pk, _ in _unwanted(states) if pk in found]
        _not_needed(still, UNWANTED, OPEN_STATES, timezone.now())


def _unwanted(states: Collection[str]) -> Iterator[tuple[int, int]]:
    """(NOTIFY, phone) of each, one state after the other: each has an index, and what is over is not looked through."""
    for state in states:
        rows = Notify.objects.filter(state=state).exclude(phone__stage__in=WAY)
        yield from rows.order_by().values_list("pk", "phone_id")


def drop_for(phone_id: int, note: str) -> None:
    """Whatever is open for this phone, what is under way too. The caller has locked the phone."""
    rows = Notify.objects.filter(phone_id=phone_id, state__in=OPEN_STATES)
    _not_needed(list(rows.values_list("pk", flat=True)), note, OPEN_STATES, timezone.now())


def drop_all(notify_ids: Sequence[int], note: str) -> None:
    """Open rows that are not needed any more; what is under way goes on."""
    _not_needed(notify_ids, note, [NotifyState.WAITING, NotifyState.WITHHELD], timezone.now())


def drop_waiting(config_file_ids: Collection[int], note: str) -> None:
    """The same for all that these versions owe of their configuration, and for what was to be asked by itself: it has
    been answered. What a person asks for is done."""
    open_ones = ("state", (NotifyState.WAITING, NotifyState.WITHHELD))
    rows = batch.select(Notify, ("pk", "kind", "origin"), "config_file", config_file_ids, only_if=open_ones)
    of_itself = NotifyOrigin.AUTOMATIC
    drop_all([pk for pk, kind, origin in rows if kind == NotifyKind.PROFILE or origin == of_itself], note)


def retire_older(phone_ids: Collection[int], kept: Collection[int], at: datetime) -> None:
    """All versions of these phones but those kept lead nowhere from here on. Call it with the phones locked."""
    versions = batch.select(ConfigFile, ("pk", "retired_at"), "phone", phone_ids)
    older = [pk for pk, retired_at in versions if retired_at is None and pk not in kept]
    batch.write(ConfigFile, older, retired_at=at)


def is_too_late(row: Due, now: datetime) -> bool:
    """Whether `expire_commands` ends this row."""
    is_clicked = row.kind != NotifyKind.PROFILE and row.origin != NotifyOrigin.AUTOMATIC
    return is_clicked and row.next_at < now - timedelta(seconds=COMMAND_SECONDS)


def expire_commands(now: datetime) -> None:
    """End commands that nobody could send in time, and say so: a phone must not restart long after the click.

    What nobody has clicked waits for its listener, for it is asked once: a phone that is silent would stay so.
    """
    # Counted from its turn: one of a job may have been held back, and has another turn since.
    late = Notify.objects.filter(state=NotifyState.WAITING, next_at__lt=now - timedelta(seconds=COMMAND_SECONDS))
    clicked = late.exclude(kind=NotifyKind.PROFILE).exclude(origin=NotifyOrigin.AUTOMATIC)
    found = sorted(clicked.order_by().values_list("pk", "phone_id", "kind"))  # here: see `adoptable`
    if not found:
        return
    with transaction.atomic():
        lock_phones(phone_id for _, phone_id, _ in found)
        ended = _not_needed([pk for pk, _, _ in found], TOO_LATE, [NotifyState.WAITING], now)
        asked = [(phone_id, in_english(NotifyKind(kind).label)) for pk, phone_id, kind in found if pk in ended]
        phones = batch.select(Phone, ("pk", "mac", "stage"), "pk", [phone_id for phone_id, _ in asked])
        told = {pk: (mac, EventKind.NOTIFY.value, stage) for pk, mac, stage in phones}
        live.append_rows([(phone_id, *told[phone_id], f"{label}: {TOO_LATE}", now) for phone_id, label in asked])


def _not_needed(notify_ids: Sequence[int], note: str, states: Sequence[str], now: datetime) -> set[int]:
    """End these rows if they are in one of the states; which were. They are locked in the order of their ids."""
    rows = [(pk, NotifyState.NOT_NEEDED, note[:300], now) for pk in notify_ids]
    return batch.update(Notify, ("pk", "state", "note", "settled_at"), rows, only_if=("state", states))


def drop(notify_id: int, note: str) -> None:
    """One of them."""
    drop_all([notify_id], note)


def still_sending(claimed_by: str) -> set[int]:
    """Which of this listener's transactions are still wanted; others were superseded or forgotten meanwhile."""
    rows = Notify.objects.filter(claimed_by=claimed_by, state=NotifyState.SENDING)
    return set(rows.values_list("pk", flat=True))
