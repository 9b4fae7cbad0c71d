"""The NOTIFYs that a job owes: at its pace, held back while it is paused, dropped when it is cancelled.

A phone whose NOTIFY is held back or dropped has its new file all the same, and takes it at its next start.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Count, Q
from django.utils import timezone

from devices import batch
from provisioning import outbox
from provisioning.jobs.models import FILE_KINDS, Job, JobState
from provisioning.models import Notify, NotifyState

AT_ONCE = 500  # rows in one transaction. Our choice.
HELD = "Its job is paused: it takes its new file at its next start, or when the job goes on."
DROPPED = "Its job was cancelled: it takes its new file at its next start, or when you press “Notify again”."
HELD_ORDER = "Its job is paused: it is asked when the job goes on."
DROPPED_ORDER = "Its job was cancelled: it is not asked any more."
_UNSENT = (NotifyState.WAITING, NotifyState.WITHHELD)


@dataclass(frozen=True)
class Told:
    """How many phones of a job were told of their new files, wait for their turn, are held back, or are not told any
    more; and when the last of those that wait has its turn."""

    sent: int
    waiting: int
    held: int
    dropped: int
    until: datetime | None


def told(job: Job) -> Told:
    """How far the telling has come."""
    held_words, dropped_words = _words(job)
    held = Q(state=NotifyState.WITHHELD, note=held_words)  # others are withheld for their address
    counts = job.notifies.aggregate(
        sent=Count("pk", filter=Q(first_sent_at__isnull=False)),
        waiting=Count("pk", filter=Q(state=NotifyState.WAITING)),
        held=Count("pk", filter=held),
        dropped=Count("pk", filter=Q(state=NotifyState.NOT_NEEDED, note=dropped_words)),
    )
    waiting = job.notifies.filter(state=NotifyState.WAITING).order_by("-next_at")
    return Told(**counts, until=waiting.values_list("next_at", flat=True).first())


def turns(job: Job, count: int, now: datetime) -> list[datetime]:
    """When the next phones of this job have their turn: after those that have one already, and never in a bunch."""
    last = job.notifies.order_by("-next_at").values_list("next_at", flat=True).first() if job.pk else None
    return _spaced(job, now if last is None else max(now, last + _step(job)), count)


def state_and_note(job: Job) -> tuple[NotifyState, str]:
    """What a NOTIFY of this job begins with, now that its row is locked against pausing and cancelling."""
    states = {JobState.PAUSED: (NotifyState.WITHHELD, HELD), JobState.CANCELLED: (NotifyState.NOT_NEEDED, DROPPED)}
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
    rows = [(pk, NotifyState.WITHHELD, _words(job)[0]) for pk in _ids(job, NotifyState.WAITING)]
    return _write(("pk", "state", "note"), rows, [NotifyState.WAITING])


def go_on(job: Job) -> int:
    """Give those that were held back their turns anew; how many."""
    return release(job, _words(job)[0])


def release(job: Job, held: str) -> int:
    """The same for those that were held back for another reason, which is their note."""
    ids = [pk for pk, note in _rows(job, NotifyState.WITHHELD) if note == held]
    # The times of those that were held back have passed, or are of an order that is over.
    turns = _spaced(job, timezone.now(), len(ids))
    rows = [(pk, NotifyState.WAITING, "", at) for pk, at in zip(ids, turns, strict=True)]
    return _write(("pk", "state", "note", "next_at"), rows, [NotifyState.WITHHELD])


def drop(job: Job) -> int:
    """What has not left yet is not sent any more; how many."""
    now = timezone.now()
    rows = [(pk, NotifyState.NOT_NEEDED, _words(job)[1], now) for pk in _ids(job, *_UNSENT)]
    return _write(("pk", "state", "note", "settled_at"), rows, list(_UNSENT))


def _words(job: Job) -> tuple[str, str]:
    """What is said of one that is held back, and of one that is dropped."""
    return (HELD, DROPPED) if job.kind in FILE_KINDS else (HELD_ORDER, DROPPED_ORDER)


def _step(job: Job) -> timedelta:
    return timedelta(seconds=1 / job.pace_per_second)


def _spaced(job: Job, start: datetime, count: int) -> list[datetime]:
    """So many times at the job's pace."""
    return [start + place * _step(job) for place in range(count)]


def _ids(job: Job, *states: NotifyState) -> list[int]:
    return [pk for pk, _ in _rows(job, *states)]


def _rows(job: Job, *states: NotifyState) -> list[tuple[int, str]]:
    return list(job.notifies.filter(state__in=states).order_by("next_at", "pk").values_list("pk", "note"))


def _write(names: Sequence[str], rows: Sequence[tuple], only_if: Sequence[NotifyState]) -> int:
    """In bites, so that a listener never waits long; a row that has left meanwhile is passed over."""
    written = 0
    for bite in batch.bites(rows, AT_ONCE):
        with transaction.atomic():
            outbox.lock_phones(Notify.objects.filter(pk__in=[row[0] for row in bite]).values_list("phone", flat=True))
            written += len(batch.update(Notify, names, bite, only_if=("state", only_if)))
    return written
