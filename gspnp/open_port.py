"""At which port a door is open: it leaves that in the data folder, for commands in another terminal.

They know only what `.env` and their own environment say, and would send phones where nobody answers; and some must not
be run beside a door that knows other keys. The file is locked for as long as the door runs, however it ends; without
the lock, what stands in it is of no account. Imports no Django settings, because they ask here.
"""

from __future__ import annotations

import datetime as dt
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

FILE_NAME = "phones-port"
CONSOLE_FILE_NAME = "console-port"
DOORS = 32  # of one kind on one data folder, such as behind a proxy
TRIES, PAUSE_SECONDS = 20, 0.05  # whoever asks holds the lock for an instant


def leave(folder: Path, port: int, name: str = FILE_NAME) -> None:
    """Say that this process, and what it becomes, has a door open at this TCP port. Raises OSError.

    Several doors on one folder have a file each.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not any(_leave(path, port) for path in _traces(folder, name)):
        raise OSError(f"{DOORS} doors are open on {folder} already")


def _traces(folder: Path, name: str) -> list[Path]:
    return [folder / name, *(folder / f"{name}-{number}" for number in range(2, DOORS + 1))]


def _leave(path: Path, port: int) -> bool:
    """False if another door has this file."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    for left in reversed(range(TRIES)):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError:
            if not left or _is_held(descriptor):
                os.close(descriptor)
                return False
            time.sleep(PAUSE_SECONDS)
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"{port}\n".encode(), 0)
    os.set_inheritable(descriptor, True)  # it stays open, and locked, in the server that this process becomes
    return True


def _is_held(descriptor: int) -> bool:
    """Whether a door has this file. Who only asks shares it with others who ask."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    fcntl.flock(descriptor, fcntl.LOCK_UN)
    return False


def found(folder: Path, name: str = FILE_NAME) -> int | None:
    """The TCP port of a door that runs on this data folder; None if none does, or that cannot be told."""
    return next((port for port, _ in all_found(folder, name)), None)


def all_found(folder: Path, name: str = FILE_NAME) -> Iterator[tuple[int, dt.datetime]]:
    """The same of each door of this kind, with the time at which it was opened."""
    for path in _traces(folder, name):
        try:
            with path.open("rb") as file:
                if _is_held(file.fileno()):
                    yield int(file.read(6)), dt.datetime.fromtimestamp(os.fstat(file.fileno()).st_mtime, dt.UTC)
        except FileNotFoundError:
            return  # files are made in turn, and stay
        except (OSError, ValueError):
            pass
