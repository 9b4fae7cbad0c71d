"""The door's ways to the database: from the event loop into threads that may block.

All that phones wait for goes through one thread, one after the other. What can wait goes through another one: to write
means to wait for whoever else writes, and a stranger can cause as much of that as he likes.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from asgiref.sync import sync_to_async
from django.db import connection

P = ParamSpec("P")
T = TypeVar("T")

# A connection to PostgreSQL that was used so lately is used again: one that is taken from the pool is tried first, and
# set up, two round trips and more for one look. One to SQLite is used for so long since it was opened: its file may be
# another one by then, put back from a backup.
KEPT_SECONDS = 0.5

_thread = threading.local()
_beside = ThreadPoolExecutor(1, thread_name_prefix="beside")


async def in_store(question: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Ask the database; a connection that broke, or is too old, is opened anew before it and given back after it."""

    return await sync_to_async(asked)(question, *args, **kwargs)


async def beside(work: Callable[[], T]) -> T:
    """Write down what nobody waits for; no phone's question waits for it."""
    return await asyncio.get_running_loop().run_in_executor(_beside, asked, work)


def asked(question: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """The same from a thread that may block."""
    if time.monotonic() >= getattr(_thread, "kept_until", 0.0):
        _close_if_old()
        _thread.kept_until = time.monotonic() + KEPT_SECONDS
    try:
        return question(*args, **kwargs)
    finally:
        if connection.errors_occurred:  # it may be the connection's
            _close_if_old()
            _thread.kept_until = 0.0
        elif connection.vendor == "postgresql":
            _thread.kept_until = time.monotonic() + KEPT_SECONDS


def _close_if_old() -> None:
    # Who asks from within a transaction of his own (a test does) goes on with it.
    if not connection.in_atomic_block:
        connection.close_if_unusable_or_obsolete()
