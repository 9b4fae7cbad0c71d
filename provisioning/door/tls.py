"""TLS at the phones' door, on the port that plain HTTP has too: the first byte of a connection says which it is.

So a phone whose file still says http finds the door that it knows, until it has the file that says https. A record
of TLS's handshake begins with 22, which no request does (RFC 8446 5.1). The bounds are those of wire.py: a connection
is counted before its handshake, and one timer bounds the wait for its first byte and the handshake together.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
import time
from collections.abc import Callable, Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Any

from devices.limits import Limits, source_of
from devices.renewals import Keeper
from provisioning.door import wire
from provisioning.door.wire import Answering, Connection, Placed, Room

HANDSHAKE = 22  # ContentType of TLS's first record
PIECE_BYTES = 16_384  # the plain bytes of one record
HANDSHAKE_BYTES = 16_384  # of a client, before its handshake is done; a phone sends some 700. OpenSSL would keep 128 KB
# What TLS says by itself after the handshake (answers to new keys, and to wishes for another handshake): a client that
# goes on asking for it and takes nothing would fill our memory. One that has been here for long gets a few bytes.
OWN_BYTES = 4_096
# Anybody may fail a handshake, and a flood must not fill the disk.
LINES_PER_SECOND, LINES_PER_SOURCE, LINES_BURST_SECONDS = 5.0, 0.5, 40.0
# By parts of OpenSSL's reasons. Alerts come from the phone.
REMEDIES: Mapping[str, str] = MappingProxyType(
    {
        "UNSUPPORTED_PROTOCOL": "it speaks older versions only; see GSPNP_PHONES_TLS_MIN",
        "NO_SHARED_CIPHER": "it has none of our ciphers; an RSA key, or GSPNP_PHONES_TLS_MIN, may help",
        "ALERT_PROTOCOL_VERSION": "it does not speak our version; see GSPNP_PHONES_TLS_MIN",
        "UNKNOWN_CA": "it does not know who signed our certificate; see docs/tls.md",
        "CERTIFICATE": "it does not take our certificate; see docs/tls.md",
        "HANDSHAKE_FAILURE": "it has none of our ciphers, or does not take our certificate; see docs/tls.md",
    }
)

log = logging.getLogger(__name__)


class _Counted(Room):
    """For a connection that has been counted already."""

    def enter(self, host: str, connection: Placed) -> bool:
        return True

    def leave(self, host: str, connection: Placed) -> None:
        pass


_COUNTED = _Counted()


@lru_cache(maxsize=1)
def _lines() -> Limits:
    return Limits(LINES_PER_SECOND, LINES_PER_SOURCE, time.monotonic(), LINES_BURST_SECONDS)


class Opening(asyncio.Protocol):
    """What has just connected; it goes on as a Connection, in TLS or plain, as its first byte says."""

    def __init__(
        self,
        answer: Answering,
        room: Room,
        keeper: Keeper[ssl.SSLContext],
        admit: Callable[[str], bool] = lambda host: True,
    ) -> None:
        """`admit` says whether this address may have one more handshake now: each costs us a signature."""
        self._answer, self._room, self._keeper, self._admit = answer, room, keeper, admit
        self._inner: Connection | None = None
        self._tunnel: Tunnel | None = None
        self._entered = False
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._peer = str((transport.get_extra_info("peername") or ("",))[0]).partition("%")[0]
        self._entered = self._room.enter(self._peer, self)
        if self._entered:
            self._timer = asyncio.get_running_loop().call_later(wire.IDLE_SECONDS, transport.abort)
        else:
            transport.abort()

    def data_received(self, data: bytes) -> None:
        if not self._entered:
            return
        if self._inner is None and self._tunnel is None:
            if data[0] != HANDSHAKE:
                self._begin(self._transport)
            elif not self._admit(self._peer):
                self._transport.abort()
                return
            else:
                self._tunnel = Tunnel(self._transport, self._keeper.current(), self._begin)
        if self._tunnel is not None:
            self._tunnel.received(data)
        elif self._inner is not None:
            self._inner.data_received(data)

    def _begin(self, transport: asyncio.Transport) -> Connection:
        """There is somebody who can ask."""
        self._stop_timer()
        self._inner = Connection(self._answer, _COUNTED)
        self._inner.connection_made(transport)
        return self._inner

    def give_way(self) -> bool:
        """Who has not said what he wants yet, or is not being answered, leaves his place."""
        if self._inner is not None:
            return self._inner.give_way()
        if self._transport.is_closing():  # it has done so already
            return False
        self._transport.abort()
        return True

    def pause_writing(self) -> None:
        if self._inner is not None:
            self._inner.pause_writing()

    def resume_writing(self) -> None:
        if self._inner is not None:
            self._inner.resume_writing()

    def eof_received(self) -> None:
        """Below, asyncio closes now, after what waits is sent: what TLS would write then does not leave any more, and
        must not count as taken."""
        if self._tunnel is not None:
            self._tunnel.hung_up()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        if self._entered:
            self._room.leave(self._peer, self)
        if self._inner is not None:
            self._inner.connection_lost(exc)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class Tunnel(asyncio.Transport):
    """TLS over a transport, as a transport. Nothing waits in here: what is written is encrypted and handed on at once.

    asyncio's own keeps 256 KB for each connection, and half a megabyte of what is to be sent, which a phone that has
    left would count as having taken.
    """

    def __init__(
        self,
        below: asyncio.Transport,
        speaking: ssl.SSLContext,
        begin: Callable[[asyncio.Transport], asyncio.Protocol],
    ) -> None:
        super().__init__()
        self._below, self._begin = below, begin
        self._coming, self._leaving = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = speaking.wrap_bio(self._coming, self._leaving, server_side=True)
        self._inner: asyncio.Protocol | None = None
        self._closed = False
        self._came = self._own = 0  # bytes

    def received(self, data: bytes) -> None:
        """Bytes from below."""
        if self._closed:
            return
        self._coming.write(data)
        self._came += len(data)
        try:
            self._advance()
        except ssl.SSLWantReadError:
            if self._asks_too_much():
                self.abort()
            else:
                self._flush()
        except ssl.SSLError as error:  # no TLS, or none that we speak; an alert says so to whoever understands it
            self._tell(error)
            if self._below.get_write_buffer_size():  # the rest of an answer would not follow what still waits
                self.abort()
            else:
                self._end()

    def _asks_too_much(self) -> bool:
        """Of what costs us memory and asks for no file."""
        if self._inner is None:
            return self._came > HANDSHAKE_BYTES
        self._own += self._leaving.pending  # whatever we write to it ourselves is handed on at once
        return self._own > OWN_BYTES

    def _tell(self, error: ssl.SSLError) -> None:
        """What a phone's TLS may fail by, for the log; what was no TLS at all is not worth a line."""
        reason = error.reason or ""
        remedy = next((words for mark, words in REMEDIES.items() if mark in reason), "")
        if not remedy or self._inner is not None:
            return
        peer = str((self._below.get_extra_info("peername") or ("",))[0])
        if _lines().admit(source_of(peer), time.monotonic()):
            log.info("%s does not agree with us on TLS (%s): %s", peer, reason.replace("_", " ").lower(), remedy)

    def _advance(self) -> None:
        """Raises ssl.SSLWantReadError when there is nothing more to read."""
        if self._inner is None:
            self._tls.do_handshake()
            self._flush()
            self._inner = self._begin(self)
        while not self._closed:
            plain = self._tls.read(PIECE_BYTES)
            if not plain:
                self.hung_up()
                return
            self._inner.data_received(plain)

    def hung_up(self) -> None:
        """The client says that it closes (close_notify, or the end of what it sends below): it is gone, as one that
        closes its half of a plain connection is, and what still waits for it is of no use to it."""
        if self._below.get_write_buffer_size():
            self.abort()
        else:
            self.close()

    def write(self, data: Any) -> None:
        """Encrypt and hand on."""
        if self._closed or not data:
            return
        try:
            self._tls.write(data)
        except ssl.SSLError:
            self.abort()
        else:
            self._flush()

    def close(self) -> None:
        """Say that nothing follows, and close below when all is sent. The client's own word is not waited for."""
        if self._closed:
            return
        with contextlib.suppress(ssl.SSLError):
            self._tls.unwrap()
        self._end()

    def _end(self) -> None:
        self._flush()
        self._closed = True
        self._below.close()

    def abort(self) -> None:
        """Cut it off."""
        self._closed = True
        self._below.abort()

    def _flush(self) -> None:
        if self._leaving.pending and not self._below.is_closing():
            self._below.write(self._leaving.read())

    def is_closing(self) -> bool:
        return self._closed or self._below.is_closing()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """As below; `ssl_object` says that this is TLS."""
        return self._tls if name == "ssl_object" else self._below.get_extra_info(name, default)

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._below.set_write_buffer_limits(high, low)

    def get_write_buffer_size(self) -> int:
        return self._below.get_write_buffer_size()
