"""Who asks for many different names in vain; pure: time is passed in, nothing is stored.

A phone asks for its own file and a handful of others, so whoever asks for more than that within a minute, or goes on
for an hour, tries names. Bounded in sources and in names of each. Source: our choice.
"""

from collections import OrderedDict
from itertools import islice
from typing import Any

MINUTE_SECONDS, HOUR_SECONDS = 60.0, 3600.0
BURST = 20  # different names of one source in a minute; a phone asks for ten or so at its start
SLOW_BURST = 100  # the same in an hour
BURST_OF_ALL = 600  # of all sources together, in a minute
MAX_SOURCES = 4096
MAX_NAMES = 1000  # of one source

ALL = ""  # stands for all sources together


class Names:
    """Different names of each source, and when each was asked for last."""

    def __init__(self) -> None:
        self._by_source: OrderedDict[str, OrderedDict[str, float]] = OrderedDict()
        self._all: OrderedDict[tuple[str, str], float] = OrderedDict()

    def add(self, source: str, name: str, now: float) -> None:
        """This source asked for this name in vain."""
        names = self._by_source.setdefault(source, OrderedDict())
        self._by_source.move_to_end(source)
        if len(self._by_source) > MAX_SOURCES:
            self._by_source.popitem(last=False)
        _put(names, name, now, MAX_NAMES)
        if not _is_loud(names, now):  # one that is told of by itself must not push out the many that are not
            _put(self._all, (source, name), now, BURST_OF_ALL * 2)

    def bursts(self, sources: set[str], now: float) -> list[tuple[str, int]]:
        """Which of these sources try names, and how many they tried; ALL if it is all of them together."""
        found = []
        for source in sorted(sources & self._by_source.keys()):
            names = self._by_source[source]
            _forget(names, now - HOUR_SECONDS)
            lately = _since(names, now - MINUTE_SECONDS)
            if lately > BURST or len(names) > SLOW_BURST:
                found.append((source, max(lately, len(names) if len(names) > SLOW_BURST else 0)))
        _forget(self._all, now - MINUTE_SECONDS)
        if len(self._all) > BURST_OF_ALL:
            found.append((ALL, len(self._all)))
        return found


def _put(names: OrderedDict[Any, float], name: Any, now: float, most: int) -> None:
    """As the newest one."""
    names[name] = now
    names.move_to_end(name)
    if len(names) > most:
        names.popitem(last=False)


def _forget(names: OrderedDict[Any, float], before: float) -> None:
    while names and next(iter(names.values())) < before:
        names.popitem(last=False)


def _is_loud(names: OrderedDict[Any, float], now: float) -> bool:
    """Did this source ask for more than BURST names in the last minute?"""
    return any(at >= now - MINUTE_SECONDS for at in islice(reversed(names.values()), BURST, BURST + 1))


def _since(names: OrderedDict[Any, float], since: float) -> int:
    count = 0
    for at in reversed(names.values()):
        if at < since:
            break
        count += 1
    return count
