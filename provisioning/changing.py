"""The use case "change a layer": say what it would do, then store it and bring its phones after, as a job."""

from __future__ import annotations

import secrets
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from django.db import transaction
from django.utils.translation import gettext, gettext_lazy

from provisioning.gxp.entries import LEFT_ALONE, shown
from provisioning.gxp.layers import Values
from provisioning.jobs import runner
from provisioning.jobs.pace import TOLD
from provisioning.layers import scope, store
from provisioning.models import Job, SettingsLayer

NOT_SAID = gettext_lazy("not said")


@dataclass(frozen=True)
class LayerChange:
    """One name of a layer that is about to say something else, in words; secrets are masked."""

    name: str
    before: str
    after: str


@dataclass(frozen=True)
class Preview:
    """What storing these values would do. `touched` are the ids of the phones whose settings change."""

    values: Mapping[str, str | None]
    changes: list[LayerChange]
    reached: int
    touched: list[int]


def preview(layer: SettingsLayer, values: Values, hidden: Collection[str] = ()) -> Preview:
    """Look, and write nothing. Raises ConfigError with every problem, and CannotDecrypt.

    `hidden` are secrets that were typed by somebody who must not learn whether they are the ones that are there: each
    counts as another one than anybody has.
    """
    read = store.read(values)
    unlike = read | {name: secrets.token_hex() for name in hidden if read.get(name) is not None}
    return Preview(read, changes(layer.values, unlike), scope.reached(layer), scope.touched(layer, unlike))


def changes(before: Values, after: Values) -> list[LayerChange]:
    """What differs between two states of a layer, in the order of the names."""
    return [
        LayerChange(name, _words(before, name), _words(after, name))
        for name in sorted({*before, *after})
        if name not in before or name not in after or before[name] != after[name]
    ]


def _words(values: Values, name: str) -> str:
    if name not in values:
        return str(NOT_SAID)
    if values[name] is None:
        return gettext(LEFT_ALONE)
    return shown(name, values[name]) or gettext("empty")


def change(
    layer: SettingsLayer, values: Values, *, by: str, note: str | None = None, pace_per_minute: float = TOLD.offered
) -> tuple[SettingsLayer, Job | None]:
    """Store the layer as its reader saw it, and start the job that gives its phones their new versions; no job if it
    reaches none. Both or nothing. Raises ConfigError, VersionConflict and JobError."""
    read = store.read(values)
    with transaction.atomic():
        saved = store.save(layer, read, by=by, note=note)
        if not scope.reached(saved):
            return saved, None
        job = runner.start(f"Settings of {saved}", scope.scope_of(saved), by=by, pace_per_minute=pace_per_minute)
    return saved, job
