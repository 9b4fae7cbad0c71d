"""The listener's sockets in the hands of a test: a phone's socket to talk to them, and what they have heard."""

import socket

from sipmcast import sockets
from sipmcast.sockets import LegSockets
from tests.support.netns import Host, inside
from tests.support.site import SOON_SECONDS, wait_for

GROUP, PORT = "224.0.1.75", 5060
RAW_AND_UDP = ("raw", "socket")  # both ways to receive must hear alike


def sip_socket(host: Host, address: str, port: int = 5062) -> socket.socket:
    with inside(host.namespace):
        sip = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sip.bind((address, port))
        sip.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(address))
    sip.settimeout(SOON_SECONDS)
    return sip


def heard(leg: LegSockets, size: int = 65_535) -> list[tuple[bytes, tuple[str, int]]]:
    """What lies in the group socket, as the listener reads it with a buffer of this size."""
    found = []
    while True:
        try:
            datagram, source = leg.group.recvfrom(size)
        except BlockingIOError:
            return found
        if leg.raw:
            datagram, port = sockets.unwrap(datagram)
            source = (source[0], port)
        found.append((datagram, source))


def heard_until(leg: LegSockets, last: bytes, size: int = 65_535) -> list[tuple[bytes, tuple[str, int]]]:
    """Everything up to this datagram, which was sent last: what has not come by then does not come."""
    found: list = []

    def complete() -> bool:
        found.extend(heard(leg, size))
        return any(datagram == last for datagram, _ in found)

    wait_for(complete, SOON_SECONDS, lambda: f"{last!r} is heard; it was {found}")
    return found


def received(leg: LegSockets) -> bytes:
    """The next datagram to the leg's own port; nothing if there is none."""
    try:
        return leg.unicast.recv(65_535)
    except BlockingIOError:
        return b""
