"""What was said with each phone, from the journal into the database: bite by bite, when no phone waits for an answer.

Nobody waits for it, so it must not make anybody wait: SQLite has one writer, and whoever finds it at work looks again
some milliseconds later. Small bites with pauses cost a few commits more, and no phone notices them.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any

from sipmcast import transcripts
from sipmcast.desk import STORE_AWAY
from sipmcast.journal import Journal

log = logging.getLogger(__name__)

AT_ONCE = 10  # exchanges in one transaction: a millisecond under SQLite's lock
PAUSE_SECONDS = 0.04  # between two bites: 250 exchanges a second
IDLE_SECONDS = 0.25  # until it looks again, if there was nothing to write
WAIT_SECONDS = 0.5  # for a moment in which no phone waits; a flood must not keep it from its work for ever


class Scribe:
    """Writes down what is ripe in a journal; `call` carries out a function where the database is."""

    def __init__(self, journal: Journal, call: Callable[..., Awaitable[Any]], is_pressed: Callable[[], bool]) -> None:
        self._journal, self._call, self._is_pressed = journal, call, is_pressed
        self._wrote_at = 0.0

    async def bite(self) -> float:
        """Write some of it; after how many seconds there may be more. Raises what STORE_AWAY names, and loses nothing
        then."""
        now = time.monotonic()
        if self._is_pressed() and now < self._wrote_at + WAIT_SECONDS:
            return PAUSE_SECONDS
        some = self._journal.ripe(now, AT_ONCE)
        if not some:
            return IDLE_SECONDS
        self._wrote_at = now
        try:
            await self._call(transcripts.store, some, now, time.time())
        except STORE_AWAY:
            raise
        except Exception:
            log.exception("what was said with %d phones cannot be stored", len(some))
        self._journal.stored(some, now)
        return PAUSE_SECONDS

    async def write(self, away: Callable[[Exception, float], None], away_seconds: float) -> None:
        """Go on until cancelled; `away` hears that the store is, and since when it was waited for."""
        while True:
            begun = time.monotonic()
            try:
                pause = await self.bite()
            except STORE_AWAY as error:
                away(error, begun)
                pause = away_seconds
            except Exception:  # what can be missed first must not end the listener
                log.exception("what was said is not written down; it is tried again in %.0f s", away_seconds)
                pause = away_seconds
            await asyncio.sleep(pause)
