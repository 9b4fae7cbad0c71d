"""The NOTIFYs that a job owes: at its pace, held back while it is paused, dropped when it is cancelled.

A phone whose NOTIFY is held back or dropped has its new file all the same, and takes it at its next start.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from devices import batch
from provisioning import outbox
from provisioning.due import CLOCK_WENT_BACK_DAYS
from provisioning.jobs import kinds, replaced
from provisioning.jobs.models import Job, JobState
from provisioning.models import Notify, NotifyState

AT_ONCE = 500  # rows in one transaction. Our choice.
GIVEN_BACK_AT_ONCE = 50  # where each is looked up too: SQLite's lock is held for some 20 ms
PAUSE_SECONDS = 0.002  # between two transactions: SQLite's lock is not fair
BELIEVED = timedelta(days=CLOCK_WENT_BACK_DAYS)
STOPPED = (JobState.PAUSED, JobState.CANCELLED)
_UNSENT = (NotifyState.WAITING, NotifyState.WITHHELD)


def turns(job: Job, count: int, now: datetime, believed: timedelta = BELIEVED) -> list[datetime]:
    """When the next phones of this job have their turn: after those that have one already, and never in a bunch.

    What is further ahead than is `believed` is of a clock that went back, and counts for nothing.
    """
    return _after(job.notifies.all() if job.pk else Notify.objects.none(), job, count, now, believed)


def _after(notifies: QuerySet[Notify], job: Job, count: int, now: datetime, believed: timedelta) -> list[datetime]:
    in_time = notifies.filter(next_at__lte=now + believed).order_by("-next_at")
    last, step = in_time.values_list("next_at", flat=True).first(), timedelta(seconds=1 / job.pace_per_second)
    start = now if last is None else max(now, last + step)
    return [start + place * step for place in range(count)]


def state_and_note(job: Job) -> tuple[NotifyState, str]:
    """What a NOTIFY of this job begins with, now that its row is locked against pausing and cancelling."""
    words = kinds.of(job).words
    states = {
        JobState.PAUSED: (NotifyState.WITHHELD, words.held),
        JobState.CANCELLED: (NotifyState.NOT_NEEDED, words.dropped),
    }
    current = Job.objects.select_for_update().filter(pk=job.pk).values_list("state", flat=True).first()
    return states.get(JobState(current), (NotifyState.WAITING, "")) if current else (NotifyState.WAITING, "")


def give_turn(job: Job, notify: Notify, state: NotifyState, note: str) -> None:
    """Make a NOTIFY that was just owed one of this job's, as `state_and_note` said. In the transaction that owes it."""
    (notify.next_at,) = turns(job, 1, notify.created_at)
    notify.job, notify.state, notify.note = job, state, note
    notify.settled_at = notify.created_at if state == NotifyState.NOT_NEEDED else None
    notify.save(update_fields=("job", "state", "note", "next_at", "settled_at"))


def hold(job: Job) -> int:
    """Hold back what has not left yet; how many."""
    rows = [(pk, NotifyState.WITHHELD, kinds.of(job).words.held) for pk in _ids(job, NotifyState.WAITING)]
    return _write(("pk", "state", "note"), rows, [NotifyState.WAITING])


def go_on(job: Job) -> int:
    """Give those that were held back their turns anew, unless somebody stops the job again; how many. What an order
    took the place of meanwhile is not held back any more either, should it be owed again (replaced.py)."""
    held, going = kinds.of(job).words.held, [state for state in JobState if state not in STOPPED]
    replaced_ones = job.notifies.filter(state=NotifyState.SUPERSEDED, note=held).order_by("pk")
    rows = [(pk, "") for pk in replaced_ones.values_list("pk", flat=True)]
    freed = _write(("pk", "note"), rows, [NotifyState.SUPERSEDED], _still(job, going))
    return freed + _release(job, held, going)


def release(job: Job, held: str) -> int:
    """The same, while the job runs, for those that were held back for another reason, which is their note."""
    return _release(job, held, [JobState.RUNNING])


def _release(job: Job, held: str, while_it_is: Sequence[JobState]) -> int:
    ids = [pk for pk, note in _rows(job, NotifyState.WITHHELD) if note == held]
    # The times of those that were held back have passed, or are of an order that is over.
    turns = _after(job.notifies.filter(state=NotifyState.WAITING), job, len(ids), timezone.now(), BELIEVED)
    rows = [(pk, NotifyState.WAITING, "", at) for pk, at in zip(ids, turns, strict=True)]
    return _write(("pk", "state", "note", "next_at"), rows, [NotifyState.WITHHELD], _still(job, while_it_is))


def _still(job: Job, states: Sequence[JobState]) -> QuerySet[Job]:
    return Job.objects.select_for_update().filter(pk=job.pk, state__in=states)


def drop(job: Job) -> int:
    """What has not left yet is not sent any more; how many. What an order replaced is owed again."""
    now, kind = timezone.now(), kinds.of(job)
    rows = [(pk, NotifyState.NOT_NEEDED, kind.words.dropped, now) for pk in _ids(job, *_UNSENT)]
    then = (lambda dropped: replaced.give_back(job, dropped)) if kind.order else None
    return _write(("pk", "state", "note", "settled_at"), rows, list(_UNSENT), then=then)


def _ids(job: Job, *states: NotifyState) -> list[int]:
    return [pk for pk, _ in _rows(job, *states)]


def _rows(job: Job, *states: NotifyState) -> list[tuple[int, str]]:
    return list(job.notifies.filter(state__in=states).order_by("next_at", "pk").values_list("pk", "note"))


def _write(
    names: Sequence[str],
    rows: Sequence[tuple],
    only_if: Sequence[NotifyState],
    while_there: QuerySet[Job] | None = None,
    then: Callable[[set[int]], None] | None = None,
) -> int:
    """In bites, so that a listener never waits long; a row that has left meanwhile is passed over.

    `while_there` is the job, locked: whoever stops it comes before a bite, which is not written then, or finds it.
    `then` goes on with the ids of those that were written, in the same transaction.
    """
    written = 0
    for bite in batch.bites(rows, AT_ONCE if then is None else GIVEN_BACK_AT_ONCE):
        time.sleep(PAUSE_SECONDS if written else 0)
        with transaction.atomic():
            if while_there is not None and not while_there.exists():
                return written
            outbox.lock_phones(Notify.objects.filter(pk__in=[row[0] for row in bite]).values_list("phone", flat=True))
            done = batch.update(Notify, names, bite, only_if=("state", only_if))
            if then is not None:
                then(done)
            written += len(done)
    return written
