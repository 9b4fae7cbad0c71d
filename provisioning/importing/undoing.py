"""The way back from an import: while it is applied, if a phone is not what the preview saw; or later, by a person.

A phone comes back only if nobody saved it since. One that was not told anything yet becomes exactly what it was; one
that was gets what it had as a new version. A phone that the import listed and that was not heard yet is removed.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import datetime, timedelta

from django.db import InterfaceError, OperationalError, transaction
from django.db.models import OuterRef, Q, QuerySet, Subquery
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext, gettext_lazy

from devices import inventory
from devices.choices import WAY, Stage
from devices.crypto import CannotDecrypt
from devices.inventory import Whole
from devices.models import Phone
from provisioning import outbox, plan
from provisioning.importing import making, planning
from provisioning.importing.columns import Target
from provisioning.importing.forgetting import FORGOTTEN
from provisioning.importing.making import ChangedMeanwhile, Made, ReadAgain
from provisioning.importing.models import ImportRow, ImportState, PhoneImport, RowOutcome, RowState
from provisioning.jobs import chunks, runner
from provisioning.jobs.kinds import IMPORT
from provisioning.jobs.models import Job
from provisioning.jobs.pace import TOLD
from provisioning.models import ConfigFile, Notify, NotifyKind, NotifyOrigin, NotifyState

log = logging.getLogger(__name__)

UNDOES = "undo"  # in `Job.orders`: the job takes the import back because a person wants it
UNDO_DAYS = 30  # after which what was there before is deleted. Our choice
PREVIEW_HOURS = 24  # after which a preview that nobody applied is deleted, with what was uploaded. Our choice
KEPT_DAYS = 365  # after which nothing of an import is shown any more. Our choice
PRUNED_AT_ONCE = 200
_UNAPPLIED = (ImportState.READING, ImportState.PREVIEW)
_SETTLED = (ImportState.APPLIED, ImportState.UNDONE, ImportState.FAILED)
SAVED_SINCE = "It was saved by somebody since."
HEARD_SINCE = "It was plugged in since, and keeps what it got. Assign it anew, or forget it."
OUR_FAULT = "Something went wrong in gspnp itself; the worker's log has more. Report it."
HAS_ITS_FILE = "It has its file already; assign it anew, or reset and forget it."
TOO_LATE = gettext_lazy("This import is %(state)s; only one that was applied can be undone.")


class CannotUndo(ValueError):
    """This import cannot be undone; the text says why."""


def undo(of: PhoneImport, *, by: str, pace_per_minute: float = TOLD.offered) -> Job:
    """Order an applied import to be undone. Raises CannotUndo, or JobError for a pace that is none."""
    total = of.rows.filter(state=RowState.DONE).count()
    runner.check_pace(pace_per_minute, total)
    with transaction.atomic():
        applied = PhoneImport.objects.filter(pk=of.pk, state=ImportState.APPLIED)
        recent = applied.filter(applied_at__gt=timezone.now() - timedelta(days=UNDO_DAYS))
        if not recent.update(state=ImportState.UNDOING, undone_by=by[:150]):
            if applied.exists():
                words = gettext("It was applied more than %(days)s days ago; what was there before is deleted.")
                raise CannotUndo(words % {"days": UNDO_DAYS})
            of.refresh_from_db()
            raise CannotUndo(TOO_LATE % {"state": of.get_state_display().lower()})
        job = runner.enqueue(
            IMPORT,
            f"Undo: {of.name}",
            {"import": of.pk},
            total,
            by=by,
            pace_per_minute=pace_per_minute,
            orders={UNDOES: True},
        )
        PhoneImport.objects.filter(pk=of.pk).update(job=job)
    return job


def discard(of: PhoneImport) -> bool:
    """Delete a preview, with what was uploaded; False if it is none any more. In bites: nobody waits long."""
    if not PhoneImport.objects.filter(pk=of.pk, state__in=_UNAPPLIED).update(state=ImportState.DISCARDED):
        return False
    while _delete_rows(PhoneImport.objects.filter(pk=of.pk)):
        time.sleep(runner.PAUSE_SECONDS)
    PhoneImport.objects.filter(pk=of.pk).delete()
    return True


def _delete_rows(imports: QuerySet[PhoneImport]) -> int:
    found = ImportRow.objects.filter(of__in=imports.order_by()).order_by()
    rows = list(found.values_list("pk", flat=True)[:PRUNED_AT_ONCE])
    if rows:
        ImportRow.objects.filter(pk__in=rows).delete()
    return len(rows)


def turn_back(of: PhoneImport, words: str) -> bool:
    """An import that is being applied is taken back from here on; False if it is not being applied any more."""
    waits = PhoneImport.objects.filter(pk=of.pk, state=ImportState.APPLYING)
    return bool(waits.update(state=ImportState.RESTORING, words=words[:300]))


def stop(of: PhoneImport) -> bool:
    """An import that is being undone stays undone as far as it came; the rest can be undone again. False if it is not
    being undone."""
    return bool(PhoneImport.objects.filter(pk=of.pk, state=ImportState.UNDOING).update(state=ImportState.APPLIED))


def leave(of: PhoneImport) -> bool:
    """An import that cannot be taken back now counts as applied as far as it came, so that a person can undo it. False
    if it is not being taken back."""
    now, waits = timezone.now(), PhoneImport.objects.filter(pk=of.pk, state=ImportState.RESTORING)
    return bool(waits.update(state=ImportState.APPLIED, applied_at=now, ended_at=now, words=OUR_FAULT))


def one_chunk(job: Job, of: PhoneImport) -> None:
    """Take the next rows back, the last ones first. A row with which we are at fault stays as it is; the others do not
    wait for it."""
    rows = list(of.rows.filter(state=RowState.DONE).order_by("-pk")[: making.STORED_AT_ONCE])
    if not rows:
        _end(of)
        return
    try:
        _take_back(job, of, rows)
    except (OperationalError, InterfaceError):
        raise  # it is taken up again when the database is back
    except Exception:
        log.exception("%s: a chunk cannot be taken back; each of its phones alone", of.title)
        for row in rows:
            _alone(job, of, row.pk)


def _alone(job: Job, of: PhoneImport, row_id: int) -> None:
    rows = list(of.rows.filter(pk=row_id, state=RowState.DONE))
    try:
        _take_back(job, PhoneImport.objects.get(pk=of.pk), rows)
    except (OperationalError, InterfaceError):
        raise
    except Exception:
        log.exception("%s: row %d cannot be taken back", of.title, row_id)
        for one in (made := [Made(row, {}, Target(), None) for row in rows]):
            _keep(one, OUR_FAULT)
        _store(job, PhoneImport.objects.get(pk=of.pk), made, [], [])


def _take_back(job: Job, of: PhoneImport, rows: Sequence[ImportRow]) -> None:
    made = [_made(of, row) for row in rows]
    phones = {one.mac: one for one in Phone.objects.filter(mac__in=[row.mac for row in rows])}
    for one in made:
        one.phone = phones.get(one.mac)
        _judge(of, one)
    good = [one for one in made if one.row.state == RowState.DONE]
    untold, told = _by_what_they_know(good)
    try:
        making.render(job, told, making.newest_files([one.there for one in told]))
    except CannotDecrypt:
        for one in told:
            one.fault = planning.UNREADABLE
    for one in told:
        if one.fault:
            _keep(one, f"It keeps what it got: {one.fault}")
    with suppress(ChangedMeanwhile, ReadAgain):  # read again: what was saved meanwhile is kept in the next round
        _store(job, of, made, untold, [one for one in told if not one.fault])


def _made(of: PhoneImport, row: ImportRow) -> Made:
    """A row with what was there before."""
    try:
        before = making.opened(row.before)
    except CannotDecrypt:
        return Made(row, {}, Target(), None, fault=planning.UNREADABLE)
    return Made(row, before | {"back": True}, Target.from_json(before) if before else Target(), None)


def _judge(of: PhoneImport, one: Made) -> None:
    """Keep a phone as it is if it cannot go back."""
    phone, row = one.phone, one.row
    if one.fault:
        _keep(one, one.fault)
    elif phone is None or making.is_listed_anew(one) or (row.before is None and row.outcome != RowOutcome.NEW):
        _keep(one, FORGOTTEN)
    elif phone.version != row.version or phone.stage in planning.OFF:
        _keep(one, SAVED_SINCE)
    elif row.outcome == RowOutcome.NEW and phone.is_heard and of.state == ImportState.UNDOING:
        _keep(one, HEARD_SINCE)


def _keep(one: Made, why: str) -> None:
    one.row.state, one.row.note = RowState.KEPT, why[:300]


def _by_what_they_know(good: Sequence[Made]) -> tuple[list[Made], list[Made]]:
    """Those that become exactly what they were, and those that need a new version: they were told of this one.

    One that had no assignment before and has fetched its file registers with it, whatever we say: it is kept.
    """
    files = {one.row.file_id for one in good if one.row.file_id}
    sent = Notify.objects.filter(config_file__in=files, first_sent_at__isnull=False)
    known = set(sent.values_list("config_file", flat=True))
    known |= set(ConfigFile.objects.filter(pk__in=files, fetched_at__isnull=False).values_list("pk", flat=True))
    newest = {phone_id: one.pk for phone_id, one in making.newest_files([one.there for one in good]).items()}
    first = [one.there.pk for one in good if not _was_assigned(one)]
    fetched = ConfigFile.objects.filter(phone__in=first, fetched_at__isnull=False)
    has_its_file = set(fetched.values_list("phone", flat=True))
    untold: list[Made] = []
    told: list[Made] = []
    for one in good:
        as_it_was = newest.get(one.there.pk) == one.row.file_id and one.row.file_id not in known
        if one.there.pk in has_its_file:
            _keep(one, HAS_ITS_FILE)
        elif as_it_was or not _was_assigned(one):
            untold.append(one)
        else:
            told.append(one)
    return untold, told


def _was_assigned(one: Made) -> bool:
    return one.before.get("stage") in WAY


def _store(job: Job, of: PhoneImport, made: Sequence[Made], untold: Sequence[Made], told: Sequence[Made]) -> None:
    now = timezone.now()
    with transaction.atomic():
        if not PhoneImport.objects.select_for_update().filter(pk=of.pk, state=of.state).exists():
            return
        if not chunks.is_mine(job):
            return
        making.lock([*untold, *told])
        if len(_by_what_they_know(untold)[0]) < len(untold):
            raise ReadAgain  # a file has left, or a job has made another one
        removed = [one for one in untold if one.row.outcome == RowOutcome.NEW and not one.there.is_heard]
        if removed:
            words = f"Taken out of the list again: {job.title}, by {job.created_by}."
            inventory.unlist([one.there for one in removed], words, now)
        returned = [one for one in untold if one not in removed]
        _return(job, returned, now)
        making.write(job, told, now)
        for one in (*untold, *told):
            one.row.state, one.row.version = RowState.BACK, one.there.version + 1
        kept = sum(one.row.state == RowState.KEPT for one in made)
        anew = sum(one.version is not None for one in told)
        making.came_further(job, [one.row for one in made], changed=anew if of.state == ImportState.UNDOING else 0)
        making.forget_sealed([one.row for one in made], "before")
        if kept:
            PhoneImport.objects.filter(pk=of.pk).update(kept=of.kept + kept)


def _return(job: Job, made: Sequence[Made], now: datetime) -> None:
    """Phones become what they were: their accounts and keys, their stage, their file of before, and what was owed."""
    unassigned = [one.there.pk for one in made if not _was_assigned(one)]
    ConfigFile.objects.filter(pk__in=[one.row.file_id for one in made if one.row.file_id]).delete()
    ConfigFile.objects.filter(phone__in=unassigned).delete()  # their paths lead nowhere any more
    files = making.newest_files([one.there for one in made])
    inventory.rewrite([_as_it_was(one, job, files.get(one.there.pk), now) for one in made], now)
    making.replace_templates(made)
    given_way = _gave_way(files.values())
    for current in files.values():
        if current.fetched_at is None and current.pk in given_way:
            owed = outbox.enqueue(current, NotifyOrigin.JOB, now, note=making.HELD, job=job)
            Notify.objects.filter(pk=owed.pk).update(state=NotifyState.WITHHELD)  # until its turn: `telling.release`


def _gave_way(files: Iterable[ConfigFile]) -> set[int]:
    """Those files of which their phones were still to be told when the import came. Who had refused, or was not told
    any more because somebody had cancelled that, rests until a person acts, as before."""
    mine = Notify.objects.filter(config_file=OuterRef("pk"), kind=NotifyKind.PROFILE).order_by("-pk")
    last = ConfigFile.objects.filter(pk__in=[one.pk for one in files]).annotate(last=Subquery(mine.values("state")[:1]))
    return set(last.filter(last=NotifyState.SUPERSEDED).values_list("pk", flat=True))


def _as_it_was(one: Made, job: Job, file: ConfigFile | None, now: datetime) -> Whole:
    phone, before = one.there, one.before
    stage = then = Stage(before.get("stage", Stage.SEEN))
    plugged_in = file is not None and bool(before.get("awaits_file"))  # since the preview, as what follows
    if file is not None:
        stage = Stage.APPLIED if file.applied_at else Stage.FETCHED if file.fetched_at else then
    return Whole(
        phone,
        plan.account_rows(phone, one.target.accounts),
        plan.key_rows(phone, one.target.keys),
        site=one.target.site if before.get("stage") else phone.site,
        stage=stage,
        stage_reason=before.get("stage_reason", "") if stage == then and not plugged_in else "",
        stage_at=parse_datetime(before.get("stage_at", "")) or now,
        awaits_file=bool(before.get("awaits_file")) and not plugged_in,
        text=f"{job.title}: as it was before, by {job.created_by}.",
    )


def _end(of: PhoneImport) -> None:
    ended = ImportState.UNDONE if of.state == ImportState.UNDOING else ImportState.FAILED
    kept = of.rows.filter(state=RowState.KEPT).count()  # with those that were forgotten before the undoing
    PhoneImport.objects.filter(pk=of.pk, state=of.state).update(state=ended, ended_at=timezone.now(), kept=kept)
    log.info("%s: %s", of.title, ended.label.lower())


def prune() -> int:
    """Delete previews that nobody applied, what old imports would need to be undone, and imports that are history; at
    most one bite of each. How many."""
    now = timezone.now()
    old_ones = PhoneImport.objects.filter(created_at__lt=now - timedelta(hours=PREVIEW_HOURS))
    old_ones.filter(state__in=_UNAPPLIED).update(state=ImportState.DISCARDED)  # nobody applies one that is half gone
    history = Q(state__in=_SETTLED, ended_at__lt=now - timedelta(days=KEPT_DAYS))
    stale = old_ones.filter(Q(state=ImportState.DISCARDED) | history)
    rows = _delete_rows(stale)
    if not rows:
        stale.filter(rows=None).delete()
    old = PhoneImport.objects.filter(state__in=_SETTLED, ended_at__lt=now - timedelta(days=UNDO_DAYS))
    return rows + sum(_unseal(old, name) for name in ("before", "after"))


def _unseal(imports: QuerySet[PhoneImport], name: str) -> int:
    """Delete what the rows of these keep encrypted under that name."""
    # Without an order: the index that has only such rows is enough, however many others there are.
    kept = ImportRow.objects.filter(of__in=imports.order_by(), **{f"{name}__isnull": False}).order_by()
    sealed = list(kept.values_list("pk", flat=True)[:PRUNED_AT_ONCE])
    if sealed:
        ImportRow.objects.filter(pk__in=sealed).update(**{name: None})
    return len(sealed)
