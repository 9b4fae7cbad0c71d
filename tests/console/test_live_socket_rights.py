"""Who may have a live link, and what ends it."""

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import User
from django.test import Client

from gspnp.console import consumers, sessions, standing
from gspnp.console.models import TemporaryPassword
from tests.support.live_socket import (
    closed_with,
    communicator,
    happen,
    make_technician,
    make_viewer,
    next_events,
    open_socket,
)

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.mark.parametrize("said", ['{"since": 0}', '{"open": null}', "nonsense"])
async def test_who_says_too_much_is_closed(said):
    _, session = await sync_to_async(make_viewer)()
    async with open_socket(session) as socket:
        for _ in range(consumers.MAX_MESSAGES + 10):
            await socket.send_to(said)
        assert await closed_with(socket) == 4429
        await sync_to_async(happen)("later")
        assert await socket.receive_nothing(timeout=consumers.CATCH_UP_SECONDS + 0.5)


@pytest.mark.parametrize(
    "said", ["x", "{", "[]", "null", '{"since": "1"}', '{"since": -1}', '{"since": true}', "[" * 150]
)
async def test_nonsense_from_a_browser_is_passed_over(said):
    _, session = await sync_to_async(make_viewer)()
    async with open_socket(session) as socket:
        await socket.send_to(said)
        await sync_to_async(happen)("still alive")
        assert (await next_events(socket))["events"][0]["text"] == "still alive"


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
