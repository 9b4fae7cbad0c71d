"""NOTIFYs of jobs that nobody has got, because of the phone and not of the job: most for their address.

A job has done its part then; that its phones are told nothing yet is the affair of a person.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from django.db.models import Count, Q, QuerySet

from gspnp.console import reasons
from provisioning.importing import making
from provisioning.jobs import kinds
from provisioning.models import Job, Notify, NotifyState

BY_JOBS = (making.HELD, *{kind.words.held for kind in kinds.KINDS.values()})
"""What is said of one that its job itself holds back, and lets go."""


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


def of(job: Job) -> Withheld:
    """How many there are of a job."""
    for_address = Q()
    for words in reasons.BY_KEY["address"].begins:
        for_address |= Q(note__startswith=words)
    counts = of_jobs([job.pk]).aggregate(all=Count("pk"), unconfirmed=Count("pk", filter=for_address))
    return Withheld(counts["unconfirmed"], counts["all"] - counts["unconfirmed"])


def counts(job_ids: Iterable[int]) -> dict[int, int]:
    """How many there are of each of many jobs, of those that have any."""
    rows = of_jobs(job_ids).order_by().values_list("job").annotate(count=Count("pk"))
    return {job_id: count for job_id, count in rows if job_id is not None}
