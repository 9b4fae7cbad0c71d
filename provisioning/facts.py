"""What the database says of the outbox, of jobs and of workers, for metrics; and how one process shows all such facts.

They are the same whoever asks, so the worker alone shows them: two doors would count each phone twice.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable

from django.db import DatabaseError
from django.db.models import Count
from django.utils import timezone
from prometheus_client.core import GaugeMetricFamily, Metric

from devices import metrics
from devices.metrics import FACTS_SECONDS, gauge
from provisioning.models import OPEN_STATES, Job, JobState, Notify, NotifyState, WorkerStatus

log = logging.getLogger(__name__)


def of_outbox() -> Iterable[Metric]:
    """Owed NOTIFYs, and since when the oldest is due."""
    opened = Notify.objects.filter(state__in=OPEN_STATES).order_by().values_list("state").annotate(count=Count("pk"))
    owed = dict.fromkeys(map(str, OPEN_STATES), 0) | dict(opened)
    yield gauge("gspnp_notifies_owed", "NOTIFYs that have not ended, by state.", owed, "state")
    now = timezone.now()
    due = Notify.objects.filter(state=NotifyState.WAITING, next_at__lte=now).order_by("next_at")
    oldest = due.values_list("next_at", flat=True).first()
    age = 0.0 if oldest is None else (now - oldest).total_seconds()
    yield GaugeMetricFamily("gspnp_notifies_oldest_due_seconds", "Since when the oldest NOTIFY is due; 0: none.", age)


def of_work() -> Iterable[Metric]:
    """Jobs by state, and the youngest sign of life of a worker."""
    counted = Job.objects.order_by().values_list("state").annotate(count=Count("pk"))
    jobs = dict.fromkeys(map(str, JobState), 0) | dict(counted)
    yield gauge("gspnp_jobs", "Jobs by state.", jobs, "state")
    beat = WorkerStatus.objects.order_by("-heartbeat_at").values_list("heartbeat_at", flat=True).first()
    age = -1.0 if beat is None else max(0.0, (timezone.now() - beat).total_seconds())
    yield GaugeMetricFamily("gspnp_worker_heartbeat_age_seconds", "Since a worker's last round began; -1: never.", age)


class Facts:
    """All of them, read together and kept for a while. A database that is away is told, and keeps nothing else away."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._until = -FACTS_SECONDS
        self._kept: list[Metric] = []

    def __call__(self) -> Iterable[Metric]:
        now = self._clock()
        if now >= self._until:
            self._kept = self._read()
            self._until = now + FACTS_SECONDS
        return self._kept

    def _read(self) -> list[Metric]:
        begun = time.perf_counter()
        try:
            found = [family for read in metrics.facts for family in read()]
            known = 1
        except DatabaseError as error:
            log.warning("metrics hold no counts of phones: the database cannot be asked (%s)", type(error).__name__)
            found, known = [], 0
        took = time.perf_counter() - begun
        return [
            *found,
            GaugeMetricFamily("gspnp_facts_known", "1 if the database could be asked for what stands in it.", known),
            GaugeMetricFamily("gspnp_facts_read_seconds", "How long it took to read that.", took),
        ]
