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
from typing import Generic, TypeVar

from django.db import DEFAULT_DB_ALIAS, connections

T = TypeVar("T")

# In seconds and milliseconds: who asks has given up long before the pool's own bounds.
BOUNDS = {"connect_timeout": 2, "tcp_user_timeout": 2_000}
NO_PLACE = ("too many clients", "too many connections", "connection slots are reserved")


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

    def within(self, seconds: float) -> T | None:
        """Its answer, None if it does not come within so many seconds. Raises what the question does."""
        try:
            return self().result(seconds)
        except TimeoutError:
            return None

    def _ask(self, asked: Future[T]) -> None:
        try:
            answer = self._question()
        except BaseException as error:
            self._came_at = time.monotonic()
            asked.set_exception(error)
        else:
            self._came_at = time.monotonic()
            asked.set_result(answer)


def apart(question: Callable[[], T]) -> T:
    """Ask the database in this thread, which ends with it, over a connection that is opened for it and closed.

    One that is kept would go on after the password has changed, and wait for what another one waits for.
    """
    ours = connections[DEFAULT_DB_ALIAS]
    if ours.settings_dict["OPTIONS"].get("pool"):
        options = {name: value for name, value in ours.settings_dict["OPTIONS"].items() if name != "pool"} | BOUNDS
        connections[DEFAULT_DB_ALIAS] = type(ours)({**ours.settings_dict, "OPTIONS": options}, DEFAULT_DB_ALIAS)
    try:
        return question()
    finally:
        connections.close_all()  # this thread's, before anybody goes on
        connections[DEFAULT_DB_ALIAS] = ours


def has_no_place(error: Exception) -> bool:
    """Whether the server said that it has no place left, which it can only say if it is there. Its own words: libpq has
    no code for them before there is a connection. A server that speaks another language counts as away then."""
    return any(words in str(error) for words in NO_PLACE)
