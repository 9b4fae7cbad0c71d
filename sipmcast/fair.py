"""Who is looked at next when more datagrams wait than can be looked at: everybody in turn. Pure."""

from collections import OrderedDict, deque
from typing import Generic, TypeVar

Item = TypeVar("Item")


class FairQueue(Generic[Item]):
    """A bounded queue in which each source waits behind its own items only.

    A flood from one address fills it with its own; whoever sends little is served in the next round. When it is full,
    the source with the most gives way.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._waiting: OrderedDict[str, deque[Item]] = OrderedDict()
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def put(self, source: str, item: Item) -> bool:
        """Add one at the end of its source's own queue; False if something had to give way."""
        mine = self._waiting.get(source)
        full = self._count >= self._limit
        if full:
            if mine is not None and len(mine) > self._limit // len(self._waiting):
                return False
            self._drop_one()
        if mine is None:
            mine = self._waiting[source] = deque()
        mine.append(item)
        self._count += 1
        return not full

    def take(self) -> Item:
        """The oldest item of the source whose turn it is. Raises KeyError if nothing waits."""
        source, mine = self._waiting.popitem(last=False)
        item = mine.popleft()
        if mine:
            self._waiting[source] = mine  # behind all others
        self._count -= 1
        return item

    def _drop_one(self) -> None:
        """The newest item of the source that has the most waiting."""
        source = max(self._waiting, key=lambda one: len(self._waiting[one]))
        most = self._waiting[source]
        most.pop()
        self._count -= 1
        if not most:
            del self._waiting[source]
