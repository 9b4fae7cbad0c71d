"""What does not belong on the wire: silence as designed, one clear log line, and the next phone is served as ever."""

import random
import re
import socket
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.support.netns import Host, inside
from tests.support.site import SOON_SECONDS, wait_for
from tests.support.strict_phone import GROUP, StrictPhone
from tests.support.world import World, fresh_mac

pytestmark = pytest.mark.net

LARGEST_DATAGRAM = 65_507


@dataclass
class Nonsense:
    """A datagram, and what the log must say of it."""

    name: str
    datagram: bytes
    said: str


def guide(mac: str, method: str = "SUBSCRIBE", user: str = "MAC%3A{}", **changed: str) -> bytes:
    """The guide's SUBSCRIBE with something changed; `changed` are vendor, model and the like."""
    user = user.format(mac)
    vendor, model = changed.get("vendor", "Grandstream"), changed.get("model", "GXP1628")
    lines = (
        f"{method} sip:{user}@{GROUP} SIP/2.0",
        f"Via: SIP/2.0/UDP 10.71.1.9:5060;branch=z9hG4bK{random.randrange(10**9)};rport",
        f"From: <sip:{user}@{GROUP}>;tag=1692014507",
        f"To: <sip:{user}@{GROUP}>",
        f"Call-ID: {random.randrange(10**9)}-5060-1@BHC.BI.DC.BJH",
        f"CSeq: 20000 {method}",
        "Contact: <sip:10.71.1.9:5060>",
        "Max-Forwards: 70",
        f"User-Agent: {vendor} {model} 1.0.2.7",
        "Expires: 0",
        f'Event: ua-profile;profile-type="device";vendor="{vendor}";model="{model}";version="1.0.2.7"',
        "Content-Length: 0",
    )
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


FOREIGN_MAC = fresh_mac()
NOISE = random.Random(5060).randbytes(LARGEST_DATAGRAM)
CASES = (
    Nonsense("not-sip", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", r"ignored {}:"),
    Nonsense("65507-random-bytes", NOISE, r"ignored {}:"),
    Nonsense("empty", b"", r""),
    Nonsense("no-mac", guide("", user="phone"), r"ignored {}:\d+: no_mac"),
    Nonsense("11-digits", guide("000B8227ABC"), r"ignored {}:\d+: no_mac"),
    Nonsense("13-digits", guide("000B8227ABCDE"), r"ignored {}:\d+: no_mac"),
    Nonsense("another-vendor", guide(FOREIGN_MAC, vendor="snom"), r": snom at {} is not ours"),
    Nonsense("options", guide(fresh_mac(), "OPTIONS"), r"ignored {}:\d+: not_subscribe"),
    Nonsense("invite", guide(fresh_mac(), "INVITE"), r"ignored {}:\d+: not_subscribe"),
    Nonsense("notify", guide(fresh_mac(), "NOTIFY"), r"ignored {}:\d+: not_subscribe"),
)


@pytest.fixture(scope="module")
def next_phone(world: World) -> StrictPhone:
    return world.phone()


@pytest.fixture(scope="module")
def stranger(world: World) -> Host:
    return world.host()


@pytest.fixture
def wire(stranger: Host) -> Iterator[socket.socket]:
    with inside(stranger.namespace):
        opened = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with opened:
        opened.bind((stranger.address, 5060))
        opened.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(stranger.address))
        opened.settimeout(0)
        yield opened


def is_silent(wire: socket.socket) -> bool:
    try:
        wire.recv(65_535)
    except BlockingIOError:
        return True
    return False


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_nonsense_on_the_group_meets_silence(
    world: World, stranger: Host, wire: socket.socket, next_phone: StrictPhone, case: Nonsense
):
    pid, before = world.site.process("listen").pid, len(world.site.log("listen"))
    wire.sendto(case.datagram, (GROUP, 5060))
    next_phone.boot()  # its 200 comes after whatever the nonsense would have brought
    assert is_silent(wire)

    def lines() -> list[str]:
        return [line for line in world.site.log("listen")[before:].splitlines() if stranger.address in line]

    if case.said:
        wait_for(lines, SOON_SECONDS, "the log has a line about it")
        assert re.search(case.said.format(re.escape(stranger.address)), lines()[0]), lines()
        assert len(lines()[0]) < 300
    assert len(lines()) <= 1
    said = world.site.log("listen")[before:]
    assert "Traceback" not in said
    assert world.site.process("listen").pid == pid
    assert world.site.process("listen").poll() is None


def test_a_foreign_phone_is_listed_as_not_ours(world: World, wire: socket.socket, stranger: Host):
    mac = fresh_mac()
    wire.sendto(guide(mac, vendor="Yealink", model="SIP-T21P"), (GROUP, 5060))
    wait_for(lambda: world.site.phone(mac), SOON_SECONDS, "the foreign phone is listed")
    shown = world.site.phones()[mac]
    assert (shown["stage"], shown["vendor"]) == ("ignored", "Yealink")
    assert "not ours" in shown["stage_reason"]
    assert is_silent(wire)


def test_a_script_for_a_model_is_a_strange_name_and_no_more(world: World, wire: socket.socket):
    mac = fresh_mac()
    wire.settimeout(SOON_SECONDS)
    wire.sendto(guide(mac, model="<script>alert(1)</script>"), (GROUP, 5060))
    assert wire.recv(65_535).startswith(b"SIP/2.0 200 ")
    wait_for(lambda: world.site.phone(mac), SOON_SECONDS, "it is in the store")
    shown = world.site.phones()[mac]
    assert (shown["stage"], shown["model"]) == ("seen", "<script>alert(1)</script>")
    refused = world.site.manage(*world.site.assignment(mac), given="pw\n", check=False)
    assert refused.returncode != 0
    assert "cannot be configured" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_random_bytes_in_numbers_do_no_harm(world: World, wire: socket.socket, next_phone: StrictPhone):
    """300 datagrams, whole and cut and flipped: the next phone is answered, and the log stays short."""
    dice = random.Random(1628)
    before = len(world.site.log("listen"))
    for _ in range(300):
        datagram = bytearray(guide(fresh_mac(), user="MAC%3A{}x"))
        for _ in range(dice.randrange(1, 8)):
            datagram[dice.randrange(len(datagram))] = dice.randrange(256)
        wire.sendto(bytes(datagram[: dice.randrange(len(datagram))]), (GROUP, 5060))
    next_phone.boot()
    said = world.site.log("listen")[before:]
    assert "Traceback" not in said
    # 20 lines in a second of the listener's, so at most 40 in one of the log's, however slow this machine is.
    seconds = Counter(line.partition(",")[0] for line in said.splitlines() if "ignored " in line)
    assert max(seconds.values()) <= 40, seconds


DOOR_REFUSES = (
    "/cfg000B82FFFFFF",
    "/cfg000B82FFFFFF.xml",
    "/provisioning/cfg000B82FFFFFF",
    "/p/AAAAAAAAAAAAAAAAAAAAAA/cfg000B82FFFFFF",
    "/p/AAAAAAAAAAAAAAAAAAAAAA/../../../etc/passwd",
    "/../../../../etc/passwd",
    "/..%2f..%2f..%2fetc/passwd",
    "/firmware/../../manage.py",
    "/admin/",
    "/%00",
    "/",
)


@pytest.mark.parametrize("path", DOOR_REFUSES)
def test_the_phones_door_gives_one_and_the_same_404(world: World, next_phone: StrictPhone, path: str):
    answer = next_phone.get(f"http://{world.lans[0].address(1)}:5481{path}")
    assert (answer.status, answer.body) == (404, b"not found\n")
    assert not {"location", "set-cookie"} & set(answer.headers)
    assert "Traceback" not in world.site.log("phones")


def test_a_refused_name_is_one_line_in_the_log(world: World, next_phone: StrictPhone):
    mac = fresh_mac()
    next_phone.get(f"http://{world.lans[0].address(1)}:5481/cfg{mac}.xml")
    lines = [line for line in world.site.log("phones").splitlines() if mac in line]
    assert len(lines) == 1
    assert f"{next_phone.address} asked for cfg{mac}.xml: refused" in lines[0]


def test_another_phones_path_with_its_own_mac_is_refused(world: World):
    phone, other = world.phone(), world.phone()
    phone.boot()
    other.boot()
    world.site.assign(phone.mac)
    world.site.assign(other.mac)
    notify = phone.await_notify()
    assert phone.get(notify.url.replace(phone.mac, other.mac)).status == 404
    phone.be_provisioned(notify)
    assert world.site.stage(phone.mac) == "applied"
