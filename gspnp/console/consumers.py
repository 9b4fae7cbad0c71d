"""The live WebSocket: joins the tail, checks the user on every event, forwards; a reconnecting browser catches up.

Who has a phone's form open is told to the others who have it open, and stored nowhere.

Close codes (our choice): 4401 the session has ended, 4403 the permission is gone. Neither is worth a reconnection.
4429 it has said too much, and may come again later. What a browser says costs a bounded amount: of answers to it, of
looks at the table, and of words to the others.
"""

from __future__ import annotations

import json
import logging
import secrets
import time
from typing import Any

from channels.consumer import get_handler_name
from channels.generic.websocket import AsyncWebsocketConsumer

from devices.mac import MacError, parse_mac
from gspnp.console import standing, tail
from gspnp.console.debounced import Debounced

log = logging.getLogger(__name__)

SESSION_ENDED, NO_PERMISSION, TOO_MUCH = 4401, 4403, 4429
MAX_TEXT_CHARS = 200  # a browser says one small thing
MAX_MESSAGES, MESSAGES_SECONDS = 20, 10.0  # live.js says one a second at most
CATCH_UP_SECONDS = 1.0  # between two looks at the table for one browser
MAX_CAUGHT_UP = 200  # events; who has missed more is told to look at its list again
ANSWER_SECONDS = 1.0  # between two answers to those who have just come
RETRY_SECONDS = 1.0


class LiveConsumer(AsyncWebsocketConsumer):
    """One browser. `_last` is the newest event that it has been told of."""

    joined = False
    _closed = False
    _last = 0
    _greeted = False
    _missed = False  # something was told before it was greeted
    _heard_since = float("-inf")
    _heard = 0
    _user = ""
    _may_change = False
    _open = ""  # MAC of the phone whose form is open there

    async def dispatch(self, message: dict[str, Any]) -> None:
        """As Channels does it, but for the look at old connections in the one thread that all consumers share: fifty
        browsers that are told something at once waited there for each other. What is read here is read in threads of
        `database_sync_to_async`, which looks at their connections each time."""
        await getattr(self, get_handler_name(message))(message)

    async def connect(self) -> None:
        """Signed in and permitted, or the handshake is refused (403)."""
        if await self._refusal() is not None:
            await self.close()
            return
        self._catching_up = Debounced(self._catch_up, CATCH_UP_SECONDS)
        self._answering = Debounced(self._answer, ANSWER_SECONDS)
        tail.current().join(self)
        self.joined = True
        self._id = secrets.token_hex(4)
        self._last = await tail.read_newest_id()
        await self.accept()
        await self.send(json.dumps({"type": "live.hello", "last": self._last}))
        self._greeted = True
        if self._missed:
            await self._catching_up.ask()

    async def disconnect(self, code: int) -> None:
        """Leave the tail; the last one ends it."""
        if self.joined:
            self.joined = False
            self._catching_up.stop()
            self._answering.stop()
            try:
                await self._attend("")
            finally:
                await tail.current().leave(self)

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        """`{"since": id}`: the newest event that the page already shows. `{"open": MAC or null}`: the phone whose form
        is open there, said again now and then. Anything else is passed over."""
        if not self._may_speak():
            if self._heard == MAX_MESSAGES + 1:
                await self.close(code=TOO_MUCH)
            return
        said = _read(text_data)
        since = said.get("since")
        if type(since) is int and 0 <= since < self._last:
            self._last = since
            await self._catching_up.ask()
        if "open" in said:
            await self._attend(_mac(said["open"]))

    async def hear(self, message: tail.Message) -> None:
        """What the tail says."""
        if not self._greeted:
            self._missed = True
        elif message["type"] == "live.events":
            await self._hear_events(message)
        else:
            await self._hear_beat(message)

    async def _hear_events(self, message: tail.Message) -> None:
        if message["last"] <= self._last:
            return
        if message["after"] > self._last:
            await self._catch_up()  # one before it was missed: the table has it
        elif await self._is_permitted() and message["last"] > self._last:  # the table may have been read meanwhile
            self._last = message["last"]
            await self.send(message["text"])

    async def _hear_beat(self, message: tail.Message) -> None:
        """Nothing new. It keeps the link alive, and shows whether we are behind."""
        if message["last"] > self._last:
            await self._catching_up.ask()
        elif await self._is_permitted():
            await self.send(message["text"])

    async def live_present(self, message: dict[str, Any]) -> None:
        """Somebody opened or left the phone that is open here; who has just come is told of us."""
        if message["who"] == self._id or not await self._is_permitted() or message["mac"] != self._open:
            return
        await self.send(json.dumps({name: message[name] for name in ("type", "mac", "who", "name", "here")}))
        if message["asks"]:
            await self._answering.ask()

    async def send(self, text_data: str | None = None, bytes_data: bytes | None = None, close: bool = False) -> None:
        """Nothing more once we have closed: what was on its way, or comes before the browser is gone, is dropped."""
        if not self._closed:
            await super().send(text_data, bytes_data, close)

    async def close(self, code: int | None = None, reason: str | None = None) -> None:
        """The end of it, said once."""
        if not self._closed:
            self._closed = True
            await super().close(code, reason)

    def _may_speak(self) -> bool:
        """Whether this message is within what a browser may say; one that has said too much says nothing more."""
        now = time.monotonic()
        if self._heard <= MAX_MESSAGES and now - self._heard_since > MESSAGES_SECONDS:
            self._heard_since, self._heard = now, 0
        self._heard += 1
        return self._heard <= MAX_MESSAGES

    async def _attend(self, mac: str) -> None:
        """This browser has the form of this phone open now, or of none. Only who still may change phones can."""
        if mac and not await self._is_permitted():
            return
        is_new = mac != self._open
        if self._open and is_new:
            await self._leave()
        if mac and self._may_change:
            self._open = mac
            await self.channel_layer.group_add(_room(mac), self.channel_name)
            await self._say(here=True, asks=is_new)

    async def _leave(self) -> None:
        await self._say(here=False)
        await self.channel_layer.group_discard(_room(self._open), self.channel_name)
        self._open = ""

    async def _answer(self) -> None:
        if self._open:
            await self._say(here=True)

    async def _say(self, here: bool, asks: bool = False) -> None:
        said = {"type": "live.present", "mac": self._open, "who": self._id, "name": self._user, "here": here}
        said["asks"] = asks
        await self.channel_layer.group_send(_room(self._open), said)

    async def _catch_up(self) -> None:
        """Send what came after `_last`, from the table; if the table cannot be read, try again a little later."""
        try:
            events = await tail.read_after(self._last, MAX_CAUGHT_UP + 1)
            newest = await tail.read_newest_id() if len(events) > MAX_CAUGHT_UP else 0
        except Exception as error:
            log.warning("live events cannot be caught up (%s); trying again", type(error).__name__)
            self._catching_up.later(RETRY_SECONDS)
            return
        if not events or not await self._is_permitted():
            return
        events = [one for one in events if one.pk > self._last]  # the tail may have told some meanwhile
        if events:
            last = max(newest, events[-1].pk)
            text = tail.reload_text(self._last, last) if newest else tail.as_text(events, self._last)
            self._last = last
            await self.send(text)

    async def _is_permitted(self) -> bool:
        """Whether this browser may be told now; closes if not, and tells nothing while nobody can know."""
        try:
            refusal = await self._refusal()
        except Exception as error:
            log.warning("a browser's permission cannot be read (%s); it waits", type(error).__name__)
            self._catching_up.later(RETRY_SECONDS)
            return False
        if refusal is not None:
            await self.close(code=refusal)
            return False
        if self._open and not self._may_change:
            await self._leave()
        return True

    async def _refusal(self) -> int | None:
        """Read session and user again: a close code, or None if all is well."""
        found = await standing.of(self.scope["session"].session_key)
        if found.user is None:
            return SESSION_ENDED
        self._user, self._may_change = found.user, found.may_change
        return None if found.may_view else NO_PERMISSION


class Nowhere(AsyncWebsocketConsumer):
    """Any other address: refused without ado."""

    async def connect(self) -> None:
        """403."""
        await self.close()


def _room(mac: str) -> str:
    """The group of those who have this phone's form open, in all processes that share the channel layer."""
    return f"open.{mac}"


def _read(text: str | None) -> dict[str, Any]:
    """A browser's message; empty if it is none."""
    if text is None or len(text) > MAX_TEXT_CHARS:
        return {}
    try:
        said = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return said if isinstance(said, dict) else {}


def _mac(said: object) -> str:
    """The MAC in a browser's message; empty if it is none."""
    try:
        return parse_mac(said) if isinstance(said, str) else ""
    except MacError:
        return ""
