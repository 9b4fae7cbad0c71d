"""A browser's live link, through the console's real application."""

import json
from contextlib import asynccontextmanager

from asgiref.testing import ApplicationCommunicator
from channels.testing import WebsocketCommunicator
from django.contrib.auth.models import Permission, User
from django.test import Client

from devices import live
from devices.choices import EventKind, Stage
from devices.models import LiveEvent
from gspnp.asgi import application
from tests import cast

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


def make_technician(name: str) -> str:
    user = User.objects.create_user(name, is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=("view_phone", "change_phone")))
    client = Client()
    client.force_login(user)
    return client.cookies["sessionid"].value
