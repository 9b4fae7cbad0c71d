"""A process beside the door that writes down what phones fetched again, so that it takes no time from who answers them.

It is forked from the door before anything runs there, and shares its memory. The door tells it of repeats every few
hundredths of a second; it writes those of half a second together and says how many stand in the database. It takes no
order but the end of the door: if that one is killed, what it has told is written all the same. If this one is killed,
the door writes by itself what was not said to be written.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import pickle
import select
import signal
import socket
import struct
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

from devices import metrics
from provisioning.door import again
from provisioning.door.store import asked
from provisioning.repeats import Again

TELL_SECONDS = 0.02  # of repeats are told at once; with FLUSH_SECONDS and the writing, less than a second
READ_BYTES = 262_144
FAREWELL_SECONDS = 5.0  # for the last ones, after the door has ended
# Behind the door where both want the same core: a phone waits for that one, and nobody for what is written here. Not
# more than this: beside a process that never rests it still gets a quarter of a core: some 4,000 repeats a second.
NICE = 5
_LENGTH = struct.Struct(">I")

log = logging.getLogger(__name__)


class Recorder(asyncio.Protocol):
    """The door's end: what was told and is not yet said to be written is kept, and given to `lost` if it never will."""

    def __init__(self, pid: int, lost: Callable[[list[Again]], None]) -> None:
        self._pid, self._lost = pid, lost
        self._told: deque[Again] = deque()
        self._untold: list[Again] = []
        self._timer: asyncio.TimerHandle | None = None
        self._received = bytearray()
        self._transport: asyncio.Transport | None = None
        self._ended = asyncio.get_running_loop().create_future()

    def __len__(self) -> int:
        return len(self._told) + len(self._untold)

    def note(self, one: Again) -> None:
        """Have it written."""
        self._untold.append(one)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(TELL_SECONDS, self._tell)

    def _tell(self) -> None:
        self._timer = None
        if self._transport is None or not self._untold:
            return
        told, self._untold = self._untold, []
        self._told.extend(told)
        self._transport.write(_framed([tuple(one) for one in told]))

    async def finish(self) -> None:
        """Nothing more comes; wait until all is written, or for so long as it tries."""
        if self._timer is not None:
            self._timer.cancel()
            self._tell()
        if self._transport is not None:
            self._transport.write_eof()
        await asyncio.wait([self._ended], timeout=FAREWELL_SECONDS)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        for written, waited in _frames(self._received):
            for _ in range(written):
                self._told.popleft()
            for what, seconds in waited:
                metrics.waited(what, seconds)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if self._timer is not None:
            self._timer.cancel()
        left = [*self._told, *self._untold]
        self._told.clear()
        self._untold.clear()
        # It is about to be gone, but its socket goes first: whoever does not wait leaves its body.
        asyncio.get_running_loop().run_in_executor(None, _reap, self._pid)
        self._ended.set_result(None)
        self._lost(left)


async def attach(pid: int, end: socket.socket) -> Recorder:
    """The process at the other end of this socket writes from here on; if it is lost, this one does again."""

    def lost(left: list[Again]) -> None:
        again.recorded_by(None)
        if left:
            log.warning("who writes down downloads has ended; %d are written here", len(left))
            again.take_back(left)

    loop = asyncio.get_running_loop()
    _, made = await loop.create_unix_connection(lambda: Recorder(pid, lost), sock=end)
    again.recorded_by(made)
    return made


def fork(close: Callable[[], object]) -> tuple[int, socket.socket]:
    """Start it, with nothing running here yet: its process id, and our end of the way to it. `close` takes from it
    what it must not hold open."""
    here, there = socket.socketpair()
    pid = os.fork()
    if pid:
        there.close()
        return pid, here
    status = 1
    try:
        here.close()
        close()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)  # it ends when the door does
        os.nice(NICE)
        work(there)
        status = 0
    except BaseException:
        log.exception("who writes down downloads fails; the door writes by itself")
    finally:
        logging.shutdown()
        os._exit(status)


def work(end: socket.socket) -> None:
    """Write what is told at this end of a socket until the other one is closed."""
    waited: list[tuple[str, float]] = []
    metrics.tell_waits(lambda what, seconds: waited.append((what, seconds)))
    received, written, due, last = bytearray(), 0, 0.0, 0.0
    while not last or (again.held() and time.monotonic() < last):
        is_idle = not again.held()
        timeout = None if is_idle else max(0.0, due - time.monotonic())
        if not last and select.select([end], [], [], timeout)[0]:
            data = end.recv(READ_BYTES)
            received += data
            for told in _frames(received):
                again.keep([Again(*one) for one in told])
            if not data:
                last = time.monotonic() + FAREWELL_SECONDS
            if is_idle:
                due = time.monotonic() + again.FLUSH_SECONDS
        if again.held() and (last or time.monotonic() >= due):
            due = time.monotonic() + again.FLUSH_SECONDS  # counted from here: meanwhile others come
            written += asked(again.flush)
            # Only then is it known which ones: they are not written in the order in which they came.
            if not again.held():
                _say(end, written, waited)
                written = 0
                waited.clear()
            elif last:
                time.sleep(again.FLUSH_SECONDS)


def _say(end: socket.socket, written: int, waited: list[tuple[str, float]]) -> None:
    try:
        end.sendall(_framed((written, waited)))
    except OSError:
        log.debug("the door has ended")


def _framed(what: Any) -> bytes:
    """Both ends are the same program, and nobody else's."""
    data = pickle.dumps(what, pickle.HIGHEST_PROTOCOL)
    return _LENGTH.pack(len(data)) + data


def _frames(received: bytearray) -> Iterator[Any]:
    """What came whole; it leaves the buffer."""
    while len(received) >= _LENGTH.size:
        end = _LENGTH.size + _LENGTH.unpack_from(received)[0]
        if len(received) < end:
            return
        data = bytes(received[_LENGTH.size : end])
        del received[:end]
        yield pickle.loads(data)


def _reap(pid: int) -> None:
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, 0)
