"""What the console knows of the listeners: are phones heard, where, and what hinders it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from django.utils import timezone

from sipmcast.models import STALE_SECONDS, ListenerStatus


@dataclass(frozen=True)
class Listening:
    """The listeners with a fresh heartbeat: interfaces and troubles in words. `last_at` is the last sign of life."""

    running: bool = False
    interfaces: list[str] = field(default_factory=list)
    troubles: list[str] = field(default_factory=list)
    last_at: Any = None

    @property
    def interface_words(self) -> str:
        return ", ".join(self.interfaces) or "no interface yet"


def listening() -> Listening:
    """Read it now."""
    rows = list(ListenerStatus.objects.all())
    fresh_since = timezone.now() - timedelta(seconds=STALE_SECONDS)
    fresh = [row for row in rows if row.heartbeat_at >= fresh_since]
    return Listening(
        running=bool(fresh),
        interfaces=list(dict.fromkeys(name for row in fresh for name in row.interfaces)),
        troubles=list(dict.fromkeys(row.trouble for row in fresh if row.trouble)),
        last_at=max((row.heartbeat_at for row in rows), default=None),
    )
