"""An open page, as far as it is about phones: it follows its WebSocket, and connects again when that ends.

It does what static/console/live.js does: it says the last id that it has, looks at the list again when it is told to,
and asks for nothing else. What it shows is what a person would see without reloading.
"""

import json
import threading
import time
from contextlib import suppress
from typing import Any

from tests.support.deployed import Browser, Live

RETRY_SECONDS = 0.5
LOOK_SECONDS = 2.0  # between two looks at the list


class Page:
    """Shows the stage of each phone in `stages`, by MAC, until it is closed."""

    def __init__(self, browser: Browser) -> None:
        self._browser = browser
        self.stages: dict[str, str] = {}
        self.connections = 0
        self._last: int | None = None
        self._is_stale = True  # as it is opened, it shows the list
        self._looked_at = 0.0
        self._live: Live | None = None
        self._closed = False
        self._thread = threading.Thread(target=self._follow, name="page", daemon=True)
        self._thread.start()

    def shows(self, stage: str) -> int:
        """How many phones it shows at this stage."""
        return sum(one == stage for one in list(self.stages.values()))

    def close(self) -> None:
        self._closed = True
        if self._live is not None:
            self._live.end()
        self._thread.join(30)

    def _follow(self) -> None:
        while not self._closed:
            with suppress(OSError, ValueError):  # what ends it: a console that was killed, a proxy that has none
                self._connect()
                while not self._closed:
                    self._hear(self._live.message())
            time.sleep(RETRY_SECONDS)

    def _connect(self) -> None:
        self._live = self._browser.live()
        if " 101 " not in self._live.status:
            raise OSError(self._live.status)
        self.connections += 1
        if self._last is not None:
            self._live.say({"since": self._last})

    def _hear(self, message: dict[str, Any]) -> None:
        if "last" in message:
            self._last = message["last"]
        for event in message.get("events", []):
            self.stages[event["mac"]] = event["stage"]
        self._is_stale = self._is_stale or bool(message.get("reload"))
        if self._is_stale and time.monotonic() - self._looked_at > LOOK_SECONDS:
            self._look()

    def _look(self) -> None:
        self._looked_at = time.monotonic()
        status, _, body = self._browser.ask("GET", "/phones.json")
        if status == 200:
            self.stages = {one["mac"]: one["stage"] for one in json.loads(body)}
            self._is_stale = False
