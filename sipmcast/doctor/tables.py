"""The kernel's tables as text, read: sockets, group memberships, routes. Pure. Source: proc(5)."""

from __future__ import annotations

import ipaddress
import sys
from dataclasses import dataclass

UDP_PROTOCOL = 17
FLAG_UP, FLAG_MULTICAST, FLAG_LOOPBACK = 0x1, 0x1000, 0x8  # linux/if.h
RTF_GATEWAY = 0x2  # linux/route.h


@dataclass(frozen=True, slots=True)
class UdpSocket:
    """One line of /proc/net/udp. In /proc/net/raw `port` is the protocol."""

    host: str
    port: int
    inode: int
    queued_bytes: int
    """What waits to be read."""
    drops: int
    """Datagrams that the kernel threw away because the buffer was full, since the socket was opened."""


@dataclass(frozen=True, slots=True)
class Membership:
    """The IGMP side of one interface."""

    version: int
    """Which IGMP the kernel speaks there: 3, unless an older querier was heard or the operator said so."""
    groups: frozenset[str]


def parse_sockets(text: str) -> list[UdpSocket]:
    """/proc/net/udp, udp6 or raw; lines of another shape are left out."""
    found = []
    for line in text.splitlines()[1:]:
        fields = line.split()
        try:
            host, _, port = fields[1].partition(":")
            queued = int(fields[4].partition(":")[2], 16)
            found.append(UdpSocket(_address(host), int(port, 16), int(fields[9]), queued, int(fields[12])))
        except (IndexError, ValueError):
            continue
    return found


def _address(digits: str) -> str:
    """Each 32-bit word stands in the byte order of the machine; an IPv4 address in IPv6 is shown as IPv4."""
    words = [digits[at : at + 8] for at in range(0, len(digits), 8)]
    address = ipaddress.ip_address(b"".join(int(word, 16).to_bytes(4, sys.byteorder) for word in words))
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address)


def parse_igmp(text: str) -> dict[str, Membership]:
    """/proc/net/igmp: interface name -> what it has joined."""
    versions: dict[str, int] = {}
    groups: dict[str, set[str]] = {}
    name = ""
    for line in text.splitlines()[1:]:
        fields = line.replace(":", " ").split()
        try:
            if not line.startswith("\t"):
                name = fields[1]
                versions[name] = int(fields[3].removeprefix("V"))
            elif name:
                groups.setdefault(name, set()).add(_address(fields[0]))
        except (IndexError, ValueError):
            continue
    return {name: Membership(version, frozenset(groups.get(name, ()))) for name, version in versions.items()}


def parse_default_route(text: str) -> str:
    """/proc/net/route: the interface of the best default route; empty if there is none."""
    best: tuple[int, str] | None = None
    for line in text.splitlines()[1:]:
        fields = line.split()
        try:
            if int(fields[1], 16) == 0 and int(fields[7], 16) == 0 and int(fields[3], 16) & RTF_GATEWAY:
                best = min(best or (int(fields[6]), fields[0]), (int(fields[6]), fields[0]))
        except (IndexError, ValueError):
            continue
    return best[1] if best else ""
