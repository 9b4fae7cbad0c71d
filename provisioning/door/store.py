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

# A connection to PostgreSQL that was used so lately is used again. One that is taken from the pool is tried first, and
# set up: two round trips and more for one look.
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
    if not _is_kept():
        _close_if_old()
    try:
        return question(*args, **kwargs)
    finally:
        # An error may be one of the connection's.
        may_keep = connection.vendor == "postgresql" and not connection.errors_occurred
        _thread.kept_until = time.monotonic() + KEPT_SECONDS if may_keep else 0.0
        if not may_keep:
            _close_if_old()


def _is_kept() -> bool:
    return time.monotonic() < getattr(_thread, "kept_until", 0.0)


def _close_if_old() -> None:
    # Who asks from within a transaction of his own (a test does) goes on with it.
    if not connection.in_atomic_block:
        connection.close_if_unusable_or_obsolete()
