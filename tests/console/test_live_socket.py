"""Live events through the real ASGI application, from the row in the table to the frame in the browser."""

import asyncio
import json
from contextlib import asynccontextmanager

import pytest
from asgiref.sync import sync_to_async
from asgiref.testing import ApplicationCommunicator
from channels.layers import InMemoryChannelLayer
from channels.testing import WebsocketCommunicator
from django.contrib.auth.models import Permission, User
from django.db import DatabaseError
from django.test import Client

from devices import live
from devices.choices import EventKind, Stage
from devices.models import LiveEvent, Phone
from gspnp.asgi import application
from gspnp.console import consumers, sessions, standing, tail
from gspnp.console.models import TemporaryPassword
from tests import cast

pytestmark = pytest.mark.django_db(transaction=True)
HOST = b"localhost:8000"


def make_viewer() -> tuple[User, str]:
    user = User.objects.create_user("viewer", is_staff=True)
    user.user_permissions.add(Permission.objects.get(codename="view_phone"))
    client = Client()
    client.force_login(user)
    return user, client.cookies["sessionid"].value


class Browser(WebsocketCommunicator):
    """Channels' own keeps open what the product gives back: each look would cost one of the connections that there
    are."""

    send_input = ApplicationCommunicator.send_input
    receive_output = ApplicationCommunicator.receive_output


def communicator(session: str = "", origin: bytes = b"http://localhost:8000", path: str = "/ws/live"):
    headers = [(b"host", HOST), (b"origin", origin), (b"cookie", f"sessionid={session}".encode())]
    return Browser(application, path, headers)


@asynccontextmanager
async def open_socket(session: str):
    """A connected browser that has been greeted."""
    socket = communicator(session)
    connected, _ = await socket.connect(timeout=5)
    assert connected
    assert json.loads(await socket.receive_from(timeout=5))["type"] == "live.hello"
    try:
        yield socket
    finally:
        await socket.disconnect()


async def next_events(socket) -> dict:
    """The next message that carries events; beats are passed over."""
    while True:
        message = json.loads(await socket.receive_from(timeout=10))
        if message["type"] == "live.events":
            return message


async def closed_with(socket) -> int:
    """The code with which the server ends it."""
    while True:
        message = await socket.receive_output(timeout=10)
        if message["type"] == "websocket.close":
            return message["code"]


def happen(text: str, mac: str = cast.MAC) -> int:
    event = LiveEvent(mac=mac, kind=EventKind.SEEN, stage=Stage.SEEN, text=text, at=cast.NOON)
    live.append([event])
    return live.newest_id()


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


def make_technician(name: str) -> str:
    user = User.objects.create_user(name, is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=("view_phone", "change_phone")))
    client = Client()
    client.force_login(user)
    return client.cookies["sessionid"].value


def demote(name: str) -> None:
    """She may only look from now on."""
    User.objects.get(username=name).user_permissions.set(Permission.objects.filter(codename="view_phone"))


async def next_present(socket) -> tuple[str, bool]:
    """Who came or went, as the next message about that says; beats and events are passed over."""
    while True:
        message = json.loads(await socket.receive_from(timeout=10))
        if message["type"] == "live.present":
            assert set(message) == {"type", "mac", "who", "name", "here"}
            return message["name"], message["here"]


async def test_two_who_have_one_phone_open_hear_of_each_other_and_when_one_leaves():
    tess, maria = [await sync_to_async(make_technician)(name) for name in ("tess", "maria")]
    async with open_socket(tess) as hers:
        await hers.send_to(json.dumps({"open": cast.MAC}))
        async with open_socket(maria) as theirs:
            await theirs.send_to(json.dumps({"open": cast.MAC}))
            assert await next_present(hers) == ("maria", True)
            assert await next_present(theirs) == ("tess", True)
            await theirs.send_to(json.dumps({"open": None}))
            assert await next_present(hers) == ("maria", False)
            await theirs.send_to(json.dumps({"open": cast.MAC}))
            assert await next_present(hers) == ("maria", True)
        assert await next_present(hers) == ("maria", False), "a link that breaks is a leaving too"


async def test_who_may_not_open_a_form_or_has_another_phone_open_hears_of_nobody():
    _, viewer = await sync_to_async(make_viewer)()
    tess, maria = [await sync_to_async(make_technician)(name) for name in ("tess", "maria")]
    async with open_socket(viewer) as lurker, open_socket(tess) as hers, open_socket(maria) as theirs:
        await lurker.send_to(json.dumps({"open": cast.MAC}))
        await theirs.send_to(json.dumps({"open": cast.OTHER_MAC}))
        for odd in ("[]", '{"open": 7}', '{"open": "x"}', '{"open": ' + "[" * 150 + "}", "null"):
            await hers.send_to(odd)
        await hers.send_to(json.dumps({"open": cast.MAC}))
        await sync_to_async(happen)("the mark up to which all three have heard")
        for socket in (lurker, hers, theirs):
            while (message := json.loads(await socket.receive_from(timeout=10)))["type"] != "live.events":
                assert message["type"] != "live.present"


@pytest.mark.parametrize("by_itself", [True, False])
async def test_who_may_no_longer_change_phones_leaves_and_hears_of_nobody(by_itself):
    tess, maria = [await sync_to_async(make_technician)(name) for name in ("tess", "maria")]
    async with open_socket(tess) as hers, open_socket(maria) as theirs:
        await hers.send_to(json.dumps({"open": cast.MAC}))
        await theirs.send_to(json.dumps({"open": cast.MAC}))
        assert await next_present(hers) == ("maria", True)
        assert await next_present(theirs) == ("tess", True)
        await sync_to_async(demote)("tess")
        # Her page says again that the form is open, or somebody else does.
        await (hers if by_itself else theirs).send_to(json.dumps({"open": cast.MAC}))
        assert await next_present(theirs) == ("tess", False)
        await theirs.send_to(json.dumps({"open": cast.MAC}))
        await hers.send_to(json.dumps({"open": cast.MAC}))
        await sync_to_async(happen)("the mark up to which both have heard")
        for socket in (hers, theirs):
            while (message := json.loads(await socket.receive_from(timeout=10)))["type"] != "live.events":
                assert message["type"] != "live.present"


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


@pytest.mark.parametrize("said", ['{"since": 0}', '{"open": null}', "nonsense"])
async def test_who_says_too_much_is_closed(said):
    _, session = await sync_to_async(make_viewer)()
    async with open_socket(session) as socket:
        for _ in range(consumers.MAX_MESSAGES + 10):
            await socket.send_to(said)
        assert await closed_with(socket) == 4429
        await sync_to_async(happen)("later")
        assert await socket.receive_nothing(timeout=consumers.CATCH_UP_SECONDS + 0.5)


async def test_who_comes_and_goes_is_not_answered_each_time(monkeypatch):
    monkeypatch.setattr(consumers, "ANSWER_SECONDS", 3600)
    tess, maria = [await sync_to_async(make_technician)(name) for name in ("tess", "maria")]
    async with open_socket(tess) as hers, open_socket(maria) as theirs:
        await hers.send_to(json.dumps({"open": cast.MAC}))
        for _ in range(5):
            await theirs.send_to(json.dumps({"open": cast.MAC}))
            assert await next_present(hers) == ("maria", True)
            await theirs.send_to(json.dumps({"open": None}))
            assert await next_present(hers) == ("maria", False)
        await sync_to_async(happen)("the mark up to which both have heard")
        heard = []
        while (message := json.loads(await theirs.receive_from(timeout=10)))["type"] != "live.events":
            heard.append(message["type"])
        assert heard.count("live.present") <= 1


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


@pytest.mark.parametrize(
    "said", ["x", "{", "[]", "null", '{"since": "1"}', '{"since": -1}', '{"since": true}', "[" * 150]
)
async def test_nonsense_from_a_browser_is_passed_over(said):
    _, session = await sync_to_async(make_viewer)()
    async with open_socket(session) as socket:
        await socket.send_to(said)
        await sync_to_async(happen)("still alive")
        assert (await next_events(socket))["events"][0]["text"] == "still alive"


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


async def test_without_a_session_the_handshake_is_refused():
    for session in ("", "x" * 32):
        connected, _ = await communicator(session).connect(timeout=5)
        assert not connected


async def test_without_the_permission_the_handshake_is_refused():
    user, session = await sync_to_async(make_viewer)()
    await sync_to_async(user.user_permissions.clear)()
    connected, _ = await communicator(session).connect(timeout=5)
    assert not connected


@pytest.mark.parametrize("origin", [b"http://evil.example", b"http://localhost:9999", b"null", b""])
async def test_a_foreign_page_is_refused_though_its_browser_is_signed_in(origin):
    _, session = await sync_to_async(make_viewer)()
    connected, _ = await communicator(session, origin).connect(timeout=5)
    assert not connected


async def test_another_address_is_refused():
    _, session = await sync_to_async(make_viewer)()
    connected, _ = await communicator(session, path="/ws/other").connect(timeout=5)
    assert not connected


def withdraw(user: User) -> None:
    user.user_permissions.clear()


def deactivate(user: User) -> None:
    User.objects.filter(pk=user.pk).update(is_active=False)


def take_staff_status(user: User) -> None:
    User.objects.filter(pk=user.pk).update(is_staff=False)


def change_password(user: User) -> None:
    user.set_password("another-password")
    user.save()


def give_temporary_password(user: User) -> None:
    TemporaryPassword.objects.create(user=user)


@pytest.mark.parametrize(
    ("change", "code"),
    [(withdraw, 4403), (take_staff_status, 4403), (deactivate, 4401), (change_password, 4401),
     (give_temporary_password, 4401)],
)  # fmt: skip
async def test_who_may_no_longer_see_phones_is_told_nothing_more(change, code):
    user, session = await sync_to_async(make_viewer)()
    async with open_socket(session) as socket:
        await sync_to_async(happen)("before")
        await next_events(socket)
        await sync_to_async(change)(user)
        await sync_to_async(happen)("secret")
        assert await closed_with(socket) == code


async def test_whose_session_is_too_old_is_told_nothing_more(monkeypatch):
    _, session = await sync_to_async(make_viewer)()
    async with open_socket(session) as socket:
        await sync_to_async(happen)("before")
        await next_events(socket)
        monkeypatch.setattr(sessions, "is_over", lambda data, now: True)
        await sync_to_async(happen)("secret")
        assert await closed_with(socket) == 4401


async def test_however_many_look_on_a_message_costs_one_reading_of_their_permissions(monkeypatch):
    readings, read = [], standing._read

    async def counted(keys):
        readings.append(sorted(keys))
        return await read(keys)

    _, session = await sync_to_async(make_viewer)()
    others = [await sync_to_async(make_technician)(name) for name in ("tess", "maria")]
    async with open_socket(session) as one, open_socket(others[0]) as two, open_socket(others[1]) as three:
        monkeypatch.setattr(standing, "_read", counted)
        for turn in range(10):  # what is read together is what comes together, and a busy machine tears that apart
            await sync_to_async(happen)(f"for all {turn}")
            for socket in (one, two, three):
                assert (await next_events(socket))["events"][0]["text"] == f"for all {turn}"
            if sorted([session, *others]) in readings:
                break
    assert sorted([session, *others]) in readings
    assert len(readings) <= 3 * (turn + 1)


async def test_who_signs_out_is_told_nothing_more():
    _, session = await sync_to_async(make_viewer)()
    async with open_socket(session) as socket:
        client = Client()
        client.cookies["sessionid"] = session
        await sync_to_async(client.logout)()
        await sync_to_async(happen)("secret")
        assert await closed_with(socket) == 4401


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
