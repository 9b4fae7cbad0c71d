"""The last hop of live events inside one process: read the table, tell this process's browsers.

daphne has no lifespan, so the first browser starts the tail and the last one ends it. The rows are the carrier: a
message says which ids it covers, and whoever has not got what came before reads the table itself.
No channel layer stands between: fifty browsers would cost fifty messages through Redis each time, and none would hear
of anything while Redis is away.
Source: design, "Live seam".
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from contextvars import Context, copy_context
from typing import Any, Protocol
from weakref import WeakKeyDictionary

from channels.db import database_sync_to_async

from devices import live, said_of, wake
from devices.models import LiveEvent

log = logging.getLogger(__name__)

# One look-up by primary key; a new phone is on the page in well under half a second. Redis, if there is one, says "look
# now" (devices/wake.py), and while it is away this is what remains.
POLL_SECONDS = 0.1
SEND_PAUSE_SECONDS = 0.1  # at most one message for the group in this time, in a storm
# While so few phones change that a page can follow each, a third of that: who just misses a message waits for the next.
FEW_EVENTS, FEW_PAUSE_SECONDS = 20, 0.03
BEAT_SECONDS = 5.0  # says "the link is alive", and lets whoever missed something notice it
RETRY_SECONDS = 1.0
IN_VAIN_SECONDS = 0.02  # after a look in vain: whoever rings for nothing does not make us look without end
READ_ROWS = 1000
MAX_CHANGED_PHONES = 200  # more in one message, and the browser is told to look at its list again
HEARD_SECONDS = 5.0  # a browser for which something takes longer holds up no other. Our choice.

Message = dict[str, Any]

read_newest_id = database_sync_to_async(live.newest_id, thread_sensitive=False)
read_after = database_sync_to_async(live.after, thread_sensitive=False)


def as_text(events: list[LiveEvent], after: int) -> str:
    """What browsers are told of these events, oldest first, that come after the id `after`; serialised once."""
    if len({event.mac for event in events}) > MAX_CHANGED_PHONES or len(events) >= READ_ROWS:
        return reload_text(after, events[-1].pk)
    message = {
        "type": "live.events",
        "first": events[0].pk if events else after,
        "last": events[-1].pk if events else after,
        "events": [live.compact(event) for event in events],
    }
    return json.dumps(message, separators=(",", ":"))


def reload_text(after: int, last: int) -> str:
    """More has happened between these ids than is worth telling: look at the page's phones again."""
    return json.dumps({"type": "live.events", "first": after, "last": last, "reload": True}, separators=(",", ":"))


class Browser(Protocol):
    """Who is told."""

    async def hear(self, message: Message) -> None:
        """Pass on what the tail says: `type`, the ids `after` and `last` between which it tells, and the `text`."""


class Tail:
    """One task that follows the table as long as there are browsers in this event loop."""

    def __init__(self) -> None:
        self._browsers: dict[Browser, Context] = {}
        self._hearing: set[asyncio.Task[None]] = set()
        self._task: asyncio.Task[None] | None = None
        self._failing = False

    @property
    def running(self) -> bool:
        return self._task is not None and not self._task.done()

    @property
    def is_well(self) -> bool:
        """Are browsers told of what happens, if there are any?"""
        return not self._browsers or (self.running and not self._failing)

    def join(self, browser: Browser) -> None:
        """A browser has come; what it hears, it hears in the context that it came in."""
        self._browsers[browser] = copy_context()
        if not self.running:
            self._task = asyncio.get_running_loop().create_task(self._run(), name="live tail")

    async def leave(self, browser: Browser) -> None:
        """A browser has gone."""
        self._browsers.pop(browser, None)
        if not self._browsers and self._task is not None:
            task, self._task = self._task, None
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _run(self) -> None:
        said_of.of_no_request()  # but of all browsers
        woken = asyncio.Event()
        listening = asyncio.get_running_loop().create_task(wake.listen(woken)) if wake.is_on() else None
        try:
            await self._follow(woken)
        finally:
            if listening is not None:
                listening.cancel()

    async def _follow(self, woken: asyncio.Event) -> None:
        loop = asyncio.get_running_loop()
        last: int | None = None
        beat_at, was_woken = loop.time(), False
        while True:
            woken.clear()
            try:
                if last is None:
                    last = await read_newest_id()
                events = await read_after(last, READ_ROWS)
                self._failing = False
                if events:
                    begun = loop.time()
                    await self._tell("live.events", after=last, last=events[-1].pk, text=as_text(events, last))
                    last, beat_at = events[-1].pk, loop.time() + BEAT_SECONDS
                    pause = FEW_PAUSE_SECONDS if len(events) <= FEW_EVENTS else SEND_PAUSE_SECONDS
                    await asyncio.sleep(begun + pause - loop.time())  # telling fifty takes a part of it
                    continue
                if loop.time() >= beat_at:
                    text = json.dumps({"type": "live.beat", "last": last})
                    await self._tell("live.beat", after=last, last=last, text=text)
                    beat_at = loop.time() + BEAT_SECONDS
            except Exception as error:  # whatever the database or the layer says, browsers must not go deaf
                self._failing = True
                log.warning("live events cannot be read (%s); trying again", type(error).__name__)
                await asyncio.sleep(RETRY_SECONDS)
                continue
            if was_woken:
                await asyncio.sleep(IN_VAIN_SECONDS)
            was_woken = False
            with contextlib.suppress(TimeoutError):
                was_woken = await asyncio.wait_for(woken.wait(), POLL_SECONDS)

    async def _tell(self, kind: str, **message: object) -> None:
        """Tell all browsers, and wait until they have heard it: each hears one thing after the other."""
        loop = asyncio.get_running_loop()
        said = {"type": kind, **message}
        hearing = {loop.create_task(one.hear(said), context=context) for one, context in self._browsers.items()}
        if not hearing:
            return
        self._hearing |= hearing
        for task in hearing:
            task.add_done_callback(self._has_heard)
        await asyncio.wait(hearing, timeout=HEARD_SECONDS)

    def _has_heard(self, task: asyncio.Task[None]) -> None:
        self._hearing.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.warning("a browser could not be told something (%r)", error)


_tails: WeakKeyDictionary[asyncio.AbstractEventLoop, Tail] = WeakKeyDictionary()


def current() -> Tail:
    """The tail of the running event loop."""
    return _tails.setdefault(asyncio.get_running_loop(), Tail())


def is_well() -> bool:
    """Are the browsers of this process told of what happens? May be asked from any thread."""
    return all(one.is_well for one in list(_tails.values()))
