"""Jobs from the order to the end: queued by django-tasks, carried out here, taken up again if a worker died.

The Job row is the truth; a task of the queue is only the call to look at it. A worker that dies leaves a row whose
heartbeat grows old: `revive` calls anew, and the next worker goes on after the last phone that was done.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import InterfaceError, OperationalError, transaction
from django.db.models import F, Q
from django.utils import timezone
from django.utils.crypto import get_random_string
from django.utils.module_loading import import_string
from django.utils.translation import gettext
from django_tasks import task
from django_tasks_db.models import DBTaskResult

from devices.models import Phone
from provisioning.jobs import telling
from provisioning.jobs.models import FILE_KINDS, FOLLOW, OPEN_JOBS, RERENDER, Job, JobFailure, JobState, JobTarget
from provisioning.jobs.rerender import Outcome, rerender
from provisioning.layers.scope import next_ids, phones_under

log = logging.getLogger(__name__)

# What other kinds do with some phones, as `rerender` does. Named, because what saves phones orders jobs too.
WORK = {FOLLOW: "provisioning.extensions.job.follow"}
CHUNK = 100  # phones between two looks at whether somebody paused or cancelled
PAUSE_SECONDS = 0.002  # between two chunks: SQLite's lock is not fair
LOST_AFTER_SECONDS = 60  # a chunk takes far less than a second; a worker that is silent for so long is gone
KEPT_DAYS = 90  # after its end; our choice
PRUNED_AT_ONCE = 100
MAX_FAILURES = 1000  # rows kept of one job; the number of failures goes on
PACES_PER_SECOND = (0.1, 200.0)
LONGEST_SECONDS = 86_400  # of telling. What is due in two days and more counts as of a clock that went back (due.py).
DROPPED_AT_ONCE = 500  # targets in one transaction
ORDERS = "provisioning.jobs.orders.run"  # what carries out a job that gives no files
OUR_FAULT = "Something went wrong in gspnp itself; the worker's log has more. Report it, then save the layer again."


class JobError(ValueError):
    """The job cannot do this now; the text says why."""


@dataclass(frozen=True)
class Kind:
    """What jobs that are no rendering anew do: `chunk` does the next piece, and is False once the job has ended or is
    somebody else's; `cancel` says whether the job ends by itself after it was told to."""

    chunk: Callable[[Job], bool]
    cancel: Callable[[Job], bool]


KINDS: dict[str, Kind] = {}  # by Job.kind; whoever has one registers it


def start(
    title: str,
    scope: Mapping[str, object],
    *,
    by: str,
    pace_per_second: float = 5.0,
    kind: str = RERENDER,
    orders: Mapping[str, object] | None = None,
) -> Job:
    """Order a new look at every phone of the scope; `orders` is what a kind other than RERENDER needs to know. Raises
    JobError for a pace that is none."""
    total = phones_under(scope).count()
    check_pace(pace_per_second, total)
    ids = scope.get("phones")
    if isinstance(ids, list):
        scope = {"phones": sorted(ids)}
    return enqueue(kind, title, scope, total, by=by, pace_per_second=pace_per_second, orders=orders)


def check_pace(pace_per_second: float, total: int) -> None:
    """Raises JobError for a pace that is none, or at which so many phones would be told too late."""
    least, most = PACES_PER_SECOND
    if not least <= pace_per_second <= most:
        words = gettext("NOTIFYs leave at %(least)g to %(most)g a second; enter a number between.")
        raise JobError(words % {"least": least, "most": most})
    if total > pace_per_second * LONGEST_SECONDS:
        needed = math.ceil(10 * total / LONGEST_SECONDS) / 10
        words = gettext(
            "At %(pace)g a second the last of %(total)d phones would be told after more than a day; "
            "enter %(needed)g or more."
        )
        raise JobError(words % {"pace": pace_per_second, "total": total, "needed": needed})


def enqueue(
    kind: str,
    title: str,
    scope: Mapping[str, object],
    total: int,
    *,
    by: str,
    pace_per_second: float,
    orders: Mapping[str, object] | None = None,
) -> Job:
    """Store a job, and call a worker to it."""
    now = timezone.now()
    with transaction.atomic():
        job = Job.objects.create(
            kind=kind,
            orders=dict(orders or {}),
            title=title[:200],
            scope=dict(scope),
            pace_per_second=pace_per_second,
            total=total,
            created_by=by[:150],
            created_at=now,
            called_at=now,
        )
        run.enqueue(job.pk)
    return job


@task()
def run(job_id: int) -> None:
    """Carry out a job, or what is left of it; nothing if another worker has it."""
    worker = get_random_string(12)
    now = timezone.now()
    lost = Q(state=JobState.RUNNING, beat_at__lt=now - timedelta(seconds=LOST_AFTER_SECONDS))
    mine = Job.objects.filter(Q(state=JobState.WAITING) | lost, pk=job_id)
    if not mine.update(state=JobState.RUNNING, worker=worker, beat_at=now):
        return
    Job.objects.filter(pk=job_id, started_at=None).update(started_at=now)
    try:
        while _one_chunk(job_id, worker):
            time.sleep(PAUSE_SECONDS)
    except (OperationalError, InterfaceError):
        raise  # it is taken up again when the database is back
    except Exception:
        log.exception("job %d cannot go on", job_id)
        mine = Job.objects.filter(pk=job_id, state=JobState.RUNNING, worker=worker)
        mine.update(state=JobState.FAILED, words=OUR_FAULT, ended_at=timezone.now())


def _one_chunk(job_id: int, worker: str) -> bool:
    """The next phones; False if nothing is left, or somebody stopped the job."""
    job = Job.objects.filter(pk=job_id, state=JobState.RUNNING, worker=worker).first()
    if job is None:
        return False
    if job.kind in KINDS:
        return KINDS[job.kind].chunk(job)
    ids = next_ids(job.scope, job.after_id, CHUNK)
    if not ids:
        return not end(job, JobState.DONE)
    work = rerender if job.kind == RERENDER else import_string(WORK[job.kind])
    outcome: Outcome = work(job, ids)
    failed = {one.phone_id for one in outcome.failures}
    with transaction.atomic():
        # Who was forgotten meanwhile is nobody's failure.
        there = set(Phone.objects.select_for_update().filter(pk__in=failed).values_list("pk", flat=True))
        failures = [one for one in outcome.failures if one.phone_id in there]
        JobFailure.objects.bulk_create(failures[: max(0, MAX_FAILURES - job.failed)])
        Job.objects.filter(pk=job.pk, worker=job.worker).update(
            done=F("done") + len(ids),
            changed=F("changed") + outcome.changed,
            failed=F("failed") + len(failed),
            after_id=ids[-1],
            beat_at=timezone.now(),
        )
    return True


def is_mine(job: Job) -> bool:
    """Whether the job still runs, and is this worker's; call it in the transaction that stores a chunk."""
    return Job.objects.select_for_update().filter(pk=job.pk, state=JobState.RUNNING, worker=job.worker).exists()


def end(job: Job, state: JobState, words: str = "") -> bool:
    """The job has come to its end; False if it is not this worker's any more, or was stopped."""
    ended = Job.objects.filter(pk=job.pk, state=JobState.RUNNING, worker=job.worker).update(
        state=state, words=words[:300], ended_at=timezone.now()
    )
    log.info("%s: %s; %d of %d phones changed, %d failed", job.title, state.value, job.changed, job.total, job.failed)
    return bool(ended)


def pause(job_id: int) -> None:
    """Stop after the present chunk, and tell no more phones, until somebody resumes it. Raises JobError."""
    job = _look(job_id)
    # It may come to its end at this moment; what it owes can be held back all the same.
    paused = _change(job_id, (JobState.WAITING, JobState.RUNNING), JobState.PAUSED)
    if not telling.hold(job) and not paused:
        raise _cannot(_look(job_id))


def resume(job_id: int) -> None:
    """Go on where it stopped, and tell those that were held back, at its pace from now on. Raises JobError."""
    job = _look(job_id)
    with transaction.atomic():
        waits = _change(job_id, (JobState.PAUSED,), JobState.WAITING)
        if waits:
            call(job)
    # Only now: a chunk that is being stored while it is paused holds its own back.
    if not telling.go_on(job) and not waits:
        raise _cannot(_look(job_id))


def cancel(job_id: int) -> None:
    """End it after the present chunk, and tell no more phones. Who has a new file keeps it, and takes it at its next
    start. Raises JobError."""
    job = _look(job_id)
    if job.kind in KINDS and job.state in OPEN_JOBS and KINDS[job.kind].cancel(job):
        with transaction.atomic():
            if _change(job_id, (JobState.PAUSED,), JobState.WAITING):
                call(job)
        return
    cancelled = _change(job_id, OPEN_JOBS, JobState.CANCELLED, ended_at=timezone.now())
    if cancelled:
        _forget_targets([job_id])
    if not telling.drop(job) and not cancelled:
        raise _cannot(_look(job_id))


def call(job: Job, at: datetime | None = None) -> None:
    """Have a worker look at it, at once or at that time."""
    task = run if job.kind in FILE_KINDS else import_string(ORDERS)
    (task.using(run_after=at) if at else task).enqueue(job.pk)


def _forget_targets(job_ids: Sequence[int]) -> None:
    """What these jobs have not done is not done any more; in bites, so that nobody waits long."""
    targets = JobTarget.objects.filter(job__in=job_ids).order_by("pk")
    while bite := list(targets.values_list("pk", flat=True)[:DROPPED_AT_ONCE]):
        JobTarget.objects.filter(pk__in=bite).delete()
        time.sleep(PAUSE_SECONDS)


def _look(job_id: int) -> Job:
    job = Job.objects.filter(pk=job_id).first()
    if job is None:
        raise JobError(gettext("There is no such job any more."))
    return job


def _cannot(job: Job) -> JobError:
    words = gettext("This job is %(state)s, and nothing of it is left to stop or to go on.")
    return JobError(words % {"state": job.get_state_display().lower()})


def _change(job_id: int, sources: Sequence[JobState], state: JobState, **values: object) -> bool:
    return bool(Job.objects.filter(pk=job_id, state__in=sources).update(state=state, **values))


def prune() -> int:
    """Delete jobs that ended long ago, and calls of the queue that are over; at most one bite of each. How many."""
    now = timezone.now()
    old = Job.objects.filter(ended_at__lt=now - timedelta(days=KEPT_DAYS)).order_by("pk").values_list("pk", flat=True)
    ended = list(old[:PRUNED_AT_ONCE])
    _forget_targets(ended)
    jobs, _ = Job.objects.filter(pk__in=ended).delete()
    over = DBTaskResult.objects.filter(finished_at__lt=now - timedelta(days=1)).values_list("pk", flat=True)
    calls, _ = DBTaskResult.objects.filter(pk__in=list(over[:PRUNED_AT_ONCE])).delete()
    return jobs + calls


def revive() -> int:
    """Call again for jobs whose worker is gone; how many. Call it now and then."""
    lost = timezone.now() - timedelta(seconds=LOST_AFTER_SECONDS)
    silent = Q(state=JobState.RUNNING, beat_at__lt=lost) | Q(state=JobState.WAITING)
    stale = Job.objects.filter(silent, called_at__lt=lost)
    jobs = [job for job in stale.defer("scope") if stale.filter(pk=job.pk).update(called_at=timezone.now())]
    for job in jobs:
        call(job)
    return len(jobs)
