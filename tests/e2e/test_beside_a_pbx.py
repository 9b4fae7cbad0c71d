"""The PBX itself may own port 5060 here, and may start before or after us: both live, and nobody takes the other's."""

import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from tests.support.netns import inside
from tests.support.site import SOON_SECONDS, wait_for
from tests.support.strict_phone import StrictPhone
from tests.support.world import World

pytestmark = pytest.mark.net

SIP_PORT = 5060


@dataclass(frozen=True)
class Way:
    """How a PBX binds its port; `receive` is our setting beside it."""

    name: str
    bind: str  # "own": the address of its interface
    reuse: bool
    receive: str = "auto"
    raw: bool = False


OWN = Way("own-address", "own", reuse=False)
ANY_WITH_REUSE = Way("any-with-reuse", "0.0.0.0", reuse=True)
ANY_WITHOUT_REUSE = Way("any-without-reuse", "0.0.0.0", reuse=False, raw=True)
ANY_WITHOUT_REUSE_RAW_SET = Way("any-without-reuse-raw-set", "0.0.0.0", reuse=False, receive="raw", raw=True)

BEFORE_US = (OWN, ANY_WITH_REUSE, ANY_WITHOUT_REUSE)
AFTER_US = (OWN, ANY_WITH_REUSE, ANY_WITHOUT_REUSE_RAW_SET)


@pytest.fixture(scope="module")
def pbx_world(make_world: Callable[..., World]) -> World:
    built = make_world()
    built.site.start("phones")
    return built


@pytest.fixture
def listener(pbx_world: World) -> Iterator[Callable[[str], None]]:
    """Start the listener with a way to receive; it stops with the test."""

    def start(receive: str) -> None:
        pbx_world.site.environment["GSPNP_RECEIVE"] = receive
        pbx_world.site.start("listen")

    yield start
    pbx_world.site.stop("listen")


def start_pbx(world: World, way: Way) -> socket.socket:
    with inside(world.pbx.namespace):
        pbx = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        if way.reuse:
            pbx.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        pbx.bind((world.pbx.address if way.bind == "own" else way.bind, SIP_PORT))
    pbx.settimeout(SOON_SECONDS)
    return pbx


def check_both_live(world: World, pbx: socket.socket) -> None:
    """A phone on each LAN is answered and assigned; what it says to the PBX reaches the PBX alone."""
    phone, other = world.phone(lan=0), world.phone(lan=1)
    phone.boot()
    other.boot()
    wait_for(
        lambda: world.site.stage(phone.mac) == world.site.stage(other.mac) == "seen", SOON_SECONDS, "both are seen"
    )
    world.site.assign(phone.mac)
    notify = phone.await_notify()
    assert notify.message.source[1] != SIP_PORT

    before = len(world.site.log("listen"))
    with phone.host.socket() as registering:
        registering.bind((phone.address, 5062))
        mine = f"REGISTER sip:{phone.mac}@pbx SIP/2.0\r\n\r\n".encode()
        registering.sendto(mine, (world.pbx.address, SIP_PORT))
        while True:  # a PBX on 0.0.0.0 hears the group too; that is its own affair
            datagram, source = pbx.recvfrom(65_535)
            if not datagram.startswith(b"SUBSCRIBE"):
                break
        assert (datagram, source) == (mine, (phone.address, 5062))
        pbx.sendto(b"SIP/2.0 200 OK\r\n\r\n", source)
        registering.settimeout(SOON_SECONDS)
        assert registering.recvfrom(65_535)[1] == (world.pbx.address, SIP_PORT)
    phone.be_provisioned(notify)
    assert f"{phone.address}:5062" not in world.site.log("listen")[before:]
    assert world.site.stage(phone.mac) == "applied"


@pytest.mark.parametrize("way", BEFORE_US, ids=lambda way: way.name)
def test_a_pbx_that_was_there_first(pbx_world: World, listener: Callable[[str], None], way: Way):
    with start_pbx(pbx_world, way) as pbx:
        listener(way.receive)
        assert ("by raw socket" in pbx_world.site.fresh_log("listen")) == way.raw
        check_both_live(pbx_world, pbx)


@pytest.mark.parametrize("way", AFTER_US, ids=lambda way: way.name)
def test_a_pbx_that_starts_after_us(pbx_world: World, listener: Callable[[str], None], way: Way):
    listener(way.receive)
    with start_pbx(pbx_world, way) as pbx:
        assert ("by raw socket" in pbx_world.site.fresh_log("listen")) == way.raw
        check_both_live(pbx_world, pbx)


def test_a_second_listener_refuses_in_words(pbx_world: World, listener: Callable[[str], None]):
    """Else every phone would be answered twice."""
    listener("auto")
    refused = pbx_world.site.manage("listen_pnp", "--interface", "eth0", check=False)
    assert refused.returncode != 0
    assert "another gspnp listener already hears 224.0.1.75:5060" in refused.stderr
    assert "Stop that one first" in refused.stderr
    assert "Traceback" not in refused.stderr
    phone = pbx_world.phone()
    phone.boot()
    assert phone.next_datagram(0.5) is None, "one answer, not two"


def test_an_interface_that_does_not_exist_is_named(pbx_world: World):
    refused = pbx_world.site.manage("listen_pnp", "--interface", "eth7", check=False)
    assert refused.returncode != 0
    assert "eth7: there is no such interface" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_an_interface_that_appears_later_is_heard(pbx_world: World, listener: Callable[[str], None]):
    listener("auto")
    lan = pbx_world.lab.lan()
    name = pbx_world.lab.plug(pbx_world.pbx, lan, 1)
    wait_for(lambda: f"listening on {name}" in pbx_world.site.fresh_log("listen"), SOON_SECONDS, "it is noticed")
    host = pbx_world.lab.host("h")
    pbx_world.lab.plug(host, lan, 9)
    phone = StrictPhone(host, "000B82300009")
    phone.boot()
    assert phone.server == lan.address(1)
