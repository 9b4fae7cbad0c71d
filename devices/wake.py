"""Wake the pages of all processes as soon as something was committed; only if REDIS_URL is set.

It carries nothing: the rows are the carrier (devices/live.py), and whoever shows phones looks for new ones anyway, a
little later. So a Redis that is away costs a tenth of a second and no event, and never makes a writer wait: a thread of
its own talks to it, and many commits of one moment are one word.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import threading
from typing import Any

from django.conf import settings
from django.db import transaction

log = logging.getLogger(__name__)

LAYER = "wake"  # in CHANNEL_LAYERS
GROUP = "live.wake"
SEND_SECONDS = 2.0  # after which Redis counts as away
RETRY_SECONDS = 2.0
PAUSE_SECONDS = 0.01  # between two words
MESSAGE = {"type": "live.wake"}


def _layer() -> Any:
    """Channels is loaded only where there is a Redis: the phones' door needs nothing else of it."""
    from channels.layers import get_channel_layer

    return get_channel_layer(LAYER)


def is_on() -> bool:
    """Whether this installation has a Redis."""
    return LAYER in settings.CHANNEL_LAYERS


_away = {"told": False, "asked": False}  # by either of those who talk to it


def is_away() -> bool:
    """Could Redis not be reached when this process tried last? False if it has not tried."""
    return any(_away.values())


def after_commit(using: str) -> None:
    """Wake them once the present transaction is committed; at once if there is none."""
    if is_on():
        transaction.on_commit(_ring, using=using, robust=True)


class _Bell:
    """The thread that talks to Redis, with its own event loop; it ends with its process."""

    def __init__(self) -> None:
        self.owner = os.getpid()
        self._loop = asyncio.new_event_loop()
        self._rung = asyncio.Event()
        threading.Thread(target=self._loop.run_until_complete, args=(self._work(),), name="wake", daemon=True).start()

    def ring(self) -> None:
        self._loop.call_soon_threadsafe(self._rung.set)

    async def _work(self) -> None:
        is_away = False
        while True:
            await self._rung.wait()
            self._rung.clear()
            try:
                await asyncio.wait_for(_layer().group_send(GROUP, MESSAGE), SEND_SECONDS)
            except Exception as error:  # whatever the network or its library says: pages look for themselves meanwhile
                if not is_away:
                    log.warning(
                        "Redis cannot be told (%s); pages look by themselves until it is back", type(error).__name__
                    )
                is_away = _away["told"] = True
                await asyncio.sleep(RETRY_SECONDS)
            else:
                if is_away:
                    log.info("Redis is back")
                is_away = _away["told"] = False
                await asyncio.sleep(PAUSE_SECONDS)


_bell: _Bell | None = None
_lock = threading.Lock()


def _ring() -> None:
    global _bell
    with _lock:
        if _bell is None or _bell.owner != os.getpid():  # a fork takes no thread along
            _bell = _Bell()
    _bell.ring()


async def listen(woken: asyncio.Event) -> None:
    """Set the event whenever somebody has committed something, for ever; if Redis is away, try again."""
    is_away = False
    while True:
        try:
            layer = _layer()
            channel = await asyncio.wait_for(layer.new_channel(), SEND_SECONDS)
            await asyncio.wait_for(layer.group_add(GROUP, channel), SEND_SECONDS)
            if is_away:
                log.info("Redis is back")
            is_away = _away["asked"] = False
            while True:
                await layer.receive(channel)
                woken.set()
        except Exception as error:
            if not is_away:
                log.warning("Redis cannot be asked (%r); pages look by themselves until it is back", error)
            is_away = _away["asked"] = True
            with contextlib.suppress(Exception):
                await layer.flush()
            await asyncio.sleep(RETRY_SECONDS)
