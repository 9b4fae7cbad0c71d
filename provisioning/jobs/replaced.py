"""What an order took the place of: a NOTIFY of a save or of an import that was still owed.

There is one open NOTIFY of a kind for each phone, so an order supersedes it. If the order is cancelled before its own
was sent, the phone is owed what it was owed before: what never was must not take anything away.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import timedelta

from django.db.models import QuerySet
from django.utils import timezone

from devices import batch
from devices.models import Phone
from provisioning.jobs import kinds
from provisioning.jobs.models import OPEN_JOBS, Job, JobState
from provisioning.models import Notify, NotifyKind, NotifyState

COLUMNS = ("pk", "state", "note", "next_at", "settled_at")


def give_back(job: Job, dropped: Iterable[int]) -> None:
    """Owe again what these rows of an order replaced; in the transaction that has locked their phones and dropped
    them. Those that waited have their turns at the pace of the order: the times of many may have passed."""
    found = _before(dropped)
    stopped: dict[int | None, JobState | None] = {None: None}
    stopped |= {one.pk: _stopped(one) for one in {notify.job for notify in found if notify.job}}
    found = [one for one in found if stopped[one.job_id] != JobState.CANCELLED]
    reasons = dict(batch.select(Phone, ("pk", "stage_reason"), "pk", [one.phone_id for one in found]))
    rows, turn, step = [], timezone.now(), timedelta(seconds=1 / job.pace_per_second)
    for notify in found:
        if _was_withheld(notify, reasons.get(notify.phone_id, "")):
            rows.append((notify.pk, NotifyState.WITHHELD, notify.note, notify.next_at, None))
            continue
        if notify.job is not None and stopped[notify.job_id] == JobState.PAUSED:
            rows.append((notify.pk, NotifyState.WITHHELD, kinds.of(notify.job).words.held, notify.next_at, None))
            continue
        rows.append((notify.pk, NotifyState.WAITING, "", max(turn, notify.next_at), None))
        turn += step
    batch.update(Notify, COLUMNS, rows, only_if=("state", [NotifyState.SUPERSEDED]))


def _was_withheld(notify: Notify, reason: str) -> bool:
    """Whether what held it back holds it still. If in doubt it waits: the listener judges it anew."""
    if notify.note and reason and notify.note.startswith(reason):
        return True
    if not notify.note or notify.job is None or notify.job.state not in OPEN_JOBS:
        return False
    return notify.note != kinds.of(notify.job).words.held


def _stopped(job: Job) -> JobState | None:
    """Whether somebody paused or cancelled the telling of this job: of one that has ended, its rows say it."""
    if job.state in OPEN_JOBS:
        return JobState.PAUSED if job.state == JobState.PAUSED else None
    words = kinds.of(job).words
    if job.notifies.filter(state=NotifyState.NOT_NEEDED, note=words.dropped).exists():
        return JobState.CANCELLED
    held = (NotifyState.WITHHELD, NotifyState.SUPERSEDED)  # `telling.go_on` takes the words from both
    return JobState.PAUSED if job.notifies.filter(state__in=held, note=words.held).exists() else None


def _before(dropped: Iterable[int]) -> list[Notify]:
    """What they replaced; where that was of an order that is cancelled too, what that one replaced."""
    found: list[Notify] = []
    wanted = list(_rows().filter(pk__in=list(dropped), kind=NotifyKind.PROFILE))
    while wanted:
        earlier = _replaced_by(wanted)
        wanted = [one for one in earlier if one.job is not None and one.job.state == JobState.CANCELLED]
        found += [one for one in earlier if one not in wanted]
        wanted = [one for one in wanted if one.job is not None and kinds.of(one.job).order]
    return sorted(found, key=lambda one: (one.next_at, one.pk))


def _replaced_by(later: Sequence[Notify]) -> list[Notify]:
    """A row ends at the very time at which the one in its place is made, of the same file (outbox.enqueue)."""
    made = {one.phone_id: one for one in later}
    superseded = _rows().filter(phone__in=made, kind=NotifyKind.PROFILE, state=NotifyState.SUPERSEDED).order_by("-pk")
    superseded = superseded.filter(settled_at__in={one.created_at for one in later})  # not all that ever were
    earlier: dict[int, Notify] = {}
    for row in superseded:
        one = made[row.phone_id]
        if row.pk < one.pk and (row.config_file_id, row.settled_at) == (one.config_file_id, one.created_at):
            earlier.setdefault(row.phone_id, row)
    return list(earlier.values())


def _rows() -> QuerySet[Notify]:
    return Notify.objects.select_related("job").defer("datagram", "job__scope", "job__orders")
