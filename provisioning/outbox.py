"""The outbox of owed NOTIFYs: intentions, not datagrams. Every state change is a conditional UPDATE.

A row goes waiting → sending → delivered, refused or unanswered. Its transaction's identifiers are stored by `claim`,
before the first datagram, so that after a crash the same transaction goes on. This module speaks no SIP.
How rows end is in settling.py, when a phone is owed one in starts.py.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet, TextField
from django.db.models.functions import Cast
from django.utils import timezone

from devices import batch, inventory, live
from devices.choices import WAY, EventKind, Stage
from devices.models import Phone
from provisioning.models import OPEN_STATES, ConfigFile, Notify, NotifyKind, NotifyOrigin, NotifyState

TRANSACTION_SECONDS = 32.0  # RFC 3261 17.1.2.2, timer F: 64 * T1
FIRST_PATH_HOURS = 24
CLOCK_WENT_BACK_DAYS = 2
ADOPT_LIMIT = 500  # transactions of a listener that is gone, taken over in one look
SEALED = ("content", "first_secret", "steady_secret")  # what a lost key makes unreadable: loaded only when needed
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


@dataclass(frozen=True, slots=True)
class Due:
    """A waiting row whose time has come, with all that decides whether and how it may leave."""

    pk: int
    kind: str
    origin: str
    unless_steady_since: datetime | None
    config_file_id: int
    base_url: str
    first_token: str = field(repr=False)
    """The first path's secret, still encrypted."""
    fetched_at: datetime | None
    steady_at: datetime | None
    phone_id: int
    mac: str
    model: str
    firmware: str
    stage: str
    source_host: str | None
    notify_port: int
    interface: str
    local_host: str | None
    subscribed_at: datetime | None
    approved_at: datetime | None
    approved_host: str | None
    steady_host: str | None

    @property
    def target(self) -> tuple[str, int]:
        return self.source_host or "", self.notify_port


_OF_FILE = ("base_url", "first_token", "fetched_at", "steady_at")
_OF_PHONE = (
    "mac", "model", "firmware", "stage", "source_host", "notify_port", "interface", "local_host", "subscribed_at",
    "approved_at", "approved_host", "steady_host",
)  # fmt: skip
_DUE_COLUMNS = (
    "pk", "kind", "origin", "unless_steady_since", "config_file_id",
    *(name if name == "first_token" else f"config_file__{name}" for name in _OF_FILE),
    "phone_id", *(f"phone__{name}" for name in _OF_PHONE),
)  # fmt: skip


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
    )


def notify_again(phone_id: int, by: str, seen_host: str | None, at_once: bool = True) -> Notify | None:
    """A person asks for another NOTIFY of the current version, and thereby confirms `seen_host`, the address shown.

    Without `at_once` it waits until the last transaction has died out. Raises AddressMoved.
    """
    with transaction.atomic():
        phone = Phone.objects.select_for_update().get(pk=phone_id)
        config_file = current_file(phone_id)
        if config_file is None or not phone.is_assigned:
            return None
        sending = open_row(phone_id, NotifyKind.PROFILE)
        if sending is not None and sending.state == NotifyState.SENDING:
            return sending  # it is under way: a second transaction within its 32 s would only confuse the phone
        if not inventory.approve_address(phone_id, seen_host):
            raise AddressMoved(f"This phone is now at {phone.source_host}. Check that it is the same one; try again.")
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


def due(now: datetime, places: Iterable[tuple[str, str]], limit: int) -> list[Due]:
    """Waiting rows whose time has come, oldest first; also those absurdly far ahead, for then the clock went back.

    `places` are the (interface, our address) pairs that the caller can send from: a phone is notified from where it
    was heard. A phone that is just being told something is left alone until that is over.
    """
    far = now + timedelta(days=CLOCK_WENT_BACK_DAYS)
    here = Q(pk__in=[])
    for interface, local_host in places:
        here |= Q(phone__interface=interface, phone__local_host=local_host)
    busy = Notify.objects.filter(phone_id=OuterRef("phone_id"), state=NotifyState.SENDING)
    rows = Notify.objects.filter(
        here, Q(next_at__lte=now) | Q(next_at__gt=far), ~Exists(busy), state=NotifyState.WAITING
    ).order_by("next_at", "id")
    found: dict[int, Due] = {}
    for row in read(rows[:limit]):
        found.setdefault(row.phone_id, row)
    return list(found.values())


def read(rows: QuerySet[Notify]) -> list[Due]:
    """These rows with what decides about them. Secrets stay as they are stored: one that no key opens must not keep the
    others from leaving."""
    with_token = rows.annotate(first_token=Cast("config_file__first_secret", TextField()))
    return [Due(*row) for row in with_token.values_list(*_DUE_COLUMNS)]


def adoptable(claimed_by: str, lost: Iterable[int], left_before: datetime) -> list[Notify]:
    """Rows under way that nobody looks after: `lost` ones of this listener, those of one that ran in its place before,
    and whatever was opened before that time. Oldest first; the datagram is read when it is used."""
    predecessor = Q(claimed_by__startswith=claimed_by.partition("#")[0] + "#") & ~Q(claimed_by=claimed_by)
    old = Q(opened_at__lt=left_before) | Q(opened_at__isnull=True)
    rows = Notify.objects.filter(predecessor | old | Q(pk__in=list(lost)), state=NotifyState.SENDING)
    return list(rows.select_related("phone").defer("datagram").order_by("id")[:ADOPT_LIMIT])


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
            ("pk", "first_host", "first_until"),
            [(row.config_file_id, one.target[0], until) for row, one in profiles],
        )
        for row, _ in profiles:
            if row.unless_steady_since is not None:
                _start_over(row)
        # Why it waited is over.
        waited = Phone.objects.filter(pk__in=[row.phone_id for row, _ in profiles]).exclude(stage_reason="")
        batch.write(Phone, list(waited.values_list("pk", flat=True)), stage_reason="")
        live.append_rows([_sent_event(row, one, now) for row, one in taken])
    return won


def _sent_event(row: Due, opening: Opening, now: datetime) -> live.EventRow:
    words = SENT_WORDS[NotifyKind(row.kind)].format(f"{opening.target[0]}:{opening.target[1]}")
    return row.phone_id, row.mac, EventKind.NOTIFY.value, row.stage, words, now


def lock_phones(phone_ids: Iterable[int]) -> None:
    """Take these phones' rows before their NOTIFYs', in a fixed order, as a save does: else two could wait for each
    other."""
    batch.select(Phone, ("pk",), "pk", set(phone_ids), lock=True)


def _start_over(row: Due) -> None:
    """The phone came back without its configuration, so what it proved before is void."""
    ConfigFile.objects.filter(pk=row.config_file_id).update(fetched_at=None, applied_at=None)
    words = "It started up without its configuration: notified again."
    inventory.advance(row.phone_id, Stage.ASSIGNED, [Stage.APPLIED], words)


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


def withhold(row: Due, why: str, alarm: bool) -> None:
    """Keep a NOTIFY back until a person confirms the address or the phone is seen again."""
    with transaction.atomic():
        kept = Notify.objects.filter(pk=row.pk, state=NotifyState.WAITING).update(
            state=NotifyState.WITHHELD, note=why[:300]
        )
        if kept:
            inventory.explain(row.phone_id, why)
            if alarm:
                inventory.raise_alarm(row.phone_id, why)


def drop_unwanted() -> None:
    """Open rows of phones that were ignored meanwhile: nothing more is sent to them."""
    unwanted = Notify.objects.filter(state__in=OPEN_STATES).exclude(phone__stage__in=WAY)
    if unwanted.exists():  # an UPDATE would take SQLite's lock, four times a second, for nothing
        unwanted.update(state=NotifyState.NOT_NEEDED, note="The phone is ignored.", settled_at=timezone.now())


def drop_all(notify_ids: Sequence[int], note: str) -> None:
    """Open rows that are not needed any more; what is under way goes on."""
    if notify_ids:
        rows = Notify.objects.filter(pk__in=notify_ids, state__in=[NotifyState.WAITING, NotifyState.WITHHELD])
        rows.update(state=NotifyState.NOT_NEEDED, note=note[:300], settled_at=timezone.now())


def drop(notify_id: int, note: str) -> None:
    """One of them."""
    drop_all([notify_id], note)


def still_sending(claimed_by: str) -> set[int]:
    """Which of this listener's transactions are still wanted; others were superseded or forgotten meanwhile."""
    rows = Notify.objects.filter(claimed_by=claimed_by, state=NotifyState.SENDING)
    return set(rows.values_list("pk", flat=True))
