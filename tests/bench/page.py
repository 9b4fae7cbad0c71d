"""A technician's open list of phones, without a browser: the live WebSocket, and the rows that a page fetches again.

It does what static/console/live.js and list.js do: follow events, and fetch the rows after a change, never twice at a
time, and again no sooner than 60 ms after the last time. The session is made in the database (see arrange.py), for the
way through the login is not what is measured.
"""

import base64
import http.client
import json
import os
import socket
import struct
import threading
import time
from bisect import bisect_left
from contextlib import suppress
from typing import Any

from tests.bench.product import Product

CONSOLE_PORT = 8000
HTTP_SECONDS = 60
REFRESH_SECONDS = 0.06  # list.js, REFRESH_MS
CSRF = "b" * 32
TEXT, PING, PONG = 1, 9, 10


class Browser:
    """HTTP from the phones' machine to the console, signed in."""

    def __init__(self, product: Product) -> None:
        self._host, self._from = product.ground.pbx.address, product.ground.phones
        self._cookie = f"sessionid={product.session}; csrftoken={CSRF}"
        self._connection: http.client.HTTPConnection | None = None

    def connect(self) -> socket.socket:
        opened = self._from.socket(socket.SOCK_STREAM)
        opened.settimeout(HTTP_SECONDS)
        opened.connect((self._host, CONSOLE_PORT))
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return opened

    @property
    def headers(self) -> dict[str, str]:
        return {"Cookie": self._cookie, "Host": f"{self._host}:{CONSOLE_PORT}", "X-CSRFToken": CSRF,
                "Origin": f"http://{self._host}:{CONSOLE_PORT}"}  # fmt: skip

    def ask(self, method: str, path: str, body: str = "") -> tuple[int, bytes, float]:
        """Status, body and seconds of one request; the connection is kept, as a browser keeps it."""
        for fresh in (False, True):
            begun = time.perf_counter()
            if self._connection is None or fresh:
                self._connection = http.client.HTTPConnection(self._host, CONSOLE_PORT)
                self._connection.sock = self.connect()
            kind = {"Content-Type": "application/x-www-form-urlencoded"} if body else {}
            with suppress(http.client.RemoteDisconnected, ConnectionError):
                self._connection.request(method, path, body or None, self.headers | kind)
                answer = self._connection.getresponse()
                return answer.status, answer.read(), time.perf_counter() - begun
        raise RuntimeError(f"{method} {path}: the console closes the connection")


class Page:
    """The open list: when it was told of which event, and when its rows had been fetched after that."""

    def __init__(self, product: Product) -> None:
        self._product = product
        self.told: list[tuple[int, float]] = []  # newest event id, when
        self.fetched: list[tuple[float, float]] = []  # begun, done
        self._changed, self._ended = threading.Event(), threading.Event()
        self._socket = self._open()
        self._threads = [threading.Thread(target=self._follow), threading.Thread(target=self._refresh)]
        for thread in self._threads:
            thread.start()

    def _open(self) -> socket.socket:
        browser = Browser(self._product)
        opened = browser.connect()
        lines = [f"{name}: {value}" for name, value in browser.headers.items()]
        key = base64.b64encode(os.urandom(16)).decode()
        lines += ["Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13", f"Sec-WebSocket-Key: {key}"]
        opened.sendall(("GET /ws/live HTTP/1.1\r\n" + "\r\n".join(lines) + "\r\n\r\n").encode())
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            piece = opened.recv(1)
            if not piece:
                break
            head += piece
        if not head.startswith(b"HTTP/1.1 101"):
            raise RuntimeError(f"the live socket refuses: {head[:80]!r}")
        return opened

    def _read(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            piece = self._socket.recv(count - len(data))
            if not piece:
                raise ConnectionError("closed")
            data += piece
        return data

    def _frame(self) -> tuple[int, bytes]:
        """One frame of RFC 6455 5.2, which a server does not mask."""
        kind, length = self._read(2)
        if length == 126:
            (length,) = struct.unpack("!H", self._read(2))
        elif length == 127:
            (length,) = struct.unpack("!Q", self._read(8))
        return kind & 0x0F, self._read(length)

    def _follow(self) -> None:
        with suppress(OSError):
            while not self._ended.is_set():
                kind, payload = self._frame()
                if kind == PING:
                    mask = os.urandom(4)
                    masked = bytes(byte ^ mask[place % 4] for place, byte in enumerate(payload))
                    self._socket.sendall(bytes([0x80 | PONG, 0x80 | len(payload)]) + mask + masked)
                if kind != TEXT:
                    continue
                message: dict[str, Any] = json.loads(payload)
                if message["type"] == "live.events":
                    self.told.append((message["last"], time.time()))
                    self._changed.set()

    def _refresh(self) -> None:
        browser = Browser(self._product)
        while not self._ended.is_set():
            if not self._changed.wait(0.2):
                continue
            self._changed.clear()
            begun = time.time()
            browser.ask("GET", "/rows/")
            self.fetched.append((begun, time.time()))
            self._ended.wait(REFRESH_SECONDS)

    def close(self) -> None:
        self._ended.set()
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        self._socket.close()

    @property
    def is_open(self) -> bool:
        """Whether the server has not ended its live socket."""
        return self._threads[0].is_alive()

    def seen_at(self, event_id: int) -> tuple[float | None, float | None]:
        """When this event was told, and when rows that were asked for after that had come; None: not yet."""
        place = bisect_left([last for last, _ in self.told], event_id)
        if place == len(self.told):
            return None, None
        told = self.told[place][1]
        return told, next((done for begun, done in self.fetched if begun >= told), None)
