"""Another time for the processes of one installation, by Debian's libfaketime; the machine's clock is left alone.

CLOCK_MONOTONIC stays what it is, as on a machine whose clock somebody sets.
"""

import contextlib
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.parts import missing

LIBRARIES = "usr/lib/*/faketime/libfaketimeMT.so.1"
PYTHON = Path(__file__).parent / "under_faketime"
SHARED = Path("/dev/shm")
LEFT = re.compile(r"(?:sem\.)?faketime_(?:shm|sem)_(\d+)")


class FakedClock:
    """By how many seconds their clock is wrong; `settings` are for their environment."""

    def __init__(self, folder: Path) -> None:
        library = next(Path("/").glob(LIBRARIES), None)
        if library is None:
            missing("libfaketime is not installed: apt-get install faketime")
        self._file = folder / "clock"
        self.set(0)
        self.settings = {
            "LD_PRELOAD": str(library),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "PYTHONPATH": str(PYTHON),
        }

    def set(self, seconds: int) -> None:
        """While they run, and for those that start later."""
        new = self._file.with_suffix(".new")
        new.write_text(f"{seconds:+d}\n")
        new.replace(self._file)


@contextmanager
def faked_clock(folder: Path) -> Iterator[FakedClock]:
    """For as long as it is needed; what its processes have left in shared memory goes when they are gone."""
    yield FakedClock(folder)
    for path in SHARED.iterdir():
        left = LEFT.fullmatch(path.name)
        if left and not Path("/proc", left[1]).exists():
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
