"""Which way an answer leaves: by the interface that heard the phone, and never from the PBX's port."""

import socket
from collections.abc import Callable

import pytest

from sipmcast.sockets import CannotListen, LegSockets
from tests.support.legs import GROUP, PORT, RAW_AND_UDP, heard_until, received, sip_socket
from tests.support.netns import Host, Lab, Lan, inside
from tests.support.site import SOON_SECONDS, wait_for

pytestmark = pytest.mark.net

Open = Callable[..., LegSockets]


@pytest.mark.parametrize("receive", RAW_AND_UDP)
def test_two_phones_with_one_address_are_answered_by_the_lan_that_heard_them(
    opened: Open, lab: Lab, lan: Lan, ours: Host, receive: str
):
    twin = lab.lan(network=lan.network)
    lab.plug(ours, twin, 2)
    legs = [opened("eth0", receive), opened("eth1", receive)]
    phones = []
    for switch in (lan, twin):
        host = lab.host("twin")
        lab.plug(host, switch, 20)
        phones.append(sip_socket(host, host.address))
    with phones[0], phones[1]:
        for number, (leg, twin_phone) in enumerate(zip(legs, phones, strict=True)):
            twin_phone.sendto(b"SUBSCRIBE %d" % number, (GROUP, PORT))
            ((_, source),) = heard_until(leg, b"SUBSCRIBE %d" % number)
            leg.send(b"answer %d" % number, source)
        for number, (leg, twin_phone) in enumerate(zip(legs, phones, strict=True)):
            answer, source = twin_phone.recvfrom(65_535)
            assert (answer, source) == (b"answer %d" % number, (leg.interface.host, leg.leg.port))
            twin_phone.sendto(b"200 to the NOTIFY", source)
            wait_for(lambda leg=leg: received(leg), SOON_SECONDS, "its own leg hears the phone's answer")


@pytest.mark.parametrize("name", ["eth0", "eth1", "lo"])
def test_simulated_phones_on_this_machine_are_answered_and_heard(
    opened: Open, lab: Lab, lan: Lan, ours: Host, name: str
):
    """What one address of this machine says to another goes over `lo`, whichever networks they belong to."""
    lab.plug(ours, lab.lan(network=lan.network), 2)
    leg = opened(name)
    with sip_socket(ours, leg.interface.host) as simulated:
        simulated.sendto(b"SUBSCRIBE", (GROUP, PORT))
        ((_, source),) = heard_until(leg, b"SUBSCRIBE")
        leg.send(b"answer", source)
        assert simulated.recvfrom(65_535) == (b"answer", (leg.interface.host, leg.leg.port))
        simulated.sendto(b"200", (leg.interface.host, leg.leg.port))
        assert wait_for(lambda: received(leg), SOON_SECONDS, "the leg hears it") == b"200"


def test_a_phone_behind_a_router_is_answered_as_the_routing_table_says(opened: Open, lab: Lab, ours: Host):
    """The way back need not be the way that it came; and an address of this machine is reached inside of it."""
    other_lan = lab.lan()
    lab.plug(ours, other_lan, 1)
    router = lab.host("router")
    lab.plug(router, other_lan, 2)
    router.ip("address", "add", "10.99.0.9/32", "dev", "lo")
    ours.ip("route", "add", "10.99.0.0/24", "via", router.address)
    router.ip("route", "add", ours.addresses[0], "via", ours.addresses[1])
    leg = opened("eth0")
    with sip_socket(router, "10.99.0.9") as behind, sip_socket(ours, ours.addresses[1]) as here:
        leg.send(b"answer", ("10.99.0.9", 5062))
        assert behind.recvfrom(65_535) == (b"answer", (ours.addresses[0], leg.leg.port))
        behind.sendto(b"200", (ours.addresses[0], leg.leg.port))
        assert wait_for(lambda: received(leg), SOON_SECONDS, "it is heard, whichever way it came") == b"200"
        leg.send(b"answer", (ours.addresses[1], 5062))
        assert here.recv(65_535) == b"answer"


def test_the_other_end_of_a_point_to_point_link_is_answered(opened: Open, lab: Lab, lan: Lan, ours: Host):
    host = lab.host("peer")
    lab.plug(host, lan, 9)
    for end, own, theirs in ((ours, "10.98.0.1", "10.98.0.2"), (host, "10.98.0.2", "10.98.0.1")):
        end.ip("address", "flush", "dev", "eth0")
        end.ip("address", "add", own, "peer", f"{theirs}/32", "dev", "eth0")
        end.ip("route", "append", "224.0.0.0/4", "dev", "eth0")
    leg = opened()
    assert (leg.interface.host, leg.interface.networks) == ("10.98.0.1", ())
    with sip_socket(host, "10.98.0.2") as peer:
        peer.sendto(b"SUBSCRIBE", (GROUP, PORT))
        ((_, source),) = heard_until(leg, b"SUBSCRIBE")
        leg.send(b"answer", source)
        assert peer.recv(65_535) == b"answer"


def test_the_source_port_is_never_the_pbxs_and_the_next_free_one_is_found(opened: Open, ours: Host, lab: Lab):
    with inside(ours.namespace):
        holder = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with holder:
        holder.bind(("0.0.0.0", 6060))
        assert opened().leg.port == 6061
        lab.plug(ours, lab.lan(), 1)
        with pytest.raises(CannotListen, match=r"eth1: port 6060 is taken on .*GSPNP_SIP_PORT"):
            opened("eth1", sip_port=6060)
