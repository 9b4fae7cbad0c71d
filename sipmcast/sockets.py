"""Sockets of the listener: one pair per interface, opened and closed together.

The *group* socket hears the multicast group on that interface only. It is bound to the group address with address
reuse, so it lives beside a PBX on the interface's own address, or on 0.0.0.0 with reuse. Where a PBX holds 0.0.0.0
without reuse, a raw UDP socket hears the group instead (needs CAP_NET_RAW). The *unicast* socket sends everything and
hears the answers; it is never on port 5060 unless the operator says so, for that one is the PBX's.
"""

import contextlib
import ctypes
import errno
import logging
import socket
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import ifaddr

from sipmcast.events import Leg

log = logging.getLogger(__name__)

FIRST_SIP_PORT = 6060  # where the vendor's own PBX sends from (formats.md f21)
SIP_PORTS_TRIED = 100
RECEIVE_BUFFER_BYTES = 4_000_000  # the default holds 100 to 200 SUBSCRIBEs of a boot storm
IP_MULTICAST_ALL = 49  # linux/in.h: 0 = only groups that this very socket joined
SO_ATTACH_FILTER = 26  # asm-generic/socket.h
IFF_UP, IFF_MULTICAST = 0x1, 0x1000
RTMGRP_LINK, RTMGRP_IPV4_IFADDR = 0x1, 0x10  # linux/rtnetlink.h
DRAIN_BYTES = 65_536
UDP_HEADER_BYTES = 8
LOOPBACK = "lo"


class CannotListen(Exception):
    """This interface cannot be used now; the text names the remedy."""


@dataclass(frozen=True)
class Interface:
    """An interface by its name, kernel index and one IPv4 address of ours on it."""

    name: str
    index: int
    host: str


@dataclass
class LegSockets:
    """The open sockets of one interface."""

    interface: Interface
    leg: Leg
    group: socket.socket
    unicast: socket.socket
    raw: bool
    guard: socket.socket

    def close(self) -> None:
        for opened in (self.group, self.unicast, self.guard):
            opened.close()


def find_interfaces(chosen: Sequence[str]) -> list[Interface]:
    """The interfaces to listen on: those chosen by name or address, else every multicast-capable one, and `lo`."""
    found: list[Interface] = []
    for adapter in ifaddr.get_adapters():
        hosts = [ip.ip for ip in adapter.ips if isinstance(ip.ip, str)]
        if not hosts or adapter.index is None or any(adapter.index == one.index for one in found):
            continue  # a second name of the same interface (an alias) would hear everything twice
        named = [host for host in hosts if host in chosen] or (hosts[:1] if adapter.name in chosen else [])
        if chosen:
            found += [Interface(adapter.name, adapter.index, host) for host in named[:1]]
        elif adapter.name == LOOPBACK or _multicast_capable(adapter.name):
            found.append(Interface(adapter.name, adapter.index, hosts[0]))
    return found


def _multicast_capable(name: str) -> bool:
    try:
        flags = int(Path("/sys/class/net", name.split(":")[0], "flags").read_text(encoding="ascii"), 16)
    except (OSError, ValueError):
        return True
    return bool(flags & IFF_UP and flags & IFF_MULTICAST)


def open_address_news() -> socket.socket | None:
    """A netlink socket that becomes readable when an interface or address changes; None if the kernel has none.

    Source: rtnetlink(7).
    """
    try:
        news = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
    except OSError:
        return None
    try:
        news.setblocking(False)
        news.bind((0, RTMGRP_LINK | RTMGRP_IPV4_IFADDR))
    except OSError:
        news.close()
        return None
    return news


def drain(readable: socket.socket, then: Callable[[], None]) -> None:
    """Throw away what a socket has to say, and act on the fact that it spoke."""
    with contextlib.suppress(OSError):
        while readable.recv(DRAIN_BYTES):
            pass
    then()


def open_leg(interface: Interface, group: str, port: int, sip_port: int, receive: str) -> LegSockets:
    """Open what one interface needs, or raise CannotListen and leave nothing open."""
    opened: list[socket.socket] = []
    try:
        guard = _guard(interface, group, port)
        opened.append(guard)
        listening, raw = _open_group(interface, group, port, receive)
        opened.append(listening)
        unicast = _open_unicast(interface.host, sip_port)
        opened.append(unicast)
    except OSError as error:
        for one in opened:
            one.close()
        raise CannotListen(f"{interface.name}: {error.strerror or error}") from error
    except CannotListen:
        for one in opened:
            one.close()
        raise
    leg = Leg(interface.name, interface.host, unicast.getsockname()[1])
    return LegSockets(interface, leg, listening, unicast, raw, guard)


def _guard(interface: Interface, group: str, port: int) -> socket.socket:
    """Hold the name of this interface, group and port: a second listener would answer every phone twice.

    An abstract unix socket lives in the network namespace and dies with its process.
    """
    held = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        held.bind(f"\0gspnp/listen/{interface.name}/{group}/{port}")
    except OSError as error:
        held.close()
        raise CannotListen(
            f"{interface.name}: another gspnp listener already hears {group}:{port} here. Stop that one first."
        ) from error
    return held


def _open_group(interface: Interface, group: str, port: int, receive: str) -> tuple[socket.socket, bool]:
    if receive != "raw":
        try:
            return _group_socket(interface, group, port), False
        except OSError as error:
            if error.errno != errno.EADDRINUSE or receive == "socket":
                raise CannotListen(_group_words(interface, group, port, error)) from error
    try:
        return _raw_socket(interface, group, port), True
    except PermissionError as error:
        raise CannotListen(
            f"{interface.name}: UDP port {port} is held by another program (a PBX on 0.0.0.0?), and a raw socket "
            "needs root or CAP_NET_RAW. Grant it, or bind the PBX to its own address."
        ) from error


def _group_words(interface: Interface, group: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"{interface.name}: UDP port {port} is held by another program. Set GSPNP_RECEIVE=auto or raw."
    if error.errno in (errno.EACCES, errno.EPERM):
        return f"{interface.name}: no permission to listen on UDP port {port}. Run as root or use a port above 1023."
    return f"{interface.name}: cannot join {group} ({error.strerror})."


def _membership(interface: Interface, group: str) -> bytes:
    """struct ip_mreqn of ip(7)."""
    return struct.pack("=4s4si", socket.inet_aton(group), socket.inet_aton(interface.host), interface.index)


def _group_socket(interface: Interface, group: str, port: int) -> socket.socket:
    heard = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        heard.setblocking(False)
        heard.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        heard.setsockopt(socket.IPPROTO_IP, IP_MULTICAST_ALL, 0)
        heard.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
        heard.bind((group, port))
        heard.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, _membership(interface, group))
    except OSError:
        heard.close()
        raise
    return heard


def _raw_socket(interface: Interface, group: str, port: int) -> socket.socket:
    heard = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_UDP)
    try:
        heard.setblocking(False)
        _attach_filter(heard, group, port)
        heard.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.name.encode())
        heard.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
        heard.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, _membership(interface, group))
    except OSError:
        heard.close()
        raise
    return heard


def _attach_filter(heard: socket.socket, group: str, port: int) -> None:
    """Let the kernel drop all but the group's datagrams: a raw socket would else copy the PBX's media to us.

    Classic BPF over the IP packet: destination address at 16, then the UDP destination port behind the header.
    """
    (group_number,) = struct.unpack("!I", socket.inet_aton(group))
    program = [
        (0x20, 0, 0, 16),  # ld [16]
        (0x15, 0, 4, group_number),  # jeq group, else drop
        (0xB1, 0, 0, 0),  # ldx 4 * ([0] & 0xf)
        (0x48, 0, 0, 2),  # ldh [x + 2]
        (0x15, 0, 1, port),  # jeq port, else drop
        (0x06, 0, 0, 0xFFFFFFFF),  # take all of it
        (0x06, 0, 0, 0),  # drop
    ]
    code = b"".join(struct.pack("=HBBI", *step) for step in program)
    buffer = ctypes.create_string_buffer(code)
    heard.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, struct.pack("@HP", len(program), ctypes.addressof(buffer)))


def unwrap(packet: bytes) -> tuple[bytes, int]:
    """The payload and source port of a raw IPv4 UDP packet; (b"", 0) if it is cut short."""
    header = (packet[0] & 0x0F) * 4 if packet else 0
    if len(packet) < header + UDP_HEADER_BYTES or header < 20:
        return b"", 0
    source_port, _, length = struct.unpack_from("!HHH", packet, header)
    return packet[header + UDP_HEADER_BYTES : header + length], source_port


def _open_unicast(host: str, sip_port: int) -> socket.socket:
    """Our own port on this address, without reuse: the configured one, else 6060 or the next free one."""
    ports = [sip_port] if sip_port else range(FIRST_SIP_PORT, FIRST_SIP_PORT + SIP_PORTS_TRIED)
    for port in ports:
        sending = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            sending.setblocking(False)
            sending.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
            sending.bind((host, port))
            return sending
        except OSError as error:
            sending.close()
            if error.errno != errno.EADDRINUSE:
                raise
    raise CannotListen(f"{host}: no free UDP port for NOTIFYs among {ports}. Set GSPNP_SIP_PORT to a free one.")
