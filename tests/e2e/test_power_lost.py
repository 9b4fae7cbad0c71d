"""A phone that vanishes in the middle of its file, with no word of it on the network, has not got it."""

import socket
from collections.abc import Callable
from urllib.parse import urlsplit

import pytest

from tests.support.site import SOON_SECONDS, wait_for
from tests.support.world import World

pytestmark = pytest.mark.net

TINY_BYTES = 2048  # some 1,500 of them are taken: the end of the file stays with the door


def asked(world: World, phone, url: str) -> socket.socket:
    """A connection on which the phone has asked for its file, and reads nothing."""
    connection = phone.host.socket(socket.SOCK_STREAM)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, TINY_BYTES)
    connection.settimeout(SOON_SECONDS)
    where = urlsplit(url)
    connection.connect((where.hostname, where.port))
    connection.sendall(f"GET {where.path} HTTP/1.1\r\nHost: {where.netloc}\r\nConnection: close\r\n\r\n".encode())
    return connection


def test_it_is_not_taken_for_one_that_has_its_file_and_gets_it_when_it_is_back(make_world: Callable[..., World]):
    world = make_world()
    site, phone = world.site, world.phone()
    site.start("phones", "listen", "work")
    phone.boot()
    wait_for(lambda: site.stage(phone.mac) == "seen", SOON_SECONDS, "it is seen")
    site.assign(phone.mac)
    notify = phone.await_notify()
    phone.answer(notify)
    site.wait_stage(phone.mac, "notified")

    with asked(world, phone, notify.url) as connection:
        assert connection.recv(1, socket.MSG_PEEK) == b"H"
        phone.host.ip("link", "set", "eth0", "down")
        wait_for(lambda: attempts(site), SOON_SECONDS, "the door has given it up")
        assert site.stage(phone.mac) == "notified"
        assert site.rows("SELECT count(*) AS n FROM provisioning_download")[0]["n"] == 0
    phone.host.ip("link", "set", "eth0", "up")
    phone.flash(phone.get(notify.url))
    site.wait_stage(phone.mac, "fetched")


def attempts(site) -> int:
    return int(site.rows("SELECT count(*) AS n FROM provisioning_attempt WHERE kind = 'broken'")[0]["n"])
