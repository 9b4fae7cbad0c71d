"""The console opens by this machine's own names and addresses, and by no other."""

import socket

import pytest
from asgiref.testing import ApplicationCommunicator
from django.core.exceptions import DisallowedHost
from django.http.request import validate_host
from django.test import RequestFactory

from gspnp import hosts
from gspnp.env import SettingError
from gspnp.hosts import OwnHosts, own_names
from gspnp.origin import SameOrigin, is_same_origin

ADDRESSES = ["127.0.0.1", "::1", "192.0.2.10", "2001:db8::10", "fe80::1"]
ETC_HOSTS = """
127.0.0.1   localhost localhost.localdomain
127.0.1.1   PBX.example.com pbx
192.0.2.10  phones.example.org phones   # our own address
192.0.2.77  printer.example.org
127.0.0.1   ads.tracker.example
0.0.0.0     more.tracker.example
::1         ip6-localhost
not an address
"""


@pytest.fixture
def own(monkeypatch, tmp_path):
    """A machine named pbx with the addresses and the hosts file above."""
    etc = tmp_path / "hosts"
    etc.write_text(ETC_HOSTS)
    monkeypatch.setattr(hosts, "own_addresses", lambda: list(ADDRESSES))
    monkeypatch.setattr(hosts, "ETC_HOSTS", etc)
    monkeypatch.setattr(socket, "gethostname", lambda: "pbx")
    return OwnHosts(["Extra.example.net", "2001:DB8::99"])


GOOD = [
    "192.0.2.10",
    "192.0.2.10:8000",
    "127.0.0.1:8000",
    "[::1]:8000",
    "[2001:db8::10]",
    "[2001:DB8::10]:8000",
    "[fe80::1]",
    "localhost",
    "LOCALHOST:8000",
    "pbx",
    "pbx.",
    "PBX.local:8000",
    "pbx.example.com",
    "pbx.lan",
    "phones.example.org",
    "phones",
    "extra.example.net",
    "EXTRA.example.net.:8000",
    "[2001:db8::99]:80",
]
BAD = [
    "evil.example",
    "printer.example.org",
    "192.0.2.77",
    "ads.tracker.example",
    "more.tracker.example",
    "pbx.evil.example",
    "evil.pbx",
    "sub.extra.example.net",
    "192.0.2.10.evil.example",
    "2001:db8::10",
    "[2001:db8::11]",
    "",
    "pbx/path",
    "pbx@evil.example",
    "*",
]


@pytest.mark.parametrize("host", GOOD)
def test_own_names_and_addresses_are_served(own, settings, host):
    settings.ALLOWED_HOSTS = own
    assert RequestFactory().get("/", headers={"host": host}).get_host() == host


@pytest.mark.parametrize("host", BAD)
def test_no_other_name_is_served(own, settings, host):
    settings.ALLOWED_HOSTS = own
    with pytest.raises(DisallowedHost):
        RequestFactory().get("/", headers={"host": host}).get_host()


def test_a_new_address_works_at_once_and_an_old_one_stops(own, monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(hosts.time, "monotonic", lambda: now[0])
    assert validate_host("192.0.2.10", own)
    monkeypatch.setattr(hosts, "own_addresses", lambda: ["198.51.100.5"])
    now[0] += hosts.RESCAN_SECONDS + 0.1
    assert validate_host("198.51.100.5", own)
    assert not validate_host("192.0.2.10", own)


def test_strangers_cannot_make_us_look_more_than_once_a_second(own, monkeypatch):
    calls = []
    monkeypatch.setattr(hosts, "own_addresses", lambda: calls.append(1) or list(ADDRESSES))
    for _ in range(100):
        assert not validate_host("evil.example", own)
    assert len(calls) <= 2


def test_django_takes_it_for_a_list_that_is_never_empty(own):
    assert isinstance(own, list)
    assert own
    assert "pbx" in own
    assert len(own) > len(ADDRESSES)


def test_addresses_that_cannot_be_read_leave_loopback_and_names(own, monkeypatch):
    def fail():
        raise OSError("no netlink here")

    monkeypatch.setattr(hosts, "own_addresses", fail)
    assert validate_host("127.0.0.1", own)
    assert validate_host("pbx", own)


@pytest.mark.parametrize("name", ["*", "*.example.org", "http://pbx", "pbx:8000", "a/b", " "])
def test_a_mistyped_gspnp_hosts_stops_with_words(name):
    with pytest.raises(SettingError, match="GSPNP_HOSTS"):
        OwnHosts([name])


def test_this_machine_itself():
    assert validate_host("127.0.0.1", OwnHosts())
    assert validate_host(socket.gethostname().lower(), OwnHosts())
    assert own_names([], "", "") == {"localhost"}


@pytest.mark.parametrize(
    ("origin", "host", "welcome"),
    [
        ("http://pbx:8000", "pbx:8000", True),
        ("http://PBX:8000", "pbx:8000", True),
        ("HTTP://pbx:8000", "PBX.:8000", True),
        ("http://pbx", "pbx:80", True),
        ("https://pbx", "pbx", True),
        ("https://pbx:443", "pbx", True),
        ("http://[::1]:8000", "[::1]:8000", True),
        ("http://[2001:db8::10]", "[2001:DB8::10]", True),
        ("http://pbx:8001", "pbx:8000", False),
        ("http://pbx", "pbx:8000", False),
        ("http://192.0.2.10:8000", "pbx:8000", False),
        ("http://evil.example:8000", "pbx:8000", False),
        ("http://evil.example:8000", "evil.example:8000", False),
        ("http://[::1]:8000", "[::1]:9000", False),
        ("null", "pbx:8000", False),
        ("", "pbx:8000", False),
        ("file://", "pbx:8000", False),
        ("ftp://pbx:8000", "pbx:8000", False),
        ("http://pbx:8000/", "pbx:8000", False),
        ("http://pbx:8000#x", "pbx:8000", False),
        ("http://user@pbx:8000", "pbx:8000", False),
        ("http://[::1", "[::1", False),
        ("http://pbx:8000", "", False),
        ("http://", "", False),
    ],
)
def test_an_origin_is_welcome_only_if_it_is_the_server_itself(own, origin, host, welcome):
    assert is_same_origin(origin, host, own) is welcome


async def inner(scope, receive, send):
    await send({"type": "websocket.accept"})


async def first_answer(headers, own, kind="websocket"):
    scope = {"type": kind, "headers": headers}
    communicator = ApplicationCommunicator(SameOrigin(inner, own), scope)
    await communicator.send_input({"type": "websocket.connect"})
    answer = await communicator.receive_output(timeout=5)
    await communicator.wait()
    return answer["type"]


async def test_a_websocket_of_another_origin_is_refused_in_the_handshake(own):
    host = (b"host", b"pbx:8000")
    assert await first_answer([host, (b"origin", b"http://pbx:8000")], own) == "websocket.accept"
    assert await first_answer([host, (b"origin", b"http://evil.example")], own) == "websocket.close"
    assert await first_answer([host], own) == "websocket.close"
    assert await first_answer([(b"origin", b"http://pbx:8000")], own) == "websocket.close"
    assert await first_answer([host, host, (b"origin", b"http://pbx:8000")], own) == "websocket.close"
    assert await first_answer([host], own, kind="http") == "websocket.accept"
