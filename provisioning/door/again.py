"""Phones that fetch what they have already: answered in the turn of the loop that read their request, noted, and
written down with others within a second.

On SQLite the loop itself looks: one row by its index, from pages that are in memory, takes less than the way to a
thread and back, and a reader of a WAL waits for nobody. On PostgreSQL a look is a round trip, and has its thread: who
asks at the same time as others shares one with them.
Bytes are opened for each answer and kept nowhere. What is noted is lost if both processes are killed within that
second; no stage depends on it.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
import threading
import time
from collections.abc import Sequence
from typing import Any, Protocol
from urllib.parse import quote

from django.db import DatabaseError, connection
from django.utils import timezone

from devices.crypto import CannotDecrypt
from devices.mac import colons
from provisioning import paths, repeats
from provisioning.door import watched
from provisioning.door.http import NO_STORE, Answer, Request
from provisioning.door.later import Later
from provisioning.door.together import Together
from provisioning.downloads import Offer
from provisioning.paths import Ask
from provisioning.repeats import Again, Read, Repeat

HELD_AT_MOST = 30_000  # repeats between two writings, some 20 MB; more are written before they are answered
FLUSH_SECONDS = 0.5  # with the writing of what came in it, less than a second
SAME_FILE_SECONDS = 1.0  # between two looks at whether the database was put back from a backup
LINES_AT_ONCE = 20  # of the log, of one writing: what all phones do at once stands in the database
_QUESTION = repeats.FIND.format("?")
_together = Together(repeats.read_all)

log = logging.getLogger(__name__)


class Recording(Protocol):
    """Whoever writes repeats down in the place of this process."""

    def __len__(self) -> int:
        """How many it has not written yet."""

    def note(self, one: Again) -> None:
        """Have it written."""


_lock = threading.Lock()
_held: list[Again] = []
_recording: Recording | None = None
_later = Later(lambda: bool(_held), lambda: flush(), FLUSH_SECONDS)


class Reader:
    """A connection of the event loop's own, which only reads, and which is opened anew when its file is another one."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._file: tuple[int, int] | None = None
        self._opened: sqlite3.Connection | None = None
        self._look_at = 0.0

    def read(self, parameters: tuple[str, str]) -> Sequence[Any] | None:
        """repeats.FIND. Raises sqlite3.Error, OSError."""
        now = time.monotonic()
        if self._opened is None or now >= self._look_at:
            self._open_if_other(now)
        assert self._opened is not None
        return self._opened.execute(_QUESTION, parameters).fetchone()

    def _open_if_other(self, now: float) -> None:
        there = os.stat(self._path)
        self._look_at = now + SAME_FILE_SECONDS
        if self._opened is None or (there.st_dev, there.st_ino) != self._file:
            self.close()
            # Not mode=ro, which cannot open a database whose WAL nobody has begun yet.
            where = f"file:{quote(self._path)}?mode=rw"
            opened = sqlite3.connect(where, uri=True, timeout=0, isolation_level=None)
            opened.execute("PRAGMA query_only = ON")
            self._opened, self._file = opened, (there.st_dev, there.st_ino)

    def close(self) -> None:
        if self._opened is not None:
            self._opened.close()
            self._opened = None


_reader: Reader | None = None


def _read(parameters: tuple[str, str]) -> Sequence[Any] | None:
    global _reader
    if _reader is None:
        _reader = Reader(str(connection.settings_dict["NAME"]))
    return _reader.read(parameters)


def may_be(request: Request) -> bool:
    """Could this be a repeat, and be noted? Of a part, or of what it may have the same of, nothing is known here."""
    if request.method != "GET" or not request.path.startswith("/p/") or held() >= HELD_AT_MOST:
        return False
    return "range" not in request.headers and "if-none-match" not in request.headers


def is_at_once() -> bool:
    """Whether `find` can tell here, in the event loop; else `find_beside` asks for what `may_be` one."""
    return connection.vendor == "sqlite"


def find(request: Request) -> Repeat | None:
    """The file, if this is a repeat that can be answered at once; None for all that needs a closer look. Call it in the
    event loop."""
    try:
        return _found(request, _read)
    except (sqlite3.Error, OSError, CannotDecrypt):
        return None  # whoever looks closer has the words for it


async def find_beside(request: Request) -> Repeat | None:
    """The same where a look is a round trip, which those who ask at the same time share. Raises DatabaseError,
    CannotDecrypt."""
    ask = _asked(request)
    return None if ask is None else repeats.opened(ask, await _together.ask(repeats.question(ask)))


def _found(request: Request, read: Read) -> Repeat | None:
    ask = _asked(request)
    return None if ask is None else repeats.find(ask, read)


def _asked(request: Request) -> Ask | None:
    ask = paths.read(request.path)
    return ask if ask is not None and ask.secret else None


def answer(request: Request, found: Repeat, host: str) -> Answer:
    """The file, which is noted as soon as all of it is on its way."""
    agent = request.header("user-agent")

    def taken() -> None:
        watched.download("complete")
        note(Again(found.phone_id, found.file_id, found.name, 200, host, agent, timezone.now(), found.mac))

    return Answer(200, found.content_type, found.content, headers=(("ETag", f'"{found.etag}"'), NO_STORE), taken=taken)


def noted(offer: Offer, status: int, host: str, user_agent: str) -> bool:
    """Whether this complete answer is one of a repeat, and there is room to note it; else it is written at once."""
    if not repeats.is_one(offer):
        return False
    file = offer.config_file
    return note(Again(file.phone_id, file.pk, offer.name, status, host, user_agent, timezone.now(), offer.mac))


def note(again: Again) -> bool:
    """Keep it until it is written; whether there is room. Call it in the event loop; it only touches memory."""
    if _recording is not None:
        if held() >= HELD_AT_MOST:
            return False
        _recording.note(again)
        return True
    with _lock:
        if len(_held) >= HELD_AT_MOST:
            return False
        _held.append(again)
    _later.start()
    return True


def held() -> int:
    """How many are noted, and not written yet."""
    return len(_held) + (len(_recording) if _recording is not None else 0)


def recorded_by(other: Recording | None) -> None:
    """This one writes what is noted from here on; None: this process does. Call it in the event loop."""
    global _recording
    _recording = other


def take_back(notes: list[Again]) -> None:
    """These are to be written here, although there may be no room. Call it in the event loop."""
    keep(notes)
    _later.start()


def keep(notes: list[Again]) -> None:
    """The same where there is no event loop; whoever calls it flushes."""
    with _lock:
        _held.extend(notes)


def flush() -> int:
    """Write down what was noted; how much that was."""
    with _lock:
        taken = list(_held)
        _held.clear()
    if not taken:
        return 0
    left = list(taken)
    try:
        repeats.record(left)
    except DatabaseError as error:
        log.warning("%d downloads by steady paths are not stored yet (%s)", len(left), error)
        with _lock:
            _held[:0] = left[: HELD_AT_MOST - len(_held)]
        return len(taken) - len(left)
    _say(taken)
    return len(taken)


def _say(taken: list[Again]) -> None:
    for one in taken[:LINES_AT_ONCE]:
        log.info("%s: %s fetched %s by its steady path", colons(one.mac), one.host, one.name)
    if len(taken) > LINES_AT_ONCE:
        log.info("%d more downloads by steady paths at the same time", len(taken) - LINES_AT_ONCE)


def forget() -> None:
    """Begin as a new process does."""
    global _reader, _recording
    _recording = None
    _held.clear()
    if _reader is not None:
        with contextlib.suppress(sqlite3.Error):
            _reader.close()
    _reader = None
