"""HTTP/1.1 for phones: one request after the other on a connection, bodies that nobody reads, bounds on everything.

What is no HTTP gets the answer of what is not there: a server's own "400 Bad Request" would tell the two apart.
Parsed by llhttp (httptools); RFC 9112.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import Protocol

import httptools

from provisioning.door.http import FAILED, MALFORMED, Answer, Request, Withdrawn, path_of
from provisioning.door.sockets import unarrived_bytes

log = logging.getLogger(__name__)

REQUEST_BYTES = 16_384  # of one request with what follows it; a phone sends some 200
HEADERS = 64  # of one request; a phone sends 5, and a proxy some more
AT_ONCE_BYTES = 4096  # are read before the bounds are looked at: a whole chunk may have 256 KB
WAITING_REQUESTS = 16  # on one connection, sent before the first is answered
IDLE_SECONDS = 15.0  # for the whole of a request, and between two. Our choice, as those below
SENDING_SECONDS = 120.0  # for one piece of an answer to be taken
CONNECTIONS = 2000  # at once; more than file descriptors allow by default helps nobody
PER_SOURCE = 100  # of one address, so that one cannot take them all; a proxy of ours is not counted

Answering = Callable[[Request], Answer | Awaitable[Answer]]
"""What answers: at once, or by and by."""


class Placed(Protocol):
    """What has a place in a Room."""

    def give_way(self) -> bool:
        """Leave it to somebody else, unless something is being done here; whether it does."""


class Room:
    """How many connections there are, all together and from each address.

    When all places are taken, an address that has many gives up one on which nothing is being done: a few dozen
    addresses, which one machine can have, must not keep every phone out.
    """

    def __init__(
        self,
        uncounted: Callable[[str], bool] = lambda host: False,
        most: int = CONNECTIONS,
        per_source: int = PER_SOURCE,
    ) -> None:
        self._most = most
        self.per_source = per_source
        self._by_host: dict[str, dict[Placed, None]] = {}
        self._uncounted = uncounted
        self._all = 0
        self._empty = asyncio.Event()
        self._empty.set()

    def enter(self, host: str, connection: Placed) -> bool:
        """Whether there is room for one more; it has to leave again."""
        mine = len(self._by_host.get(host, ()))
        if mine >= self.per_source and not self._uncounted(host):
            return False
        if self._all >= self._most and not self._make_room(mine):
            return False
        self._all += 1
        self._empty.clear()
        self._by_host.setdefault(host, {})[connection] = None
        return True

    def _make_room(self, mine: int) -> bool:
        """For an address that has so many: the one that has most, and more than one more than that, gives way."""
        most = max(self._by_host.values(), key=len, default={})
        return len(most) > mine + 1 and any(one.give_way() for one in most)

    def leave(self, host: str, connection: Placed) -> None:
        """One that had entered is gone."""
        self._all -= 1
        del self._by_host[host][connection]
        if not self._by_host[host]:
            del self._by_host[host]
        if not self._all:
            self._empty.set()

    async def emptied(self, within_seconds: float) -> None:
        """Wait until nobody is there any more, or for so long."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._empty.wait(), within_seconds)


class Connection(asyncio.Protocol):
    """One connection. A client that hangs up, also in one direction only, ends what is being done for it: whether a
    file was taken whole is what the door is there to find out."""

    def __init__(self, answer: Answering, room: Room) -> None:
        self._answer = answer
        self._room = room
        self._parser: httptools.HttpRequestParser | None = httptools.HttpRequestParser(self)
        self._requests: deque[tuple[Request, bool]] = deque()
        self._task: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._idle_at = 0.0  # when this connection has been idle for too long
        self._may_write = asyncio.Event()
        self._entered = False
        self._ended = False  # nothing more is read
        self._answered = 0  # at once, of what came together
        self._coming: Answer | Awaitable[Answer] | None = None  # what a task has not begun to wait for
        self._begin()

    def _begin(self) -> None:
        self._target = b""
        self._headers: dict[str, str] = {}
        self._header_count = 0
        self._request_bytes = 0

    # --- what the connection tells ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._peer = str((transport.get_extra_info("peername") or ("",))[0]).partition("%")[0]
        self._local = str((transport.get_extra_info("sockname") or ("",))[0]).partition("%")[0]
        self._secure = transport.get_extra_info("ssl_object") is not None
        self._may_write.set()
        self._entered = self._room.enter(self._peer, self)
        if self._entered:
            self._wait_for_request()
        else:
            transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._entered:
            self._room.leave(self._peer, self)
        self._stop_timer()
        self._may_write.set()
        if self._task is not None:
            self._task.cancel()
        if isinstance(self._coming, Coroutine):
            self._coming.close()
        self._parser = None  # they hold each other, and nothing more comes

    def give_way(self) -> bool:
        """Leave a place to somebody else, unless something is being done here."""
        if self._task is not None or self._ended:
            return False
        self._ended = True
        self._transport.abort()
        return True

    def data_received(self, data: bytes) -> None:
        if self._ended or self._parser is None:
            return
        self._answered = 0
        for start in range(0, len(data), AT_ONCE_BYTES):
            piece = data[start : start + AT_ONCE_BYTES]
            self._request_bytes += len(piece)
            try:
                self._parser.feed_data(piece)
            except (httptools.HttpParserError, httptools.HttpParserUpgrade, _TooMuch):
                self._malformed()
            if self._request_bytes > REQUEST_BYTES:
                self._malformed()
            if self._ended:
                return

    def pause_writing(self) -> None:
        self._may_write.clear()

    def resume_writing(self) -> None:
        self._may_write.set()

    # --- what the parser tells ---

    def on_url(self, url: bytes) -> None:
        self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._header_count += 1
        if self._header_count > HEADERS:
            raise _TooMuch
        key, text = name.decode("latin-1").lower(), value.decode("latin-1")
        before = self._headers.get(key)
        self._headers[key] = text if before is None else f"{before}, {text}"

    def on_message_complete(self) -> None:
        assert self._parser is not None
        method = self._parser.get_method().decode("latin-1")
        target = self._target.decode("latin-1")
        request = Request(
            method, path_of(self._target), self._headers, self._peer, self._local, self._secure, target,
            partial(unarrived_bytes, self._transport),
        )  # fmt: skip
        self._begin()
        if len(self._requests) + self._answered >= WAITING_REQUESTS:
            raise _TooMuch
        # Before HTTP/1.1 nobody needs to say that it closes; what follows a wish for another protocol is not ours.
        is_modern, self._ended = self._parser.get_http_version() == "1.1", self._parser.should_upgrade()
        self._take(request, is_modern and not self._ended and self._parser.should_keep_alive())

    # --- what we do ---

    def _malformed(self) -> None:
        """It is answered as what is not there, and nothing that follows is read."""
        if self._ended:
            return
        self._ended = True
        self._take(Request("GET", MALFORMED, {}, self._peer), False)

    def _take(self, request: Request, keep_alive: bool) -> None:
        if self._transport.is_closing():
            return
        if self._task is not None:
            self._requests.append((request, keep_alive))
            return
        try:
            found = self._answer(request)
        except Exception:
            log.exception("%s asked for something, and we failed", self._peer)
            found = FAILED
        if isinstance(found, Answer) and self._sent_at_once(found, request, keep_alive):
            return
        self._stop_timer()
        self._coming = found
        self._task = asyncio.get_running_loop().create_task(self._work(found, request, keep_alive))

    def _sent_at_once(self, answer: Answer, request: Request, keep_alive: bool) -> bool:
        """Whether it was: an answer that is there, and is taken whole, needs no task."""
        if answer.pieces is not None or not self._may_write.is_set() or self._transport.get_write_buffer_size():
            return False
        self._answered += 1
        head = answer.head(time.time(), keep_alive=keep_alive)
        self._transport.write(head if request.method == "HEAD" else head + answer.body)
        self._ended = self._ended or not keep_alive
        if self._transport.get_write_buffer_size():
            self._stop_timer()
            self._task = asyncio.get_running_loop().create_task(self._work(answer, request, keep_alive, sent=True))
            return True
        if answer.taken is not None and not self._transport.is_closing():
            answer.taken()
        if keep_alive:
            self._wait_for_request()
        else:
            self._stop_timer()
            self._transport.close()
        return True

    async def _work(
        self, found: Answer | Awaitable[Answer], request: Request, keep_alive: bool, sent: bool = False
    ) -> None:
        self._coming = None
        try:
            while True:
                answer = found if isinstance(found, Answer) else await found
                if sent:
                    await self._taken_whole(answer)
                else:
                    await self._send(answer, with_body=request.method != "HEAD", keep_alive=keep_alive)
                if not keep_alive:
                    self._close()
                    return
                if not self._requests:
                    break
                request, keep_alive = self._requests.popleft()
                found, sent = self._answer(request), False
        except Withdrawn:
            self._transport.abort()
            return
        except Exception:
            log.exception("%s was cut off in the middle of an answer", self._peer)
            self._transport.abort()
            return
        self._task = None
        self._wait_for_request()

    async def _send(self, answer: Answer, *, with_body: bool, keep_alive: bool) -> None:
        head = answer.head(time.time(), keep_alive=keep_alive)
        if answer.pieces is None:
            self._transport.write(head + answer.body if with_body else head)
            await self._taken_whole(answer)
            return
        try:
            async for piece in answer.pieces:
                self._transport.write(head + piece)
                head = b""
                await self._taken()
        finally:
            await answer.pieces.aclose()

    async def _taken_whole(self, answer: Answer) -> None:
        """The same until nothing waits any more, where somebody wants to know that."""
        if answer.taken is None:
            await self._taken()
            return
        self._transport.set_write_buffer_limits(high=0)
        await self._taken()
        self._transport.set_write_buffer_limits()
        if not self._transport.is_closing():
            answer.taken()

    async def _taken(self) -> None:
        """Wait until there is room for more; whoever takes nothing for long is cut off."""
        try:
            async with asyncio.timeout(SENDING_SECONDS):
                await self._may_write.wait()
        except TimeoutError:
            self._transport.abort()
            raise asyncio.CancelledError from None

    def _wait_for_request(self) -> None:
        # A timer for each request would cost more than to parse it: the one that runs looks again when it rings.
        loop = asyncio.get_running_loop()
        self._idle_at = loop.time() + IDLE_SECONDS
        if self._timer is None:
            self._timer = loop.call_at(self._idle_at, self._ring)

    def _ring(self) -> None:
        self._timer, loop = None, asyncio.get_running_loop()
        if loop.time() < self._idle_at:
            self._timer = loop.call_at(self._idle_at, self._ring)
        else:
            self._close()

    def _close(self) -> None:
        """As soon as what was sent is taken; whoever does not take it is cut off."""
        self._stop_timer()
        self._transport.close()
        self._timer = asyncio.get_running_loop().call_later(SENDING_SECONDS, self._transport.abort)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class _TooMuch(Exception):
    """More requests at once than one connection may hold, or more headers than one request may have."""
