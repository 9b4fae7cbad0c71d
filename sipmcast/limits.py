"""How much of what comes is looked at, so that a flood from one address leaves room for a real phone beside it.

Pure: time is a monotonic number of seconds, passed in. A boot storm is no flood: nothing is refused while everything
that came can be carried, and a source may send a burst that a whole site fits into.
"""

from collections import OrderedDict

# A source may be a second late before its rate counts: 10,000 phones behind one address (a simulator) pass. Our choice.
BURST_SECONDS = 4.0
# Sources remembered at a time; forged ones push out the oldest. Our choice.
MAX_SOURCES = 10_000


class Bucket:
    """A token bucket: `rate` datagrams a second, and a burst of BURST_SECONDS of them."""

    __slots__ = ("_filled_at", "_rate", "_tokens")

    def __init__(self, rate: float, now: float) -> None:
        self._rate = rate
        self._tokens = rate * BURST_SECONDS
        self._filled_at = now

    def take(self, now: float) -> bool:
        """Spend one token if there is one."""
        passed = max(0.0, now - self._filled_at)
        self._filled_at = now
        self._tokens = min(self._rate * BURST_SECONDS, self._tokens + passed * self._rate)
        if self._tokens < 1.0:
            return False
        self._tokens -= 1.0
        return True


class Limits:
    """Datagrams a second, overall and from one source address; both count always, and refuse only under pressure."""

    def __init__(self, overall_per_second: float, source_per_second: float, now: float) -> None:
        self._overall = Bucket(overall_per_second, now)
        self._source_per_second = source_per_second
        self._sources: OrderedDict[str, Bucket] = OrderedDict()

    def __len__(self) -> int:
        return len(self._sources)

    def admit(self, host: str, now: float, pressed: bool) -> bool:
        """May this datagram be looked at? `pressed` says that more are waiting than one look can take.

        The source pays first, so that one that floods does not use up what all have together.
        """
        bucket = self._sources.get(host)
        if bucket is None:
            bucket = self._sources[host] = Bucket(self._source_per_second, now)
            if len(self._sources) > MAX_SOURCES:
                self._sources.popitem(last=False)
        fine = bucket.take(now) and self._overall.take(now)
        return fine or not pressed
