"""At which port a door is open: it leaves that in the data folder, for commands in another terminal.

They know only what `.env` and their own environment say, and would send phones where nobody answers; and some must not
be run beside a door that knows other keys. The file is locked for as long as the door runs, however it ends; without
the lock, what stands in it is of no account. Imports no Django settings, because they ask here.
"""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path

FILE_NAME = "phones-port"
CONSOLE_FILE_NAME = "console-port"
TRIES, PAUSE_SECONDS = 20, 0.05  # whoever asks holds the lock for an instant


def leave(folder: Path, port: int, name: str = FILE_NAME) -> None:
    """Say that this process, and what it becomes, has a door open at this TCP port. Raises OSError."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(folder / name, os.O_RDWR | os.O_CREAT, 0o644)
    for left in reversed(range(TRIES)):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError:
            if not left:
                os.close(descriptor)
                raise
            time.sleep(PAUSE_SECONDS)
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"{port}\n".encode(), 0)
    os.set_inheritable(descriptor, True)  # it stays open, and locked, in the server that this process becomes


def found(folder: Path, name: str = FILE_NAME) -> int | None:
    """The TCP port of the door that runs on this data folder; None if none does, or that cannot be told."""
    try:
        with (folder / name).open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return int(file.read(6))
    except (OSError, ValueError):
        pass
    return None
