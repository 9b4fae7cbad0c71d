"""Connections as this door takes them: accepted, read, answered and closed in one turn of the loop where that can be.

asyncio's own server makes two tasks, a future and four further turns of the loop of each connection, which costs more
than all that is done for a phone that fetches its file: phones open a connection for each request. The transport is
asyncio's in all that its protocols see; TLS lies above it (tls.py). Errors of a connection end that one alone.
"""

from __future__ import annotations

import asyncio
import errno
import fcntl
import logging
import socket
import struct
import termios
from collections.abc import Callable
from typing import Any

ACCEPTED_AT_ONCE = 16  # in one turn; those who are here already want their turn too
READ_BYTES = 65_536
HIGH_WATER_BYTES, LOW_WATER_BYTES = 65_536, 16_384  # of what waits to be sent, as asyncio has them
FULL_SECONDS = 1.0  # until it is tried again to accept, when no descriptor or no memory was left
FULL = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)

_INT = struct.Struct("@i")

log = logging.getLogger(__name__)


def unarrived_bytes(transport: asyncio.Transport) -> int:
    """How much of what was written the other machine has not acknowledged, as far as the kernel knows (tcp(7),
    SIOCOUTQ). Nothing of a connection that is closed: whoever writes learns that.

    What its program has read nobody can say; of a proxy it is the proxy's machine.
    """
    connection = transport.get_extra_info("socket")
    if connection is None:
        return 0
    try:
        sent = fcntl.ioctl(connection.fileno(), termios.TIOCOUTQ, b"\0" * _INT.size)
    except (OSError, ValueError):
        return 0
    return transport.get_write_buffer_size() + _INT.unpack(sent)[0]


class Listener:
    """Accepts on a listening socket, in the running loop, until it is closed; the socket stays its owner's."""

    def __init__(self, listening: socket.socket, protocol: Callable[[], asyncio.Protocol]) -> None:
        self._loop = asyncio.get_running_loop()
        self._listening, self._protocol = listening, protocol
        self._again: asyncio.TimerHandle | None = None
        self._due = self._closed = False
        listening.setblocking(False)
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # what is accepted has it from here
        self._open()

    def _open(self) -> None:
        self._again = None
        self._loop.add_reader(self._listening, self._come)

    def close(self) -> None:
        """Accept nobody any more."""
        self._closed = True
        self._loop.remove_reader(self._listening)
        if self._again is not None:
            self._again.cancel()

    def _come(self) -> None:
        # Those who leave in the same turn make room first.
        if not self._due:
            self._due = True
            self._loop.call_soon(self._accept)

    def _accept(self) -> None:
        self._due = False
        if self._closed:
            return
        for _ in range(ACCEPTED_AT_ONCE):
            try:
                accepted, peer = self._listening.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                if error.errno not in FULL:
                    raise
                log.error("no connection can be accepted now (%s); the next try is in %.0f s", error, FULL_SECONDS)
                self._loop.remove_reader(self._listening)
                self._again = self._loop.call_later(FULL_SECONDS, self._open)
                return
            accepted.setblocking(False)
            Stream(self._loop, accepted, peer, self._protocol())


class Stream(asyncio.Transport):
    """One connection, as a transport."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, accepted: socket.socket, peer: Any, protocol: asyncio.Protocol
    ) -> None:
        super().__init__({"socket": accepted, "peername": peer})
        self._loop, self._socket, self._protocol = loop, accepted, protocol
        self._number = accepted.fileno()  # of a socket itself the loop's selector would write out both addresses first
        self._waiting = bytearray()  # to be sent
        self._high, self._low = HIGH_WATER_BYTES, LOW_WATER_BYTES
        self._closing = self._lost = self._paused = self._reads = False
        protocol.connection_made(self)
        if not self._closing:
            self._read()  # whoever has something to ask has often said it by now
        if not self._closing:
            self._reads = True
            loop.add_reader(self._number, self._read)

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """`peername`, `sockname` and `socket`."""
        if name == "sockname":
            try:
                return self._socket.getsockname()
            except OSError:
                return default
        return super().get_extra_info(name, default)

    def _read(self) -> None:
        try:
            data = self._socket.recv(READ_BYTES)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self._end(error)
            return
        if data:
            self._protocol.data_received(data)
        else:
            self._protocol.eof_received()
            if self._waiting or self._closing:
                self.close()
                return
            # Nobody is in the middle of anything: whoever comes in the same turn has the place that this one leaves.
            self._closing = self._lost = True
            self._stop_reading()
            self._tell_of_end(None)

    def write(self, data: Any) -> None:
        """Send it now, as far as it is taken; the rest when there is room."""
        if self._closing or not data:
            return
        if not self._waiting:
            try:
                sent = self._socket.send(data)
            except (BlockingIOError, InterruptedError):
                sent = 0
            except OSError as error:
                self._end(error)
                return
            if sent == len(data):
                return
            data = memoryview(data)[sent:]
            self._loop.add_writer(self._number, self._send_rest)
        self._waiting += data
        self._pause_if_full()

    def _pause_if_full(self) -> None:
        if len(self._waiting) > self._high and not self._paused:
            self._paused = True
            self._protocol.pause_writing()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Who writes is paused above `high` bytes that wait, until there are no more than `low`."""
        self._high = HIGH_WATER_BYTES if high is None else high
        self._low = min(LOW_WATER_BYTES, self._high) if low is None else low
        self._pause_if_full()

    def _send_rest(self) -> None:
        if self._lost:
            return
        try:
            sent = self._socket.send(self._waiting)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self._end(error)
            return
        del self._waiting[:sent]
        if self._paused and len(self._waiting) <= self._low:
            self._paused = False
            self._protocol.resume_writing()
        if not self._waiting and not self._lost:
            self._loop.remove_writer(self._number)
            if self._closing:
                self._over(None)

    def get_write_buffer_size(self) -> int:
        """Bytes that wait to be sent."""
        return len(self._waiting)

    def is_closing(self) -> bool:
        return self._closing

    def close(self) -> None:
        """Read nothing more, and end when all is sent."""
        if self._closing:
            return
        self._closing = True
        self._stop_reading()
        if not self._waiting:
            self._over(None)

    def abort(self) -> None:
        """End now; what waits is not sent."""
        self._end(None)

    def _end(self, error: OSError | None) -> None:
        if self._lost:
            return
        self._closing = True
        self._stop_reading()
        if self._waiting:
            self._waiting.clear()
            self._loop.remove_writer(self._number)
        self._over(error)

    def _stop_reading(self) -> None:
        if self._reads:
            self._reads = False
            self._loop.remove_reader(self._number)

    def _over(self, error: OSError | None) -> None:
        # Not at once: whoever closes is often in the middle of something.
        self._lost = True
        self._loop.call_soon(self._tell_of_end, error)

    def _tell_of_end(self, error: OSError | None) -> None:
        try:
            self._protocol.connection_lost(error)
        finally:
            self._socket.close()
