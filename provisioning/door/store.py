"""The door's ways to the database: from the event loop into threads that may block.

All that phones wait for goes through one thread, one after the other. What can wait goes through another one: to write
means to wait for whoever else writes, and a stranger can cause as much of that as he likes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from asgiref.sync import sync_to_async
from django.db import connection

P = ParamSpec("P")
T = TypeVar("T")

_beside = ThreadPoolExecutor(1, thread_name_prefix="beside")


async def in_store(question: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Ask the database; a connection that broke, or is too old, is opened anew before it and given back after it."""

    return await sync_to_async(asked)(question, *args, **kwargs)


async def beside(work: Callable[[], T]) -> T:
    """Write down what nobody waits for; no phone's question waits for it."""
    return await asyncio.get_running_loop().run_in_executor(_beside, asked, work)


def asked(question: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """The same from a thread that may block."""
    _close_if_old()
    try:
        return question(*args, **kwargs)
    finally:
        _close_if_old()


def _close_if_old() -> None:
    # Who asks from within a transaction of his own (a test does) goes on with it.
    if not connection.in_atomic_block:
        connection.close_if_unusable_or_obsolete()
