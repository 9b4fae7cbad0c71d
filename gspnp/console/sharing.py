"""One makes what many ask for at the same moment: open lists all fetch their rows when a phone changes.

Each gets what was begun after it asked, so nobody sees less than if it had made its own. A few are made at a time:
fifty threads that render for fifty pages keep the event loop, which tells those pages what happens, from its turn.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from django.db import connections

MADE_AT_ONCE = 2  # in a process; our choice: one that takes long does not hold up all others

Made = TypeVar("Made")


@dataclass
class _Round(Generic[Made]):
    """What is asked for and not begun yet; later what came of it. `made` is None if that failed."""

    done: threading.Event = field(default_factory=threading.Event)
    made: Made | None = None


class Sharing(Generic[Made]):
    """Threads of one process that ask for the same things. What a key names must be the same for all who use it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._room = threading.BoundedSemaphore(MADE_AT_ONCE)
        self._asked: dict[Hashable, _Round[Made]] = {}

    def get(self, key: Hashable, make: Callable[[], Made]) -> Made:
        """What `make` returns here, or for somebody who asked for it no earlier than its making began.

        Raises what `make` raises; a failure is nobody else's. While it waits this thread holds no connection to the
        database: there are few of them.
        """
        with self._lock:
            asked = self._asked.get(key)
            if asked is None:
                mine = self._asked[key] = _Round()
        if asked is None:
            return self._make(key, mine, make)
        _give_back_connections()
        asked.done.wait()
        if asked.made is None:  # it failed: whoever asked with it makes its own
            with self._room:
                return make()
        return asked.made

    def _make(self, key: Hashable, mine: _Round[Made], make: Callable[[], Made]) -> Made:
        try:
            if not self._room.acquire(blocking=False):
                _give_back_connections()
                self._room.acquire()
            try:
                self._begin(key, mine)
                mine.made = made = make()
            finally:
                self._room.release()
        finally:
            self._begin(key, mine)
            mine.done.set()
        return made

    def _begin(self, key: Hashable, mine: _Round[Made]) -> None:
        """Whoever asks from now on gets the next one."""
        with self._lock:
            if self._asked.get(key) is mine:
                del self._asked[key]


def _give_back_connections() -> None:
    for connection in connections.all(initialized_only=True):
        if not connection.in_atomic_block:
            connection.close()
