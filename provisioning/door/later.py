"""What is noted in memory now is written down a moment later, beside what phones wait for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from provisioning.door.store import beside

FLUSH_SECONDS = 1.0  # between a note and its writing, and between two writings


class Later:
    """Writes for one module, as long as it holds anything; what comes while the store is at it too."""

    def __init__(
        self, is_held: Callable[[], bool], flush: Callable[[], object], seconds: float = FLUSH_SECONDS
    ) -> None:
        self._is_held, self._flush, self._seconds = is_held, flush, seconds
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Something was noted. Call it in the event loop."""
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self.run())

    async def run(self) -> None:
        """Until nothing is held any more."""
        while self._is_held():
            await asyncio.sleep(self._seconds)
            await beside(self._flush)
