"""When to ask each phone whether it is there: paced and jittered, so that thousands of phones make no burst.

Pure: time is a monotonic number of seconds, passed in.
"""

import heapq
import random
from collections.abc import Collection, Iterable

# Each wait is this part shorter or longer, so that phones that started together do not stay together. Our choice.
JITTER = 0.2
# However late we are, not more at once than this many times what the time since the last look brings on average, and
# one: where few phones are late, each look asks one of them. Our choice.
CATCH_UP = 3.0
LATE_SECONDS = 1.0


class Rounds:
    """A schedule of phones by number; each is due once in `interval_seconds`, more or less."""

    def __init__(self, interval_seconds: float, chance: random.Random | None = None) -> None:
        self._interval = interval_seconds
        self._chance = chance or random.Random()
        self._due_at: dict[int, float] = {}
        self._queue: list[tuple[float, int]] = []
        self._asked_at: float | None = None

    def __len__(self) -> int:
        return len(self._due_at)

    def follow(self, phones: Collection[int], now: float) -> None:
        """Ask these phones from now on and no others; a new one gets its place somewhere in the first round."""
        wanted = set(phones)
        for gone in [phone for phone in self._due_at if phone not in wanted]:
            del self._due_at[gone]
        self.join(wanted, now)

    def join(self, phones: Iterable[int], now: float) -> None:
        """Ask these phones too from now on."""
        for phone in phones:
            if phone not in self._due_at:
                self._plan(phone, now + self._chance.random() * self._interval)

    def due(self, now: float) -> list[int]:
        """Whom to ask now; each is planned again at once."""
        since = LATE_SECONDS if self._asked_at is None else max(0.0, now - self._asked_at)
        self._asked_at = now
        most = 1 + int(CATCH_UP * len(self._due_at) * min(since, LATE_SECONDS) / self._interval)
        found: list[int] = []
        while self._queue and self._queue[0][0] <= now and len(found) < most:
            at, phone = heapq.heappop(self._queue)
            if self._due_at.get(phone) != at:
                continue  # gone, or planned anew
            found.append(phone)
            self._plan(phone, now + self._interval * self._chance.uniform(1 - JITTER, 1 + JITTER))
        return found

    def _plan(self, phone: int, at: float) -> None:
        self._due_at[phone] = at
        heapq.heappush(self._queue, (at, phone))
