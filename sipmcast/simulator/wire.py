"""The phone's one UDP socket, with the faults of the wire between it and the phone.

Bound to the interface's own address and a free port, so that hundreds of phones live on one address. It
joins no group: a phone only sends to it. Sockets and asyncio live here, SIP does not.
"""

import asyncio
import ipaddress
import socket
import struct
from collections.abc import Callable
from typing import Any

from sipmcast.simulator.faults import Faults
from sipmcast.simulator.options import OptionsError

RECEIVE_BUFFER_BYTES = 256 * 1024
MULTICAST_TTL = 1
SIOCGIFADDR = 0x8915

Endpoint = tuple[str, int]


def resolve_interface(name: str, group: str) -> tuple[str, int]:
    """Own IPv4 address and interface index (0: by address) for a name, an address, or by the route."""
    if not name:
        return _address_towards(group), 0
    try:
        return str(ipaddress.IPv4Address(name)), 0
    except ValueError:
        pass
    try:
        import fcntl  # Linux and BSD only; an address works everywhere

        index = socket.if_nametoindex(name)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            answer = fcntl.ioctl(probe, SIOCGIFADDR, struct.pack("256s", name.encode()[:15]))
    except (OSError, ImportError) as error:
        raise OptionsError(f"--interface {name}: no such interface, or it has no IPv4 address ({error})") from None
    return socket.inet_ntoa(answer[20:24]), index


def _address_towards(group: str) -> str:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((group, 9))
            return str(probe.getsockname()[0])
        except OSError:
            return "127.0.0.1"


def open_socket(address: str, interface_index: int) -> socket.socket:
    """A UDP socket on `address` and a free port, sending multicast by that interface, or OSError."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, MULTICAST_TTL)
        own = socket.inet_aton(address)
        choice = struct.pack("4s4si", bytes(4), own, interface_index) if interface_index else own
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, choice)
        sock.bind((address, 0))
    except OSError:
        sock.close()
        raise
    return sock


class Wire(asyncio.DatagramProtocol):
    """Datagrams in and out, some of them lost, doubled or late, as the faults say."""

    def __init__(self, faults: Faults, received: Callable[[bytes, Endpoint], None], broke: Callable[[str], None]):
        self._faults = faults
        self._received = received
        self._broke = broke
        self._transport: asyncio.DatagramTransport | None = None
        self.local: Endpoint = ("", 0)

    async def open(self, address: str, interface_index: int) -> None:
        """Bind; OSError if the address is not ours."""
        sock = open_socket(address, interface_index)
        self.local = sock.getsockname()
        await asyncio.get_running_loop().create_datagram_endpoint(lambda: self, sock=sock)

    def close(self) -> None:
        """Stop; datagrams that were held back are forgotten."""
        if self._transport is not None:
            self._transport.abort()
            self._transport = None

    def send(self, data: bytes, to: Endpoint) -> None:
        """Send `data`, or lose it, or send it twice, or later."""
        for delay in self._faults.sending():
            self._after(delay, self._send_now, data, to)

    def _send_now(self, data: bytes, to: Endpoint) -> None:
        if self._transport is not None:
            self._transport.sendto(data, to)

    def _after(self, delay: float, action: Callable[[bytes, Endpoint], None], data: bytes, peer: Endpoint) -> None:
        if delay > 0:
            asyncio.get_running_loop().call_later(delay, action, data, peer)
        else:
            action(data, peer)

    def _deliver(self, data: bytes, source: Endpoint) -> None:
        if self._transport is not None:
            self._received(data, source)

    def connection_made(self, transport: Any) -> None:
        """Keep the transport; called by asyncio."""
        self._transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        """Hand a datagram to the phone, unless the faults are against it; called by asyncio."""
        for delay in self._faults.receiving():
            self._after(delay, self._deliver, data, (addr[0], addr[1]))

    def error_received(self, exc: Exception) -> None:
        """Report that nothing can be sent; called by asyncio. A refusing peer is no reason to stop."""
        if isinstance(exc, OSError) and not isinstance(exc, ConnectionError):
            self._broke(f"cannot send from {self.local[0]}: {exc.strerror}; is there a route to the group?")
