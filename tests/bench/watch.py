"""What an answer must be able to rely on: is every phone that has its 200 in the database by now?

A thread looks again and again while a load runs: first at who has been answered, then at the database. Whoever is in
the first list and not in the second was answered before it was stored.
"""

import mmap
import threading
from array import array
from pathlib import Path
from typing import Self

from tests.bench.ground import Load, mac_of
from tests.bench.product import Product
from tests.bench.store_reader import StoreReader

LOOK_SECONDS = 0.5  # between two looks: each takes time that the server lacks
TIMES = 3  # doubles per request in the load's file: sent, answered, notified


class Times:
    """The load generator's own notes, as it writes them; one request per phone."""

    def __init__(self, path: Path, load: Load) -> None:
        self._path = path
        self.macs = [mac_of(load.first + number) for number in range(load.phones)]

    def _read(self, place: int) -> array:
        if not self._path.exists() or not self._path.stat().st_size:
            return array("d", bytes(8 * len(self.macs)))
        with self._path.open("rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as mapped:
            return array("d", mapped[:])[place::TIMES]

    def sent(self) -> dict[str, float]:
        """When each phone sent its first SUBSCRIBE; 0 if it has not."""
        return dict(zip(self.macs, self._read(0), strict=True))

    def answered(self) -> set[str]:
        """Who has its 200 by now."""
        return {mac for mac, at in zip(self.macs, self._read(1), strict=True) if at}


class Watch:
    """Looks while it is entered. `early` holds the phones that were answered before they were stored."""

    def __init__(self, product: Product, times: Times, since: float | None) -> None:
        self._product, self._times, self._since = product, times, since
        self.looks = 0
        self.early: set[str] = set()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        reader = StoreReader(self._product)
        answered: set[str] = set()
        while not self._ended.wait(LOOK_SECONDS):
            before, answered = answered, self._times.answered()
            if len(answered) > len(before):  # else nothing new can be wrong
                self.early |= answered - reader.macs(self._since)
                self.looks += 1
        reader.close()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._ended.set()
        self._thread.join()
