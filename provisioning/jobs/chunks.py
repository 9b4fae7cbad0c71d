"""Jobs that do something with phones by their ids, one chunk after the other; and what every job asks of its row."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from devices.models import Phone
from provisioning.jobs.kinds import AGAIN, DONE, Next
from provisioning.jobs.models import Job, JobFailure, JobState
from provisioning.layers.scope import next_ids

CHUNK = 100  # phones between two looks at whether somebody paused or cancelled
MAX_FAILURES = 1000  # rows kept of one job; the number of failures goes on


@dataclass
class Outcome:
    """What became of a chunk of phones."""

    changed: int = 0
    failures: list[JobFailure] = field(default_factory=list)


Work = Callable[[Job, Sequence[int]], Outcome]


def by_ids(work: Work) -> Callable[[Job], Next]:
    """The `run_chunk` of a kind that does this with the next phones of its scope; with those that it had under its
    hands when its worker died once more."""

    def run_chunk(job: Job) -> Next:
        ids = next_ids(job.scope, job.after_id, CHUNK)
        if not ids:
            # Some were forgotten or put elsewhere meanwhile, and others came to it: these are all that there were.
            Job.objects.filter(pk=job.pk, worker=job.worker).update(total=F("done"))
            return DONE
        _note(job, ids, work(job, ids))
        return AGAIN

    return run_chunk


def _note(job: Job, ids: Sequence[int], outcome: Outcome) -> None:
    """How far it came, also if somebody paused or cancelled it meanwhile; nothing if another worker has it by now."""
    failed = {one.phone_id for one in outcome.failures}
    with transaction.atomic():
        mine = Job.objects.select_for_update().filter(pk=job.pk, worker=job.worker)
        if not mine.exists():
            return
        # Who was forgotten meanwhile is nobody's failure.
        locked = Phone.objects.select_for_update().filter(pk__in=failed).order_by("pk")
        there = set(locked.values_list("pk", flat=True))
        keep(job, [one for one in outcome.failures if one.phone_id in there])
        mine.update(
            done=F("done") + len(ids),
            changed=F("changed") + outcome.changed,
            failed=F("failed") + len(failed),
            after_id=ids[-1],
            beat_at=timezone.now(),
        )


def keep(job: Job, failures: Sequence[JobFailure]) -> None:
    """Store failures, as long as the job has not too many already."""
    JobFailure.objects.bulk_create(failures[: max(0, MAX_FAILURES - job.failed)])


def is_mine(job: Job) -> bool:
    """Whether the job still runs, and is this worker's; call it in the transaction that stores a chunk."""
    return Job.objects.select_for_update().filter(pk=job.pk, state=JobState.RUNNING, worker=job.worker).exists()
