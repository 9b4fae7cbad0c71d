"""What strangers did, as a listener tells it: bursts of new phones, decoys announced, addresses over their limit.

Kept by the worker, on the event loop, until the store has it.
"""

import time
from collections.abc import Awaitable, Callable
from typing import Any

from sipmcast import desk
from sipmcast.desk import STORE_AWAY
from sipmcast.listener import Listener

ALARM_SECONDS = 1.0  # between two times that it is told
DECOYS_HELD = 200  # announced by so many, and not yet told


class Strangers:
    """What is to be alarmed of, once everybody is answered. Bounded: addresses can be forged."""

    def __init__(self) -> None:
        self._bursts: dict[str, int] = {}
        self._decoys: dict[tuple[str, str], int] = {}
        self._due_at = 0.0

    def note(self, stored: desk.Stored) -> None:
        """What a batch of sightings showed of them."""
        for source, count in stored.bursts:
            self._bursts[source] = max(count, self._bursts.get(source, 0))
        for announced in stored.decoys:
            if announced in self._decoys or len(self._decoys) < DECOYS_HELD:
                self._decoys[announced] = self._decoys.get(announced, 0) + 1

    async def tell(self, listener: Listener, call: Callable[..., Awaitable[Any]]) -> None:
        """Say it, once a second at most; `call` carries out a function where the database is. Raises what STORE_AWAY
        names, and loses nothing then."""
        now = time.monotonic()
        if not (self._bursts or self._decoys or listener.over_limit) or now < self._due_at:
            return
        self._due_at = now + ALARM_SECONDS
        bursts, self._bursts = self._bursts, {}
        decoys, self._decoys = self._decoys, {}
        over, listener.over_limit = listener.over_limit, {}
        try:
            await call(desk.alarm, bursts, decoys, over)
        except STORE_AWAY:
            self._bursts, self._decoys = bursts | self._bursts, decoys | self._decoys
            listener.over_limit = over | listener.over_limit
            raise
