"""Which interfaces are listened on, why another is not, and the kernel's news of them."""

import socket

import pytest

from sipmcast import sockets
from sipmcast.sockets import CannotListen, Interface
from tests.support.legs import GROUP, PORT
from tests.support.netns import Host, Lab, Lan, inside
from tests.support.site import SOON_SECONDS, wait_for

pytestmark = pytest.mark.net


def found(host: Host, *chosen: str) -> list[tuple[str, str]]:
    with inside(host.namespace):
        return [(one.name, one.host) for one in sockets.find_interfaces(chosen)]


def why_not(host: Host, *chosen: str) -> dict[str, str]:
    with inside(host.namespace):
        return sockets.missing(chosen, sockets.find_interfaces(chosen))


def test_every_interface_that_can_hear_a_group_and_lo_are_found(lab: Lab, lan: Lan, ours: Host):
    """Not one that is down, or has no IPv4 address, or cannot do multicast."""
    everywhere = [("lo", "127.0.0.1"), ("eth0", lan.address(1))]
    assert found(ours) == everywhere
    other = lab.lan()
    lab.plug(ours, other, 1)
    assert found(ours) == [*everywhere, ("eth1", other.address(1))]
    ours.ip("link", "set", "eth1", "multicast", "off")
    assert found(ours) == everywhere
    ours.ip("link", "set", "eth1", "multicast", "on")
    ours.ip("link", "set", "eth1", "down")
    assert found(ours) == everywhere
    ours.ip("link", "set", "eth1", "up")
    ours.ip("address", "flush", "dev", "eth1")
    assert found(ours) == everywhere


def test_an_interface_is_chosen_by_name_alias_or_any_of_its_addresses(lan: Lan, ours: Host):
    first, second, third = lan.address(1), lan.address(5), "10.97.0.1"
    ours.ip("address", "add", f"{second}/24", "dev", "eth0", "label", "eth0:1")
    ours.ip("address", "add", f"{third}/24", "dev", "eth0")
    assert found(ours, "eth0") == [("eth0", first)]
    assert found(ours, "eth0:1") == [("eth0:1", second)]
    assert found(ours, second) == [("eth0:1", second)]
    assert found(ours, third) == [("eth0", third)]
    assert found(ours, "eth0", "eth0:1", second, first) == [("eth0", first)], "once, or all is heard twice"
    assert why_not(ours, "eth0", "eth0:1", second, first, third) == {}
    with inside(ours.namespace):
        (interface,) = sockets.find_interfaces([second])
    assert interface.reaches(lan.address(77))
    assert interface.reaches("10.97.0.77")
    assert not interface.reaches("10.96.0.77")


def test_an_address_that_the_machine_gave_itself_is_the_last_choice(lan: Lan, ours: Host):
    ours.ip("address", "flush", "dev", "eth0")
    ours.ip("address", "add", "169.254.7.7/16", "dev", "eth0")
    assert found(ours, "eth0") == [("eth0", "169.254.7.7")]
    ours.ip("address", "add", f"{lan.address(1)}/24", "dev", "eth0")
    assert found(ours, "eth0") == [("eth0", lan.address(1))]


def test_what_was_chosen_and_is_not_there_is_explained(lan: Lan, ours: Host):
    assert why_not(ours, "eth0", "eth7", "10.1.2.3") == {
        "eth7": "eth7: there is no such interface or address (yet).",
        "10.1.2.3": "10.1.2.3: there is no such interface or address (yet).",
    }
    ours.ip("address", "flush", "dev", "eth0")
    assert list(why_not(ours, "eth0")) == ["eth0"]
    assert "it has no IPv4 address (yet)" in why_not(ours, "eth0")["eth0"]


def test_a_chosen_interface_that_is_down_is_explained_with_the_remedy(lan: Lan, ours: Host):
    ours.ip("address", "add", f"{lan.address(5)}/24", "dev", "eth0", "label", "eth0:1")
    ours.ip("link", "set", "eth0", "down")
    for name in ("eth0", "eth0:1", lan.address(1)):
        assert found(ours, name) == []
        assert why_not(ours, name) == {name: f"{name}: it is switched off. Run: ip link set eth0 up"}
    ours.ip("link", "set", "eth0", "up")
    assert found(ours, "eth0") == [("eth0", lan.address(1))]


def test_an_interface_that_has_gone_meanwhile_is_a_refusal(ours: Host):
    with inside(ours.namespace), pytest.raises(CannotListen, match=r"^eth9: "):
        sockets.open_leg(Interface("eth9", 99, "10.1.2.3"), GROUP, PORT, 0, "auto")
    with inside(ours.namespace), pytest.raises(CannotListen, match=r"^eth9: cannot join .* it is tried again"):
        sockets.open_leg(Interface("eth9", 99, "10.1.2.3"), GROUP, PORT, 0, "socket")


def test_news_of_links_and_addresses_wakes_the_listener(ours: Host, lan: Lan):
    with inside(ours.namespace):
        news = sockets.open_address_news()
    assert news is not None
    woken: list[str] = []
    with news:
        for change in (
            ("link", "set", "eth0", "down"),
            ("link", "set", "eth0", "up"),
            ("address", "add", f"{lan.address(6)}/24", "dev", "eth0"),
            ("address", "del", f"{lan.address(6)}/24", "dev", "eth0"),
            ("link", "delete", "eth0"),
        ):
            sockets.drain(news, lambda: None)
            ours.ip(*change)
            assert wait_for(lambda: waiting(news), SOON_SECONDS, f"news of {change}")
            sockets.drain(news, lambda change=change: woken.append(change[1]))
    assert woken == ["set", "set", "add", "del", "delete"]


def waiting(news: socket.socket) -> bytes:
    try:
        return news.recv(1, socket.MSG_PEEK)
    except BlockingIOError:
        return b""
