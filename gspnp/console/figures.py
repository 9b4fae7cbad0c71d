"""What the overview counts. Each figure is read from an index or from few rows, and kept for a moment.

Time is cut at the reader's own hours and days, so each bucket is a range of its own and one look at an index. What
has passed does not change any more, or little: such a bucket is counted once in ten minutes by each process.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import partial
from typing import Any

from django.db.models import Count, Q
from django.utils import timezone

from devices.models import Phone
from gspnp.console import narrow, reasons
from gspnp.console.filters import Counts
from gspnp.console.rows import OFFLINE, ONLINE
from provisioning.gxp import firmware
from provisioning.gxp.firmware import Hole
from provisioning.jobs import alive
from provisioning.models import DoorHour, Download, Job, JobState, WorkerStatus
from sipmcast.models import ListenerStatus

KEPT_SECONDS = 2.0  # figures of now: however many browsers look, they are counted once in this time
PAST_KEPT_SECONDS = 600.0
SETTLED_AFTER = timedelta(minutes=1)  # a row is stamped before its transaction commits
REMEMBERED_AT_MOST = 2_000  # buckets: two figures, in each time zone that somebody looks from
REASONS_READ = 500
HOURS, DAYS = 24, 30


@dataclass(frozen=True)
class Bucket:
    """A span of time, `start` in the reader's zone, and what was counted in it by name."""

    start: datetime
    end: datetime
    counts: dict[str, int]


@dataclass(frozen=True)
class ModelRuns:
    """Phones of one model: with a known hole, without one, and of unknown firmware."""

    model: str
    unsafe: int
    safe: int
    unclear: int

    @property
    def total(self) -> int:
        return self.unsafe + self.safe + self.unclear


@dataclass(frozen=True)
class Fleet:
    """Where phones stand. `uncounted` are of models or versions beyond the ones that are looked at."""

    stages: Mapping[str, int]
    in_sight: int
    online: int
    offline: int
    models: list[ModelRuns]
    holes: list[tuple[Hole, int]]
    unsafe: int
    uncounted: int
    stopped: list[tuple[reasons.Kind, int]]
    alarms: int
    attention: int


@dataclass(frozen=True)
class Parts:
    """The programs that work in the background, and the work that waits for them."""

    listeners: list[tuple[ListenerStatus, bool]]
    workers: list[tuple[WorkerStatus, bool]]
    jobs: dict[str, int]


class Memory:
    """Values that are worked out at most once in some time; two askers at once may both work it out."""

    def __init__(self) -> None:
        self._kept: dict[Any, tuple[float, Any]] = {}
        self._lock = threading.Lock()

    def get(self, key: Any, seconds: float, work: Callable[[], Any]) -> Any:
        """The value of `key`, not older than `seconds`."""
        now = time.monotonic()
        with self._lock:
            until, value = self._kept.get(key, (0.0, None))
        if now < until:
            return value
        value = work()
        with self._lock:
            if len(self._kept) >= REMEMBERED_AT_MOST:
                self._kept = {key: kept for key, kept in self._kept.items() if kept[0] > now}
                if len(self._kept) >= REMEMBERED_AT_MOST:
                    self._kept.clear()
            self._kept[key] = (now + seconds, value)
        return value

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._kept.clear()


memory = Memory()


def fleet() -> Fleet:
    """Where phones stand now."""
    return memory.get("fleet", KEPT_SECONDS, _fleet)


def parts() -> Parts:
    """Listeners, workers and jobs, as they are at this moment."""
    jobs = Job.objects.order_by().exclude(state__in=(JobState.DONE, JobState.CANCELLED)).values_list("state")
    return Parts(
        [(row, row.is_fresh) for row in ListenerStatus.objects.all()],
        [(row, alive.is_fresh(row)) for row in WorkerStatus.objects.order_by("machine")],
        dict(jobs.annotate(Count("pk"))),
    )


def arrivals_by_hour() -> list[Bucket]:
    """New phones in each of the last hours, the present one last."""
    return _counted("arrived", hours(HOURS), _arrived)


def arrivals_by_day() -> list[Bucket]:
    """The same by the reader's days."""
    return _counted("arrived", days(DAYS), _arrived)


def downloads() -> list[Bucket]:
    """What the phones' door served and refused in each of the last hours."""
    buckets = _counted("fetched", hours(HOURS), _fetched)
    columns = ("refused", "refused_strangers", "broken_off")
    door = list(DoorHour.objects.filter(hour__gte=buckets[0].start).values_list("hour", *columns))
    for bucket in buckets:
        # The door counts by the clock's hours: in a zone that lies beside them each belongs where it begins.
        mine = [counts for hour, *counts in door if bucket.start <= hour < bucket.end]
        bucket.counts.update({name: sum(row[at] for row in mine) for at, name in enumerate(columns)})
    return buckets


# --- how it is counted --------------------------------------------------------------------------------------------


def _fleet() -> Fleet:
    counts, runs = Counts(), narrow.runs()
    models: dict[str, ModelRuns] = {}
    holes: dict[Hole, int] = dict.fromkeys(firmware.all_holes(), 0)
    for model, version, count in runs:
        found, before = firmware.holes(model, version), models.get(model, ModelRuns(model, 0, 0, 0))
        for hole in found:
            holes[hole] += count
        unclear = not found and bool(firmware.version_fault(version))
        models[model] = ModelRuns(
            model,
            before.unsafe + (count if found else 0),
            before.safe + (0 if found or unclear else count),
            before.unclear + (count if unclear else 0),
        )
    return Fleet(
        counts.stages,
        counts.working,
        counts.reaches[ONLINE],
        counts.reaches[OFFLINE],
        sorted(models.values(), key=lambda row: (-row.total, row.model)),
        [(hole, count) for hole, count in holes.items() if count],
        sum(row.unsafe for row in models.values()),
        max(0, counts.working - sum(count for _model, _version, count in runs)),
        _stopped(),
        Phone.objects.exclude(alarm="").count(),
        counts.attention,
    )


def _stopped() -> list[tuple[reasons.Kind, int]]:
    rows = Phone.objects.exclude(stage_reason="").order_by().values_list("stage_reason", "stage")
    counts: dict[str, int] = {}
    for reason, stage, count in rows.annotate(count=Count("pk")).order_by("-count")[:REASONS_READ]:
        if stage in reasons.WAY:
            key = reasons.kind_of(reason).key
            counts[key] = counts.get(key, 0) + count
    return sorted(((reasons.BY_KEY[key], count) for key, count in counts.items()), key=lambda row: -row[1])


def _arrived(start: datetime, end: datetime) -> dict[str, int]:
    return {"arrived": Phone.objects.filter(first_seen_at__gte=start, first_seen_at__lt=end).count()}


def _fetched(start: datetime, end: datetime) -> dict[str, int]:
    whole = Q(counts=True)
    return Download.objects.filter(at__gte=start, at__lt=end).aggregate(
        complete=Count("pk", filter=whole & Q(status=200)),
        unchanged=Count("pk", filter=whole & Q(status=304)),
        partial=Count("pk", filter=~whole),
    )


def _counted(what: str, spans: list[tuple[datetime, datetime]], count: Callable) -> list[Bucket]:
    settled = timezone.now() - SETTLED_AFTER
    return [
        Bucket(
            start,
            end,
            dict(
                memory.get(
                    (what, start.timestamp(), end.timestamp()),
                    PAST_KEPT_SECONDS if end <= settled else KEPT_SECONDS,
                    partial(count, start, end),
                )
            ),
        )
        for start, end in spans
    ]


def hours(number: int) -> list[tuple[datetime, datetime]]:
    """The last hours of the reader's clock, the present one last; each lasts 3600 s, whatever the clock does."""
    now = timezone.localtime()
    zone = now.tzinfo
    first = now.replace(minute=0, second=0, microsecond=0).astimezone(UTC) - timedelta(hours=number - 1)
    edges = [(first + timedelta(hours=at)).astimezone(zone) for at in range(number + 1)]
    return list(zip(edges, edges[1:], strict=False))


def days(number: int) -> list[tuple[datetime, datetime]]:
    """The last days of the reader's calendar, today last; some of them have 23 or 25 hours."""
    today = timezone.localdate()
    edges = [_midnight(today - timedelta(days=number - 1 - at)) for at in range(number + 1)]
    return list(zip(edges, edges[1:], strict=False))


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=timezone.get_current_timezone())
