"""NOTIFYs of jobs that nobody has got, because of the phone and not of the job: most for their address.

A job has done its part then; that its phones are told nothing yet is the affair of a person.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from django.db.models import Count, Q, QuerySet

from gspnp.console import reasons
from provisioning.jobs.standing import DROPPED_BY_JOBS, GATHERED, HELD_BY_JOBS
from provisioning.models import Job, JobState, JobTarget, Notify, NotifyState

BY_JOBS = (*GATHERED, *HELD_BY_JOBS)
"""What is said of one that waits because of its job, which lets it go."""


@dataclass(frozen=True)
class Withheld:
    """How many wait for a person: for their address to be confirmed, and for other reasons."""

    unconfirmed: int
    others: int

    def __bool__(self) -> bool:
        return bool(self.unconfirmed or self.others)


def of_jobs(job_ids: Iterable[int]) -> QuerySet[Notify]:
    """These NOTIFYs."""
    return Notify.objects.filter(job__in=list(job_ids), state=NotifyState.WITHHELD).exclude(note__in=BY_JOBS)


def unasked(job_id: int) -> Q:
    """The phones that a cancelled order does not ask any more: their turn was taken back, or had not been given."""
    dropped = Notify.objects.filter(job=job_id, state=NotifyState.NOT_NEEDED, note__in=DROPPED_BY_JOBS)
    targets = JobTarget.objects.filter(job=job_id, job__state=JobState.CANCELLED)
    return Q(pk__in=dropped.values("phone")) | Q(pk__in=targets.values("phone"))


def of(job: Job) -> Withheld:
    """How many there are of a job."""
    for_address = Q()
    for words in reasons.BY_KEY["address"].begins:
        for_address |= Q(note__startswith=words)
    counts = of_jobs([job.pk]).aggregate(all=Count("pk"), unconfirmed=Count("pk", filter=for_address))
    return Withheld(counts["unconfirmed"], counts["all"] - counts["unconfirmed"])
