"""Orders: one thing that a person wants done to many phones, one after the other, at a pace where phones are asked.

Which phones they are was settled by the person's selection when it was ordered, with the address that each had in the
list then. A worker takes a few of these targets in one transaction, does what is asked and deletes them there: what
is committed is done once, whenever the worker dies. Between its turns a paced order belongs to no worker, so that
others can work; the next look is a call of the queue that is due later.

Nobody is looking when a phone has its turn. So nothing is confirmed by an order: a phone that is not at the address of
the list any more is left out and named, and what the unattended rule of devices/trust.py does not allow does not leave.
One kind says that a person has just looked at each phone with its address and confirms it; that counts from when it
was said, for as long as what a person saw is good, and never against the neighbour table.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Max
from django.utils import timezone
from django.utils.translation import gettext, gettext_noop

from devices import batch, inventory
from devices.choices import Neighbour
from devices.models import Phone
from devices.trust import ATTENDED_CONTACT_SECONDS, CLOCK_SLACK_SECONDS
from provisioning import assignment, commands, outbox
from provisioning.jobs import chunks, runner, telling
from provisioning.jobs.kinds import AGAIN, DONE, ORDERS, Next, Order
from provisioning.jobs.models import OPEN_JOBS, Job, JobFailure, JobState, JobTarget
from provisioning.jobs.pace import ASKED
from provisioning.models import Notify, NotifyKind, NotifyState

AHEAD_SECONDS = 15  # turns are given so far ahead; a paused or cancelled order takes them back
INSERTED_AT_ONCE = 2000
RESTART_BREAK_MINUTES = 10  # two orders in a row must not restart a fleet twice. Our choice, as for automatic NOTIFYs
RESTARTS = (NotifyKind.REBOOT, NotifyKind.RESYNC)
MOST_CONFIRMED = 500  # so that a person can really look at each. Our choice
TOLD_AFTER_SECONDS = 12 * 60  # the last of them: something is left of the time for which its confirmation is good
ALARMED = "An alarm of this phone is not settled: settle it on its page first."
SEEN_TOO_LONG_AGO = "Its address was confirmed more than {} minutes ago. Look at it and confirm it again."
TOO_SOON = (
    "It was asked for this {} ago already; so soon after that it is left out. Ask this phone alone if you mean it."
)
MOVED = "In the list it was at {}, now it is at {}. Check that it is the same phone; order it again."
OTHERS_MAC = "The neighbour table shows another device's MAC at {}: find out which one it is."
WITH_FILES = "heeded_with_files"  # in `Job.orders`: of whom this one has been heeded so far
BEING_STORED = "being_stored"  # in `Job.orders`, until the job has all of its targets
NOT_WHOLE = gettext_noop(
    "Not all of its phones are stored, so nobody is asked. If this stays so, cancel it, and order it again."
)
ALREADY = "Each of these phones waits for this already, in a job that is not over."


Target = tuple[int, str | None]
"""A phone's id, and the address that the list showed for it."""


class _Refusal(Exception):
    """This phone is left out; the text says why and what to do."""


def start(kind: str, targets: Iterable[Target], *, by: str, pace_per_minute: float = ASKED.offered) -> Job:
    """Order it for these phones. Raises runner.JobError, with words for the person.

    Two people may order the same at the same moment, and neither is told of the other: no lock keeps them apart, for a
    phone is not asked twice by that. The command that still waits gives way to the later one (commands.send), one that
    has left is a restart of which `RESTART_BREAK_MINUTES` hold, and what is done here is done already.
    """
    order, wanted = ORDERS[kind], dict(targets)
    if not wanted:
        raise runner.JobError("No phone is selected any more. Select some, and order it again.")
    waiting = JobTarget.objects.filter(job__kind=kind, job__state__in=OPEN_JOBS).values_list("phone", flat=True)
    for phone_id in waiting:
        wanted.pop(phone_id, None)
    if not wanted:
        raise runner.JobError(ALREADY)
    if fault := ASKED.fault(pace_per_minute, len(wanted) if order.tells else 0):
        raise runner.JobError(fault)
    if order.confirms:
        _can_be_confirmed(len(wanted), pace_per_minute)
    return _store(kind, order, wanted, by, pace_per_minute)


def confirming_pace(count: int) -> int:
    """Phones a minute at which the last of so many is told in time."""
    return max(ASKED.offered, least_pace("confirm", count))


def least_pace(kind: str, count: int) -> int:
    """Phones a minute below which an order of so many is refused."""
    if ORDERS[kind].confirms:
        return max(ASKED.least, math.ceil(60 * count / TOLD_AFTER_SECONDS))
    return ASKED.least_for(count)


def _can_be_confirmed(count: int, pace_per_minute: float) -> None:
    """Raises runner.JobError."""
    if count > MOST_CONFIRMED:
        words = gettext("At most %(most)d addresses are confirmed at once, so that you can look at each. Select fewer.")
        raise runner.JobError(words % {"most": MOST_CONFIRMED})
    if count > pace_per_minute / 60 * TOLD_AFTER_SECONDS:
        words = gettext(
            "At %(pace)g a minute the last of %(count)d phones would be told when what you saw is too old; enter "
            "%(needed)d or more, or select fewer phones."
        )
        needed = confirming_pace(count)
        raise runner.JobError(words % {"pace": pace_per_minute, "count": count, "needed": needed})


def _store(kind: str, order: Order, wanted: Mapping[int, str | None], by: str, pace_per_minute: float) -> Job:
    """The job and its targets. It is paused until it has them all, and nobody can resume it before (`not_ready`): a
    crash leaves nothing that goes off half-loaded, and says then that it has done everything."""
    now, count = timezone.now(), len(wanted)
    job = Job.objects.create(
        kind=kind,
        title=f"{order.title}: {count} phone{'' if count == 1 else 's'}",
        orders={BEING_STORED: True},
        words=NOT_WHOLE,
        state=JobState.PAUSED,
        pace_per_second=pace_per_minute / 60,
        total=count,
        created_by=by[:150],
        created_at=now,
        called_at=now,
    )
    for bite in batch.bites(sorted(wanted.items()), INSERTED_AT_ONCE):
        with transaction.atomic():
            # Its row first: whoever cancels it deletes what is stored until then, and finds nothing stored after.
            if not Job.objects.select_for_update().filter(pk=job.pk, state=JobState.PAUSED).exists():
                break
            # Locked: who is forgotten before the commit would break it, and leave half of an order.
            there = {pk for (pk,) in batch.select(Phone, ("pk",), "pk", [pk for pk, _ in bite], lock=True)}
            rows = [(job.pk, pk, host) for pk, host in bite if pk in there]
            batch.insert(JobTarget, ("job", "phone", "host"), rows)
        time.sleep(runner.PAUSE_SECONDS)
    Job.objects.filter(pk=job.pk).update(orders={}, words="")
    runner.resume(job.pk)
    job.refresh_from_db()
    return job


def not_ready(job: Job) -> str:
    """Why nobody can resume it."""
    return gettext(NOT_WHOLE) if job.orders.get(BEING_STORED) else ""


def run_chunk(job: Job) -> Next:
    """Do what is asked with a few of the phones that are due."""
    now, worker = timezone.now(), job.worker
    with transaction.atomic():
        # Its row stays locked: whoever pauses or cancels it comes before this bite, or after it.
        locked = Job.objects.select_for_update().filter(pk=job.pk, state=JobState.RUNNING, worker=worker).first()
        if locked is None:
            return AGAIN  # somebody else's, or stopped: the runner sees it
        job, order = locked, ORDERS[locked.kind]
        turns = _turns(job, order, now)
        due = [at for at in turns if at <= now + timedelta(seconds=AHEAD_SECONDS)]
        targets = list(job.targets.all()[: max(1, len(due))])
        if not targets:
            Job.objects.filter(pk=job.pk).update(done=job.total)  # those that were forgotten meanwhile count too
            return DONE
        if not due:
            return Next(at=turns[0])
        _do(job, order, targets, due)
    return AGAIN


def _turns(job: Job, order: Order, now: datetime) -> list[datetime]:
    if not order.tells:
        return [now] * order.at_once
    return telling.turns(job, order.at_once, now, timedelta(seconds=runner.LONGEST_WAIT_SECONDS))


def _do(job: Job, order: Order, targets: Sequence[JobTarget], due: Sequence[datetime]) -> None:
    """Do it with these, and note how far the job has come; in the transaction that has locked its row."""
    ids = [one.phone_id for one in targets]
    outbox.lock_phones(ids)
    there = set(Phone.objects.filter(pk__in=ids).values_list("pk", flat=True))
    targets = [one for one in targets if one.phone_id in there]  # another was forgotten while we waited for its row
    failures = _tell(job, order, targets, due) if order.tells else HERE[job.kind](job, ids)
    JobTarget.objects.filter(pk__in=[one.pk for one in targets]).delete()
    chunks.keep(job, [JobFailure(job=job, phone_id=pk, message=words[:300]) for pk, words in failures.items()])
    job.done += len(ids)
    job.failed += len(failures)
    job.changed += len(there) - len(failures)
    job.beat_at = timezone.now()
    job.save(update_fields=["done", "failed", "changed", "beat_at", "orders"])


def over(job: Job) -> None:
    """Who was heeded may have a file of the time before it was ignored: one job looks at all of them, at one pace."""
    (orders,) = Job.objects.filter(pk=job.pk).values_list("orders", flat=True)
    if orders.get(WITH_FILES):
        assignment.catch_up(orders[WITH_FILES], job.created_by)


# --- what is asked of phones ----------------------------------------------------------------------------------------


def _tell(job: Job, order: Order, targets: Sequence[JobTarget], turns: Sequence[datetime]) -> dict[int, str]:
    """Owe them their commands, each at its turn; who is left out takes none. Why, by phone."""
    kind = order.tells
    assert kind is not None
    phones = Phone.objects.in_bulk([one.phone_id for one in targets])
    restarted = _last_restarts(kind, list(phones))
    failures: dict[int, str] = {}
    for place, target in enumerate(targets):
        phone, turn = phones[target.phone_id], turns[place - len(failures)]
        try:
            _may_be_asked(phone, target.host, restarted.get(phone.pk))
            if order.confirms:
                _may_be_confirmed(job, phone)
            commands.send(phone.pk, kind, job.created_by, target.host, job=job, turn=turn)
            if order.confirms:  # as of when the person said so: no wait makes it any fresher
                inventory.approve_address(phone.pk, target.host, at=job.created_at)
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


def _may_be_confirmed(job: Job, phone: Phone) -> None:
    """Raises _Refusal if what the person saw of it does not hold any more."""
    if phone.alarm:
        raise _Refusal(ALARMED)
    age_seconds = (timezone.now() - job.created_at).total_seconds()
    if not -CLOCK_SLACK_SECONDS <= age_seconds <= ATTENDED_CONTACT_SECONDS:
        raise _Refusal(SEEN_TOO_LONG_AGO.format(ATTENDED_CONTACT_SECONDS // 60))


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
    heeded = assignment.heed_each(phone_ids, job.created_by)
    with_files = [phone_id for phone_id, has_file in heeded.items() if has_file]
    job.orders = {WITH_FILES: [*job.orders.get(WITH_FILES, []), *with_files]}
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
