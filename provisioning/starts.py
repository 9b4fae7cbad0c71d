"""A phone of ours has started up: is it owed a NOTIFY? Decided for a whole batch at once, for boots come in storms.

It is owed one if its current version was never completely fetched, or if it was applied and does not fetch by its
steady path now. While it is `fetched`, a start is the expected reboot. No fleet may ever be put into a reboot loop:
at most one automatic NOTIFY of a version in 10 minutes, and three in a day.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Max
from django.utils import timezone

from devices import batch, inventory, live
from devices.choices import WAY, EventKind, Stage
from devices.claims import ALARM_CHARS
from devices.inventory import ALARM_BREAK
from devices.models import Phone
from provisioning import outbox
from provisioning.importing.models import UNSETTLED, PhoneImport
from provisioning.models import OPEN_STATES, ConfigFile, Notify, NotifyKind, NotifyOrigin, NotifyState
from provisioning.outbox import TRANSACTION_SECONDS, Due

AUTOMATIC_PAUSE_MINUTES = 10
AUTOMATIC_PER_DAY = 3
TOLD_AGAIN_PER_SECOND = 5  # as a job tells them; our choice
RESET_CHECK_SECONDS = 60  # an applied phone that starts up fetches its file within this time
WRITTEN_WITHIN_SECONDS = (
    2  # after that; the door holds what moves nothing for one (door/again.py), and writes many at once
)
LOOP_REASON = "It restarts without keeping its configuration; no more NOTIFYs today."
LOOP_ALARM = "Restarts without keeping its configuration."
SEEN_AGAIN = "The phone was seen again."
OWED = (
    "phone", "config_file", "kind", "origin", "state", "note", "created_at", "next_at", "unless_steady_since",
    "claimed_by", "call_id", "branch", "from_tag", "cseq", "interface", "reason", "url_form", "to_user",
    "logins_tried", "renewed",
)  # fmt: skip
_MAY_BE_OWED = [stage for stage in WAY if stage != Stage.FETCHED]
_NOTHING_YET = ("", "", "", "", 1, "", "", "", "", 0, False)  # what the columns from claimed_by on begin with


@dataclass(frozen=True, slots=True)
class Sent:
    """When NOTIFYs of one version left: the last one of any origin, and a day's automatic ones, latest first; and from
    when to when each one was under way that the phone has answered."""

    last_at: datetime | None
    automatic: tuple[datetime, ...]
    answered: tuple[tuple[datetime, datetime], ...] = ()

    def dies_out_at(self, now: datetime) -> datetime:
        """When the last transaction is over: no two of them within one's 32 s."""
        return now if self.last_at is None else max(now, self.last_at + timedelta(seconds=TRANSACTION_SECONDS))

    def automatic_from(self, now: datetime) -> datetime | None:
        """From when on an automatic one may leave; None if today's are used up."""
        if len(self.automatic) >= AUTOMATIC_PER_DAY:
            return None
        if not self.automatic:
            return now
        return max(now, self.automatic[0] + timedelta(minutes=AUTOMATIC_PAUSE_MINUTES))

    def was_under_way(self, at: datetime) -> bool:
        """Was one under way then that the phone has answered later?"""
        return any(sent_at <= at < answered_at for sent_at, answered_at in self.answered)


NEVER = Sent(None, ())


@dataclass(frozen=True, slots=True)
class _Start:
    """A phone that has started up, with its newest version and when that was last fetched by its steady path."""

    phone_id: int
    stage: str
    file_id: int
    steady_at: datetime | None
    heard_at: datetime


@dataclass(frozen=True, slots=True)
class _Open:
    """A NOTIFY that is owed already."""

    pk: int
    phone_id: int
    config_file_id: int
    state: str
    origin: str
    next_at: datetime
    unless_steady_since: datetime | None
    job_id: int | None


@dataclass(slots=True)
class _Batch:
    """What a batch of starts leads to, written together."""

    owed: list[tuple]
    woken: list[tuple[int, str, datetime, datetime | None]]
    reasons: dict[int, str]
    too_many: list[int]


def sent_of(config_file_ids: Iterable[int], now: datetime) -> dict[int, Sent]:
    """When NOTIFYs of these versions left; those of a clock that went back count as none."""
    names = ("config_file", "origin", "first_sent_at", "settled_at", "status")
    rows = batch.select(Notify, names, "config_file", set(config_file_ids), only_if=("kind", [NotifyKind.PROFILE]))
    yesterday = now - timedelta(days=1)
    left: defaultdict[int, list[datetime]] = defaultdict(list)
    automatic: defaultdict[int, list[datetime]] = defaultdict(list)
    answered: defaultdict[int, list[tuple[datetime, datetime]]] = defaultdict(list)
    for file_id, origin, at, settled_at, status in rows:
        if at is None or at > now:
            continue
        left[file_id].append(at)
        if origin == NotifyOrigin.AUTOMATIC and at > yesterday:
            automatic[file_id].append(at)
        if status is not None and settled_at is not None:
            answered[file_id].append((at, settled_at))
    return {
        pk: Sent(max(times), tuple(sorted(automatic[pk], reverse=True)), tuple(answered[pk]))
        for pk, times in left.items()
    }


def owe_after_starts(heard: Mapping[int, datetime]) -> None:
    """Owe these phones what they need: phone -> when its SUBSCRIBE was heard, which may be a while ago. One
    transaction."""
    now = timezone.now()
    with transaction.atomic():
        outbox.lock_phones(heard)
        found = _starts(heard, now)
        rows = _open_rows([start.phone_id for start in found])
        sent = sent_of((start.file_id for start in found), now)
        done = _Batch([], [], {}, [])
        unsettled = set(PhoneImport.objects.filter(state__in=UNSETTLED).values_list("job", flat=True))
        for start in found:
            row = rows.get(start.phone_id)
            if row is not None and row.state == NotifyState.WITHHELD and row.job_id in unsettled:
                continue  # its import is not complete, and may be taken back yet: nobody is told before
            if row is not None:
                _wake(row, start.heard_at, sent.get(row.config_file_id, NEVER), now, done)
            else:
                _owe(start, sent.get(start.file_id, NEVER), now, done)
        _write(done, now)


def owe_after_start(phone_id: int, heard_at: datetime | None = None) -> None:
    """The same for one phone; without `heard_at` it has started up just now."""
    owe_after_starts({phone_id: heard_at or timezone.now()})


def _starts(heard: Mapping[int, datetime], now: datetime) -> list[_Start]:
    """The starts of those phones that may be owed a NOTIFY."""
    stages = dict(batch.select(Phone, ("pk", "stage"), "pk", list(heard), only_if=("stage", _MAY_BE_OWED)))
    newest = batch.newest(ConfigFile, ("phone", "pk", "steady_at"), "phone", list(stages), by="number")
    return [
        # What was heard in time to come was heard before the clock went back.
        _Start(phone_id, stages[phone_id], file_id, steady_at, min(heard[phone_id], now))
        for phone_id, file_id, steady_at in newest
    ]


def _open_rows(phone_ids: Sequence[int]) -> dict[int, _Open]:
    """The NOTIFY of a configuration that each of these phones is owed already; a phone has at most one."""
    names = ("pk", "kind", "phone", "config_file", "state", "origin", "next_at", "unless_steady_since", "job")
    rows = batch.select(Notify, names, "phone", phone_ids, only_if=("state", OPEN_STATES))
    return {phone_id: _Open(pk, phone_id, *rest) for pk, kind, phone_id, *rest in rows if kind == NotifyKind.PROFILE}


def _owe(start: _Start, times: Sent, now: datetime, done: _Batch) -> None:
    if start.stage == Stage.APPLIED:
        if start.steady_at is not None and start.steady_at >= start.heard_at:
            return  # it has fetched by its own path meanwhile
        # `hold_to_limits` decides after its minute whether there are too many: most starts are ordinary ones.
        next_at, note, since = max(now, _minute_after(start.heard_at)), "", start.heard_at
    else:
        if times.was_under_way(start.heard_at):
            return  # it has answered that one after it started up
        earliest = times.automatic_from(now)
        if earliest is None:
            done.too_many.append(start.phone_id)
            return
        next_at, note, since = max(earliest, times.dies_out_at(now)), SEEN_AGAIN, None
        _say_when(start.phone_id, next_at, now, done)
    waiting = (NotifyKind.PROFILE, NotifyOrigin.AUTOMATIC, NotifyState.WAITING, note, now, next_at, since)
    done.owed.append((start.phone_id, start.file_id, *waiting, *_NOTHING_YET))


def _wake(row: _Open, heard_at: datetime, times: Sent, now: datetime, done: _Batch) -> None:
    """The phone is there: a row that waits for it, or for its address, is looked at now (within the limits)."""
    if row.state == NotifyState.SENDING:
        return
    earliest = times.dies_out_at(now)
    if row.origin == NotifyOrigin.AUTOMATIC:
        earliest = max(earliest, times.automatic_from(now) or row.next_at)
    since = row.unless_steady_since
    if since is not None:
        # Each start has its own minute to fetch by the steady path; an older one, told late, takes none away.
        since = max(min(since, now), heard_at)
        earliest = max(earliest, _minute_after(since))
    else:
        _say_when(row.phone_id, earliest, now, done)
    done.woken.append((row.pk, NotifyState.WAITING, earliest, since))


def _minute_after(heard_at: datetime) -> datetime:
    """When it stands in the database whether an applied phone that started up has fetched within its minute."""
    return heard_at + timedelta(seconds=RESET_CHECK_SECONDS + WRITTEN_WITHIN_SECONDS)


def _say_when(phone_id: int, at: datetime, now: datetime, done: _Batch) -> None:
    """Tell a technician who has just switched the phone on that its NOTIFY is held back, and what helps at once."""
    if at - now > timedelta(seconds=TRANSACTION_SECONDS):
        words = f"It was seen again, but was notified a moment ago; it is asked again at {at:%H:%M} UTC."
        done.reasons[phone_id] = f"{words} “Notify again” asks it now."


def _write(done: _Batch, now: datetime) -> None:
    batch.insert(Notify, OWED, done.owed)
    batch.update(
        Notify,
        ("pk", "state", "next_at", "unless_steady_since"),
        done.woken,
        only_if=("state", [NotifyState.WAITING, NotifyState.WITHHELD]),
    )
    inventory.explain_all(done.reasons)
    _too_many(done.too_many, now)


def hold_to_limits(rows: Sequence[Due], now: datetime) -> list[Due]:
    """Those of these due rows that may leave now. Automatic ones over the limits are put off, or dropped with an
    alarm."""
    automatic = [row.config_file_id for row in rows if row.origin == NotifyOrigin.AUTOMATIC]
    sent = sent_of(automatic, now) if automatic else {}
    leaving: list[Due] = []
    over: list[Due] = []
    later: list[tuple[Due, datetime]] = []
    for row in rows:
        times = sent.get(row.config_file_id, NEVER) if row.origin == NotifyOrigin.AUTOMATIC else NEVER
        earliest = times.automatic_from(now)
        if earliest is None:
            over.append(row)
        elif earliest > now:
            later.append((row, earliest))
        else:
            leaving.append(row)
    if over or later:
        with transaction.atomic():
            outbox.lock_phones([row.phone_id for row in (*over, *(row for row, _ in later))])
            outbox.drop_all([row.pk for row in over], "Three automatic NOTIFYs were sent today.")
            outbox.put_off_all([(row.pk, earliest) for row, earliest in later])
            _too_many([row.phone_id for row in over], now)
    return leaving


def _too_many(phone_ids: Sequence[int], now: datetime) -> None:
    """Three in a day did not help: stop, say so, and leave it to a person. The caller has locked the phones."""
    inventory.explain_all(dict.fromkeys(phone_ids, LOOP_REASON))
    if not phone_ids:
        return
    phones = batch.select(Phone, ("pk", "mac", "stage", "alarm"), "pk", phone_ids)
    calm = [row for row in phones if LOOP_ALARM not in row[3]]
    alarms = [(pk, ALARM_BREAK.join(filter(None, (LOOP_ALARM, alarm)))[:ALARM_CHARS], now) for pk, _, _, alarm in calm]
    batch.update(Phone, ("pk", "alarm", "alarm_at"), alarms)
    live.append_rows([(pk, mac, EventKind.ALARM.value, stage, LOOP_ALARM, now) for pk, mac, stage, _ in calm])


def tell_again(phone_ids: Iterable[int]) -> set[int]:
    """Owe each of these phones, which agreed and did not get their file, one more NOTIFY: once a day, a few a second.

    A door that was away or had too much to do is no reason for thousands of phones to wait for a person. Returns who
    is owed one.
    """
    owed: set[int] = set()
    for phone_id in phone_ids:
        with transaction.atomic():
            outbox.lock_phones([phone_id])
            rows = Notify.objects.filter(phone_id=phone_id, kind=NotifyKind.PROFILE, phone__stage=Stage.NOTIFIED)
            last = rows.select_related("config_file").defer(*outbox.SEALED_OF_NOTIFY).order_by("-pk").first()
            if last is None or last.state != NotifyState.DELIVERED:
                continue
            if retry_later(last, timedelta(seconds=len(owed) / TOLD_AGAIN_PER_SECOND)):
                owed.add(phone_id)
    return owed


def ask_again(phone_ids: Iterable[int]) -> set[int]:
    """Owe each of these phones, which started up with their file and did not fetch it again, the question whether there
    is a new one: once for a version, a few a second. Who kept its file asks by the path in it, and so proves it.
    Returns who is owed one."""
    owed: set[int] = set()
    for phone_id in phone_ids:
        with transaction.atomic():
            outbox.lock_phones([phone_id])
            version = outbox.current_file(phone_id)
            if version is None or not Phone.objects.filter(pk=phone_id, stage=Stage.FETCHED).exists():
                continue
            if Notify.objects.filter(config_file=version, kind=NotifyKind.CHECK_SYNC).exists():
                continue
            outbox.enqueue(version, NotifyOrigin.AUTOMATIC, _after_those_who_wait(), kind=NotifyKind.CHECK_SYNC)
            owed.add(phone_id)
    return owed


def _after_those_who_wait() -> datetime:
    """When the next one is asked, so that it stays at a few a second however many come to it, and when."""
    now, step = timezone.now(), timedelta(seconds=1 / TOLD_AGAIN_PER_SECOND)
    asked = Notify.objects.filter(kind=NotifyKind.CHECK_SYNC, origin=NotifyOrigin.AUTOMATIC, state=NotifyState.WAITING)
    last = asked.aggregate(at=Max("next_at"))["at"]
    return now if last is None else max(now, last + step)


def retry_later(row: Notify, wait: timedelta = timedelta(minutes=AUTOMATIC_PAUSE_MINUTES)) -> bool:
    """Owe one timed retry; only one in a day, so that the others are left for when the phone is seen."""
    now = timezone.now()
    if row.config_file.fetched_at or row.config_file != outbox.current_file(row.phone_id):
        return False
    if sent_of([row.config_file_id], now).get(row.config_file_id, NEVER).automatic:
        return False
    outbox.enqueue(
        row.config_file,
        NotifyOrigin.AUTOMATIC,
        now + wait,
        note="Waits for the next try, or until the phone is seen.",
    )
    return True
