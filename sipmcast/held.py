"""What was heard and is not stored yet. Pure: bounded, and merged by MAC and address."""

import itertools
from dataclasses import dataclass, field

from devices.sighting import Sighting
from sipmcast.events import TransactionKey

HELD_SIGHTINGS = 20_000

Waiting = tuple[Sighting, list[TransactionKey]]


@dataclass
class Held:
    """Sightings with the transactions that wait for them; `lost` counts those that gave way to the bound."""

    waiting: dict[tuple[str, str], Waiting] = field(default_factory=dict)
    lost: int = 0

    def __len__(self) -> int:
        return len(self.waiting)

    def add(self, sighting: Sighting, keys: list[TransactionKey]) -> None:
        """Hold one more; of the same phone at the same address only the newest. The oldest give way to the bound."""
        place = (sighting.mac, sighting.source_host)
        before = self.waiting.pop(place, None)
        self.waiting[place] = (sighting, keys if before is None else [*before[1], *keys])
        if len(self.waiting) > HELD_SIGHTINGS:
            del self.waiting[next(iter(self.waiting))]
            self.lost += 1

    def take(self, limit: int) -> list[Waiting]:
        """The oldest ones, with the transactions that wait for them."""
        places = list(itertools.islice(self.waiting, limit))
        return [self.waiting.pop(place) for place in places]

    def give_back(self, taken: list[Waiting]) -> None:
        """They could not be stored: hold them again before what came meanwhile, without their transactions."""
        newer, self.waiting = self.waiting, {}
        for sighting, _ in taken:
            self.add(sighting, [])
        for sighting, keys in newer.values():
            self.add(sighting, keys)

    def release(self) -> list[TransactionKey]:
        """Every transaction that waits; from now on none does."""
        keys = [key for _, waiting in self.waiting.values() for key in waiting]
        for place, (sighting, _) in self.waiting.items():
            self.waiting[place] = (sighting, [])
        return keys
