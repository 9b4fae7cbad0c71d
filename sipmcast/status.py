"""What a listener writes of itself, for the console and pnp_doctor."""

from dataclasses import dataclass, field
from datetime import timedelta

from django.utils import timezone

from sipmcast.models import STALE_SECONDS, ListenerStatus

TROUBLE_CHARS = 300
MAX_WARNINGS = 20


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
    if not said.interfaces and others.filter(heartbeat_at__gt=now - timedelta(seconds=STALE_SECONDS)).exists():
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
    mine = ListenerStatus.objects.filter(name=place, instance=instance, heartbeat_at__gt=gone)
    mine.update(heartbeat_at=gone - timedelta(milliseconds=1), stopped_at=now)
