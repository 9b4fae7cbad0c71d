"""How much of what comes is looked at, so that a flood from one address leaves room for a real phone beside it.

The same for datagrams (SIP) and for requests at the phones' door (HTTP). Pure: time is a monotonic number of seconds,
passed in. A boot storm is no flood: a source may send a burst that a whole site fits into.
"""

import ipaddress
from collections import OrderedDict
from functools import lru_cache

from devices.address import parse_address

# A source may be so late before its rate counts: 10,000 phones behind one address (a simulator) pass. Our choice.
BURST_SECONDS = 4.0
# Sources remembered at a time; forged ones push out the oldest. Our choice.
MAX_SOURCES = 10_000
# A real phone asks for little. While somebody else uses up what all have together, a source that asks for no more than
# this a second, and this times the burst at once, is let in all the same, out of a reserve.
MODEST_PER_SECOND = 0.5


class Bucket:
    """A token bucket: `rate` a second, and a burst of `burst_seconds` of them."""

    __slots__ = ("_filled_at", "_most", "_rate", "_tokens")

    def __init__(self, rate: float, now: float, burst_seconds: float = BURST_SECONDS) -> None:
        self._rate = rate
        self._most = self._tokens = rate * burst_seconds
        self._filled_at = now

    def take(self, now: float) -> bool:
        """Spend one token if there is one."""
        passed = max(0.0, now - self._filled_at)
        self._filled_at = now
        self._tokens = min(self._most, self._tokens + passed * self._rate)
        if self._tokens < 1.0:
            return False
        self._tokens -= 1.0
        return True

    @property
    def is_empty(self) -> bool:
        """As of the last look."""
        return self._tokens < 1.0


class Limits:
    """So many a second, overall and from one source address; both count always.

    `reserve_share` of the overall rate is kept for sources that ask for little.
    """

    def __init__(
        self,
        overall_per_second: float,
        source_per_second: float,
        now: float,
        burst_seconds: float = BURST_SECONDS,
        reserve_share: float = 0.0,
    ) -> None:
        self._overall = Bucket(overall_per_second, now, burst_seconds)
        self._reserve = Bucket(overall_per_second * reserve_share, now, burst_seconds)
        self._source_per_second = source_per_second
        self._burst_seconds = burst_seconds
        self._sources: OrderedDict[str, tuple[Bucket, Bucket]] = OrderedDict()  # its own, and whether it is modest

    def __len__(self) -> int:
        return len(self._sources)

    def admit(self, host: str, now: float, pressed: bool = True) -> bool:
        """May this one be looked at? Without being `pressed` (more are waiting than one look can take) all may.

        The source pays first, so that one that floods does not use up what all have together.
        """
        mine = self._sources.get(host)
        if mine is None:
            mine = self._sources[host] = (
                Bucket(self._source_per_second, now, self._burst_seconds),
                Bucket(MODEST_PER_SECOND, now, self._burst_seconds),
            )
            if len(self._sources) > MAX_SOURCES:
                self._sources.popitem(last=False)
        own, modest = mine
        is_modest = modest.take(now)
        fine = own.take(now) and (self._overall.take(now) or (is_modest and self._reserve.take(now)))
        return fine or not pressed

    def is_over(self, host: str) -> bool:
        """Has this source spent all of its own? If it was refused although not, all together had asked for too much."""
        mine = self._sources.get(host)
        return mine is not None and mine[0].is_empty


@lru_cache(maxsize=4096)
def source_of(host: str) -> str:
    """Whom an address counts for: IPv6 gives each host as many addresses as it likes, below one /64. An IPv4 one
    that came to an IPv6 socket (::ffff:10.0.0.20) is itself: below one /64 are all of these."""
    address = parse_address(host)
    if address is None:
        return host
    if address.version == 4:
        return str(address)
    if address.is_link_local or address.is_loopback:
        return host
    return str(ipaddress.ip_network(f"{address}/64", strict=False).network_address)


def named(host: str) -> str:
    """The same for people: an address, or the network that counts as one."""
    source = source_of(host)
    return source if source == host else f"{source}/64"
