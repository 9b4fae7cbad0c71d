"""Room for a boot storm, what is lost without it, and the one post for each interface."""

import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from sipmcast import guard, sockets
from sipmcast.sockets import CannotListen, LegSockets
from tests.support.legs import GROUP, PORT, RAW_AND_UDP, heard
from tests.support.netns import Host, Lan
from tests.support.parts import require
from tests.support.site import ROOT, SOON_SECONDS, wait_for

pytestmark = pytest.mark.net

BUFFER_LIMIT = Path("/proc/sys/net/core/rmem_max")
Open = Callable[..., LegSockets]


@pytest.mark.parametrize("receive", RAW_AND_UDP)
def test_what_does_not_fit_is_counted(
    opened: Open, phone: socket.socket, monkeypatch: pytest.MonkeyPatch, receive: str
):
    monkeypatch.setattr(sockets, "RECEIVE_BUFFER_BYTES", 20_000)
    leg = opened(receive=receive)
    for _ in range(400):
        phone.sendto(b"SUBSCRIBE " * 60, (GROUP, PORT))
    wait_for(lambda: sockets.kernel_drops([leg]), SOON_SECONDS, "the loss is counted")

    whole: list = []

    def all_is_known() -> bool:
        whole.extend(heard(leg))
        return len(whole) + sockets.kernel_drops([leg]) == 400

    wait_for(all_is_known, SOON_SECONDS, "each one was heard or counted")
    assert sockets.kernel_drops([leg, leg]) == 2 * leg.drops()


def test_the_whole_buffer_is_there_and_nothing_is_said(opened: Open):
    leg = opened()
    for one in (leg.group, leg.unicast):
        assert one.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) == 2 * sockets.RECEIVE_BUFFER_BYTES
    assert leg.warnings == []


OPEN_WITHOUT_RIGHTS = """
import sys
from sipmcast import sockets
sockets.RECEIVE_BUFFER_BYTES = int(sys.argv[1])
(interface,) = sockets.find_interfaces(["eth0"])
print(*sockets.open_leg(interface, "224.0.1.75", 5060, 0, "auto").warnings, sep="\\n")
"""


def test_a_smaller_buffer_than_asked_for_names_the_sysctl(ours: Host):
    """Without CAP_NET_ADMIN the system's limit holds, and the kernel cuts without a word."""
    too_much = 4 * int(BUFFER_LIMIT.read_text(encoding="ascii"))
    rights = "-net_admin"
    done = subprocess.run(
        ours.command(require("setpriv"), "--bounding-set", rights, "--inh-caps", rights,
                     sys.executable, "-c", OPEN_WITHOUT_RIGHTS, str(too_much)),
        capture_output=True, text=True, cwd=ROOT, timeout=SOON_SECONDS, check=True,
    )  # fmt: skip
    (warning,) = done.stdout.splitlines()
    assert f"eth0: the receive buffer is {too_much // 4:,} bytes instead of {too_much:,}" in warning
    assert f"sysctl -w net.core.rmem_max={too_much}" in warning


def test_a_second_listener_is_told_who_has_the_post(opened: Open):
    first = opened()
    with pytest.raises(CannotListen) as refused:
        opened()
    words = str(refused.value)
    assert f"already hears {GROUP}:{PORT} here: process {os.getpid()} (" in words
    assert guard.command_line(os.getpid())[:20] in words
    assert "Stop that one first" in words
    first.close()
    assert opened().leg.interface == "eth0"


def test_however_often_it_is_asked_the_post_answers(opened: Open):
    """A second one that keeps trying asks every few seconds, for days."""
    first = opened()
    for _ in range(3 * guard.QUEUE):
        with pytest.raises(CannotListen, match=f"process {os.getpid()} "):
            opened()
        sockets.turn_away(first.guard)


def test_a_post_that_lets_nobody_go_is_still_a_refusal(opened: Open):
    opened()
    for _ in range(guard.QUEUE + 2):
        with pytest.raises(CannotListen) as refused:
            opened()
    assert "here: a process that does not say who it is. Stop that one first" in str(refused.value)


def test_an_alias_is_no_other_post(opened: Open, ours: Host, lan: Lan):
    ours.ip("address", "add", f"{lan.address(5)}/24", "dev", "eth0", "label", "eth0:1")
    opened("eth0")
    with pytest.raises(CannotListen, match="another gspnp listener"):
        opened("eth0:1")


def test_a_refusal_leaves_nothing_open(opened: Open):
    opened()
    before = len(os.listdir("/proc/self/fd"))
    for receive in ("auto", "raw", "socket"):
        with pytest.raises(CannotListen):
            opened(receive=receive)
    assert len(os.listdir("/proc/self/fd")) == before
