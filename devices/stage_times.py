"""How long phones take from each stage to the next, read from the events that tell it.

The transition is written by whoever sees it: the console, a helper of the listener, a door. One reader of the rows has
them all, each once, also those of processes that have ended since.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from typing import NamedTuple

import prometheus_client

from devices import choices, live, metrics
from devices.choices import EventKind, Stage
from devices.models import LiveEvent

READ_ROWS = 2000  # at a look
REMEMBERED = 50_000  # phones on their way; of another one the event before is looked up
LOOKED_UP = 200  # at a look: who began before we did is told of as far as that costs little
BACK_ROWS = 20_000  # how far back a new reader looks for what its predecessor has not read
ORDER = (Stage.SEEN, *choices.WAY)
TELLING = (EventKind.SEEN, EventKind.STAGE)
BUCKETS = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 30, 60, 120, 300, 600, 1800, 3600, 14_400, 86_400)

STEP = prometheus_client.Histogram(
    "gspnp_stage_seconds", "Time from one stage of a phone to the next.", ["since", "stage"],
    registry=None, buckets=BUCKETS,
)  # fmt: skip
WAY = prometheus_client.Histogram(
    "gspnp_way_seconds", "Time from a save to the proof that the phone has applied it.", registry=None, buckets=BUCKETS
)


class _Reached(NamedTuple):
    stage: str
    at: datetime
    assigned_at: datetime | None


class StageTimes:
    """A reader of the events, from its start on, or from what its predecessor had read `since`."""

    def __init__(self, since: datetime | None = None) -> None:
        self._since = since
        self._last: int | None = None
        self._reached: OrderedDict[str, _Reached] = OrderedDict()

    def look(self) -> int:
        """Read what has come; how many rows that were."""
        if self._last is None:
            self._last = self._begin()
        rows = live.after(self._last, READ_ROWS)
        if rows:
            self._read(rows)
            self._last = rows[-1].pk
        return len(rows)

    def _begin(self) -> int:
        newest = live.newest_id()
        if self._since is None:
            return newest
        # A predecessor may have read the last second before its last sign of life, or not: it begins with that.
        since = self._since - timedelta(seconds=1)
        missed = LiveEvent.objects.filter(pk__gt=newest - BACK_ROWS, pk__lte=newest, at__gte=since)
        first = missed.order_by("pk").values_list("pk", flat=True).first()
        return newest if first is None else first - 1

    def _read(self, rows: Sequence[LiveEvent]) -> None:
        telling = [row for row in rows if row.kind in TELLING]
        self._look_up(telling)
        for row in telling:
            self._take(row)
        for row in rows:
            if row.kind == EventKind.FORGOTTEN:
                self._reached.pop(row.mac, None)
        while len(self._reached) > REMEMBERED:
            self._reached.popitem(last=False)

    def _look_up(self, rows: Iterable[LiveEvent]) -> None:
        """Where those stood of whom we have heard nothing yet."""
        unknown: dict[str, int] = {}
        for row in rows:
            if row.mac not in self._reached and row.kind != EventKind.SEEN and row.stage != Stage.SEEN:
                unknown.setdefault(row.mac, row.pk)
        for mac, before in list(unknown.items())[:LOOKED_UP]:
            told = LiveEvent.objects.filter(mac=mac, pk__lt=before, kind__in=TELLING).order_by("-pk")
            found = told.values_list("stage", "at").first()
            if found is not None:
                self._reached[mac] = _Reached(*found, found[1] if found[0] == Stage.ASSIGNED else None)

    def _take(self, row: LiveEvent) -> None:
        before = self._reached.pop(row.mac, None)
        if row.stage not in ORDER:
            return
        assigned_at = row.at if row.stage == Stage.ASSIGNED else before and before.assigned_at
        if before is not None and before.stage == row.stage and row.stage != Stage.ASSIGNED:
            self._reached[row.mac] = before  # it tells something else
            return
        self._reached[row.mac] = _Reached(row.stage, row.at, assigned_at)
        if before is None or before.stage not in ORDER or ORDER.index(before.stage) >= ORDER.index(row.stage):
            return
        STEP.labels(str(before.stage), str(row.stage)).observe(max(0.0, (row.at - before.at).total_seconds()))
        if row.stage == Stage.APPLIED and assigned_at is not None:
            WAY.observe(max(0.0, (row.at - assigned_at).total_seconds()))


def show() -> None:
    """This process reads them, and shows them."""
    for since, stage in pairwise(ORDER):  # each is there from the beginning: what appears late has no increase
        STEP.labels(str(since), str(stage))
    metrics.show(STEP)
    metrics.show(WAY)
