"""What the console knows of the listeners: are phones heard, where, and what hinders it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from devices.alarms import SEVERAL
from devices.choices import AlarmKind
from devices.models import Alarm, Phone
from sipmcast.models import ListenerStatus

LISTENER_AWAY = gettext_lazy("Waiting for the listener, which is not running.")
NAMED = 3  # listeners that say the same thing; all stand on the page of listeners. Our choice.
_NUMBER = re.compile(r"\d[\d,]*[.,;:]?")


@dataclass(frozen=True)
class Remark:
    """What a listener says of itself. `speaker` names it if there are several; it may be `many` that say the same."""

    speaker: str
    words: str
    is_one_of_several: bool = False
    many: int = 1

    @property
    def key(self) -> str:
        """The same while only its counts grow: a person who has put it aside is not told of each. Addresses stay."""
        return f"{self.speaker}: {_uncounted(self.words)}"


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
    silent: list[ListenerStatus] = field(default_factory=list)
    """Those that were not stopped and are not heard of, unless a person has dismissed the alarm of it."""
    sites: frozenset[str] = frozenset()
    names: Mapping[str, str] = field(default_factory=dict)
    """Site -> a listener of it, also one that does not run."""

    def tells(self, phone: Phone) -> bool:
        """Does a listener run that sends this phone what it is owed: one of the site where it was heard last?"""
        return self.running and (phone.heard_site is None or phone.heard_site in self.sites)

    def away_words(self, phone: Phone) -> str:
        """What a technician reads who waits in vain because none does."""
        name = self.names.get(phone.heard_site or "")
        if not self.running or name is None:
            return str(LISTENER_AWAY)
        return _("Waiting for the listener %(name)s, which heard it last and is not running.") % {"name": name}

    @property
    def interface_words(self) -> str:
        return ", ".join(self.interfaces) or _("no interface yet")


def listening() -> Listening:
    """Read it now."""
    rows = list(ListenerStatus.objects.all())
    fresh = [row for row in rows if row.is_fresh]
    return Listening(
        running=bool(fresh),
        interfaces=list(dict.fromkeys(name for row in fresh for name in row.interfaces)),
        troubles=_remarks(fresh, ((row, row.trouble) for row in fresh)),
        warnings=_remarks(fresh, ((row, words) for row in fresh for words in row.warnings)),
        last_at=max((row.heartbeat_at for row in rows), default=None),
        silent=_undismissed([row for row in rows if row not in fresh and row.stopped_at is None]),
        sites=frozenset(row.site for row in fresh),
        names={row.site: row.name for row in sorted(rows, key=lambda row: row.heartbeat_at)},
    )


def _undismissed(silent: list[ListenerStatus]) -> list[ListenerStatus]:
    if not any(row.alarmed_at for row in silent):
        return silent
    alarms = Alarm.objects.filter(kind=AlarmKind.LISTENER, dismissed_at=None)
    stand = set(alarms.values_list("source", flat=True))
    return [row for row in silent if row.alarmed_at is None or row.name in stand or SEVERAL in stand]


def _remarks(fresh: list[ListenerStatus], said: Iterable[tuple[ListenerStatus, str]]) -> list[Remark]:
    """One for all that say the same, but for its counts: what befalls a whole site befalls each of its listeners.

    Whoever lost most is quoted.
    """
    several = len(fresh) > 1
    alike: dict[str, dict[ListenerStatus, str]] = {}
    for row, words in said:
        if words:
            alike.setdefault(_uncounted(words), {}).setdefault(row, words)
    return [
        Remark(_speakers(list(group), several), max(group.values(), key=_figures), several, len(group))
        for group in alike.values()
    ]


def _speakers(rows: list[ListenerStatus], several: bool) -> str:
    if len(rows) == 1:
        return _speaker(rows[0], several)
    names = ", ".join([*(row.name for row in rows[:NAMED]), *(["…"] if len(rows) > NAMED else [])])
    return _("%(count)d listeners (%(names)s)") % {"count": len(rows), "names": names}


def _uncounted(words: str) -> str:
    """Without its counts; a site may be called by a number, which is none."""
    said = words.split()
    counts = (_NUMBER.fullmatch(word) and before != "site" for before, word in zip(["", *said], said, strict=False))
    return " ".join("#" if is_count else word for is_count, word in zip(counts, said, strict=True))


def _figures(words: str) -> list[int]:
    """Its counts, the last one first: what was lost stands at the end."""
    return [int(re.sub(r"\D", "", word)) for word in words.split() if _NUMBER.fullmatch(word)][::-1]


def _speaker(row: ListenerStatus, several: bool) -> str:
    return _("The listener %(name)s") % {"name": row.name} if several else _("The listener")
