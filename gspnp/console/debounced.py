"""Work that somebody may ask for at any rate, done at a rate of ours. Source: `debounced` in static/console/live.js."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

log = logging.getLogger(__name__)


class Debounced:
    """Does its work at once, but not again within `seconds`: what is asked for meanwhile is done in one, then."""

    def __init__(self, work: Callable[[], Awaitable[None]], seconds: float) -> None:
        self._work, self._seconds = work, seconds
        self._begun_at = float("-inf")
        self._waiting: asyncio.Task[None] | None = None

    async def ask(self) -> None:
        """Do it now, or as soon as it may be done again."""
        wait = self._begun_at + self._seconds - time.monotonic()
        if wait > 0:
            self.later(wait)
        elif self._waiting is None:
            await self._do()

    def later(self, seconds: float) -> None:
        """Do it after this time, unless it is going to be done anyway."""
        if self._waiting is None:
            self._waiting = asyncio.get_running_loop().create_task(self._after(seconds))

    def stop(self) -> None:
        """Do it no more."""
        if self._waiting is not None:
            self._waiting.cancel()

    async def _after(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        self._waiting = None
        try:
            await self._do()
        except Exception as error:  # nobody waits for this task
            log.warning("%s could not be done (%s)", self._work.__name__, type(error).__name__)

    async def _do(self) -> None:
        self._begun_at = time.monotonic()
        await self._work()
