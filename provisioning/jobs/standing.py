"""How jobs stand for a person: one runs, or is paused, as long as a NOTIFY of it waits for its turn.

`Job.state` is how far the worker is. It has done its part when the last NOTIFY is owed, and those may take their turns
for hours yet.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from datetime import datetime

from django.db.models import Count, Max, Q
from django.utils.translation import gettext as _

from provisioning.jobs import kinds
from provisioning.jobs.models import OPEN_JOBS, Job, JobState
from provisioning.models import Notify, NotifyState

_WORDS = [kind.words for kind in kinds.KINDS.values()]
HELD_BY_JOBS = tuple({words.held for words in _WORDS})
DROPPED_BY_JOBS = tuple({words.dropped for words in _WORDS})
GATHERED = tuple({words.gathered for words in _WORDS if words.gathered})


@dataclass(frozen=True)
class Told:
    """How many phones of a job were told or asked; wait for their turn; are `held` while it is paused; are gathered
    until it comes to its end; are dropped, because it was cancelled; are withheld, for a person or for the phone."""

    sent: int = 0
    waiting: int = 0
    held: int = 0
    gathered: int = 0
    dropped: int = 0
    withheld: int = 0
    until: datetime | None = None
    """When the last of those that wait has its turn."""
    last_sent_at: datetime | None = None


@dataclass(frozen=True)
class Standing:
    """What is said of a job: `had_turn` is of how many phones nothing is to come of itself."""

    state: JobState
    had_turn: int
    total: int
    told: Told
    ended_at: datetime | None

    @property
    def is_open(self) -> bool:
        """Whether it goes on, or can."""
        return self.state in OPEN_JOBS

    @property
    def words(self) -> str:
        """The state, for a person."""
        if self.state is JobState.DONE and self.told.withheld:
            return _("Done, %(count)d held back") % {"count": self.told.withheld}
        return str(self.state.label)

    @property
    def percent(self) -> int:
        """How far it has come."""
        return 100 if not self.total else min(100, 100 * self.had_turn // self.total)


def of(job: Job) -> Standing:
    """How this one stands."""
    return of_each([job])[job.pk]


def of_each(jobs: Iterable[Job]) -> dict[int, Standing]:
    """How each of them stands, by its id."""
    jobs = list(jobs)
    told = _told([job.pk for job in jobs])
    return {job.pk: _standing(job, told.get(job.pk, Told())) for job in jobs}


def _standing(job: Job, told: Told) -> Standing:
    state = JobState(job.state)
    if state is JobState.DONE and (told.waiting or told.held):
        state = JobState.RUNNING if told.waiting else JobState.PAUSED
    had_turn = max(0, job.done - told.waiting - told.held - told.gathered - told.dropped)
    at = None if state in OPEN_JOBS else job.ended_at
    if at is not None and state is JobState.DONE and told.last_sent_at is not None:
        at = max(at, told.last_sent_at)
    return Standing(state, had_turn, job.total, told, at)


def _told(job_ids: list[int]) -> dict[int, Told]:
    waiting, withheld = Q(state=NotifyState.WAITING), Q(state=NotifyState.WITHHELD)
    held, gathered = Q(note__in=HELD_BY_JOBS), Q(note__in=GATHERED)
    counts = {
        "sent": Count("pk", filter=Q(first_sent_at__isnull=False)),
        "waiting": Count("pk", filter=waiting),
        "held": Count("pk", filter=withheld & held),
        "gathered": Count("pk", filter=withheld & gathered),
        "dropped": Count("pk", filter=Q(state=NotifyState.NOT_NEEDED, note__in=DROPPED_BY_JOBS)),
        "withheld": Count("pk", filter=withheld & ~held & ~gathered),
        "until": Max("next_at", filter=waiting),
        "last_sent_at": Max("first_sent_at"),
    }
    rows = Notify.objects.filter(job__in=job_ids).order_by().values("job").annotate(**counts)
    return {job_id: Told(*values) for job_id, *values in rows.values_list("job", *(one.name for one in fields(Told)))}
