"""Many open lists in one process, without a browser: `python -m tests.bench.open_pages HOST SESSION COUNT`.

Each shows the phones that were seen last, so that whatever phone starts up comes to each of them, and does what
static/console/live.js and list.js do: it opens the live WebSocket, says what it has seen last, and after each message
fetches its rows, compressed, over a connection of its own, never twice at a time and no sooner than 60 ms after the
last time. Prints "open" when all are; at the end of its input it prints, as JSON, for each page what it was told when
([newest event, at]), when its rows were fetched ([begun, done]) and whether its socket is still open. page.py has the
same with threads, for one page or a few: 50 of those would wait for each other.
"""

import asyncio
import base64
import json
import os
import struct
import sys
import time
from contextlib import suppress
from typing import Any

from tests.bench.page import CONSOLE_PORT, CSRF, PING, PONG, REFRESH_SECONDS, TEXT

HELLO_SECONDS = 60


class OpenPage:
    """One of them. `wait_open` returns once the server has greeted it."""

    def __init__(self, host: str, session: str) -> None:
        self._host = host
        self._head = "\r\n".join((
            f"Host: {host}:{CONSOLE_PORT}", f"Origin: http://{host}:{CONSOLE_PORT}", f"X-CSRFToken: {CSRF}",
            f"Cookie: sessionid={session}; csrftoken={CSRF}", "Accept-Encoding: gzip", "",
        ))  # fmt: skip
        self.told: list[tuple[int, float]] = []
        self.fetched: list[tuple[float, float]] = []
        self._changed, self._greeted = asyncio.Event(), asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        self._tasks = [asyncio.create_task(self._follow()), asyncio.create_task(self._refresh())]

    async def wait_open(self) -> None:
        await asyncio.wait_for(self._greeted.wait(), HELLO_SECONDS)

    def result(self) -> dict[str, Any]:
        """What it has seen; ends it."""
        is_open = not any(task.done() for task in self._tasks)
        for task in self._tasks:
            task.cancel()
        return {"told": self.told, "fetched": self.fetched, "open": is_open}

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection(self._host, CONSOLE_PORT)

    async def _follow(self) -> None:
        reader, writer = await self._connect()
        key = base64.b64encode(os.urandom(16)).decode()
        writer.write((
            f"GET /ws/live HTTP/1.1\r\n{self._head}Upgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n"
        ).encode())  # fmt: skip
        head = await reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 101"):
            raise RuntimeError(f"the live socket refuses: {head[:80]!r}")
        while True:
            kind, payload = await _frame(reader)
            if kind == PING:
                writer.write(_masked(PONG, payload))
            elif kind == TEXT:
                self._take(json.loads(payload), time.time(), writer)

    def _take(self, message: dict[str, Any], at: float, writer: asyncio.StreamWriter) -> None:
        if message["type"] == "live.hello":
            writer.write(_masked(TEXT, json.dumps({"since": message["last"]}).encode()))
            self._greeted.set()
        elif message["type"] == "live.events":
            self.told.append((message["last"], at))
            self._changed.set()

    async def _refresh(self) -> None:
        reader, writer = await self._connect()
        while True:
            await self._changed.wait()
            self._changed.clear()
            begun = time.time()
            writer.write(f"GET /rows/?sort=-seen HTTP/1.1\r\n{self._head}\r\n".encode())
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            if not head.startswith("HTTP/1.1 200"):
                raise RuntimeError(f"the rows: {head[:80]!r}")
            lines = (line.partition(":") for line in head.split("\r\n"))
            await reader.readexactly(next(int(value) for name, _, value in lines if name.lower() == "content-length"))
            self.fetched.append((begun, time.time()))
            await asyncio.sleep(REFRESH_SECONDS)


async def _frame(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """One frame of RFC 6455 5.2, which a server does not mask."""
    kind, length = await reader.readexactly(2)
    if length == 126:
        (length,) = struct.unpack("!H", await reader.readexactly(2))
    elif length == 127:
        (length,) = struct.unpack("!Q", await reader.readexactly(8))
    return kind & 0x0F, await reader.readexactly(length)


def _masked(kind: int, payload: bytes) -> bytes:
    """A short frame of a browser (RFC 6455 5.3)."""
    mask = os.urandom(4)
    return bytes([0x80 | kind, 0x80 | len(payload)]) + mask + bytes(one ^ mask[n % 4] for n, one in enumerate(payload))


async def main(host: str, session: str, count: int) -> None:
    pages = [OpenPage(host, session) for _ in range(count)]
    for page in pages:
        page.start()
        await page.wait_open()
    print("open", flush=True)
    with suppress(EOFError):
        await asyncio.to_thread(sys.stdin.read)
    print(json.dumps([page.result() for page in pages]))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
