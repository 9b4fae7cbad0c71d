"""The outbox of owed NOTIFYs: intentions, not datagrams. Every state change is a conditional UPDATE.

A row goes waiting → sending → delivered, refused or unanswered. Its transaction identifiers are stored by `claim`,
before the first datagram, so that after a crash the same transaction goes on. This module speaks no SIP.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from devices import inventory
from devices.choices import WAY, EventKind, Stage
from devices.models import Phone
from provisioning.models import OPEN_STATES, ConfigFile, Notify, NotifyOrigin, NotifyState

TRANSACTION_SECONDS = 32.0  # RFC 3261 17.1.2.2, timer F: 64 * T1
FIRST_PATH_HOURS = 24
AUTOMATIC_PAUSE_MINUTES = 10
AUTOMATIC_PER_DAY = 3
RESET_CHECK_SECONDS = 60  # an applied phone that starts up fetches its file within this time
CLOCK_WENT_BACK_DAYS = 2
LOOP_ALARM = "Restarts without keeping its configuration."


@dataclass(frozen=True)
class Opening:
    """The SIP transaction that a claim opens. `datagram` holds the secret URL: it is not in the repr."""

    call_id: str
    branch: str
    from_tag: str
    datagram: bytes = field(repr=False)
    target: tuple[str, int]
    interface: str
    local_host: str


SEALED = ("content", "first_secret", "steady_secret")  # what a lost key makes unreadable: loaded only when needed
SEALED_OF_NOTIFY = ("datagram", *(f"config_file__{name}" for name in SEALED))


class AddressMoved(Exception):
    """The phone is at another address than the one that the person saw; the text says where."""


def current_file(phone_id: int) -> ConfigFile | None:
    """The phone's newest version. Content and secrets are read when they are used, and raise CannotDecrypt then."""
    return ConfigFile.objects.defer(*SEALED).filter(phone_id=phone_id).order_by("-number").first()


def enqueue(
    config_file: ConfigFile,
    origin: NotifyOrigin,
    next_at: datetime,
    note: str = "",
    unless_steady_since: datetime | None = None,
) -> Notify:
    """Owe this phone a NOTIFY; what was open for it is superseded. Call it inside a transaction."""
    now = timezone.now()
    Notify.objects.filter(phone_id=config_file.phone_id, state__in=OPEN_STATES).update(
        state=NotifyState.SUPERSEDED, settled_at=now
    )
    return Notify.objects.create(
        phone_id=config_file.phone_id,
        config_file=config_file,
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
        sending = Notify.objects.filter(phone=phone, state=NotifyState.SENDING).defer("datagram").first()
        if sending is not None:
            return sending  # it is under way: a second transaction within its 32 s would only confuse the phone
        if not inventory.approve_address(phone_id, seen_host):
            raise AddressMoved(f"This phone is now at {phone.source_host}. Check that it is the same one; try again.")
        now = timezone.now()
        notify = enqueue(config_file, NotifyOrigin.PERSON, now if at_once else _after_the_last(config_file, now))
        inventory.explain(phone_id, "")
        inventory.tell(phone_id, EventKind.NOTIFY, f"NOTIFY asked for by {by}.")
    return notify


def due(now: datetime, places: Iterable[tuple[str, str]], limit: int) -> list[Notify]:
    """Waiting rows whose time has come, oldest first; also those absurdly far ahead, for then the clock went back.

    `places` are the (interface, our address) pairs that the caller can send from: a phone is notified from where it
    was heard.
    """
    far = now + timedelta(days=CLOCK_WENT_BACK_DAYS)
    here = Q(pk__in=[])
    for interface, local_host in places:
        here |= Q(phone__interface=interface, phone__local_host=local_host)
    rows = Notify.objects.filter(here, Q(next_at__lte=now) | Q(next_at__gt=far), state=NotifyState.WAITING)
    # What is encrypted is read row by row: one that no key opens must not keep the others from leaving.
    found = rows.select_related("phone", "config_file").defer(*SEALED_OF_NOTIFY)
    return list(found.order_by("next_at", "id")[:limit])


def under_way() -> list[Notify]:
    """Rows whose transaction was opened and has no final answer on record, oldest first."""
    rows = Notify.objects.filter(state=NotifyState.SENDING).order_by("id")
    return list(rows.select_related("phone").defer("datagram"))


def take_over(notify: Notify, claimed_by: str) -> bool:
    """Go on with a transaction whose listener is gone; False if another one was faster."""
    return bool(
        Notify.objects.filter(pk=notify.pk, state=NotifyState.SENDING, claimed_by=notify.claimed_by).update(
            claimed_by=claimed_by
        )
    )


def claim(notify: Notify, opening: Opening, claimed_by: str) -> bool:
    """Store the transaction and take the row; False if somebody else took or superseded it.

    From here on the first path works, for the target address only.
    """
    now = timezone.now()
    with transaction.atomic():
        waiting = Notify.objects.select_for_update().filter(pk=notify.pk, state=NotifyState.WAITING)
        row = waiting.defer("datagram").first()
        if row is None:
            return False
        row.state, row.claimed_by, row.first_sent_at, row.note = NotifyState.SENDING, claimed_by, now, ""
        row.call_id, row.branch, row.from_tag = opening.call_id, opening.branch, opening.from_tag
        row.datagram, row.interface, row.local_host = opening.datagram, opening.interface, opening.local_host
        row.target_host, row.target_port = opening.target
        row.save()
        if row.unless_steady_since is not None:
            _start_over(row)
        ConfigFile.objects.filter(pk=row.config_file_id).update(
            first_host=row.target_host, first_until=now + timedelta(hours=FIRST_PATH_HOURS)
        )
        inventory.explain(row.phone_id, "")  # why it waited is over
        inventory.tell(row.phone_id, EventKind.NOTIFY, f"NOTIFY sent to {row.target_host}:{row.target_port}.")
    return True


def _start_over(row: Notify) -> None:
    """The phone came back without its configuration, so what it proved before is void."""
    ConfigFile.objects.filter(pk=row.config_file_id).update(fetched_at=None, applied_at=None)
    inventory.advance(
        row.phone_id,
        Stage.ASSIGNED,
        [Stage.APPLIED],
        "It started up without its configuration: notified again.",
    )


def put_off(notify: Notify, next_at: datetime) -> None:
    """Look at a waiting row again later."""
    Notify.objects.filter(pk=notify.pk, state=NotifyState.WAITING).update(next_at=next_at)


def withhold(notify: Notify, why: str, alarm: bool) -> None:
    """Keep a NOTIFY back until a person confirms the address or the phone is seen again."""
    with transaction.atomic():
        kept = Notify.objects.filter(pk=notify.pk, state=NotifyState.WAITING).update(
            state=NotifyState.WITHHELD, note=why[:300]
        )
        if kept:
            inventory.explain(notify.phone_id, why)
            if alarm:
                inventory.raise_alarm(notify.phone_id, why)


def drop_unwanted() -> None:
    """Open rows of phones that were ignored meanwhile: nothing more is sent to them."""
    unwanted = Notify.objects.filter(state__in=OPEN_STATES).exclude(phone__stage__in=WAY)
    if unwanted.exists():  # an UPDATE would take SQLite's lock, four times a second, for nothing
        unwanted.update(state=NotifyState.NOT_NEEDED, note="The phone is ignored.", settled_at=timezone.now())


def drop(notify_id: int, note: str) -> None:
    """An open row that is not needed any more."""
    Notify.objects.filter(pk=notify_id, state__in=OPEN_STATES).exclude(state=NotifyState.SENDING).update(
        state=NotifyState.NOT_NEEDED, note=note[:300], settled_at=timezone.now()
    )


def still_sending(notify_ids: list[int]) -> set[int]:
    """Which of these transactions are still wanted; the others were superseded or forgotten meanwhile."""
    rows = Notify.objects.filter(pk__in=notify_ids, state=NotifyState.SENDING)
    return set(rows.values_list("pk", flat=True))


def settle_answered(notify_id: int, status: int, reason: str) -> bool:
    """Record the phone's final answer; False if the row was not ours to settle any more."""
    delivered = 200 <= status < 300
    state = NotifyState.DELIVERED if delivered else NotifyState.REFUSED
    with transaction.atomic():
        row = _settle(notify_id, state, status, reason)
        if row is None:
            return False
        if delivered:
            inventory.advance(row.phone_id, Stage.NOTIFIED, [Stage.ASSIGNED, Stage.NOTIFIED], "Answered our NOTIFY.")
            return True
        words = _refusal_words(status, reason)
        if 500 <= status < 600 and _retry_later(row):
            words += f" It is asked again in {AUTOMATIC_PAUSE_MINUTES} minutes and when it is next seen."
        inventory.explain(row.phone_id, words)
    return True


def settle_unanswered(notify_id: int) -> bool:
    """Record that 32 s went by without a final answer."""
    with transaction.atomic():
        row = _settle(notify_id, NotifyState.UNANSWERED, None, "")
        if row is None:
            return False
        if _fetched_since(row):
            return True  # its answer was lost, but that it fetched proves that it heard us
        if _started_since(row):
            owe_after_start(row.phone_id)  # it was deaf to this one because it was starting up; it is there now
            return True
        words = "It did not answer our NOTIFY: it may be off, or ignores a late one. Switch the phone off and on."
        if _retry_later(row):
            words += f" It is asked again in {AUTOMATIC_PAUSE_MINUTES} minutes and when it is next seen."
        inventory.explain(row.phone_id, words)
    return True


def _started_since(row: Notify) -> bool:
    phone = Phone.objects.filter(pk=row.phone_id, subscribed_at__gt=row.first_sent_at).exists()
    return phone and row.config_file == current_file(row.phone_id)


def _fetched_since(row: Notify) -> bool:
    times = (row.config_file.fetched_at, row.config_file.steady_at)
    return row.first_sent_at is not None and any(one is not None and one >= row.first_sent_at for one in times)


def _settle(notify_id: int, state: NotifyState, status: int | None, reason: str) -> Notify | None:
    won = Notify.objects.filter(pk=notify_id, state=NotifyState.SENDING).update(
        state=state, status=status, reason=reason[:100], settled_at=timezone.now()
    )
    rows = Notify.objects.select_related("config_file").defer(*SEALED_OF_NOTIFY)
    return rows.filter(pk=notify_id).first() if won else None


def _refusal_words(status: int, reason: str) -> str:
    answer = f"{status} {reason}".strip()
    if status in (401, 407):
        return (
            f"It asked for a password ({answer}): this phone belongs to another system. Reset it to factory defaults."
        )
    if status == 489:
        return f"It refused our NOTIFY ({answer}): plug and play is off on this phone, or it is no GXP16xx."
    return f"It refused our NOTIFY ({answer}). Press “Notify again”, or switch the phone off and on."


def automatic_from(config_file: ConfigFile, now: datetime) -> datetime | None:
    """From when on an automatic NOTIFY of this version may leave; None if today's are used up.

    One in 10 minutes and three in a day: no fleet may ever be put into a reboot loop.
    """
    times = _automatic_times(config_file, now)
    if len(times) >= AUTOMATIC_PER_DAY:
        return None
    return max(now, times[0] + timedelta(minutes=AUTOMATIC_PAUSE_MINUTES)) if times else now


def _automatic_times(config_file: ConfigFile, now: datetime) -> list[datetime]:
    """When automatic NOTIFYs of this version left in the last day, latest first; none from a clock that went back."""
    sent = Notify.objects.filter(
        config_file=config_file,
        origin=NotifyOrigin.AUTOMATIC,
        first_sent_at__gt=now - timedelta(days=1),
        first_sent_at__lte=now,
    )
    times = sent.order_by("-first_sent_at").values_list("first_sent_at", flat=True)
    return [one for one in times if one is not None]


def _after_the_last(config_file: ConfigFile, now: datetime) -> datetime:
    """When the last transaction of this version has died out: no two of them within one's 32 s."""
    sent = Notify.objects.filter(config_file=config_file, first_sent_at__lte=now).order_by("-first_sent_at")
    last = sent.values_list("first_sent_at", flat=True).first()
    return now if last is None else max(now, last + timedelta(seconds=TRANSACTION_SECONDS))


def _retry_later(row: Notify) -> bool:
    """Owe one timed retry; only one in a day, so that the others are left for when the phone is seen."""
    now = timezone.now()
    if row.config_file.fetched_at or row.config_file != current_file(row.phone_id):
        return False
    if _automatic_times(row.config_file, now):
        return False
    enqueue(
        row.config_file,
        NotifyOrigin.AUTOMATIC,
        now + timedelta(minutes=AUTOMATIC_PAUSE_MINUTES),
        note="Waits for the next try, or until the phone is seen.",
    )
    return True


def owe_after_start(phone_id: int) -> Notify | None:
    """A phone of ours has just started up (SUBSCRIBE): owe it a NOTIFY only if it needs one.

    It needs one if its current version was never completely fetched, or if it was applied and does not fetch by its
    steady path now. While it is `fetched`, a start is the expected reboot. Call it inside a transaction.
    """
    now = timezone.now()
    phone = Phone.objects.filter(pk=phone_id, stage__in=WAY).exclude(stage=Stage.FETCHED).first()
    config_file = current_file(phone_id)
    if phone is None or config_file is None:
        return None
    open_row = Notify.objects.filter(phone_id=phone_id, state__in=OPEN_STATES).defer("datagram").first()
    if open_row is not None:
        return _wake(open_row, now)
    if phone.stage == Stage.APPLIED:
        # `hold_to_limits` decides after its minute whether there are too many: most starts are ordinary ones.
        check_at = now + timedelta(seconds=RESET_CHECK_SECONDS)
        return enqueue(config_file, NotifyOrigin.AUTOMATIC, check_at, unless_steady_since=now)
    earliest = automatic_from(config_file, now)
    if earliest is None:
        _too_many(phone_id)
        return None
    earliest = max(earliest, _after_the_last(config_file, now))
    _say_when(phone_id, earliest, now)
    return enqueue(config_file, NotifyOrigin.AUTOMATIC, earliest, note="The phone was seen again.")


def hold_to_limits(notify: Notify, now: datetime) -> bool:
    """May this due row leave now? An automatic one over the limits is put off, or dropped with an alarm."""
    if notify.origin != NotifyOrigin.AUTOMATIC:
        return True
    earliest = automatic_from(notify.config_file, now)
    if earliest is None:
        with transaction.atomic():
            drop(notify.pk, "Three automatic NOTIFYs were sent today.")
            _too_many(notify.phone_id)
    elif earliest > now:
        put_off(notify, earliest)
    return earliest == now


def _too_many(phone_id: int) -> None:
    """Three in a day did not help: stop, say so, and leave it to a person."""
    inventory.explain(phone_id, "It restarts without keeping its configuration; no more NOTIFYs today.")
    if not Phone.objects.filter(pk=phone_id, alarm__contains=LOOP_ALARM).exists():
        inventory.raise_alarm(phone_id, LOOP_ALARM)


def _wake(row: Notify, now: datetime) -> Notify:
    """The phone is there: a row that waits for it, or for its address, is looked at now (within the limits)."""
    if row.state == NotifyState.SENDING:
        return row
    earliest = _after_the_last(row.config_file, now)
    if row.origin == NotifyOrigin.AUTOMATIC:
        earliest = max(earliest, automatic_from(row.config_file, now) or row.next_at)
    if row.unless_steady_since is not None:
        # Each start has its own minute to fetch by the steady path.
        earliest = max(earliest, now + timedelta(seconds=RESET_CHECK_SECONDS))
        Notify.objects.filter(pk=row.pk).update(unless_steady_since=now)
    else:
        _say_when(row.phone_id, earliest, now)
    Notify.objects.filter(pk=row.pk, state__in=(NotifyState.WAITING, NotifyState.WITHHELD)).update(
        state=NotifyState.WAITING, next_at=earliest
    )
    row.refresh_from_db()
    return row


def _say_when(phone_id: int, at: datetime, now: datetime) -> None:
    """Tell a technician who has just switched the phone on that its NOTIFY is held back, and what helps at once."""
    if at - now > timedelta(seconds=TRANSACTION_SECONDS):
        words = f"It was seen again, but was notified a moment ago; it is asked again at {at:%H:%M} UTC."
        inventory.explain(phone_id, f"{words} “Notify again” asks it now.")
