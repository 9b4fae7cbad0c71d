"""Phones whose layers changed get a new version, if their bytes change; many of them together.

Everything is read, rendered and encrypted outside any transaction. It is stored in short ones, under the condition
that nobody saved the phone meanwhile; whoever did is looked at again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import islice

from django.db import transaction
from django.db.models import Model
from django.utils import timezone

from devices import batch, inventory
from devices.crypto import CannotDecrypt
from devices.models import Phone
from provisioning import outbox, plan, rendering
from provisioning.firmware import pins
from provisioning.gxp.config import ConfigError, Problem
from provisioning.layers import stack
from provisioning.models import OPEN_STATES, ConfigFile, Job, JobFailure, Notify, NotifyKind, NotifyOrigin, NotifyState
from provisioning.phonebook import books
from provisioning.rendering import Wanted

STORED_AT_ONCE = 50  # versions in one transaction: SQLite's lock is held for some 15 ms. Our choice.
ROUNDS = 3  # how often a phone that somebody saves at the same moment is looked at anew
UNREADABLE = "Its stored secrets cannot be opened: put the key that they were written with back into GSPNP_FIELD_KEYS."
BUSY = "It was saved by somebody at the same moment, three times over; start this again for it."


@dataclass
class Outcome:
    """What became of a chunk of phones."""

    changed: int = 0
    failures: list[JobFailure] = field(default_factory=list)


def rerender(job: Job, phone_ids: Sequence[int]) -> Outcome:
    """Give each of these phones the version that its layers ask for now; unchanged ones are left alone."""
    outcome, left = Outcome(), list(phone_ids)
    for _ in range(ROUNDS):
        versions = list(_rendered(job, left, outcome))
        left = []
        for bite in _bites(versions):
            stored, again = _store(job, bite, outcome.changed)
            outcome.changed += stored
            left += again
        if not left:
            return outcome
    outcome.failures += [JobFailure(job=job, phone_id=phone_id, message=BUSY) for phone_id in left]
    return outcome


def _rendered(job: Job, phone_ids: Sequence[int], outcome: Outcome) -> Iterator[ConfigFile]:
    """New versions, not stored yet, with their numbers; who cannot have one is noted as a failure."""
    phones = list(Phone.objects.filter(pk__in=phone_ids).prefetch_related("accounts", "keys").order_by("pk"))
    newest = batch.newest(ConfigFile, ("pk",), "phone", [phone.pk for phone in phones], "number")
    files = ConfigFile.objects.filter(pk__in=[pk for (pk,) in newest])
    current = {one.phone_id: one for one in files.defer("body", "bootstrap", "first_secret")}
    layers, steps, books_of = stack.stacks(phones), pins.next_versions(phones), books.secrets()
    for phone in phones:
        if phone.known_model is None or phone.local_host is None or phone.pk not in current:
            continue  # nothing was ever rendered for it: the first save will find the layers as they are
        try:
            version = _next(job, phone, layers[phone.pk], current[phone.pk], steps.get(phone.pk, ""), books_of)
        except ConfigError as error:
            outcome.failures += [_failure(job, phone, problem) for problem in error.problems]
        except CannotDecrypt:
            outcome.failures.append(JobFailure(job=job, phone=phone, message=UNREADABLE))
        else:
            if version is not None:
                yield version


def _next(
    job: Job, phone: Phone, layers: stack.Stack, current: ConfigFile, step: str, books_of: Mapping[str, str]
) -> ConfigFile | None:
    assert phone.known_model is not None
    base = plan.base_url(phone.local_host)
    wanted = Wanted(phone, phone.known_model, plan.draft_of(phone), layers, base, step, books_of.get(phone.site, ""))
    version = rendering.next_version(wanted, current, by=job.created_by, why=job.title)
    if version is not None:
        version.number = current.number + 1
    return version


def _failure(job: Job, phone: Phone, problem: Problem) -> JobFailure:
    return JobFailure(job=job, phone=phone, field=problem.field[:80], message=problem.message[:300])


def _bites(versions: Sequence[ConfigFile]) -> Iterator[list[ConfigFile]]:
    left = iter(versions)
    while bite := list(islice(left, STORED_AT_ONCE)):
        yield bite


def _store(job: Job, versions: Sequence[ConfigFile], before: int) -> tuple[int, list[int]]:
    """Store versions and owe their NOTIFYs at the job's pace; for how many, and whom somebody saved meanwhile."""
    now = timezone.now()
    ids = [one.phone_id for one in versions]
    with transaction.atomic():
        outbox.lock_phones(ids)
        numbers = dict(batch.newest(ConfigFile, ("phone", "number"), "phone", ids, "number"))
        same = [one for one in versions if numbers.get(one.phone_id) == one.number - 1]
        # Who was ignored or forgotten since is not there any more.
        there = inventory.renew([one.phone_id for one in same], f"{job.title}, by {job.created_by}.", now)
        good = [one for one in same if one.phone_id in there]
        for one in good:
            one.created_at = now
        ids_of = _insert(good)
        superseded = Notify.objects.filter(phone__in=there, kind=NotifyKind.PROFILE, state__in=OPEN_STATES)
        superseded.update(state=NotifyState.SUPERSEDED, settled_at=now)
        owed = [_owed(job, one.phone_id, ids_of[one.phone_id], before + place, now) for place, one in enumerate(good)]
        batch.insert(Notify, *_columns(Notify, owed))
    return len(good), [phone_id for phone_id in ids if phone_id in numbers.keys() - {one.phone_id for one in same}]


def _insert(versions: Sequence[ConfigFile]) -> dict[int, int]:
    """Store versions; their ids by phone."""
    names, rows = _columns(ConfigFile, versions)
    stored = batch.insert(ConfigFile, names, rows, unique="first_hash", returning=("phone", "pk"))
    return dict(stored)


def _columns(model: type[Model], objects: Sequence[Model]) -> tuple[list[str], list[list[object]]]:
    """Unsaved objects as columns and rows."""
    fields = [field for field in model._meta.concrete_fields if not field.primary_key]
    return [field.name for field in fields], [[getattr(one, field.attname) for field in fields] for one in objects]


def _owed(job: Job, phone_id: int, version_id: int, place: int, now: datetime) -> Notify:
    at = (job.started_at or now) + timedelta(seconds=(job.changed + place) / job.pace_per_second)
    return Notify(
        phone_id=phone_id,
        config_file_id=version_id,
        origin=NotifyOrigin.JOB,
        created_at=now,
        next_at=max(now, at),
    )
