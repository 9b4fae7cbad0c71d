"""pnp_doctor at a customer's place: real listeners, real strangers, and a LAN that must not notice much of it."""

import json
import os
import re
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.support.netns import Host, inside
from tests.support.site import SOON_SECONDS, wait_for
from tests.support.world import World

pytestmark = pytest.mark.net

GROUP, PORT = "224.0.1.75", 5060
HOSTILE = "<img src=x onerror=alert(1)> UCM"


class Responder:
    """A forty-line script as they are found in the field: it answers every SUBSCRIBE, and sends its own NOTIFY."""

    def __init__(self, host: Host, answers: bool = True) -> None:
        self.host = host
        self.heard: list[bytes] = []
        self.answered_by: list[bytes] = []
        self._answers = answers
        self._group = host.socket()
        self._group.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._group.bind((GROUP, PORT))
        membership = socket.inet_aton(GROUP) + socket.inet_aton(host.address)
        self._group.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, membership)
        self._unicast = host.socket()
        self._unicast.bind((host.address, 6060))
        for sock in (self._group, self._unicast):
            sock.settimeout(0.1)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while not self._stop.is_set():
            for sock, keep in ((self._group, self.heard), (self._unicast, self.answered_by)):
                try:
                    datagram, source = sock.recvfrom(65_535)
                except TimeoutError:
                    continue
                keep.append(datagram)
                if sock is self._group and self._answers:
                    self._answer(datagram, source)

    def _answer(self, datagram: bytes, source: tuple[str, int]) -> None:
        echoed = [line for line in datagram.decode().split("\r\n") if re.match("(Via|From|To|Call-ID|CSeq):", line)]
        head = "\r\n".join(["SIP/2.0 202 Accepted subscription", *echoed, f"Server: {HOSTILE}", "", ""])
        self._unicast.sendto(head.encode(), source)
        notify = (
            f"NOTIFY sip:{source[0]}:{source[1]} SIP/2.0\r\n"
            f"Via: SIP/2.0/UDP {self.host.address}:6060;branch=z9hG4bKr\r\n"
            f"From: <sip:{self.host.address}>;tag=r\r\nTo: <sip:{source[0]}>\r\nCall-ID: r\r\nCSeq: 1 NOTIFY\r\n"
            "Event: ua-profile\r\nContent-Type: application/url\r\n\r\nhttp://rival.example/secret/"
        )
        self._unicast.sendto(notify.encode(), source)

    def close(self) -> None:
        self._stop.set()
        self._thread.join()
        self._group.close()
        self._unicast.close()


@contextmanager
def responder(host: Host, answers: bool = True) -> Iterator[Responder]:
    started = Responder(host, answers)
    try:
        yield started
    finally:
        started.close()


@pytest.fixture(scope="module")
def place(make_world: Callable[..., World]) -> World:
    """An installation where all is well."""
    built = make_world()
    built.site.start("listen", "phones")
    wait_for(lambda: built.site.rows("SELECT * FROM sipmcast_listenerstatus"), SOON_SECONDS, "the listener has spoken")
    return built


def look(world: World, *arguments: str) -> tuple[int, dict[str, dict[str, Any]], dict[str, Any]]:
    """Exit code, findings as {section: {first word of the title: finding}}, and the whole report."""
    done = world.site.manage("pnp_doctor", "--json", *arguments, check=False)
    assert "Traceback" not in done.stderr, done.stderr
    report = json.loads(done.stdout)
    found = {
        section["key"]: {finding["title"].split(" ")[0]: finding for finding in section["findings"]}
        for section in report["sections"]
    }
    return done.returncode, found, report


def states(findings: dict[str, Any]) -> dict[str, str]:
    return {name: finding["state"] for name, finding in findings.items()}


def test_where_all_is_well_it_says_so_and_no_phone_appears(place: World):
    lan = place.host(lan=0)
    with responder(lan, answers=False) as witness:
        code, found, report = look(place)
        assert states(found["interfaces"]) == {"lo": "ok", "eth0": "ok", "eth1": "ok"}
        assert states(found["echo"]) == {"lo": "ok", "eth0": "ok", "eth1": "ok"}, found["echo"]
        assert str(place.site.process("listen").pid) in found["echo"]["eth0"]["words"]
        assert states(found["rivals"]) == {"eth0": "ok", "eth1": "ok"}, found["rivals"]
        assert set(states(found["door"]).values()) == {"ok"}, found["door"]
        assert (code, report["counts"]["wrong"]) == (0, 0), report
        wait_for(lambda: witness.heard, SOON_SECONDS, "the decoy is heard")
    assert len(witness.heard) == 1, "the question stays on the machine, and the decoy is sent once"
    assert b'vendor="Grandstream"' in witness.heard[0]
    assert place.site.phones() == {}
    assert {one["interface"] for one in report["dhcp"]} == {"eth0", "eth1"}
    assert f"http://{place.pbx.addresses[1]}:5481/provisioning" in report["dhcp"][-1]["text"]


def test_without_probes_nothing_is_sent(place: World):
    with responder(place.host(lan=0), answers=False) as witness:
        code, found, _ = look(place, "--no-probe")
        assert (code, set(states(found["rivals"]).values())) == (0, {"unknown"})
        with place.pbx.socket() as last:  # what was sent before would have been heard before
            last.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(place.pbx.address))
            last.sendto(b"the end", (GROUP, PORT))
        wait_for(lambda: witness.heard, SOON_SECONDS, "the end is heard")
    assert witness.heard == [b"the end"]


def test_one_interface_alone(place: World):
    _, found, report = look(place, "--interface", "eth1")
    assert set(found["echo"]) == set(found["rivals"]) == set(found["interfaces"]) == {"eth1"}
    assert {one["interface"] for one in report["dhcp"]} == {"eth1"}
    refused = place.site.manage("pnp_doctor", "--interface", "eth7", check=False)
    assert refused.returncode == 1 and "eth7" in refused.stderr and "Traceback" not in refused.stderr


def test_a_rival_is_found_on_its_own_lan_and_told_to_stop(place: World):
    with responder(place.host(lan=1)) as rival:
        code, found, _ = look(place)
        assert code == 1
        assert states(found["rivals"]) == {"eth0": "ok", "eth1": "wrong"}
        words = found["rivals"]["eth1"]["words"]
        for part in (rival.host.address, "202 and NOTIFY", HOSTILE, "rival.example"):
            assert part in words
        assert "secret" not in words
        wait_for(lambda: rival.answered_by, SOON_SECONDS, "its NOTIFY is answered, so it does not send it again")
        assert rival.answered_by[0].startswith(b"SIP/2.0 481 ")
    assert place.site.phones() == {}


def test_it_reads_like_advice_in_a_terminal(place: World):
    with responder(place.host(lan=1)) as rival:
        done = place.site.manage("pnp_doctor", check=False)
    assert done.returncode == 1
    line = next(line for line in done.stdout.splitlines() if rival.host.address in line)
    assert line.strip().startswith("WRONG")
    assert "Where phones are heard" in done.stdout and "dhcp-option=tag:gspnp,66" in done.stdout


def test_a_pbx_on_the_port_is_named(place: World):
    with inside(place.pbx.namespace), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as pbx:
        pbx.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        pbx.bind(("0.0.0.0", PORT))
        code, found, _ = look(place, "--no-probe")
    words = [one for one in found["port"].values() if f"(pid {os.getpid()}) holds 0.0.0.0:{PORT}" in one["title"]]
    assert [one["state"] for one in words] == ["ok"], found["port"]
    assert code == 0


def test_a_door_that_is_shut_is_wrong_on_every_interface(place: World):
    place.site.stop("phones")
    try:
        code, found, _ = look(place)
    finally:
        place.site.start("phones")
    assert (code, set(states(found["door"]).values())) == (1, {"wrong"})


def test_a_listener_that_died_is_noticed_before_its_heartbeat_is_old(place: World):
    """Stands last: nobody listens afterwards."""
    place.site.kill("listen")
    code, found, _ = look(place)
    assert code == 1
    assert set(states(found["echo"]).values()) == {"wrong"}
    assert states(found["interfaces"])["eth0"] == "wrong", "the kernel has left the group"
