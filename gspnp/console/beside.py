"""A process beside the console that makes the rows of lists, while many are open.

Python lets one thread at a time work. To tell fifty pages something is some two hundred system calls, at each of which
the event loop gives that turn away, and gets it back from a thread that draws rows only after that one's time is over:
pages were told late whenever rows were made. In a process of its own that drawing takes no turn of the loop.

It is started when so many pages are open that they would wait for each other, and stays. Whoever asks while it is busy,
is starting or has died is answered by a thread of the console, as with few pages open.
"""

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from devices import metrics, said_of
from gspnp.console import making
from gspnp.console.making import Made
from sipmcast.helpers import Process

MANY = 8  # pages open in this process; few are told within some milliseconds, whatever else it does. Our choice.
WAIT_SECONDS = 30.0  # for one answer, after which a thread makes it. Our choice.
RETRY_SECONDS = 10.0  # between two starts

log = logging.getLogger(__name__)


class Helper(Protocol):
    """Where calls are carried out: see sipmcast/helpers.py."""

    async def run(self, call: Callable[..., Any], *arguments: Any) -> Any:
        """What the call returns or raises over there; ConnectionError if it dies meanwhile."""


class Beside:
    """The process, as the console's event loop sees it. `open_pages` says how many are told things in this one."""

    def __init__(self, open_pages: Callable[[], int], helper: Helper | None = None) -> None:
        self._open_pages = open_pages
        self._helper = helper or Process("rows")
        self._is_there = self._is_busy = False
        self._starting: asyncio.Task[None] | None = None
        self._start_at = 0.0

    async def make(self, scope: Mapping[str, Any]) -> Made | None:
        """What Django says to this request; None if a thread has to ask it. Raises what the view raises."""
        if not self._is_there:
            self._start()
        if not self._is_there or self._is_busy:
            return None
        asked = {name: scope[name] for name in making.ASKED if name in scope}
        self._is_busy = True
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                made, waits = await self._helper.run(_make, asked, said_of.request_id())
        except (ConnectionError, TimeoutError) as error:
            self._is_lost(error)
            return None
        finally:
            self._is_busy = False
        for what, seconds in waits:
            metrics.waited(what, seconds)
        return made

    def _start(self) -> None:
        """Unless it is being started, few pages are open, or it could not be started just now."""
        loop = asyncio.get_running_loop()
        if self._starting is None and self._open_pages() >= MANY and loop.time() >= self._start_at:
            self._start_at = loop.time() + RETRY_SECONDS
            self._starting = loop.create_task(self._wait_started())

    async def _wait_started(self) -> None:
        try:
            await self._helper.run(_begin)
            self._is_there = True
        except Exception as error:  # whatever hinders it, lists are made by threads
            self._is_lost(error)
        finally:
            self._starting = None

    def _is_lost(self, error: Exception) -> None:
        self._is_there = False
        log.warning("the process that makes rows is not there (%s); threads of the console make them", error)


_waits: list[tuple[str, float]] = []


def _begin() -> None:
    """Over there: be ready for the first request."""
    metrics.tell_waits(lambda what, seconds: _waits.append((what, seconds)))
    metrics.watch_database()
    making.warm_up()
    gc.collect()
    gc.freeze()


def _make(scope: dict[str, Any], request_id: str) -> tuple[Made, list[tuple[str, float]]]:
    """Over there: the answer, and how long it waited for the database each time."""
    _waits.clear()
    said_of.in_course_of(request_id)
    return making.make(scope), list(_waits)
