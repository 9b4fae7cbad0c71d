"""What the console knows of the listeners: are phones heard, where, and what hinders it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from django.utils import timezone

from sipmcast.models import ListenerStatus

HEARTBEAT_SECONDS = 15  # a listener that was silent for longer is taken for gone; our choice


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
    fresh_since = timezone.now() - timedelta(seconds=HEARTBEAT_SECONDS)
    fresh = [row for row in rows if row.heartbeat_at >= fresh_since]
    interfaces = dict.fromkeys(words for row in fresh for entry in row.interfaces for words in [_words(entry)])
    return Listening(
        running=bool(fresh),
        interfaces=list(interfaces),
        troubles=list(dict.fromkeys(row.trouble for row in fresh if row.trouble)),
        last_at=max((row.heartbeat_at for row in rows), default=None),
    )


def _words(entry: Any) -> str:
    """An interface as a listener wrote it, a name or a mapping with name and address, for people."""
    if isinstance(entry, dict):
        name = str(entry.get("name") or entry.get("interface") or "")
        address = str(entry.get("address") or entry.get("host") or "")
        return f"{name} ({address})" if name and address else name or address
    return " ".join(map(str, entry)) if isinstance(entry, list | tuple) else str(entry)
