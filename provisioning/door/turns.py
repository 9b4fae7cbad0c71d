"""Whoever asks for much at once waits for his own, and for nobody else's: a few look-ups of one source at a time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

AT_ONCE = 4  # of one source; the database answers one after the other, so more would only stand in others' way


class Turns:
    """Sources that are being looked up for, and how many of each wait; it forgets those that are done."""

    def __init__(self, at_once: int = AT_ONCE) -> None:
        self._at_once = at_once
        self._by_source: dict[str, tuple[asyncio.Semaphore, list[None]]] = {}

    def __len__(self) -> int:
        return len(self._by_source)

    @asynccontextmanager
    async def of(self, source: str) -> AsyncIterator[None]:
        """Wait for a turn of this source, and have it."""
        turn, there = self._by_source.setdefault(source, (asyncio.Semaphore(self._at_once), []))
        there.append(None)
        try:
            async with turn:
                yield
        finally:
            there.pop()
            if not there:
                self._by_source.pop(source, None)
