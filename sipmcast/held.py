"""What was heard and is not stored yet. Pure: bounded, merged by MAC and address, and fair to every source."""

from collections import OrderedDict

from devices.sighting import Sighting
from sipmcast.events import TransactionKey
from sipmcast.fair import Lengths

HELD_SIGHTINGS = 20_000
# Transactions of one phone that wait for the store; a phone has one or two. Our choice.
KEYS_PER_PHONE = 16

# How a listener's words of an outage that is over begin; whoever reads them has nothing to do.
WAS_AWAY = "The database was away for"

Waiting = tuple[Sighting, list[TransactionKey]]


class Held:
    """Sightings with the transactions that wait for them; `lost` counts those that gave way to the bound.

    A source that floods has its own line: whoever sends little is stored with the next batch.
    """

    def __init__(self) -> None:
        self.lost = 0
        self._lines: OrderedDict[str, OrderedDict[str, Waiting]] = OrderedDict()
        self._lengths = Lengths()
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, sighting: Sighting, keys: list[TransactionKey]) -> None:
        """Hold one more; of the same phone at the same address only the newest, with its first 16 transactions.

        Beyond the bound the longest line gives way; where nobody has more than one, the newcomer.
        """
        line = self._line(sighting.source_host)
        before = line.pop(sighting.mac, None)
        waiting = [] if before is None else before[1]
        waiting += keys[: KEYS_PER_PHONE - len(waiting)]
        line[sighting.mac] = (sighting, waiting)
        if before is None:
            self._one_more(sighting.source_host, line)

    def take(self, limit: int) -> list[Waiting]:
        """The oldest ones of every source in turn."""
        taken: list[Waiting] = []
        while self._lines and len(taken) < limit:
            source, line = self._lines.popitem(last=False)
            taken.append(line.popitem(last=False)[1])
            if line:
                self._lines[source] = line  # behind all others
            self._lengths.shrank(source, len(line))
        self._count -= len(taken)
        return taken

    def give_back(self, taken: list[Waiting]) -> None:
        """They could not be stored: hold them again before what came meanwhile, without their transactions."""
        for sighting, _ in reversed(taken):
            line = self._line(sighting.source_host)
            self._lines.move_to_end(sighting.source_host, last=False)
            if sighting.mac not in line:  # else something newer is known of it
                line[sighting.mac] = (sighting, [])
                line.move_to_end(sighting.mac, last=False)
                self._one_more(sighting.source_host, line)

    def release(self) -> list[TransactionKey]:
        """Every transaction that waits; from now on none does."""
        keys = []
        for line in self._lines.values():
            for mac, (sighting, waiting) in line.items():
                keys += waiting
                line[mac] = (sighting, [])
        return keys

    def _line(self, source: str) -> OrderedDict[str, Waiting]:
        line = self._lines.get(source)
        if line is None:
            line = self._lines[source] = OrderedDict()
        return line

    def _one_more(self, source: str, line: OrderedDict[str, Waiting]) -> None:
        self._lengths.grew(source, len(line))
        self._count += 1
        if self._count > HELD_SIGHTINGS:
            self._drop_one()

    def _drop_one(self) -> None:
        """The oldest of the source that has the most waiting."""
        source = self._lengths.longest()
        line = self._lines[source]
        line.popitem(last=False)
        self._lengths.shrank(source, len(line))
        if not line:
            del self._lines[source]
        self._count -= 1
        self.lost += 1
