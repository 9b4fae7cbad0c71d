"""Live events through the real ASGI application, from the row in the table to the frame in the browser."""

import asyncio
import json

import pytest
from asgiref.sync import sync_to_async
from channels.layers import InMemoryChannelLayer
from django.db import DatabaseError

from devices import live
from devices.choices import Stage
from devices.models import LiveEvent, Phone
from gspnp.console import consumers, standing, tail
from tests import cast
from tests.support.live_socket import happen, make_viewer, next_events, open_socket

pytestmark = pytest.mark.django_db(transaction=True)


async def test_a_new_phone_arrives_within_a_second():
    _, session = await sync_to_async(make_viewer)()
    async with open_socket(session) as socket:
        loop = asyncio.get_running_loop()
        await sync_to_async(cast.seen)()
        began = loop.time()
        message = await next_events(socket)
        assert loop.time() - began < 1
    (event,) = message["events"]
    assert event["mac"] == cast.MAC
    assert event["kind"] == "seen"
    assert set(event) == {"id", "mac", "kind", "stage", "text", "at"}
    assert message["first"] == message["last"] == event["id"]


async def test_a_browser_that_asks_again_and_again_costs_one_look_at_the_table_a_second(monkeypatch):
    looks, read_after = [], tail.read_after

    async def counted(last, limit):
        looks.append(limit != tail.READ_ROWS)
        return await read_after(last, limit)

    _, session = await sync_to_async(make_viewer)()
    before = await sync_to_async(happen)("before")
    await sync_to_async(happen)("missed")
    monkeypatch.setattr(tail, "read_after", counted)
    monkeypatch.setattr(consumers, "CATCH_UP_SECONDS", 3600)
    monkeypatch.setattr(tail, "BEAT_SECONDS", 3600)
    async with open_socket(session) as socket:
        while json.loads(await socket.receive_from(timeout=10))["type"] != "live.beat":
            pass  # the first one comes when the tail begins
        for _ in range(10):
            await socket.send_to(json.dumps({"since": before}))
        assert [event["text"] for event in (await next_events(socket))["events"]] == ["missed"]
        await socket.send_to(json.dumps({"since": before}))
        assert await socket.receive_nothing(timeout=0.3)
    assert sum(looks) == 1


async def test_who_asks_for_what_was_long_ago_is_told_to_look_again():
    _, session = await sync_to_async(make_viewer)()
    before = await sync_to_async(happen)("before")
    for number in range(consumers.MAX_CAUGHT_UP + 1):
        last = await sync_to_async(happen)(str(number))
    async with open_socket(session) as socket:
        await socket.send_to(json.dumps({"since": before}))
        assert await next_events(socket) == {"type": "live.events", "first": before, "last": last, "reload": True}


async def test_many_events_of_one_moment_are_one_message():
    _, session = await sync_to_async(make_viewer)()
    async with open_socket(session) as socket:
        await sync_to_async(cast.inventory.record_sightings)(
            [cast.sighting(f"000B8200{n:04X}", f"10.0.1.{n + 1}") for n in range(50)], cast.unknown
        )
        message = await next_events(socket)
        assert len(message["events"]) == 50


async def test_over_200_changed_phones_are_one_word():
    _, session = await sync_to_async(make_viewer)()
    async with open_socket(session) as socket:
        await sync_to_async(cast.inventory.record_sightings)(
            [cast.sighting(f"000B8200{n:04X}", f"10.0.{n // 200}.{n % 200 + 1}") for n in range(201)], cast.unknown
        )
        message = await next_events(socket)
        assert message["reload"] is True
        assert "events" not in message


async def test_a_reconnecting_browser_gets_what_it_missed():
    _, session = await sync_to_async(make_viewer)()
    known = await sync_to_async(happen)("known")
    await sync_to_async(happen)("missed 1")
    last = await sync_to_async(happen)("missed 2")
    async with open_socket(session) as socket:
        await socket.send_to(json.dumps({"since": known}))
        message = await next_events(socket)
        assert [event["text"] for event in message["events"]] == ["missed 1", "missed 2"]
        await socket.send_to(json.dumps({"since": last}))
        await sync_to_async(happen)("new")
        assert [event["text"] for event in (await next_events(socket))["events"]] == ["new"]


async def test_a_lost_message_is_made_good_from_the_table():
    _, session = await sync_to_async(make_viewer)()
    async with open_socket(session) as socket:
        await sync_to_async(happen)("one")
        first = await next_events(socket)
        lost = await sync_to_async(happen)("two")
        # A message that claims to come after what this browser never got.
        await tail.current()._tell("live.events", after=lost + 1, last=lost + 2, text="not for this browser")
        message = await next_events(socket)
        assert message["first"] == first["last"] + 1
        assert message["events"][0]["text"] == "two"


async def test_browsers_are_told_while_the_channel_layer_tells_nobody_anything(monkeypatch):
    async def away(*_: object) -> None:
        raise ConnectionError("Redis is away")

    for name in ("group_add", "group_send"):
        monkeypatch.setattr(InMemoryChannelLayer, name, away)
    _, session = await sync_to_async(make_viewer)()
    async with open_socket(session) as socket:
        await sync_to_async(happen)("one")
        assert (await next_events(socket))["events"][0]["text"] == "one"


async def test_what_happens_while_a_browser_is_greeted_is_told_right_after(monkeypatch):
    _, session = await sync_to_async(make_viewer)()
    read_newest_id, told = tail.read_newest_id, []

    async def and_then_something_happens() -> int:
        newest = await read_newest_id()
        if not told and asyncio.current_task().get_name() != "live tail":  # which looks for where it begins, too
            told.append(await sync_to_async(happen)("meanwhile"))
            await tail.current()._tell("live.events", after=newest, last=told[0], text="too early for this browser")
        return newest

    monkeypatch.setattr(tail, "read_newest_id", and_then_something_happens)
    async with open_socket(session) as socket:
        assert (await next_events(socket))["events"][0]["text"] == "meanwhile"


async def test_a_browser_that_hears_slowly_holds_up_no_other_for_long(monkeypatch):
    monkeypatch.setattr(tail, "HEARD_SECONDS", 0.05)
    _, session = await sync_to_async(make_viewer)()

    class Slow:
        async def hear(self, message: tail.Message) -> None:
            await asyncio.Event().wait()

    async with open_socket(session) as socket:
        tail.current().join(slow := Slow())
        for text in ("one", "two"):
            await sync_to_async(happen)(text)
            assert (await next_events(socket))["events"][-1]["text"] == text
        await tail.current().leave(slow)


async def test_a_database_that_fails_for_a_while_loses_nothing(monkeypatch):
    monkeypatch.setattr(tail, "RETRY_SECONDS", 0.05)
    _, session = await sync_to_async(make_viewer)()
    async with open_socket(session) as socket:
        read_after, broken = tail.read_after, asyncio.Event()

        async def fails(*args):
            broken.set()
            raise DatabaseError("away")

        monkeypatch.setattr(tail, "read_after", fails)
        await sync_to_async(happen)("while it was away")
        await asyncio.wait_for(broken.wait(), 5)
        monkeypatch.setattr(tail, "read_after", read_after)
        assert (await next_events(socket))["events"][0]["text"] == "while it was away"


async def test_a_browser_whose_permission_cannot_be_read_waits_and_then_gets_all(monkeypatch):
    monkeypatch.setattr(consumers, "RETRY_SECONDS", 0.05)
    _, session = await sync_to_async(make_viewer)()
    async with open_socket(session) as socket:
        read, broken = standing._read, asyncio.Event()

        async def fails(keys):
            broken.set()
            raise DatabaseError("away")

        monkeypatch.setattr(standing, "_read", fails)
        await sync_to_async(happen)("while it was away")
        await asyncio.wait_for(broken.wait(), 5)
        monkeypatch.setattr(standing, "_read", read)
        assert (await next_events(socket))["events"][0]["text"] == "while it was away"


async def test_the_tail_runs_only_while_somebody_looks():
    _, session = await sync_to_async(make_viewer)()
    here = tail.current()
    assert not here.running
    async with open_socket(session):
        async with open_socket(session):
            assert here.running
        assert here.running
    assert not here.running


async def test_no_event_of_a_whole_assignment_holds_a_secret():
    _, session = await sync_to_async(make_viewer)()
    async with open_socket(session) as socket:
        version = await sync_to_async(cast.assigned)()
        await sync_to_async(cast.applied)(version)
        told = ""
        newest = await sync_to_async(live.newest_id)()
        while True:
            message = await next_events(socket)
            told += json.dumps(message)
            if message["last"] == newest:
                break
    for secret in (cast.PASSWORD, version.first_secret, version.steady_secret):
        assert secret not in told
    assert await sync_to_async(lambda: Phone.objects.get().stage)() == Stage.APPLIED


async def test_what_the_tail_tells_while_the_table_is_read_is_not_told_twice(monkeypatch):
    consumer, sent = consumers.LiveConsumer(), []

    async def send(text: str) -> None:
        sent.append(text)

    async def permitted() -> bool:
        return True

    async def read_after(last: int, limit: int) -> list[LiveEvent]:
        await consumer.hear({"type": "live.events", "after": 0, "last": 3, "text": "one to three"})
        return [LiveEvent(pk=number, mac=cast.MAC) for number in (1, 2)]

    monkeypatch.setattr(consumer, "send", send)
    monkeypatch.setattr(consumer, "_greeted", True)
    monkeypatch.setattr(consumer, "_is_permitted", permitted)
    monkeypatch.setattr(tail, "read_after", read_after)
    await consumer._catch_up()
    assert (sent, consumer._last) == (["one to three"], 3)
