"""What the console knows of the listeners: are phones heard, where, and what hinders it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from django.utils import timezone
from django.utils.translation import gettext as _

from sipmcast.models import STALE_SECONDS, ListenerStatus

_NUMBER = re.compile(r"\d[\d,]*[.,;:]?")


@dataclass(frozen=True)
class Remark:
    """What a listener says of itself. `speaker` names it if there are several."""

    speaker: str
    words: str
    is_one_of_several: bool = False

    @property
    def key(self) -> str:
        """The same while only its counts grow: a person who has put it aside is not told of each. Addresses stay."""
        words = " ".join("#" if _NUMBER.fullmatch(word) else word for word in self.words.split())
        return f"{self.speaker}: {words}"


@dataclass(frozen=True)
class Listening:
    """The listeners with a fresh heartbeat: interfaces, and what hinders them or should be looked at, in words.

    `last_at` is the last sign of life.
    """

    running: bool = False
    interfaces: list[str] = field(default_factory=list)
    troubles: list[Remark] = field(default_factory=list)
    warnings: list[Remark] = field(default_factory=list)
    last_at: Any = None

    @property
    def interface_words(self) -> str:
        return ", ".join(self.interfaces) or _("no interface yet")


def listening() -> Listening:
    """Read it now."""
    rows = list(ListenerStatus.objects.all())
    fresh_since = timezone.now() - timedelta(seconds=STALE_SECONDS)
    fresh = [row for row in rows if row.heartbeat_at >= fresh_since]
    return Listening(
        running=bool(fresh),
        interfaces=list(dict.fromkeys(name for row in fresh for name in row.interfaces)),
        troubles=_remarks(fresh, ((row, row.trouble) for row in fresh)),
        warnings=_remarks(fresh, ((row, words) for row in fresh for words in row.warnings)),
        last_at=max((row.heartbeat_at for row in rows), default=None),
    )


def _remarks(fresh: list[ListenerStatus], said: Iterable[tuple[ListenerStatus, str]]) -> list[Remark]:
    several = len(fresh) > 1
    named = (Remark(_speaker(row, several), words, several) for row, words in said if words)
    return list(dict.fromkeys(named))


def _speaker(row: ListenerStatus, several: bool) -> str:
    return _("The listener %(name)s") % {"name": row.name} if several else _("The listener")
