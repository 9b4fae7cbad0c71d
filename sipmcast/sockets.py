"""Sockets of the listener: one pair per interface, opened and closed together.

The *group* socket hears the multicast group on that interface only. Where we may (root or CAP_NET_RAW) it is a raw
socket, which is in nobody's way. Else it is a UDP socket, bound to the group address with address reuse: it lives
beside a PBX on the interface's own address, or on 0.0.0.0 with reuse, and excludes one on 0.0.0.0 without.
The *unicast* socket sends everything and hears the answers; it is never on port 5060 unless the operator says so, for
that one is the PBX's.
"""

import contextlib
import errno
import logging
import socket
import struct
from collections.abc import Iterable
from dataclasses import dataclass, field

from sipmcast import guard
from sipmcast.events import Leg
from sipmcast.guard import turn_away as turn_away
from sipmcast.interfaces import LOOPBACK as LOOPBACK
from sipmcast.interfaces import Interface as Interface
from sipmcast.interfaces import drain as drain
from sipmcast.interfaces import find_interfaces as find_interfaces
from sipmcast.interfaces import memberships
from sipmcast.interfaces import missing as missing
from sipmcast.interfaces import open_address_news as open_address_news
from sipmcast.rawudp import IP_MULTICAST_ALL, open_raw
from sipmcast.rawudp import unwrap as unwrap

log = logging.getLogger(__name__)

FIRST_SIP_PORT = 6060  # where the vendor's own PBX sends from (formats.md f21)
SIP_PORTS_TRIED = 100
RECEIVE_BUFFER_BYTES = 4_000_000  # the default holds 100 to 200 SUBSCRIBEs of a boot storm
SO_RCVBUFFORCE, SO_MEMINFO = 33, 55  # asm-generic/socket.h
SK_MEMINFO_VARS, SK_MEMINFO_DROPS = 9, 8  # linux/sock_diag.h
IP_UNICAST_IF = 50  # linux/in.h
ANY_INTERFACE = 0
GRANT = (
    "Grant CAP_NET_RAW (systemd: AmbientCapabilities=CAP_NET_RAW; or: setcap cap_net_raw+ep on the Python program that "
    "runs us), or run as root."
)


class CannotListen(Exception):
    """This interface cannot be used now; the text names the remedy."""


@dataclass
class LegSockets:
    """The open sockets of one interface; `warnings` say what is less than it could be, and the remedy."""

    interface: Interface
    leg: Leg
    group: socket.socket
    unicast: socket.socket
    raw: bool
    guard: socket.socket
    warnings: list[str] = field(default_factory=list)
    joined: str = ""  # the group's address
    _steered: int = ANY_INTERFACE

    def __post_init__(self) -> None:
        self._steer(self.interface.index)

    def send(self, datagram: bytes, destination: tuple[str, int]) -> None:
        """Send by this interface to whom it reaches directly, else as the routing table says.

        Two interfaces may lead to two networks with the same numbers: the routing table knows only one of them. On
        the other hand the way back to a phone behind a router, or to an address of this machine, is not our affair.
        Unlike SO_BINDTODEVICE, IP_UNICAST_IF chooses the way out only and can be changed for each datagram: an answer
        may come in by another interface, and a simulated phone may have any address of this machine.
        Source: linux/in.h, net/ipv4/udp.c.
        """
        self._steer(self.interface.index if self.interface.reaches(destination[0]) else ANY_INTERFACE)
        self.unicast.sendto(datagram, destination)

    def _steer(self, index: int) -> None:
        if index != self._steered:
            self.unicast.setsockopt(socket.IPPROTO_IP, IP_UNICAST_IF, struct.pack("!I", index))
            self._steered = index

    def drops(self) -> int:
        """Datagrams that the kernel threw away because we did not read fast enough, since these were opened."""
        return _drops(self.group) + _drops(self.unicast)

    def close(self) -> None:
        for opened in (self.group, self.unicast, self.guard):
            opened.close()


def kernel_drops(legs: Iterable[LegSockets]) -> int:
    """What the kernel threw away for all these together; what a leg lost goes out of sight when it is closed."""
    return sum(opened.drops() for opened in legs)


def _drops(heard: socket.socket) -> int:
    """Source: SO_MEMINFO, net/core/sock.c, sk_get_meminfo."""
    try:
        answer = heard.getsockopt(socket.SOL_SOCKET, SO_MEMINFO, 4 * SK_MEMINFO_VARS)
        return int(struct.unpack_from("=I", answer, 4 * SK_MEMINFO_DROPS)[0])
    except (OSError, struct.error):
        return 0


def deaf(legs: Iterable[LegSockets]) -> list[LegSockets]:
    """Those whose interface has forgotten the group: close and open them again.

    That is so when an interface was removed and made again with the same index between two looks.
    """
    opened = list(legs)
    joined = {group: memberships(group) for group in {one.joined for one in opened}}
    return [one for one in opened if (known := joined[one.joined]) is not None and one.interface.index not in known]


def open_leg(interface: Interface, group: str, port: int, sip_port: int, receive: str) -> LegSockets:
    """Open what one interface needs, or raise CannotListen and leave nothing open."""
    warnings: list[str] = []
    with contextlib.ExitStack() as undo:
        held = undo.enter_context(_hold(interface, group, port))
        try:
            heard, raw = _open_group(interface, group, port, receive, warnings)
            undo.enter_context(heard)
            _join(heard, interface, group)
            unicast = undo.enter_context(_open_unicast(interface, sip_port))
        except OSError as error:
            raise CannotListen(f"{interface.name}: {error.strerror or error}.") from error
        _enlarge(interface, (heard, unicast), warnings)
        undo.pop_all()
    leg = Leg(interface.name, interface.host, unicast.getsockname()[1])
    return LegSockets(interface, leg, heard, unicast, raw, held, warnings, group)


def _hold(interface: Interface, group: str, port: int) -> socket.socket:
    try:
        return guard.hold(interface.device, group, port)
    except guard.Taken as taken:
        raise CannotListen(
            f"{interface.name}: another gspnp listener already hears {group}:{port} here: {taken}. "
            "Stop that one first, or give this one another interface (--interface)."
        ) from taken


def _open_group(
    interface: Interface, group: str, port: int, receive: str, warnings: list[str]
) -> tuple[socket.socket, bool]:
    """The socket that hears the group, and whether it is a raw one."""
    if receive != "socket":
        try:
            return open_raw(interface, group, port), True
        except PermissionError as error:
            if receive == "raw":
                raise CannotListen(f"{interface.name}: no right to a raw socket. {GRANT}") from error
            warnings.append(
                f"{interface.name}: no right to a raw socket, so a UDP socket holds {group}:{port}. As long as we run, "
                f"a PBX that wants 0.0.0.0:{port} without address reuse cannot start. {GRANT}"
            )
    try:
        return _open_udp(group, port), False
    except OSError as error:
        raise CannotListen(_refusal(interface, group, port, receive, error)) from error


def _refusal(interface: Interface, group: str, port: int, receive: str, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        remedy = "Set GSPNP_RECEIVE=auto or raw." if receive == "socket" else GRANT
        return (
            f"{interface.name}: UDP port {port} is held by another program (a PBX on 0.0.0.0?) that does not share it. "
            f"A raw socket would hear {group} beside it. {remedy} Or bind the PBX to its own address."
        )
    if error.errno in (errno.EACCES, errno.EPERM):
        return f"{interface.name}: no permission to listen on UDP port {port}. Run as root or use a port above 1023."
    return f"{interface.name}: cannot listen on {group}:{port} ({error.strerror})."


def _open_udp(group: str, port: int) -> socket.socket:
    heard = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        heard.setblocking(False)
        heard.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        heard.setsockopt(socket.IPPROTO_IP, IP_MULTICAST_ALL, 0)
        heard.bind((group, port))
    except OSError:
        heard.close()
        raise
    return heard


def _join(heard: socket.socket, interface: Interface, group: str) -> None:
    """Become a member of the group on this interface, once: each leg has a socket of its own. Source: ip(7)."""
    request = struct.pack("=4s4si", socket.inet_aton(group), socket.inet_aton(interface.host), interface.index)
    try:
        heard.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, request)
    except OSError as error:
        if error.errno in (errno.ENOBUFS, errno.ENOMEM):
            remedy = "Allow more memberships: sysctl -w net.ipv4.igmp_max_memberships=20."
        elif error.errno in (errno.ENODEV, errno.EADDRNOTAVAIL):
            remedy = "The interface has just gone, or has no IPv4 address; it is tried again."
        else:
            remedy = "It is tried again."
        raise CannotListen(f"{interface.name}: cannot join {group} ({error.strerror}). {remedy}") from error


def _enlarge(interface: Interface, opened: Iterable[socket.socket], warnings: list[str]) -> None:
    """Make room for a boot storm, and believe only what the kernel says afterwards: it doubles what it grants.

    Source: socket(7). With CAP_NET_ADMIN the limit of the sysctl does not count.
    """
    granted = RECEIVE_BUFFER_BYTES
    for one in opened:
        try:
            one.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, RECEIVE_BUFFER_BYTES)
        except OSError:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
        granted = min(granted, one.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) // 2)
    if granted < RECEIVE_BUFFER_BYTES:
        warnings.append(
            f"{interface.name}: the receive buffer is {granted:,} bytes instead of {RECEIVE_BUFFER_BYTES:,}: when many "
            f"phones start at once, some are not heard. Run: sysctl -w net.core.rmem_max={RECEIVE_BUFFER_BYTES} "
            "(and keep it in /etc/sysctl.d), then start the listener again."
        )


def _open_unicast(interface: Interface, sip_port: int) -> socket.socket:
    """Our own port on this address, without reuse: the configured one, else 6060 or the next free one."""
    ports = [sip_port] if sip_port else range(FIRST_SIP_PORT, FIRST_SIP_PORT + SIP_PORTS_TRIED)
    for port in ports:
        sending = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            sending.setblocking(False)
            sending.bind((interface.host, port))
            return sending
        except OSError as error:
            sending.close()
            if error.errno == errno.EADDRNOTAVAIL:
                raise CannotListen(f"{interface.name}: {interface.host} has just gone; it is tried again.") from error
            if error.errno != errno.EADDRINUSE:
                raise
    taken = f"port {sip_port} is" if sip_port else f"the ports {ports[0]} to {ports[-1]} are"
    raise CannotListen(
        f"{interface.name}: {taken} taken on {interface.host}; no NOTIFY can be sent. Set GSPNP_SIP_PORT to a free one."
    )
