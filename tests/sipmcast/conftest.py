"""A machine with real sockets on a real LAN, for the tests of the listener's sockets; and an agent without any."""

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from sipmcast import sockets
from sipmcast.sockets import LegSockets
from tests.support.agent_bench import Bench
from tests.support.legs import GROUP, PORT, sip_socket
from tests.support.netns import Host, Lab, Lan, inside


@pytest.fixture
def bench() -> Bench:
    return Bench()


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    made = Lab(f"{os.environ.get('PYTEST_XDIST_WORKER', '')}sockets")
    yield made
    made.close()


@pytest.fixture
def lan(lab: Lab) -> Lan:
    return lab.lan()


@pytest.fixture
def ours(lab: Lab, lan: Lan) -> Host:
    """The machine that listens: eth0 on the LAN."""
    host = lab.host("ours")
    lab.plug(host, lan, 1)
    return host


@pytest.fixture
def phone(lab: Lab, lan: Lan) -> Iterator[socket.socket]:
    """A phone on the LAN: its SIP socket."""
    host = lab.host("phone")
    lab.plug(host, lan, 9)
    with sip_socket(host, host.address) as opened:
        yield opened


@pytest.fixture
def opened(ours: Host) -> Iterator[Callable[..., LegSockets]]:
    """Open a leg on an interface of ours; all are closed with the test."""
    with ExitStack() as stack:

        def open_leg(name: str = "eth0", receive: str = "auto", sip_port: int = 0) -> LegSockets:
            with inside(ours.namespace):
                (interface,) = sockets.find_interfaces([name])
                leg = sockets.open_leg(interface, GROUP, PORT, sip_port, receive)
            stack.callback(leg.close)
            return leg

        yield open_leg
