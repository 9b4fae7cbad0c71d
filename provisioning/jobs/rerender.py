"""Phones whose layers changed get a new version, if their bytes change; many of them together.

Everything is read, rendered and encrypted outside any transaction. It is stored in short ones, under the condition
that nobody saved the phone meanwhile; whoever did is looked at again.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from django.db import transaction
from django.db.models import Model
from django.utils import timezone

from devices import batch, inventory
from devices.crypto import CannotDecrypt
from devices.mac import colons
from devices.models import Phone
from provisioning import file_key, outbox, plan, rendering
from provisioning.gxp.config import ConfigError, Problem
from provisioning.jobs import ours, telling
from provisioning.jobs.chunks import Outcome, by_ids
from provisioning.layers import stack, store
from provisioning.models import OPEN_STATES, ConfigFile, Job, JobFailure, Notify, NotifyKind, NotifyOrigin, NotifyState
from provisioning.rendering import Wanted

log = logging.getLogger(__name__)

STORED_AT_ONCE = 50  # versions in one transaction: SQLite's lock is held for some 15 ms. Our choice.
ROUNDS = 3  # how often a phone that somebody saves at the same moment is looked at anew
UNREADABLE = "Its stored secrets cannot be opened: put the key that they were written with back into GSPNP_FIELD_KEYS."
OUR_FAULT = "Something went wrong in gspnp itself; the worker's log has more. Report it."
BUSY = "It was saved by somebody at the same moment, three times over; start this again for it."


@dataclass(frozen=True)
class Made:
    """A version that is not stored yet; `own` is what the phone's own layer says from now on, if that is new."""

    version: ConfigFile
    own: Mapping[str, str | None] | None = field(default=None, repr=False)


@dataclass(frozen=True)
class _Rows:
    """Phones with what they are rendered from."""

    phones: list[Phone]
    files: Mapping[int, ConfigFile]
    layers: Mapping[int, stack.Stack] = field(repr=False)
    switched_on: Mapping[int, rendering.SwitchedOn] = field(repr=False)


def rerender(job: Job, phone_ids: Sequence[int]) -> Outcome:
    """Give each of these phones the version that its layers ask for now; unchanged ones are left alone."""
    outcome, left = Outcome(), list(phone_ids)
    for _ in range(ROUNDS):
        versions = list(_rendered(job, left, outcome))
        left = []
        for bite in batch.bites(versions, STORED_AT_ONCE):
            stored, again = _store(job, bite)
            outcome.changed += stored
            left += again
        if not left:
            return outcome
    outcome.failures += [JobFailure(job=job, phone_id=phone_id, message=BUSY) for phone_id in left]
    return outcome


run_chunk = by_ids(rerender)


def _rendered(job: Job, phone_ids: Sequence[int], outcome: Outcome) -> Iterator[Made]:
    """New versions, not stored yet, with their numbers; who cannot have one is noted as a failure."""
    try:
        rows = _read(phone_ids)
    except CannotDecrypt:
        if len(phone_ids) == 1:
            outcome.failures.append(JobFailure(job=job, phone_id=phone_ids[0], message=UNREADABLE))
            return
        for phone_id in phone_ids:  # one of them cannot be read; the others can
            yield from _rendered(job, [phone_id], outcome)
        return
    for phone in rows.phones:
        current = rows.files.get(phone.pk)
        if phone.known_model is None or phone.local_host is None or current is None:
            continue  # nothing was ever rendered for it: the first save will find the layers as they are
        try:
            made = _next(job, phone, current, rows)
        except ConfigError as error:
            outcome.failures += [_failure(job, phone, problem) for problem in error.problems]
        except CannotDecrypt:
            outcome.failures.append(JobFailure(job=job, phone=phone, message=UNREADABLE))
        except Exception:  # a fault of ours with one phone must not keep the others from their files
            log.exception("%s: it cannot be rendered", colons(phone.mac))
            outcome.failures.append(JobFailure(job=job, phone=phone, message=OUR_FAULT))
        else:
            if made is not None:
                yield made


def _read(phone_ids: Sequence[int]) -> _Rows:
    """What is needed to render these phones. Raises CannotDecrypt.

    The versions are read first: whoever saves a phone afterwards makes a newer one, and is found out when it is stored.
    """
    newest = batch.newest(ConfigFile, ("pk",), "phone", list(phone_ids), "number")
    files = ConfigFile.objects.filter(pk__in=[pk for (pk,) in newest]).defer(
        "body", "bootstrap", "first_secret", "login_secret"
    )
    current = {one.phone_id: one for one in files}
    phones = list(Phone.objects.filter(pk__in=phone_ids).prefetch_related("accounts", "keys").order_by("pk"))
    return _Rows(phones, current, stack.stacks(phones), rendering.switched_on_of(phones))


def _next(job: Job, phone: Phone, current: ConfigFile, rows: _Rows) -> Made | None:
    assert phone.known_model is not None
    base = plan.base_url(phone.local_host)
    before = rows.layers[phone.pk]
    layers = rendering.with_passwords(before, phone.known_model)
    wanted = Wanted(phone, phone.known_model, plan.draft_of(phone), layers, base, **rows.switched_on[phone.pk])
    version = rendering.next_version(wanted, current, by=job.created_by, why=ours.why(job, phone))
    if version is None:
        rendering.note_step(wanted, current)
        return None
    version.number = current.number + 1
    return Made(version, None if layers is before else wanted.own)


def _failure(job: Job, phone: Phone, problem: Problem) -> JobFailure:
    return JobFailure(job=job, phone=phone, field=problem.field[:80], message=problem.message[:300])


def _store(job: Job, made: Sequence[Made]) -> tuple[int, list[int]]:
    """Store versions and owe their NOTIFYs at the job's pace; for how many, and whom somebody saved meanwhile."""
    now = timezone.now()
    versions = [one.version for one in made]
    ids = [one.phone_id for one in versions]
    with transaction.atomic():
        state, note = telling.state_and_note(job)
        outbox.lock_phones(ids)
        numbers = dict(batch.newest(ConfigFile, ("phone", "number"), "phone", ids, "number"))
        # A save that changes no byte makes no version, and may change what the layers say all the same.
        saves = dict(batch.select(Phone, ("pk", "version"), "pk", ids))
        same = [
            one
            for one in versions
            if numbers.get(one.phone_id) == one.number - 1 and saves.get(one.phone_id) == one.phone.version
        ]
        # Who was ignored or forgotten since is not there any more.
        there = inventory.renew({one.phone_id: ours.words(job, one.phone) for one in same}, now)
        good = [one for one in same if one.phone_id in there]
        for one in good:
            one.created_at = now
        ids_of = insert_versions(good)
        for fresh in made:
            if fresh.own is not None and fresh.version.phone_id in ids_of:
                store.keep(fresh.version.phone, fresh.own, None, job.created_by)
        superseded = Notify.objects.filter(phone__in=there, kind=NotifyKind.PROFILE, state__in=OPEN_STATES)
        superseded.update(state=NotifyState.SUPERSEDED, settled_at=now)
        like = Notify(origin=NotifyOrigin.JOB, job_id=job.pk, state=state, note=note, created_at=now, next_at=now)
        turns = zip(good, telling.turns(job, len(good), now), strict=True)
        owe_notifies(like, [(one.phone_id, ids_of[one.phone_id], at) for one, at in turns])
    return len(good), [phone_id for phone_id in ids if phone_id in numbers.keys() - {one.phone_id for one in same}]


def insert_versions(versions: Sequence[ConfigFile]) -> dict[int, int]:
    """Store versions; their ids by phone. The caller has locked these."""
    file_key.carry(versions)
    names, rows = _columns(ConfigFile, versions)
    stored = batch.insert(ConfigFile, names, rows, unique="first_hash", returning=("phone", "pk"))
    return dict(stored)


def owe_notifies(like: Notify, rows: Sequence[tuple[int, int, datetime]]) -> None:
    """Owe such NOTIFYs: phone, version and turn of each. Django would take longer to make an object of each."""
    names, (row,) = _columns(Notify, [like])
    phone, version, turn = (names.index(name) for name in ("phone", "config_file", "next_at"))
    owed = []
    for phone_id, version_id, at in rows:
        one = row.copy()
        one[phone], one[version], one[turn] = phone_id, version_id, at
        owed.append(one)
    batch.insert(Notify, names, owed)


def _columns(model: type[Model], objects: Sequence[Model]) -> tuple[list[str], list[list[object]]]:
    """Unsaved objects as columns and rows."""
    fields = [field for field in model._meta.concrete_fields if not field.primary_key]
    return [field.name for field in fields], [[getattr(one, field.attname) for field in fields] for one in objects]
