"""Orders: one thing that a person wants done to many phones, one after the other, at a pace where phones are asked.

Which phones they are was settled by the person's selection when it was ordered, with the address that each had in the
list then. A worker takes a few of these targets in one transaction, does what is asked and deletes them there: what
is committed is done once, whenever the worker dies. Between its turns a paced order belongs to no worker, so that
others can work; the next look is a call of the queue that is due later.

Nobody is looking when a phone has its turn. So nothing is confirmed by an order: a phone that is not at the address of
the list any more is left out and named, and what the unattended rule of devices/trust.py does not allow does not leave.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import InterfaceError, OperationalError, transaction
from django.db.models import Max, Q
from django.utils import timezone
from django.utils.crypto import get_random_string
from django_tasks import task

from devices import batch, inventory
from devices.choices import Neighbour
from devices.models import Phone
from provisioning import assignment, commands, outbox
from provisioning.jobs import runner, telling
from provisioning.jobs.models import OPEN_JOBS, Job, JobFailure, JobState, JobTarget
from provisioning.models import Notify, NotifyKind, NotifyState

log = logging.getLogger(__name__)

PACES_PER_MINUTE = (1, 600)
PACE_PER_MINUTE = 30  # offered: 37 restarts in little more than a minute, and a PBX sees 1 registration in 2 s
AHEAD_SECONDS = 15  # turns are given so far ahead; a paused or cancelled order takes them back
AT_ONCE = 10  # targets in one transaction: SQLite's lock is held for some 20 ms
INSERTED_AT_ONCE = 2000
RESTART_BREAK_MINUTES = 10  # two orders in a row must not restart a fleet twice. Our choice, as for automatic NOTIFYs
RESTARTS = (NotifyKind.REBOOT, NotifyKind.RESYNC)
TOO_SOON = (
    "It was asked for this {} ago already; so soon after that it is left out. Ask this phone alone if you mean it."
)
MOVED = "In the list it was at {}, now it is at {}. Check that it is the same phone; order it again."
OTHERS_MAC = "The neighbour table shows another device's MAC at {}: find out which one it is."
OUR_FAULT = "Something went wrong in gspnp itself; the worker's log has more. Report it, then order it again."
ALREADY = "Each of these phones waits for this already, in a job that is not over."


@dataclass(frozen=True)
class Order:
    """What can be ordered. `tells` is what the phones are asked; without it the order is carried out here, at once."""

    title: str
    tells: NotifyKind | None = None
    at_once: int = AT_ONCE
    """Phones in one transaction."""


ORDERS: Mapping[str, Order] = {
    "notify": Order("Notify again", NotifyKind.PROFILE),
    "check": Order("Check for a new configuration", NotifyKind.CHECK_SYNC),
    "resync": Order("Load the configuration again", NotifyKind.RESYNC),
    "reboot": Order("Restart", NotifyKind.REBOOT),
    "ignore": Order("Ignore"),
    "heed": Order("Stop ignoring"),
    "forget": Order("Forget", at_once=3),  # with all that belongs to them
}

Target = tuple[int, str | None]
"""A phone's id, and the address that the list showed for it."""


class _Refusal(Exception):
    """This phone is left out; the text says why and what to do."""


def start(kind: str, targets: Iterable[Target], *, by: str, pace_per_minute: float = PACE_PER_MINUTE) -> Job:
    """Order it for these phones. Raises runner.JobError, with words for the person."""
    order, wanted = ORDERS[kind], dict(targets)
    least, most = PACES_PER_MINUTE
    if not least <= pace_per_minute <= most:
        raise runner.JobError(f"Phones are asked at {least} to {most} a minute; enter a number between.")
    if not wanted:
        raise runner.JobError("No phone is selected any more. Select some, and order it again.")
    waiting = JobTarget.objects.filter(job__kind=kind, job__state__in=OPEN_JOBS).values_list("phone", flat=True)
    for phone_id in waiting:
        wanted.pop(phone_id, None)
    if not wanted:
        raise runner.JobError(ALREADY)
    if order.tells and len(wanted) > pace_per_minute / 60 * runner.LONGEST_SECONDS:
        raise runner.JobError(
            f"At {pace_per_minute:g} a minute the last of {len(wanted)} phones would be asked after more than a day; "
            "enter more, or select fewer phones."
        )
    return _store(kind, order, wanted, by, pace_per_minute)


def _store(kind: str, order: Order, wanted: Mapping[int, str | None], by: str, pace_per_minute: float) -> Job:
    """The job and its targets. It is paused until it has them all: a crash leaves nothing that goes off half-loaded."""
    now, count = timezone.now(), len(wanted)
    job = Job.objects.create(
        kind=kind,
        title=f"{order.title}: {count} phone{'' if count == 1 else 's'}",
        state=JobState.PAUSED,
        pace_per_second=pace_per_minute / 60,
        total=count,
        created_by=by[:150],
        created_at=now,
        called_at=now,
    )
    for bite in batch.bites(sorted(wanted.items()), INSERTED_AT_ONCE):
        with transaction.atomic():
            there = set(Phone.objects.filter(pk__in=[pk for pk, _ in bite]).values_list("pk", flat=True))
            rows = [(job.pk, pk, host) for pk, host in bite if pk in there]
            batch.insert(JobTarget, ("job", "phone", "host"), rows)
        time.sleep(runner.PAUSE_SECONDS)
    runner.resume(job.pk)
    job.refresh_from_db()
    return job


@task()
def run(job_id: int) -> None:
    """Carry out what is due of an order; nothing if another worker has it, or its next turn is later."""
    worker, now = get_random_string(12), timezone.now()
    lost = Q(state=JobState.RUNNING, beat_at__lt=now - timedelta(seconds=runner.LOST_AFTER_SECONDS))
    between = Q(state=JobState.RUNNING, worker="", called_at__lte=now)
    mine = Job.objects.filter(Q(state=JobState.WAITING) | between | lost, pk=job_id)
    if not mine.update(state=JobState.RUNNING, worker=worker, beat_at=now):
        return
    Job.objects.filter(pk=job_id, started_at=None).update(started_at=now)
    try:
        while _bite(job_id, worker):
            time.sleep(runner.PAUSE_SECONDS)
    except (OperationalError, InterfaceError):
        raise  # it is taken up again when the database is back
    except Exception:
        log.exception("job %d cannot go on", job_id)
        mine = Job.objects.filter(pk=job_id, state=JobState.RUNNING, worker=worker)
        mine.update(state=JobState.FAILED, words=OUR_FAULT, ended_at=timezone.now())


def _bite(job_id: int, worker: str) -> bool:
    """A few of the phones that are due; False if none is, or somebody stopped the job."""
    now = timezone.now()
    with transaction.atomic():
        # Its row stays locked: whoever pauses or cancels it comes before this bite, or after it.
        job = Job.objects.select_for_update().filter(pk=job_id, state=JobState.RUNNING, worker=worker).first()
        if job is None:
            return False
        order = ORDERS[job.kind]
        tells = order.tells
        turns = telling.turns(job, order.at_once, now) if tells else [now] * order.at_once
        due = [at for at in turns if at <= now + timedelta(seconds=AHEAD_SECONDS)]
        targets = list(job.targets.all()[: max(1, len(due))])
        if not targets:
            _end(job)
            return False
        if not due:
            _wait(job, turns[0])
            return False
        ids = [one.phone_id for one in targets]
        outbox.lock_phones(ids)
        there = set(Phone.objects.filter(pk__in=ids).values_list("pk", flat=True))
        targets = [one for one in targets if one.phone_id in there]  # another was forgotten while we waited for its row
        failures = _tell(job, tells, targets, due) if tells else HERE[job.kind](job, ids)
        JobTarget.objects.filter(pk__in=[one.pk for one in targets]).delete()
        kept = [JobFailure(job=job, phone_id=pk, message=words[:300]) for pk, words in failures.items()]
        JobFailure.objects.bulk_create(kept[: max(0, runner.MAX_FAILURES - job.failed)])
        job.done += len(ids)
        job.failed += len(failures)
        job.changed += len(there) - len(failures)
        job.beat_at = timezone.now()
        job.save(update_fields=["done", "failed", "changed", "beat_at"])
    return True


def _wait(job: Job, turn: datetime) -> None:
    """Leave it to whoever looks at the next turn."""
    job.worker, job.called_at, job.beat_at = "", turn, turn
    job.save(update_fields=["worker", "called_at", "beat_at"])
    runner.call(job, turn)


def _end(job: Job) -> None:
    """Every phone has been done. Those that were forgotten meanwhile count too."""
    job.state, job.done, job.ended_at = JobState.DONE, job.total, timezone.now()
    job.save(update_fields=["state", "done", "ended_at"])
    log.info("%s: done by %s; %d phones, %d failed", job.title, job.created_by, job.total, job.failed)


# --- what is asked of phones ----------------------------------------------------------------------------------------


def _tell(job: Job, kind: NotifyKind, targets: Sequence[JobTarget], turns: Sequence[datetime]) -> dict[int, str]:
    """Owe them their commands, each at its turn; who is left out takes none. Why, by phone."""
    phones = Phone.objects.in_bulk([one.phone_id for one in targets])
    restarted = _last_restarts(kind, list(phones))
    failures: dict[int, str] = {}
    for place, target in enumerate(targets):
        phone, turn = phones[target.phone_id], turns[place - len(failures)]
        try:
            _may_be_asked(phone, target.host, restarted.get(phone.pk))
            commands.send(phone.pk, kind, job.created_by, target.host, job=job, turn=turn)
        except (_Refusal, commands.CannotTell, outbox.AddressMoved) as refusal:
            failures[phone.pk] = str(refusal)
    return failures


def _may_be_asked(phone: Phone, host: str | None, restarted_at: datetime | None) -> None:
    """Raises _Refusal for what a person may do to one phone, looking at it, and an order may not do to many."""
    if restarted_at is not None:
        minutes = int((timezone.now() - restarted_at).total_seconds() // 60)
        raise _Refusal(TOO_SOON.format(f"{minutes} minutes" if minutes > 1 else "a minute"))
    if phone.source_host is not None and phone.source_host != host:
        raise _Refusal(MOVED.format(host or "no address", phone.source_host))
    if phone.neighbour == Neighbour.MISMATCH:
        raise _Refusal(OTHERS_MAC.format(phone.source_host))


def _last_restarts(kind: NotifyKind, phone_ids: Sequence[int]) -> dict[int, datetime]:
    """When these phones were last asked to restart or to load anew, if that was just now."""
    if kind not in RESTARTS:
        return {}
    since = timezone.now() - timedelta(minutes=RESTART_BREAK_MINUTES)
    asked = Notify.objects.filter(phone__in=phone_ids, kind__in=RESTARTS, first_sent_at__gt=since)
    taken = asked.filter(state__in=(NotifyState.SENDING, NotifyState.DELIVERED)).order_by()
    return dict(taken.values_list("phone").annotate(Max("first_sent_at")))


# --- what is done here ------------------------------------------------------------------------------------------------


def _ignore(job: Job, phone_ids: Sequence[int]) -> dict[int, str]:
    for phone_id in phone_ids:
        inventory.ignore(phone_id, job.created_by)
    return {}


def _heed(job: Job, phone_ids: Sequence[int]) -> dict[int, str]:
    assignment.heed_all(phone_ids, job.created_by)
    return {}


def _forget(job: Job, phone_ids: Sequence[int]) -> dict[int, str]:
    for phone_id in phone_ids:
        inventory.forget(phone_id, job.created_by)
    return {}


HERE: Mapping[str, Callable[[Job, Sequence[int]], dict[int, str]]] = {
    "ignore": _ignore,
    "heed": _heed,
    "forget": _forget,
}
