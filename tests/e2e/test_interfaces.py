"""Interfaces, addresses and VLANs come and go while the listener runs: what can be heard is heard, within seconds."""

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.netns import Lan, inside
from tests.support.site import SOON_SECONDS, wait_for
from tests.support.strict_phone import StrictPhone
from tests.support.world import World, fresh_mac

pytestmark = pytest.mark.net

MEMBERSHIPS = Path("/proc/sys/net/ipv4/igmp_max_memberships")
OUR_NUMBER, PHONE_NUMBER = 1, 9
_numbers = itertools.count(100)


@pytest.fixture(scope="module")
def listening(make_world: Callable[..., World]) -> World:
    """Its first LAN is never touched: what happens to the others must not disturb it."""
    world = make_world()
    world.site.start("listen")
    return world


@pytest.fixture
def third(listening: World) -> Iterator[tuple[str, Lan]]:
    """An interface on a LAN of its own that is heard already; what is left of it is removed with the test."""
    lan = listening.lab.lan()
    name = heard_after(listening, lambda: listening.lab.plug(listening.pbx, lan, OUR_NUMBER))
    yield name, lan
    listening.lab.unplug(listening.pbx, name)
    undisturbed(listening)


def heard_after(world: World, change: Callable[[], str], address: str = "") -> str:
    """Make a change, and wait until the listener says that it hears the interface that the change returns."""
    before = len(world.site.log("listen"))
    name = change()
    words = f"listening on {name} ({address}"
    wait_for(lambda: words in world.site.log("listen")[before:], SOON_SECONDS, f"the listener says: {words}")
    return name


def gone_after(world: World, change: Callable[[], None], name: str) -> None:
    before = len(world.site.log("listen"))
    change()
    wait_for(
        lambda: f"{name} (" in (said := world.site.log("listen")[before:]) and "is gone" in said,
        SOON_SECONDS, f"the listener says that {name} is gone",
    )  # fmt: skip


def answered_on(world: World, lan: Lan, by: str = "") -> None:
    """A phone that is plugged into this LAN now is answered by our address there."""
    host = world.lab.host("h")
    # Never an address that another had just now: the kernel would still send to that one's hardware.
    world.lab.plug(host, lan, next(_numbers))
    phone = StrictPhone(host, fresh_mac())
    try:
        phone.boot()
        assert phone.server == (by or lan.address(OUR_NUMBER))
    finally:
        phone.power_off()
        world.lab.remove(host)


def undisturbed(world: World) -> None:
    answered_on(world, world.lans[0])
    assert world.site.process("listen").poll() is None
    assert "Traceback" not in world.site.log("listen")


def test_a_new_interface_is_heard(listening: World, third: tuple[str, Lan]):
    answered_on(listening, third[1])


def test_a_link_that_goes_down_and_comes_back_is_heard_again(listening: World, third: tuple[str, Lan]):
    name, lan = third
    gone_after(listening, lambda: listening.pbx.ip("link", "set", name, "down"), name)
    undisturbed(listening)
    heard_after(listening, lambda: listening.pbx.ip("link", "set", name, "up") or name)
    answered_on(listening, lan)


def test_an_address_that_goes_and_comes_back_is_heard_again(listening: World, third: tuple[str, Lan]):
    name, lan = third
    ours = f"{lan.address(OUR_NUMBER)}/24"
    gone_after(listening, lambda: listening.pbx.ip("address", "del", ours, "dev", name), name)
    heard_after(listening, lambda: listening.pbx.ip("address", "add", ours, "dev", name) or name)
    answered_on(listening, lan)


def test_an_interface_with_a_new_address_answers_from_it(listening: World, third: tuple[str, Lan]):
    """As after a lease from another DHCP server: the URL that phones get must lead to the new one."""
    name, lan = third

    def change() -> str:
        listening.pbx.ip("address", "add", f"{lan.address(77)}/24", "dev", name)
        # The second address of a network goes with the first, unless the kernel is told to keep it.
        with inside(listening.pbx.namespace):
            Path(f"/proc/sys/net/ipv4/conf/{name}/promote_secondaries").write_text("1", encoding="ascii")
        listening.pbx.ip("address", "del", f"{lan.address(OUR_NUMBER)}/24", "dev", name)
        return name

    heard_after(listening, change, lan.address(77))
    answered_on(listening, lan, by=lan.address(77))


@pytest.mark.parametrize("index", ["another", "the-same"])
def test_an_interface_that_is_made_anew_is_heard_again(listening: World, third: tuple[str, Lan], index: str):
    """A hypervisor or a driver does this in a moment; with the same index it looks as if nothing had happened."""
    name, lan = third
    number = listening.pbx.index(name)

    def change() -> str:
        listening.lab.unplug(listening.pbx, name)
        return listening.lab.plug(listening.pbx, lan, OUR_NUMBER, index=number if index == "the-same" else 0)

    heard_after(listening, change)
    assert (listening.pbx.index(name) == number) == (index == "the-same")
    answered_on(listening, lan)


def test_a_vlan_that_is_added_is_heard(listening: World):
    lab, pbx = listening.lab, listening.pbx
    name = heard_after(listening, lambda: lab.plug_vlan(pbx, listening.lans[0], 30, OUR_NUMBER))
    host = lab.host("h")
    lab.plug_vlan(host, listening.lans[0], 30, PHONE_NUMBER)
    phone = StrictPhone(host, fresh_mac())
    phone.boot()
    assert phone.server == pbx.addresses[-1]
    assert phone.next_datagram(0.3) is None, "heard on the cable and in the VLAN: answered twice"
    gone_after(listening, lambda: lab.unplug(pbx, name), name)
    undisturbed(listening)


def test_an_interface_that_cannot_join_is_said_with_the_remedy_and_the_rest_go_on(listening: World):
    lan = listening.lab.lan()
    before = len(listening.site.log("listen"))
    with inside(listening.pbx.namespace):
        allowed = MEMBERSHIPS.read_text(encoding="ascii")
        MEMBERSHIPS.write_text("0", encoding="ascii")
    try:
        name = listening.lab.plug(listening.pbx, lan, OUR_NUMBER)
        wait_for(
            lambda: f"{name}: cannot join 224.0.1.75" in listening.site.log("listen")[before:],
            SOON_SECONDS, "the listener says that it cannot join",
        )  # fmt: skip
        assert "sysctl -w net.ipv4.igmp_max_memberships=" in listening.site.log("listen")[before:]
        undisturbed(listening)
    finally:
        with inside(listening.pbx.namespace):
            MEMBERSHIPS.write_text(allowed, encoding="ascii")
    heard_after(listening, lambda: name)
    answered_on(listening, lan)
    listening.lab.unplug(listening.pbx, name)


def test_phones_with_one_address_on_two_lans_are_each_answered_on_their_own(make_world: Callable[..., World]):
    """Two customers' networks with the same numbers: each 200 and each NOTIFY leaves by the LAN that was heard."""
    world = make_world()
    twin = world.lab.lan(network=world.lans[0].network)
    world.lab.plug(world.pbx, twin, 2)
    world.site.start("listen")
    wait_for(lambda: "listening on eth2" in world.site.log("listen"), SOON_SECONDS, "the twin is heard")
    phones = []
    for lan in (world.lans[0], twin):
        host = world.lab.host("h")
        mac = fresh_mac()
        world.lab.plug(host, lan, PHONE_NUMBER, mac)
        phones.append(StrictPhone(host, mac))
    assert phones[0].address == phones[1].address
    for phone, ours in zip(phones, (OUR_NUMBER, 2), strict=True):
        phone.boot()
        assert phone.server == world.lans[0].address(ours)
    for phone, ours in zip(phones, (OUR_NUMBER, 2), strict=True):
        world.site.assign(phone.mac)
        phone.answer(phone.await_notify())
        world.site.wait_stage(phone.mac, "notified")
        assert phone.notifies[-1].message.source[0] == world.lans[0].address(ours)
        assert {notify.url[-12:] for notify in phone.notifies} == {phone.mac}, "another phone's NOTIFY"
