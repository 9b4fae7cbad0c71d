"""Redis says "look now", and nothing is lost or late for long while it is away. A real one, stopped and started."""

import asyncio
import logging
import threading
from collections.abc import Callable

import pytest
from asgiref.sync import sync_to_async
from django.test import AsyncClient

from devices import wake
from gspnp import watched
from gspnp.console import tail
from provisioning.asked import Shared
from tests.support.live_socket import happen, make_viewer, next_events, open_socket
from tests.support.redis_server import RedisServer, redis_server  # noqa: F401

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.servers]
NEVER_SECONDS = 3600.0
BOUND_SECONDS = 30.0


@pytest.fixture
def with_redis(settings, monkeypatch, redis_server: RedisServer) -> RedisServer:  # noqa: F811
    settings.CHANNEL_LAYERS = settings.CHANNEL_LAYERS | {
        wake.LAYER: {
            "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
            "CONFIG": {"hosts": [{"address": redis_server.url, "socket_connect_timeout": 2}]},
        }
    }
    monkeypatch.setattr(wake, "_bell", None)
    monkeypatch.setattr(wake, "RETRY_SECONDS", 0.1)
    return redis_server


async def until_heard(socket, text: str) -> list[str]:
    """Write events until one has arrived, for who subscribes may be late; the texts of those that came."""

    async def write() -> None:
        for number in range(100):
            await sync_to_async(happen)(f"{text} {number}")
            await asyncio.sleep(0.2)

    writing = asyncio.create_task(write())
    try:
        return [event["text"] for event in (await next_events(socket))["events"]]
    finally:
        writing.cancel()
        await asyncio.gather(writing, return_exceptions=True)


async def test_a_page_is_woken_and_does_not_wait_for_its_next_look(with_redis, monkeypatch):
    _, session = await sync_to_async(make_viewer)()
    monkeypatch.setattr(tail, "POLL_SECONDS", NEVER_SECONDS)
    async with open_socket(session) as socket:
        texts = await until_heard(socket, "woken")
        assert texts[0] == "woken 0"  # and what came before it had subscribed is not lost


async def test_without_redis_pages_look_by_themselves_and_are_woken_again_when_it_is_back(with_redis, monkeypatch):
    _, session = await sync_to_async(make_viewer)()
    async with open_socket(session) as socket:
        with_redis.kill()
        await sync_to_async(happen)("while it is away")
        assert [event["text"] for event in (await next_events(socket))["events"]] == ["while it is away"]
        monkeypatch.setattr(tail, "POLL_SECONDS", NEVER_SECONDS)
        with_redis.start()
        assert "back 0" in await until_heard(socket, "back")


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(BOUND_SECONDS):
        while not is_so():
            await asyncio.sleep(0.02)


async def test_a_redis_that_goes_while_nothing_happens_is_noticed_and_said_once(with_redis, monkeypatch, caplog):
    """Who waits for its word never hears that it is gone: it has to be asked."""
    monkeypatch.setattr(wake, "PING_SECONDS", 0.05)
    monkeypatch.setattr(wake, "_away", dict.fromkeys(wake._away, False))
    user, session = await sync_to_async(make_viewer)()
    page = AsyncClient()
    await page.aforce_login(user)
    monkeypatch.setattr(watched, "_redis", Shared(wake.answers))  # asked each time
    redis = watched.checks()["redis"]
    async with open_socket(session) as socket:
        assert "woken 0" in await until_heard(socket, "woken")
        assert b"redis-away" not in (await page.get("/", follow=True)).content
        assert (await asyncio.to_thread(redis)).words == "ok"
        with_redis.kill()
        await until(wake.is_away)
        assert b"redis-away" in (await page.get("/", follow=True)).content
        assert (await asyncio.to_thread(redis)).words.startswith("away")
        with_redis.start()
        await until(lambda: not wake.is_away())
        assert b"redis-away" not in (await page.get("/", follow=True)).content
    said = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert [words for words in said if "edis" in words or "receive task" in words] == [
        "Redis is away (ConnectionError): pages look for changes by themselves until it is back"
    ]


async def test_without_a_redis_nobody_is_called(settings):
    assert wake.LAYER not in settings.CHANNEL_LAYERS
    assert not wake.is_on()


def test_what_cannot_be_made_at_first_does_not_silence_the_bell_for_ever(monkeypatch):
    """With its thread gone, each commit would add to what nobody reads any more."""
    made, told = [], threading.Event()

    class Layer:
        async def group_send(self, group: str, message: dict) -> None:
            told.set()

    def layer() -> Layer:
        made.append(True)
        if len(made) == 1:
            raise ImportError("no such library")
        return Layer()

    monkeypatch.setattr(wake, "_layer", layer)
    monkeypatch.setattr(wake, "RETRY_SECONDS", 0.01)
    bell = wake._Bell()
    for _ in range(200):
        bell.ring()
        if told.wait(0.05):
            break
    assert told.is_set() and len(made) > 1
