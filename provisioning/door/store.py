"""The door's way to the database: from the event loop into a thread that may block."""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar

from asgiref.sync import sync_to_async
from django.db import connection

P = ParamSpec("P")
T = TypeVar("T")


async def in_store(question: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Ask the database; a connection that broke, or is too old, is opened anew before it and given back after it."""

    def ask() -> T:
        _close_if_old()
        try:
            return question(*args, **kwargs)
        finally:
            _close_if_old()

    return await sync_to_async(ask)()


def _close_if_old() -> None:
    # Who asks from within a transaction of his own (a test does) goes on with it.
    if not connection.in_atomic_block:
        connection.close_if_unusable_or_obsolete()
