"""An import becomes true: by a job, in chunks, all or nothing as a person sees it.

Each chunk is rendered outside any transaction, and stored in one short transaction together with how far the job has
come, under the condition that every phone of it is still what the preview saw. NOTIFYs are held back until the last
chunk is stored. If a phone was changed meanwhile, whatever was stored is taken back (undoing.py), and nobody was told
anything. A worker that dies leaves both as far as they came; the next one goes on.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

from django.db import transaction
from django.db.models import F
from django.utils import timezone
from django.utils.translation import gettext

from devices import batch, inventory
from devices.crypto import CannotDecrypt
from devices.mac import colons
from devices.models import Extension, Phone
from provisioning.importing import making, planning, undoing
from provisioning.importing.columns import Target
from provisioning.importing.making import ChangedMeanwhile, Made, ReadAgain
from provisioning.importing.models import ImportRow, ImportState, PhoneImport, RowOutcome, RowState
from provisioning.jobs import chunks, runner, telling
from provisioning.jobs.kinds import AGAIN, DONE, IMPORT, Next
from provisioning.jobs.models import Job, JobState
from provisioning.jobs.pace import TOLD

log = logging.getLogger(__name__)

TO_DO = (RowOutcome.NEW, RowOutcome.CHANGED)
CHANGED = "{} was changed by somebody while this was applied, so nothing of it stays. Upload the file again."
OLD_SECRET = (
    "The extension of {} was changed in the directory since its secret was read, so nothing of this import stays. "
    "Upload the file again."
)
CANCELLED = "It was cancelled, so nothing of it stays."
OUR_FAULT = "Something went wrong in gspnp itself, so nothing of it stays; the worker's log has more. Report it."


class ImportRefused(ValueError):
    """This cannot be done with an import as it stands; the text says why."""


class _Broken(Exception):
    """The import cannot be completed; the text says why."""


def apply(of: PhoneImport, *, by: str, pace_per_minute: float = TOLD.offered) -> Job:
    """Order a preview to be applied. Raises ImportRefused, or JobError for a pace that is none."""
    total = of.new + of.changed
    if not total and not of.faulty:
        raise ImportRefused(gettext("Nothing in it would change a phone, so there is nothing to apply."))
    runner.check_pace(pace_per_minute, total)
    with transaction.atomic():
        waits = PhoneImport.objects.filter(pk=of.pk, state=ImportState.PREVIEW, faulty=0)
        if not waits.update(state=ImportState.APPLYING):
            raise ImportRefused(_why_not(of))
        job = runner.enqueue(IMPORT, of.name, {"import": of.pk}, total, by=by, pace_per_minute=pace_per_minute)
        PhoneImport.objects.filter(pk=of.pk).update(job=job)
    return job


def _why_not(of: PhoneImport) -> str:
    now = PhoneImport.objects.filter(pk=of.pk).first()
    if now is None:
        return gettext("This preview is gone. Upload the file again.")
    if now.state == ImportState.PREVIEW:
        if now.entered:
            return gettext("%(n)s phones cannot have this. Change what you entered.") % {"n": now.faulty}
        return gettext("%(n)s rows have errors. Correct them in the file, and upload it again.") % {"n": now.faulty}
    words = gettext("This import is %(state)s; it can only be applied from its preview.")
    return words % {"state": now.get_state_display().lower()}


def run_chunk(job: Job) -> Next:
    """Store the next rows of an import, or take back the next ones."""
    of = _of(job)
    if of is None:
        return DONE
    if of.state == ImportState.APPLYING:
        _forward(job, of)
        return AGAIN
    if of.state in (ImportState.RESTORING, ImportState.UNDOING) and of.job_id == job.pk:
        undoing.one_chunk(job, of)
        return AGAIN
    # Every row is stored that will be: its phones are told at the job's pace, also if the worker died in between.
    telling.release(job, making.HELD)
    if _was_stopped(job, of):
        return Next(ended=JobState.CANCELLED)
    if of.state == ImportState.FAILED:
        return Next(ended=JobState.CANCELLED if of.words == CANCELLED else JobState.FAILED, words=of.words)
    # Whoever was forgotten before it was undone is nothing that is left to do.
    Job.objects.filter(pk=job.pk, worker=job.worker).update(total=F("done"))
    return DONE


def cancel(job: Job) -> bool:
    """Somebody cancels the job: what was stored is taken back, by the same job. One that was undoing ends there: what
    is undone stays so, with what its phones are owed, and the rest can be undone again. False if it is too late."""
    of = _of(job)
    if of is None or of.job_id != job.pk:
        return False
    if undoing.stop(of) or _was_stopped(job, of):
        return True
    returns = PhoneImport.objects.filter(pk=of.pk, state=ImportState.RESTORING)
    return undoing.turn_back(of, CANCELLED) or returns.exists()


def _was_stopped(job: Job, of: PhoneImport) -> bool:
    """Whether it was undoing until somebody cancelled it, and may have ordered it anew: one that was applying has done
    all of its rows by then."""
    return (of.state == ImportState.APPLIED or of.job_id != job.pk) and job.done < job.total


def failed(job: Job) -> Next:
    """A fault of ours leaves no import half applied: what was stored is taken back, by the same job."""
    of = _of(job)
    if of is None:
        return Next(ended=JobState.FAILED, words=OUR_FAULT)
    if undoing.turn_back(of, OUR_FAULT):
        return AGAIN
    if undoing.stop(of):
        telling.release(job, making.HELD)  # what is undone stays so
    else:
        undoing.leave(of)
    return Next(ended=JobState.FAILED, words=undoing.OUR_FAULT)


def _of(job: Job) -> PhoneImport | None:
    return PhoneImport.objects.filter(pk=job.scope.get("import")).first()


def _forward(job: Job, of: PhoneImport) -> None:
    rows = list(of.rows.filter(outcome__in=TO_DO, state=RowState.PLANNED).order_by("pk")[: making.STORED_AT_ONCE])
    if not rows:
        now = timezone.now()
        mine = PhoneImport.objects.filter(pk=of.pk, state=ImportState.APPLYING)
        mine.update(state=ImportState.APPLIED, applied_at=now, ended_at=now)
        log.info("%s: applied, %d phones", of.title, of.new + of.changed)
        return
    try:
        _store(job, of, _made(job, rows))
    except _Broken as why:
        undoing.turn_back(of, str(why))
    except ChangedMeanwhile as which:
        undoing.turn_back(of, CHANGED.format(which))
    except ReadAgain:
        pass


def _made(job: Job, rows: Sequence[ImportRow]) -> list[Made]:
    """Read and render; nothing is locked."""
    phones = {one.mac: one for one in Phone.objects.filter(mac__in=[row.mac for row in rows])}
    files = making.newest_files(list(phones.values()))
    for row in rows:
        if row.after is None:  # its phone was forgotten since the preview
            raise ChangedMeanwhile(row.mac)
    try:
        made = []
        for row in rows:
            before, after = making.opened(row.before), making.opened(row.after)
            given = tuple(after.get("given", ()))
            entries = dict(after.get("entries", ()))
            made.append(Made(row, before, Target.from_json(after), phones.get(row.mac), given, entries))
        _refuse_old_secrets(made)
        templates = planning.templates_of(list(phones.values()))
        for one in made:
            if _is_other(one, templates):
                raise ChangedMeanwhile(one.mac)
        making.render(job, [one for one in made if not _is_same(one)], files)
    except CannotDecrypt:
        raise _Broken(planning.UNREADABLE) from None
    for one in made:
        if one.fault:
            raise _Broken(f"{colons(one.mac)}: {one.fault} Nothing of this import stays.")
    return made


def _refuse_old_secrets(made: Sequence[Made]) -> None:
    """Raises _Broken if the directory has changed an extension since it gave its secret: it may be another one now."""
    ids = {pk for one in made for pk in one.entries}
    now = dict(batch.select(Extension, ("pk", "version"), "pk", ids))
    for one in made:
        if any(now.get(pk) != version for pk, version in one.entries.items()):
            raise _Broken(OLD_SECRET.format(colons(one.mac)))


def _is_other(one: Made, templates: Mapping[int, tuple[str, ...]]) -> bool:
    """Whether the phone is not what the preview saw."""
    phone = one.phone
    if phone is None:
        return one.row.outcome != RowOutcome.NEW
    if one.row.outcome == RowOutcome.NEW or phone.version != one.row.version or phone.stage in planning.OFF:
        return True
    seen = one.before
    if making.is_listed_anew(one):
        return True
    return phone.site != seen["site"] or templates[phone.pk] != tuple(seen["templates"])


def _is_same(one: Made) -> bool:
    """Whether the phone has exactly this: a preview does not tell everybody whether a given password is the stored."""
    return bool(one.before) and Target.from_json(one.before) == one.target


def _store(job: Job, of: PhoneImport, made: Sequence[Made]) -> None:
    """One short transaction. Raises ChangedMeanwhile, ReadAgain or _Broken, and nothing of the chunk stays."""
    now = timezone.now()
    # Before anything is locked: it opens what every row was before.
    same: list[Made] = []
    others: list[Made] = []
    for one in made:
        (same if _is_same(one) else others).append(one)
    with transaction.atomic():
        # Whoever cancels waits for this lock, or is heard.
        locked = PhoneImport.objects.select_for_update().filter(pk=of.pk, state=ImportState.APPLYING)
        if not locked.exists() or not chunks.is_mine(job):
            return
        making.lock(made)
        for one in sorted(others, key=lambda one: one.mac):  # as a listener that hears them at this moment
            if one.phone is None:
                one.phone = _listed(one, job)
        making.write(job, others, now)
        for one in others:
            one.row.state, one.row.version = RowState.DONE, one.there.version + 1
        for one in same:
            one.row.state = RowState.BACK  # there is nothing that could be undone
        making.came_further(job, [one.row for one in made], changed=sum(one.version is not None for one in made))
        making.forget_sealed([one.row for one in made], "after")
        making.forget_sealed([one.row for one in same], "before")


def _listed(one: Made, job: Job) -> Phone:
    try:
        return inventory.prestage(one.mac, one.target.model, one.target.site, job.created_by)
    except inventory.CannotList:  # heard, or listed by somebody, at this very moment
        raise ChangedMeanwhile(one.mac) from None
