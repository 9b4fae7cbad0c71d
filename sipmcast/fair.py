"""Who is looked at next when more datagrams wait than can be looked at: everybody in turn. Pure."""

from collections import OrderedDict, deque
from typing import Generic, TypeVar

Item = TypeVar("Item")


class Lengths:
    """How long the line of each source is, and which is the longest; no step costs more when there are more sources.

    An attacker can forge as many addresses as there are places, and every datagram of his may push one out.
    """

    def __init__(self) -> None:
        # The sources by the length of their line, each in the order in which it got that long.
        self._having: dict[int, OrderedDict[str, None]] = {}
        self._most = 0

    def grew(self, source: str, length: int) -> None:
        """The line of this source got one more, and has now so many."""
        self._move(source, length - 1, length)
        self._most = max(self._most, length)

    def shrank(self, source: str, length: int) -> None:
        """The line of this source lost one, and has now so many."""
        self._move(source, length + 1, length)
        if self._most not in self._having:  # it was the only one of its length, and is one shorter now
            self._most = length

    def longest(self) -> str:
        """The source with the most; of several the one that came to it last, so that a newcomer displaces no equal."""
        return next(reversed(self._having[self._most]))

    def _move(self, source: str, before: int, after: int) -> None:
        if before:
            having = self._having[before]
            del having[source]
            if not having:
                del self._having[before]
        if after:
            if after not in self._having:
                self._having[after] = OrderedDict()
            self._having[after][source] = None


class FairQueue(Generic[Item]):
    """A bounded queue in which each source waits behind its own items only.

    A flood from one address fills it with its own; whoever sends little is served in the next round. When it is full,
    the source with the most gives way; when nobody has more than one, the newcomer.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._waiting: OrderedDict[str, deque[Item]] = OrderedDict()
        self._lengths = Lengths()
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def put(self, source: str, item: Item) -> bool:
        """Add one at the end of its source's own queue; False if something had to give way, be it this one."""
        mine = self._waiting.get(source)
        if mine is None:
            mine = self._waiting[source] = deque()
        mine.append(item)
        self._lengths.grew(source, len(mine))
        self._count += 1
        if self._count <= self._limit:
            return True
        self._drop_one()
        return False

    def take(self) -> Item:
        """The oldest item of the source whose turn it is. Raises KeyError if nothing waits."""
        source, mine = self._waiting.popitem(last=False)
        item = mine.popleft()
        if mine:
            self._waiting[source] = mine  # behind all others
        self._lengths.shrank(source, len(mine))
        self._count -= 1
        return item

    def _drop_one(self) -> None:
        """The newest item of the source that has the most waiting."""
        source = self._lengths.longest()
        most = self._waiting[source]
        most.pop()
        self._lengths.shrank(source, len(most))
        self._count -= 1
        if not most:
            del self._waiting[source]
