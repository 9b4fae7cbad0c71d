"""What a listener writes of itself, for the console and pnp_doctor."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import timedelta

from django.utils import timezone
from prometheus_client.core import Metric

from devices.metrics import gauge
from sipmcast.models import STALE_SECONDS, ListenerStatus, is_fresh_at

TROUBLE_CHARS = 300
MAX_WARNINGS = 20
MAX_LISTENERS = 500  # that metrics tell of
TOLD_DAYS = 7  # so long: a site that was closed for good must not be an alarm for ever


@dataclass(frozen=True)
class Said:
    """One heartbeat's worth of news."""

    interfaces: list[str]
    trouble: str
    counters: dict[str, int]
    heard_at: dict[str, str] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)


def heartbeat(name: str, site: str, said: Said) -> None:
    """Say that this listener lives, where it listens, and what hinders it."""
    now = timezone.now()
    place, _, instance = name.partition("#")
    others = ListenerStatus.objects.filter(name=place).exclude(instance=instance)
    if not said.interfaces and others.filter(is_fresh_at(now)).exists():
        return  # a second one that hears nothing must not speak over the first
    row = {
        "site": site,
        "heartbeat_at": now,
        "interfaces": said.interfaces,
        "trouble": said.trouble[:TROUBLE_CHARS],
        "counters": said.counters,
        "heard_at": said.heard_at,
        "warnings": said.warnings[:MAX_WARNINGS],
        "stopped_at": None,
    }
    if not ListenerStatus.objects.filter(name=place, instance=instance).update(**row):
        row |= {"instance": instance, "started_at": now}
        ListenerStatus.objects.update_or_create(name=place, defaults=row)


def stopped(name: str) -> None:
    """Say that this listener is gone: nobody has to wait until its last sign of life is old."""
    place, _, instance = name.partition("#")
    now = timezone.now()
    gone = now - timedelta(seconds=STALE_SECONDS)
    mine = ListenerStatus.objects.filter(name=place, instance=instance)
    # Also one whose last beat is old, after a database that was away or a clock that was set: it is not silent.
    mine.update(stopped_at=now)
    mine.filter(heartbeat_at__gt=gone).update(heartbeat_at=gone - timedelta(milliseconds=1))


def metrics_of_all() -> Iterable[Metric]:
    """What the database says of every site's listeners: one row each."""
    now, ages, fresh = timezone.now(), dict[str, float](), dict[str, float]()
    lately = ListenerStatus.objects.filter(heartbeat_at__gt=now - timedelta(days=TOLD_DAYS))
    for row in lately.order_by("-heartbeat_at").only("site", "heartbeat_at", "alarmed_at", "stopped_at")[
        :MAX_LISTENERS
    ]:
        site, is_fresh = row.site, row.is_fresh
        age = max(0.0 if is_fresh else STALE_SECONDS, (now - row.heartbeat_at).total_seconds())
        ages[site] = min(age, ages.get(site, age))
        fresh[site] = fresh.get(site, 0) + is_fresh
    yield gauge("gspnp_listeners", "Listeners with a fresh heartbeat, by site.", fresh, "site")
    words = "Seconds since a listener of this site was heard from last."
    yield gauge("gspnp_listener_heartbeat_age_seconds", words, ages, "site")
