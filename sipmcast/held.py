"""What was heard and is not stored yet. Pure: bounded, merged by MAC and address, and fair to every source."""

from collections import OrderedDict

from devices.sighting import Sighting
from sipmcast.events import TransactionKey

HELD_SIGHTINGS = 20_000

Waiting = tuple[Sighting, list[TransactionKey]]


class Held:
    """Sightings with the transactions that wait for them; `lost` counts those that gave way to the bound.

    A source that floods has its own line: whoever sends little is stored with the next batch.
    """

    def __init__(self) -> None:
        self.lost = 0
        self._lines: OrderedDict[str, OrderedDict[str, Waiting]] = OrderedDict()
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, sighting: Sighting, keys: list[TransactionKey]) -> None:
        """Hold one more; of the same phone at the same address only the newest. The longest line gives way."""
        line = self._lines.get(sighting.source_host)
        if line is None:
            line = self._lines[sighting.source_host] = OrderedDict()
        before = line.pop(sighting.mac, None)
        line[sighting.mac] = (sighting, keys if before is None else [*before[1], *keys])
        self._count += before is None
        if self._count > HELD_SIGHTINGS:
            self._drop_one()

    def take(self, limit: int) -> list[Waiting]:
        """The oldest ones of every source in turn."""
        taken: list[Waiting] = []
        while self._lines and len(taken) < limit:
            source, line = self._lines.popitem(last=False)
            taken.append(line.popitem(last=False)[1])
            if line:
                self._lines[source] = line  # behind all others
        self._count -= len(taken)
        return taken

    def give_back(self, taken: list[Waiting]) -> None:
        """They could not be stored: hold them again before what came meanwhile, without their transactions."""
        newer, self._lines, self._count = self._lines, OrderedDict(), 0
        for sighting, _ in taken:
            self.add(sighting, [])
        for line in newer.values():
            for sighting, keys in line.values():
                self.add(sighting, keys)

    def release(self) -> list[TransactionKey]:
        """Every transaction that waits; from now on none does."""
        keys = []
        for line in self._lines.values():
            for mac, (sighting, waiting) in line.items():
                keys += waiting
                line[mac] = (sighting, [])
        return keys

    def _drop_one(self) -> None:
        """The oldest of the source that has the most waiting."""
        source = max(self._lines, key=lambda one: len(self._lines[one]))
        self._lines[source].popitem(last=False)
        if not self._lines[source]:
            del self._lines[source]
        self._count -= 1
        self.lost += 1
