"""Jobs from the order to the end: queued by django-tasks, carried out here, taken up again if a worker died.

The Job row is the truth; a task of the queue is only the call to look at it. A worker that dies leaves a row whose
heartbeat grows old: `revive` calls anew, and the next worker goes on after the last phone that was done. A job that has
nothing to do before a time belongs to no worker until then, so that others can work. What is done is the affair of its
kind (kinds.py).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from django.db import InterfaceError, OperationalError, transaction
from django.db.models import Q
from django.utils import timezone
from django.utils.crypto import get_random_string
from django.utils.translation import gettext
from django_tasks import task

from provisioning.jobs import kinds, telling
from provisioning.jobs.kinds import RERENDER, Next
from provisioning.jobs.models import OPEN_JOBS, Job, JobState, JobTarget
from provisioning.jobs.pace import TOLD
from provisioning.layers.scope import phones_under

log = logging.getLogger(__name__)

PAUSE_SECONDS = 0.002  # between two chunks: SQLite's lock is not fair
LOST_AFTER_SECONDS = 60  # a chunk takes far less than a second; a worker that is silent for so long is gone
LONGEST_WAIT_SECONDS = 600  # between two turns. What is due later counts as of a clock that went back (as in due.py).
DROPPED_AT_ONCE = 500  # targets in one transaction


class JobError(ValueError):
    """The job cannot do this now; the text says why."""


def start(
    title: str,
    scope: Mapping[str, object],
    *,
    by: str,
    pace_per_minute: float = TOLD.offered,
    kind: str = RERENDER,
    orders: Mapping[str, object] | None = None,
) -> Job:
    """Order a new look at every phone of the scope; `orders` is what a kind other than RERENDER needs to know. Raises
    JobError for a pace that is none."""
    total = phones_under(scope).count()
    check_pace(pace_per_minute, total)
    ids = scope.get("phones")
    if isinstance(ids, list):
        scope = {"phones": sorted(ids)}
    return enqueue(kind, title, scope, total, by=by, pace_per_minute=pace_per_minute, orders=orders)


def check_pace(pace_per_minute: float, total: int) -> None:
    """Raises JobError for a pace that is none, or at which so many phones would be told too late."""
    if fault := TOLD.fault(pace_per_minute, total):
        raise JobError(fault)


def enqueue(
    kind: str,
    title: str,
    scope: Mapping[str, object],
    total: int,
    *,
    by: str,
    pace_per_minute: float,
    orders: Mapping[str, object] | None = None,
) -> Job:
    """Store a job, and call a worker to it."""
    assert kind in kinds.KINDS, f"no such kind of job: {kind}"
    now = timezone.now()
    with transaction.atomic():
        job = Job.objects.create(
            kind=kind,
            orders=dict(orders or {}),
            title=title[:200],
            scope=dict(scope),
            pace_per_second=pace_per_minute / 60,
            total=total,
            created_by=by[:150],
            created_at=now,
            called_at=now,
        )
        run.enqueue(job.pk)
    return job


@task()
def run(job_id: int) -> None:
    """Carry out a job, or what is due and left of it; nothing if another worker has it."""
    worker = get_random_string(12)
    if not _claim(job_id, worker):
        return
    mine = Job.objects.filter(pk=job_id, state=JobState.RUNNING, worker=worker)
    while (job := mine.first()) is not None and _goes_on(job, _chunk(job)):
        time.sleep(PAUSE_SECONDS)


def _claim(job_id: int, worker: str) -> bool:
    now = timezone.now()
    mine = Job.objects.filter(Q(state=JobState.WAITING) | _lost(now) | _has_its_turn(now), pk=job_id)
    if not mine.update(state=JobState.RUNNING, worker=worker, beat_at=now):
        return False
    Job.objects.filter(pk=job_id, started_at=None).update(started_at=now)
    return True


def _lost(now: datetime) -> Q:
    """Jobs whose worker is gone; or nobody knows since when, because the clock went back."""
    silent = Q(beat_at__lt=now - timedelta(seconds=LOST_AFTER_SECONDS))
    return Q(state=JobState.RUNNING) & (silent | Q(beat_at__gt=_too_far(now)))


def _has_its_turn(now: datetime) -> Q:
    return Q(state=JobState.RUNNING, worker="") & (Q(called_at__lte=now) | Q(called_at__gt=_too_far(now)))


def _too_far(now: datetime) -> datetime:
    return now + timedelta(seconds=LONGEST_WAIT_SECONDS)


def _chunk(job: Job) -> Next:
    """Do the next piece. What becomes of a fault of ours is the affair of its kind, unless that is at fault too."""
    kind = kinds.of(job)
    for do in (kind.run_chunk, kind.failed):
        try:
            return do(job)
        except (OperationalError, InterfaceError):
            raise  # it is taken up again when the database is back
        except Exception:
            log.exception("job %d cannot go on", job.pk)
    return Next(ended=JobState.FAILED, words=kind.words.our_fault)


def _goes_on(job: Job, then: Next) -> bool:
    """Whether this worker does the next piece at once."""
    mine = Job.objects.filter(pk=job.pk, state=JobState.RUNNING, worker=job.worker)
    if then.ended is not None:
        with transaction.atomic():
            if mine.update(state=then.ended, words=then.words[:300], ended_at=timezone.now()):
                kinds.of(job).over(job)
        log.info("%s: %s; %d of %d done", job.title, then.ended.value, job.done, job.total)
        return False
    if then.at is not None:
        turn = min(then.at, _too_far(timezone.now()))
        with transaction.atomic():
            if mine.update(worker="", called_at=turn, beat_at=turn):
                call(job, turn)
        return False
    return True


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
    if job.state == JobState.PAUSED and (words := kinds.of(job).not_ready(job)):
        raise JobError(words)
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
    kind = kinds.of(job)
    if job.state in OPEN_JOBS and kind.cancel(job):
        with transaction.atomic():
            if _change(job_id, (JobState.PAUSED,), JobState.WAITING):
                call(job)
        return
    with transaction.atomic():
        cancelled = _change(job_id, OPEN_JOBS, JobState.CANCELLED, ended_at=timezone.now())
        if cancelled:
            kind.over(job)
    if cancelled and kind.not_ready(job):
        _forget_targets([job.pk])  # a part of them would pass for all whom it did not come to
    if not telling.drop(job) and not cancelled:
        raise _cannot(_look(job_id))


def call(job: Job, at: datetime | None = None) -> None:
    """Have a worker look at it, at once or at that time."""
    (run.using(run_after=at) if at else run).enqueue(job.pk)


def _forget_targets(job_ids: Sequence[int]) -> None:
    """Whom these jobs have not come to is not kept any more; in bites, so that nobody waits long."""
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


def revive() -> int:
    """Call again for jobs whose worker is gone; how many. Call it now and then."""
    now = timezone.now()
    called = Q(called_at__lt=now - timedelta(seconds=LOST_AFTER_SECONDS)) | Q(called_at__gt=_too_far(now))
    stale = Job.objects.filter(_lost(now) | Q(state=JobState.WAITING), called)
    jobs = [job for job in stale.defer("scope") if stale.filter(pk=job.pk).update(called_at=now)]
    for job in jobs:
        call(job)
    return len(jobs)
