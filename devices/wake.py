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
PING_SECONDS = 2.0  # between two questions whether it is there: who waits for its word never hears that it is gone
ANSWER_SECONDS = 1.0  # for whoever asks now, and has others to ask
RETRY_SECONDS = 2.0
PAUSE_SECONDS = 0.01  # between two words
MESSAGE = {"type": "live.wake"}


def _layer() -> Any:
    """Channels is loaded only where there is a Redis: the phones' door needs nothing else of it."""
    from channels.layers import get_channel_layer

    return get_channel_layer(LAYER)


def _address() -> str:
    """Whose secret it may hold: not to be logged."""
    host = settings.CHANNEL_LAYERS[LAYER]["CONFIG"]["hosts"][0]
    return host["address"] if isinstance(host, dict) else host


def is_on() -> bool:
    """Whether this installation has a Redis."""
    return LAYER in settings.CHANNEL_LAYERS


def answers() -> bool:
    """Is Redis there now? It blocks for some seconds at most."""
    import redis
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    bounds: dict[str, Any] = {"socket_connect_timeout": ANSWER_SECONDS, "socket_timeout": ANSWER_SECONDS}
    try:
        with redis.Redis.from_url(_address(), retry=Retry(NoBackoff(), 0), **bounds) as client:
            client.ping()
    except (redis.RedisError, OSError):
        return False
    return True


_away = {"told": False, "asked": False}  # by either of those who talk to it


def _is_away_now(who: str, error: BaseException) -> None:
    was_away, _away[who] = is_away(), True
    if not was_away:
        log.warning("Redis is away (%s): pages look for changes by themselves until it is back", type(error).__name__)


def _is_there_now() -> None:
    was_away = is_away()
    _away.update(told=False, asked=False)
    if was_away:
        log.info("Redis is back")


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
        while True:
            await self._rung.wait()
            self._rung.clear()
            try:
                await asyncio.wait_for(_layer().group_send(GROUP, MESSAGE), SEND_SECONDS)
            except Exception as error:  # whatever the network or its library says: pages look for themselves meanwhile
                _is_away_now("told", error)
                await asyncio.sleep(RETRY_SECONDS)
            else:
                _is_there_now()
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
    while True:
        tasks: list[asyncio.Task[None]] = []
        try:
            layer = _layer()
            channel = await asyncio.wait_for(layer.new_channel(), SEND_SECONDS)
            await asyncio.wait_for(layer.group_add(GROUP, channel), SEND_SECONDS)
            _is_there_now()
            tasks = [asyncio.create_task(one) for one in (_hear(layer, channel, woken), _ping())]
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            done.pop().result()
        except Exception as error:
            _is_away_now("asked", error)
            with contextlib.suppress(Exception):  # before its channel is left, which would ask Redis
                await asyncio.wait_for(layer.flush(), SEND_SECONDS)
            await asyncio.sleep(RETRY_SECONDS)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def _hear(layer: Any, channel: str, woken: asyncio.Event) -> None:
    while True:
        await layer.receive(channel)
        woken.set()


async def _ping() -> None:
    """Ask Redis whether it is there, for ever; it ends with an error when it is not."""
    from redis.asyncio import Redis

    async with Redis.from_url(_address(), socket_connect_timeout=SEND_SECONDS, socket_timeout=SEND_SECONDS) as client:
        while True:
            await asyncio.wait_for(client.execute_command("PING"), SEND_SECONDS)
            _is_there_now()
            await asyncio.sleep(PING_SECONDS)
