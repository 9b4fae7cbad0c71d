"""This machine's interfaces: which of them to listen on, and the kernel's news that one of them changed.

Linux and IPv4 only: phones announce themselves nowhere else.
"""

import contextlib
import fcntl
import ipaddress
import logging
import socket
import struct
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import ifaddr

log = logging.getLogger(__name__)

LOOPBACK = "lo"
IFF_UP, IFF_MULTICAST = 0x1, 0x1000  # linux/if.h
SIOCGIFFLAGS = 0x8913  # netdevice(7)
INTERFACE_NAME_BYTES = 16  # IFNAMSIZ, its NUL included
RTMGRP_LINK, RTMGRP_IPV4_IFADDR = 0x1, 0x10  # linux/rtnetlink.h
NEWS_BYTES = 65_536
# The interfaces of the thread that asks; /proc/net would be those of the first thread of its process.
MEMBERSHIPS = Path("/proc/thread-self/net/igmp")


@dataclass(frozen=True)
class Interface:
    """An interface by its name (or an alias like eth0:1), kernel index and one IPv4 address of ours on it.

    `networks` are all networks that are directly connected there, each as (number of the network, mask).
    """

    name: str
    index: int
    host: str
    networks: tuple[tuple[int, int], ...] = ()

    @property
    def device(self) -> str:
        """The name that the kernel knows: an alias is only a label on an address."""
        return self.name.partition(":")[0]

    def reaches(self, host: str) -> bool:
        """Is this address in a network that is directly connected here?"""
        number = int.from_bytes(socket.inet_aton(host), "big")
        return any(number & mask == network for network, mask in self.networks)


def find_interfaces(chosen: Sequence[str]) -> list[Interface]:
    """The interfaces to listen on: those chosen by name or address, else every multicast-capable one, and `lo`.

    One that is switched off is left out: it comes when the kernel has news of it.
    """
    adapters = list(ifaddr.get_adapters())
    found: dict[int, Interface] = {}
    for adapter in adapters:
        hosts, index = _hosts(adapter), adapter.index
        if not hosts or index is None or index in found:
            continue  # a second name of the same interface (an alias) would hear everything twice
        if chosen:
            hosts = [host for host in hosts if host in chosen] or (hosts if adapter.name in chosen else [])
        needed = IFF_UP if chosen or adapter.name == LOOPBACK else IFF_UP | IFF_MULTICAST
        if hosts and _flags(adapter.name) & needed == needed:
            networks = _networks(one for one in adapters if one.index == index)
            found[index] = Interface(adapter.name, index, hosts[0], networks)
    return list(found.values())


def missing(chosen: Sequence[str], found: Sequence[Interface]) -> dict[str, str]:
    """Name or address that was chosen and cannot be listened on -> why, and what to do."""
    indexes = {interface.index for interface in found}
    adapters = list(ifaddr.get_adapters())
    words = {}
    for name in chosen:
        # A second name or address of an interface that we have is served by that one.
        if any(one.index in indexes and name in (one.name, *_hosts(one)) for one in adapters):
            continue
        words[name] = _why_missing(name, [one for one in adapters if name in (one.name, *_hosts(one))])
    return words


def _why_missing(name: str, adapters: Sequence[ifaddr.Adapter]) -> str:
    for adapter in adapters:
        if _hosts(adapter):
            return f"{name}: it is switched off. Run: ip link set {adapter.name.partition(':')[0]} up"
    try:
        socket.if_nametoindex(name)
    except OSError:
        return f"{name}: there is no such interface or address (yet)."
    return f"{name}: it has no IPv4 address (yet). Give it one, or wait for its DHCP server."


def _flags(name: str) -> int:
    """IFF_... of an interface, 0 if it is gone.

    struct ifreq of netdevice(7): unlike /sys/class/net, the answer is always about our own network namespace.
    """
    asked = name.encode()[: INTERFACE_NAME_BYTES - 1]
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
            answer = fcntl.ioctl(asking, SIOCGIFFLAGS, struct.pack("16s24x", asked))
    except OSError:
        return 0
    return int(struct.unpack_from("=H", answer, INTERFACE_NAME_BYTES)[0])


def _hosts(adapter: ifaddr.Adapter) -> list[str]:
    """Its IPv4 addresses; those that it gave itself (RFC 3927) last, because no phone with a lease can reach them."""
    hosts = [ip.ip for ip in adapter.ips if isinstance(ip.ip, str)]
    return sorted(hosts, key=lambda host: ipaddress.IPv4Address(host).is_link_local)


def _networks(adapters: Iterable[ifaddr.Adapter]) -> tuple[tuple[int, int], ...]:
    """The connected networks; a single address (a cluster's, or of a point-to-point link) connects nothing."""
    texts = {
        f"{ip.ip}/{ip.network_prefix}"
        for adapter in adapters
        for ip in adapter.ips
        if isinstance(ip.ip, str) and ip.network_prefix < 32
    }
    networks = {ipaddress.IPv4Network(text, strict=False) for text in texts}
    return tuple(sorted((int(one.network_address), int(one.netmask)) for one in networks))


def memberships(group: str) -> set[int] | None:
    """The index of each interface on which this machine is a member of the group; None if that is not known.

    Source: net/ipv4/igmp.c, igmp_mc_seq_show: a line for each interface, then one with a tab for each of its groups,
    whose address is printed as a number in the machine's own byte order.
    """
    number = f"{struct.unpack('=I', socket.inet_aton(group))[0]:08X}"
    try:
        lines = MEMBERSHIPS.read_text(encoding="ascii", errors="replace").splitlines()[1:]
    except OSError:
        return None
    index, found = 0, set()
    for line in lines:
        first = line.split()[:1]
        if first and not line.startswith("\t"):
            index = int(first[0])
        elif first == [number]:
            found.add(index)
    return found


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
        while readable.recv(NEWS_BYTES):
            pass
    then()
