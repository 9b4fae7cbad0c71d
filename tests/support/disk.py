"""A small file system of its own, which a test fills up."""

import subprocess
from pathlib import Path

BLOCK = b"x" * 4096


class SmallDisk:
    """At this folder until it is closed."""

    def __init__(self, folder: Path, megabytes: int) -> None:
        self.folder, self._filler = folder, folder / "filler"
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "gspnp-test", str(folder)], check=True)

    def fill(self) -> None:
        """Up to the last block."""
        with self._filler.open("ab", buffering=0) as file:
            try:
                while file.write(BLOCK):
                    pass
            except OSError:
                return

    def make_room(self) -> None:
        self._filler.unlink()

    def close(self) -> None:
        subprocess.run(["umount", "--lazy", str(self.folder)], check=True)
