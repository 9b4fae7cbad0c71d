"""What the listener's sockets hear on real interfaces, and what they leave alone; a raw one as a UDP one."""

import os
import socket
import struct
from collections.abc import Callable

import pytest

from sipmcast import sockets
from sipmcast.sockets import LegSockets
from tests.support.legs import GROUP, PORT, RAW_AND_UDP, heard, heard_until, sip_socket
from tests.support.netns import Host, Lab, Lan, inside
from tests.support.site import SOON_SECONDS, wait_for

pytestmark = pytest.mark.net

Open = Callable[..., LegSockets]


@pytest.mark.parametrize("receive", RAW_AND_UDP)
def test_each_datagram_to_the_group_is_heard_once_and_whole(opened: Open, phone: socket.socket, receive: str):
    leg = opened(receive=receive)
    assert leg.raw == (receive == "raw")
    said = [b"S", b"odd", b"SUBSCRIBE " * 60, os.urandom(3_000), os.urandom(65_507), b"last"]  # two come in fragments
    for datagram in said:
        phone.sendto(datagram, (GROUP, PORT))
    source = phone.getsockname()
    assert heard_until(leg, b"last") == [(datagram, source) for datagram in said]


@pytest.mark.parametrize("receive", RAW_AND_UDP)
def test_one_that_is_larger_than_the_readers_buffer_is_seen_as_large(opened: Open, phone: socket.socket, receive: str):
    leg = opened(receive=receive)
    phone.sendto(b"x" * 9_000, (GROUP, PORT))
    phone.sendto(b"last", (GROUP, PORT))
    (first, source), _ = heard_until(leg, b"last", size=8_000)
    assert source == phone.getsockname()
    assert 7_900 < len(first) <= 8_000


def test_what_is_not_for_us_is_not_even_shown(opened: Open, phone: socket.socket, ours: Host):
    """The PBX's own: unicast, other ports, other groups. None of it may fill our buffer or count as lost."""
    leg = opened()
    with inside(ours.namespace):
        pbx = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with pbx:
        pbx.bind(("0.0.0.0", PORT))
        pbx.setsockopt(
            socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, socket.inet_aton("224.0.1.76") + socket.inet_aton(ours.address)
        )
        for number in range(50):
            for destination in ((ours.address, PORT), ("224.0.1.76", PORT), (GROUP, 5061)):
                phone.sendto(b"not for us %d" % number, destination)
        phone.sendto(b"for us", (GROUP, PORT))
        assert [datagram for datagram, _ in heard_until(leg, b"for us")] == [b"for us"]
    assert sockets.kernel_drops([leg]) == 0


@pytest.mark.parametrize("receive", RAW_AND_UDP)
def test_a_damaged_datagram_is_not_heard(opened: Open, phone: socket.socket, lab: Lab, lan: Lan, receive: str):
    """A raw socket gets it as it came: what a UDP socket refuses is nothing to us either."""
    leg = opened(receive=receive)
    host = lab.host("damaged")
    lab.plug(host, lan, 10)
    with host.socket(socket.SOCK_RAW, protocol=socket.IPPROTO_UDP) as damaged:
        for length, checksum, payload in ((18, 0xBEEF, b"wrong sum"), (7, 0, b"too short"), (99, 0, b"too long")):
            header = struct.pack("!HHHH", 5062, PORT, length, checksum)
            damaged.sendto(header + payload, (GROUP, 0))
        damaged.sendto(struct.pack("!HHHH", 5062, PORT, 17, 0) + b"no sum is well", (GROUP, 0))
        damaged.sendto(b"\x13\xc4\x13", (GROUP, 0))
    phone.sendto(b"last", (GROUP, PORT))
    said = [datagram for datagram, _ in heard_until(leg, b"last") if datagram]
    assert said == [b"no sum is", b"last"]


@pytest.mark.parametrize("receive", RAW_AND_UDP)
def test_each_interface_hears_its_own_lan_only(opened: Open, lab: Lab, ours: Host, phone: socket.socket, receive: str):
    other_lan = lab.lan()
    lab.plug(ours, other_lan, 1)
    other_host = lab.host("other")
    lab.plug(other_host, other_lan, 9)
    first, second, loopback = (opened(name, receive) for name in ("eth0", "eth1", "lo"))
    with (
        sip_socket(other_host, other_host.address) as other,
        sip_socket(ours, "127.0.0.1") as simulated,
        sip_socket(ours, ours.address, 5063) as inside_eth0,
    ):
        phone.sendto(b"from the first", (GROUP, PORT))
        other.sendto(b"from the second", (GROUP, PORT))
        simulated.sendto(b"from here", (GROUP, PORT))
        inside_eth0.sendto(b"from this machine by eth0", (GROUP, PORT))
        assert [said for said, _ in heard_until(first, b"from this machine by eth0")] == [
            b"from the first",
            b"from this machine by eth0",
        ]
        assert [said for said, _ in heard_until(second, b"from the second")] == [b"from the second"]
        assert [said for said, _ in heard_until(loopback, b"from here")] == [b"from here"]
        assert not heard(first) + heard(second) + heard(loopback)


@pytest.mark.parametrize("receive", RAW_AND_UDP)
def test_phones_are_not_told_that_the_port_is_unreachable(
    opened: Open, phone: socket.socket, ours: Host, lab: Lab, lan: Lan, receive: str
):
    leg = opened(receive=receive)
    host = lab.host("icmp")
    lab.plug(host, lan, 11)
    with (
        host.socket(socket.SOCK_RAW, protocol=socket.IPPROTO_ICMP) as told,
        sip_socket(host, host.address) as sip,
    ):
        told.settimeout(SOON_SECONDS)
        sip.sendto(b"SUBSCRIBE", (GROUP, PORT))
        heard_until(leg, b"SUBSCRIBE")
        sip.sendto(b"nobody is here", (ours.address, 5999))  # this one is answered so: the eye is open
        complaint = told.recv(65_535)
    embedded = complaint[20 + 8 :]  # behind the outer IP header and the ICMP header
    assert socket.inet_ntoa(embedded[16:20]) == ours.address


@pytest.mark.parametrize("receive", RAW_AND_UDP)
def test_an_interface_that_was_down_for_a_while_is_still_heard(
    opened: Open, ours: Host, phone: socket.socket, receive: str
):
    leg = opened(receive=receive)
    ours.ip("link", "set", "eth0", "down")
    ours.ip("link", "set", "eth0", "up")
    ours.ip("route", "append", "224.0.0.0/4", "dev", "eth0")
    with inside(ours.namespace):
        assert sockets.deaf([leg]) == []

    def said_again() -> bool:
        phone.sendto(b"again", (GROUP, PORT))  # the link needs a moment
        return bool(heard(leg))

    wait_for(said_again, SOON_SECONDS, "it is heard again")


def test_an_interface_made_anew_with_the_same_index_is_known_to_be_deaf(opened: Open, lab: Lab, lan: Lan, ours: Host):
    leg, loopback = opened(), opened("lo")
    lab.unplug(ours, "eth0")
    lab.plug(ours, lan, 1, index=leg.interface.index)
    with inside(ours.namespace):
        assert sockets.find_interfaces(["eth0"]) == [leg.interface]
        assert sockets.deaf([leg, loopback]) == [leg]
    leg.close()
    again = opened()
    with inside(ours.namespace):
        assert sockets.deaf([again, loopback]) == []
