"""Rows of an import on their way into the database, forward or back: read, rendered outside any lock, stored in one
short transaction. The files are the renderer's own (rendering.py); nothing here decides what is wanted."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db.models import F
from django.utils import timezone

from devices import batch, inventory
from devices.catalog import find_model
from devices.choices import EventKind, Stage
from devices.inventory import Whole
from devices.mac import colons
from devices.models import Phone
from provisioning import assignment, outbox, plan, rendering
from provisioning.gxp.config import ConfigError
from provisioning.importing import planning
from provisioning.importing.columns import Target
from provisioning.importing.models import ImportRow
from provisioning.jobs import kinds
from provisioning.jobs.models import Job
from provisioning.jobs.rerender import insert_versions, owe_notifies
from provisioning.layers import stack, store
from provisioning.layers.models import LayerLevel, SettingsLayer
from provisioning.models import OPEN_STATES, ConfigFile, Notify, NotifyKind, NotifyOrigin, NotifyState

STORED_AT_ONCE = 15  # phones in one transaction: SQLite's lock is held for some 20 ms. Our choice.
HELD = kinds.IMPORTING.gathered


class ReadAgain(Exception):
    """A job gave one of the phones a newer version since it was read: read and render once more."""


class ChangedMeanwhile(Exception):
    """One of the phones is not any more what was read."""

    def __init__(self, mac: str) -> None:
        super().__init__(colons(mac))


@dataclass
class Made:
    """A row with the phone as it was read, what it shall have, and its file, or why there can be none."""

    row: ImportRow
    before: Mapping[str, Any] = field(repr=False)
    """What the preview saw; empty for a phone that was not listed."""
    target: Target
    phone: Phone | None
    given: tuple[str, ...] = ()
    """Extensions whose secrets the directory gave."""
    entries: Mapping[int, int] = field(default_factory=dict)
    """The versions of their entries by id, as the preview read them."""
    version: ConfigFile | None = None
    own: Mapping[str, str | None] | None = field(default=None, repr=False)
    fault: str = ""

    @property
    def mac(self) -> str:
        return self.row.mac

    @property
    def there(self) -> Phone:
        """The phone, once it is known to be there."""
        assert self.phone is not None
        return self.phone


def opened(sealed: bytes | memoryview | None) -> dict[str, Any]:
    """What a row keeps; nothing if it keeps nothing. Raises CannotDecrypt."""
    found: dict[str, Any] | None = None if sealed is None else json.loads(bytes(sealed))
    return found or {}


def is_listed_anew(one: Made) -> bool:
    """Whether another row has this MAC now: its versions began anew, and may have come to the same number again."""
    return one.phone is not None and one.before.get("phone", one.phone.pk) != one.phone.pk


def newest_files(phones: Sequence[Phone]) -> dict[int, ConfigFile]:
    """The newest version of each phone's file. Read them before the layers: whoever saves a phone afterwards makes a
    newer one, and is found out when it is stored."""
    newest = batch.newest(ConfigFile, ("pk",), "phone", [one.pk for one in phones], "number")
    rows = ConfigFile.objects.filter(pk__in=[pk for (pk,) in newest])
    return {one.phone_id: one for one in rows.defer("body", "bootstrap", "first_secret")}


def render(job: Job, made: Sequence[Made], files: Mapping[int, ConfigFile]) -> None:
    """Make the files of those phones whose address is known; the others get theirs when they are plugged in.

    Who cannot have one gets its `fault`. Raises CannotDecrypt.
    """
    ready = [one for one in made if one.phone and one.phone.local_host and planning.wants_file(one.phone, one.target)]
    shadows = [planning.shadow(one.phone, one.mac, one.target, 0) for one in ready]
    layers, switched = stack.stacks(shadows), rendering.switched_on_of(shadows)
    templates = _templates(ready)
    for one, phone in zip(ready, shadows, strict=True):
        model, read = find_model(phone.model), layers[phone.pk]
        if model is None:
            one.fault = f"{phone.model} cannot be configured."
            continue
        if one.before.get("templates") != list(one.target.templates) or one.before.get("back"):
            missing = [name for name in one.target.templates if name not in templates]
            if missing:
                one.fault = f"The template {missing[0]} is gone."
                continue
            read = store.with_templates(read, [templates[name] for name in one.target.templates])
        complete = rendering.with_passwords(read, model)
        draft = plan.Draft(one.target.accounts, one.target.keys)
        base, current = plan.base_url(phone.local_host), files.get(phone.pk)
        wanted = rendering.Wanted(phone, model, draft, complete, base, **switched[phone.pk])
        try:
            version = rendering.next_version(wanted, current, by=job.created_by, why=job.title, anew=True)
        except ConfigError as error:
            one.fault = error.problems[0].message
            continue
        assert version is not None  # it was asked for anew
        version.number = current.number + 1 if current else 1
        one.version, one.own = version, None if complete is read else wanted.own


def _templates(made: Sequence[Made]) -> dict[str, SettingsLayer]:
    names = {name for one in made for name in one.target.templates}
    return {one.name: one for one in SettingsLayer.objects.filter(level=LayerLevel.TEMPLATE, name__in=names)}


def lock(made: Sequence[Made]) -> None:
    """Lock the phones, and look whether they are still what was read. Raises ChangedMeanwhile, ReadAgain."""
    phones = [one.phone for one in made if one.phone is not None]
    outbox.lock_phones([phone.pk for phone in phones])
    for phone in inventory.changed_since(phones):
        raise ChangedMeanwhile(phone.mac)
    rendered = {one.there.pk: one.version for one in made if one.version is not None}
    numbers = dict(batch.newest(ConfigFile, ("phone", "number"), "phone", list(rendered), "number"))
    if any(numbers.get(phone_id, 0) != version.number - 1 for phone_id, version in rendered.items()):
        raise ReadAgain


def write(job: Job, made: Sequence[Made], now: datetime) -> None:
    """Phones, templates, files and held NOTIFYs of what was locked; call it in the same transaction."""
    inventory.rewrite([_whole(one, job, now) for one in made], now)
    for one in made:
        for number in one.given:
            inventory.tell(one.there.pk, EventKind.LOOKED, assignment.given_words(number, job.created_by))
    replace_templates(made)
    _store_files(job, [one for one in made if one.version is not None], now)


def _whole(one: Made, job: Job, now: datetime) -> Whole:
    phone, target = one.there, one.target
    assigned = planning.wants_file(phone, target)
    waits = assigned and one.version is None
    return Whole(
        phone,
        plan.account_rows(phone, target.accounts),
        plan.key_rows(phone, target.keys),
        site=target.site,
        stage=Stage.ASSIGNED if assigned else Stage(phone.stage),
        stage_reason=inventory.WAITS if waits else "" if assigned else phone.stage_reason,
        stage_at=now if assigned else phone.stage_at,
        awaits_file=waits,
        text=f"{job.title}, by {job.created_by}.",
    )


def replace_templates(made: Sequence[Made]) -> None:
    """Give the phones exactly the templates that they shall have, where that is something else."""
    has = planning.templates_of([one.there for one in made])
    changed = {one.there.pk: one.target.templates for one in made if has[one.there.pk] != one.target.templates}
    if changed:
        store.replace_templates(changed)


def _store_files(job: Job, made: Sequence[Made], now: datetime) -> None:
    versions = [one.version for one in made if one.version is not None]
    for version in versions:
        version.created_at = now
    ids = insert_versions(versions)
    for one in made:
        one.row.file_id = ids[one.there.pk]
        if one.own is not None:
            store.keep(one.there, one.own, None, job.created_by)
    open_rows = Notify.objects.filter(phone__in=list(ids), kind=NotifyKind.PROFILE, state__in=OPEN_STATES)
    open_rows.update(state=NotifyState.SUPERSEDED, settled_at=now)
    like = Notify(
        origin=NotifyOrigin.JOB, job_id=job.pk, state=NotifyState.WITHHELD, note=HELD, created_at=now, next_at=now
    )
    owe_notifies(like, [(one.there.pk, ids[one.there.pk], now) for one in made])


def came_further(job: Job, rows: Sequence[ImportRow], *, changed: int = 0, failed: int = 0) -> None:
    """Note what became of these rows, and that the job has done them; call it in the same transaction."""
    names = ("pk", "state", "version", "file_id", "note")
    batch.update(ImportRow, names, [[getattr(row, name) for name in names] for row in rows])
    Job.objects.filter(pk=job.pk).update(
        done=F("done") + len(rows), changed=F("changed") + changed, failed=F("failed") + failed, beat_at=timezone.now()
    )


def forget_sealed(rows: Sequence[ImportRow], name: str) -> None:
    """Delete what these rows keep encrypted under that name."""
    ImportRow.objects.filter(pk__in=[row.pk for row in rows]).update(**{name: None})
