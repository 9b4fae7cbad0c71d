"""Questions whose answer says whether something is there: asked in a thread, shared by all who want to know meanwhile.

What goes to the database goes over a connection of its own. All connections of the pool may be in use while the
database is well, and whoever then called it away would take a console out of its proxy because it has much to do.
"""

from __future__ import annotations

import math
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Generic, TypeVar

from django.db import DEFAULT_DB_ALIAS, DatabaseError, connection, connections

T = TypeVar("T")

# In seconds and milliseconds: who asks has given up long before the pool's own bounds.
BOUNDS = {"connect_timeout": 2, "tcp_user_timeout": 2_000}


class Shared(Generic[T]):
    """One question, asked once however many want to know; its answer also holds for so many seconds after it came."""

    def __init__(self, question: Callable[[], T], kept_seconds: float = 0.0) -> None:
        self._question, self._kept_seconds = question, kept_seconds
        self._lock = threading.Lock()
        self._owner, self._asked, self._came_at = 0, Future[T](), math.inf

    def __call__(self) -> Future[T]:
        """A thread asks, for nothing bounds the wait for a machine that has vanished. While one waits none begins."""
        with self._lock:
            is_over = self._asked.done() and time.monotonic() >= self._came_at + self._kept_seconds
            if self._owner != os.getpid() or is_over:  # a fork takes no thread along
                asked = Future[T]()
                threading.Thread(target=self._ask, args=(asked,), name="is it there", daemon=True).start()
                self._owner, self._asked = os.getpid(), asked  # not before somebody will answer it
            return self._asked

    def _ask(self, asked: Future[T]) -> None:
        try:
            answer = self._question()
        except BaseException as error:
            self._came_at = time.monotonic()
            asked.set_exception(error)
        else:
            self._came_at = time.monotonic()
            asked.set_result(answer)


class _Own:
    """This process's connection beside the pool: kept, for a server that has no place left is there too."""

    def __init__(self) -> None:
        ours = connections[DEFAULT_DB_ALIAS]
        options = {name: value for name, value in ours.settings_dict["OPTIONS"].items() if name != "pool"}
        self.turn = threading.Lock()
        self.connection: Any = type(ours)({**ours.settings_dict, "OPTIONS": options | BOUNDS}, DEFAULT_DB_ALIAS)
        self.connection.inc_thread_sharing()  # one thread at a time


_own: dict[int, _Own] = {}  # by process


def apart(question: Callable[[], T]) -> T:
    """Ask the database in this thread, which ends with it, over a connection that is not the pool's.

    A kept one whose server was restarted is opened anew. SQLite has no pool, and a file may be replaced: its
    connection is closed each time.
    """
    if not connection.settings_dict["OPTIONS"].get("pool"):
        try:
            return question()
        finally:
            connections.close_all()  # this thread's, before anybody goes on
    own = _own.get(os.getpid()) or _own.setdefault(os.getpid(), _Own())
    with own.turn:
        connections[DEFAULT_DB_ALIAS] = own.connection
        was_open = own.connection.connection is not None
        try:
            return question()
        except DatabaseError:
            own.connection.close()
            if not was_open:
                raise
        try:
            return question()
        except DatabaseError:
            own.connection.close()
            raise


def forget() -> None:
    """Close what is kept; for tests, which take databases away."""
    for own in _own.values():
        own.connection.close()
    _own.clear()
