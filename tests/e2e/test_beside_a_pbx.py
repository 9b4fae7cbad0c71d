"""The PBX itself may own port 5060 here, and may start before or after us: it always binds and keeps its own."""

import re
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support import kamailio
from tests.support.kamailio import Kamailio
from tests.support.netns import inside
from tests.support.parts import require
from tests.support.site import ROOT, SOON_SECONDS, wait_for
from tests.support.world import World

pytestmark = pytest.mark.net

SIP_PORT = 5060
OPTIONS = 200
AT_ONCE = 20  # on their way together: less than anybody's receive buffer holds
# Time for a second answer to come: both would be given to the same datagram.
SECOND_ANSWER_SECONDS = 0.3


@dataclass(frozen=True)
class Way:
    """A PBX, and how it binds its port."""

    name: str
    bind: str  # "own": the address of its first interface
    reuse: bool = False
    kamailio: bool = False


OWN = Way("own-address", "own")
ANY_WITH_REUSE = Way("any-with-reuse", "0.0.0.0", reuse=True)
ANY_WITHOUT_REUSE = Way("any-without-reuse", "0.0.0.0")
KAMAILIO_OWN = Way("kamailio-own-address", "own", kamailio=True)
KAMAILIO_ANY = Way("kamailio-any", "0.0.0.0", kamailio=True)
WAYS = (
    OWN,
    pytest.param(ANY_WITH_REUSE, marks=pytest.mark.long),
    ANY_WITHOUT_REUSE,
    pytest.param(KAMAILIO_OWN, marks=pytest.mark.long),
    KAMAILIO_ANY,
)

Start = Callable[..., None]


@pytest.fixture(scope="module")
def pbx_world(make_world: Callable[..., World]) -> World:
    """Its listener is started by each test as that test needs it."""
    built = make_world()
    built.site.start("phones")
    return built


@pytest.fixture(scope="module")
def listening_world(make_world: Callable[..., World]) -> World:
    """Its listener runs from the beginning: every PBX comes after it."""
    built = make_world()
    built.site.start("phones", "listen")
    return built


@pytest.fixture
def listener(pbx_world: World) -> Iterator[Start]:
    """Start the listener, with a way to receive or in words of one's own; it stops with the test."""
    site = pbx_world.site

    def start(receive: str = "auto", command: str = "") -> None:
        site.environment["GSPNP_RECEIVE"] = receive
        if not command:
            return site.start("listen")
        site.launch("listen", command)
        return site.wait_ready("listen")

    yield start
    site.stop("listen")


@contextmanager
def started(world: World, way: Way, folder: Path) -> Iterator[None]:
    """The PBX binds, however that is, and answers OPTIONS meanwhile."""
    address = world.pbx.address if way.bind == "own" else way.bind
    if way.kamailio:
        pbx = Kamailio(world.pbx, folder / "kamailio", address, SIP_PORT)
        try:
            yield
        finally:
            pbx.close()
        return
    with plain_pbx(world, way) as plain, kamailio.answering(plain):
        yield


def plain_pbx(world: World, way: Way) -> socket.socket:
    with inside(world.pbx.namespace):
        pbx = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            if way.reuse:
                pbx.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            pbx.bind((world.pbx.address if way.bind == "own" else way.bind, SIP_PORT))
        except OSError:
            pbx.close()
            raise
    return pbx


def check_the_pbx_keeps_its_own(world: World) -> None:
    """Every OPTIONS to its port is answered by it, once and from there; we have heard none of them."""
    before = len(world.site.log("listen"))
    caller = world.host(lan=0)
    pbx = (world.pbx.address, SIP_PORT)
    with caller.socket() as calling:
        calling.bind((caller.address, SIP_PORT))
        calling.settimeout(SOON_SECONDS)
        answered = []
        for first in range(0, OPTIONS, AT_ONCE):
            for number in range(first, first + AT_ONCE):
                calling.sendto(kamailio.options(calling.getsockname(), pbx, f"n{number}"), pbx)
            for _ in range(AT_ONCE):
                answer, source = calling.recvfrom(65_535)
                assert source == pbx
                assert answer.startswith(b"SIP/2.0 200 ")
                assert kamailio.SERVER.encode() in answer
                answered += re.findall(rb"branch=z9hG4bK-n(\d+)", answer)
    assert sorted(map(int, answered)) == list(range(OPTIONS))
    assert f"{caller.address}:" not in world.site.log("listen")[before:]


def check_phones_are_answered(world: World) -> None:
    """A phone on each LAN has its 200 from us, and one of them."""
    phones = [world.phone(lan=0), world.phone(lan=1)]
    for phone in phones:
        phone.boot()
    for lan, phone in zip(world.lans, phones, strict=True):
        assert phone.server == lan.address(1)
        assert phone.next_datagram(SECOND_ANSWER_SECONDS) is None, "answered twice"
        wait_for(lambda phone=phone: world.site.stage(phone.mac) == "seen", SOON_SECONDS, "it is seen")


def check_a_phone_goes_the_whole_way(world: World) -> None:
    phone = world.phone()
    phone.boot()
    world.site.assign(phone.mac)
    notify = phone.await_notify()
    assert notify.message.source[1] != SIP_PORT
    phone.be_provisioned(notify)
    assert world.site.stage(phone.mac) == "applied"


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.name)
def test_a_pbx_that_was_there_first(pbx_world: World, listener: Start, tmp_path: Path, way: Way):
    with started(pbx_world, way, tmp_path):
        listener()
        check_the_pbx_keeps_its_own(pbx_world)
        check_phones_are_answered(pbx_world)
        assert "no right" not in pbx_world.site.fresh_log("listen")


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.name)
def test_a_pbx_that_starts_after_us(listening_world: World, tmp_path: Path, way: Way):
    with started(listening_world, way, tmp_path):
        check_the_pbx_keeps_its_own(listening_world)
        check_phones_are_answered(listening_world)


def test_a_phone_goes_the_whole_way_beside_a_pbx_on_every_address(listening_world: World, tmp_path: Path):
    with started(listening_world, KAMAILIO_ANY, tmp_path):
        check_a_phone_goes_the_whole_way(listening_world)
    with started(listening_world, ANY_WITHOUT_REUSE, tmp_path):
        check_a_phone_goes_the_whole_way(listening_world)


def test_without_the_right_to_raw_sockets_it_listens_and_says_what_is_lost(
    pbx_world: World, listener: Start, tmp_path: Path
):
    """The UDP socket stands in the way of one kind of PBX: whoever runs us must read it, and what to do."""
    setpriv = f"{require('setpriv')} --bounding-set -net_raw --inh-caps -net_raw"
    listener("auto", f"exec {setpriv} {sys.executable} manage.py listen_pnp --keep-trying")
    said = pbx_world.site.fresh_log("listen")
    assert "by raw socket" not in said
    wait_for(lambda: "eth0: no right to a raw socket" in pbx_world.site.fresh_log("listen"), SOON_SECONDS, "it says so")
    said = pbx_world.site.fresh_log("listen")
    assert "a PBX that wants 0.0.0.0:5060 without address reuse cannot start" in said
    assert "AmbientCapabilities=CAP_NET_RAW" in said
    with pytest.raises(OSError, match="in use"):
        plain_pbx(pbx_world, ANY_WITHOUT_REUSE)
    for way in (OWN, ANY_WITH_REUSE):
        with started(pbx_world, way, tmp_path):
            check_the_pbx_keeps_its_own(pbx_world)
            check_phones_are_answered(pbx_world)


@pytest.mark.parametrize(
    ("receive", "without", "remedy"),
    [("auto", "net_raw", "Grant CAP_NET_RAW"), ("raw", "net_raw", "Grant CAP_NET_RAW"),
     ("socket", "", "Set GSPNP_RECEIVE=auto or raw")],
)  # fmt: skip
def test_what_cannot_be_heard_beside_a_pbx_is_said_with_the_remedy(
    pbx_world: World, receive: str, without: str, remedy: str
):
    with plain_pbx(pbx_world, ANY_WITHOUT_REUSE):
        pbx_world.site.environment["GSPNP_RECEIVE"] = receive
        said = refusal(pbx_world, without)
    assert "CommandError: eth0: " in said
    assert remedy in said


def refusal(world: World, without: str = "") -> str:
    """What a listener on eth0 says that must not start; it may lack one capability."""
    prefix = [require("setpriv"), "--bounding-set", f"-{without}", "--inh-caps", f"-{without}"] if without else []
    refused = subprocess.run(
        world.pbx.command(*prefix, sys.executable, "manage.py", "listen_pnp", "--interface", "eth0"),
        capture_output=True, text=True, cwd=ROOT, env=world.site.environment, timeout=SOON_SECONDS, check=False,
    )  # fmt: skip
    assert refused.returncode != 0
    assert "Traceback" not in refused.stderr
    return refused.stderr


def test_a_second_listener_refuses_and_names_the_first(pbx_world: World, listener: Start):
    """Else every phone would be answered twice."""
    listener()
    pid = pbx_world.site.process("listen").pid
    said = refusal(pbx_world)
    assert f"another gspnp listener already hears 224.0.1.75:5060 here: process {pid} (" in said
    assert "manage.py listen_pnp --keep-trying)" in said
    assert "Stop that one first" in said
    phone = pbx_world.phone()
    phone.boot()
    assert phone.next_datagram(SECOND_ANSWER_SECONDS) is None, "one answer, not two"


def test_the_post_is_free_when_its_holder_is_killed(pbx_world: World, listener: Start):
    listener()
    pbx_world.site.kill("listen")
    listener()
    assert "another gspnp listener" not in pbx_world.site.fresh_log("listen")


def test_a_listener_for_another_group_is_no_rival(pbx_world: World, listener: Start):
    listener()
    other = pbx_world.site.launch("other", f"exec {sys.executable} manage.py listen_pnp --group 224.0.1.76")
    wait_for(lambda: "listening on eth0" in pbx_world.site.log("other"), SOON_SECONDS, "the other listens")
    assert other.poll() is None
    pbx_world.site.stop("other")


def test_an_interface_that_does_not_exist_is_named(pbx_world: World):
    refused = pbx_world.site.manage("listen_pnp", "--interface", "eth7", check=False)
    assert refused.returncode != 0
    assert "eth7: there is no such interface" in refused.stderr
    assert "Traceback" not in refused.stderr
