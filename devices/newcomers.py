"""How many phones that nobody has assigned may be added to the list; pure: time is passed in, nothing is stored.

Anybody on the LAN can invent MACs. Beyond the bounds a new MAC is not stored and not answered; phones that are known
are not concerned. Every hour's count is kept in minutes, so memory is bounded by the bounds themselves.
Source: our choice (design, "Letting a secret out of the door", 4).
"""

from collections import Counter, deque

HOUR_SECONDS = 3600.0
MINUTE_SECONDS = 60.0
BURST = 60  # new MACs of one source in a minute; a person who unboxes phones is slower
BURST_STEP_SECONDS = 10.0
# A real phone comes alone. While somebody else uses up the overall bound, a source that has added fewer than this in
# the hour is let in all the same, out of a reserve.
MODEST = 20
RESERVE_SHARE = 5  # the reserve is a fifth of the overall bound
WATCHED_SOURCES = 4096  # whose attempts of the last minute are counted one by one


class Sliding:
    """Counts by source in a window that slides in steps."""

    def __init__(self, window_seconds: float, step_seconds: float, most_sources: int | None = None) -> None:
        self._steps = round(window_seconds / step_seconds)
        self._step_seconds = step_seconds
        self._most_sources = most_sources
        self._past: deque[tuple[int, Counter[str]]] = deque()
        self.by_source: Counter[str] = Counter()
        self.total = 0

    def slide(self, now: float) -> int:
        """Forget what has left the window; the number of the present step. A clock that went back begins anew."""
        step = int(now // self._step_seconds)
        if self._past and step < self._past[-1][0]:
            self._past.clear()
            self.by_source.clear()
            self.total = 0
        while self._past and self._past[0][0] <= step - self._steps:
            _, gone = self._past.popleft()
            for source, count in gone.items():
                self._take(source, count)
        return step

    def add(self, source: str, now: float) -> None:
        """One more of this source."""
        step = self.slide(now)
        if source not in self.by_source and self._most_sources and len(self.by_source) >= self._most_sources:
            return
        if not self._past or self._past[-1][0] != step:
            self._past.append((step, Counter()))
        self._past[-1][1][source] += 1
        self.by_source[source] += 1
        self.total += 1

    def take_back(self, source: str) -> None:
        """One that was added a moment ago did not come to be."""
        for _, counts in reversed(self._past):
            if counts[source]:
                counts[source] -= 1
                self._take(source, 1)
                return

    def _take(self, source: str, count: int) -> None:
        self.by_source[source] -= count
        self.total -= count
        if self.by_source[source] <= 0:
            del self.by_source[source]


class NewPhones:
    """The bounds per hour, and who has used them. Times are POSIX seconds."""

    def __init__(self, per_source: int, overall: int) -> None:
        self._per_source = per_source
        self._overall = overall
        self._added = Sliding(HOUR_SECONDS, MINUTE_SECONDS)
        self._heard = Sliding(MINUTE_SECONDS, BURST_STEP_SECONDS, WATCHED_SOURCES)

    def admit(self, source: str, now: float) -> bool:
        """May one more new MAC from this source address be stored? If so, it counts."""
        self._heard.add(source, now)
        self._added.slide(now)
        own, total = self._added.by_source[source], self._added.total
        modest = own < MODEST and total < self._overall + self._overall // RESERVE_SHARE
        if own >= self._per_source or not (total < self._overall or modest):
            return False
        self._added.add(source, now)
        return True

    def give_back(self, source: str) -> None:
        """What was admitted a moment ago could not be stored; it will be asked for again."""
        self._added.take_back(source)

    def bursts(self, now: float) -> list[tuple[str, int]]:
        """Sources of more than BURST new MACs in the last minute, stored or not, the busiest first."""
        self._heard.slide(now)
        # A copy first: another thread may be counting.
        loud = [(source, count) for source, count in list(self._heard.by_source.items()) if count > BURST]
        return sorted(loud, key=lambda one: -one[1])
