"""The group heard by a raw socket: nobody's port is taken, so a PBX may bind whatever it likes, before or after us.

Such a socket gets a copy of each datagram after the kernel has put its fragments together, with the IP and the UDP
header in front, and before any UDP socket is looked for. What a UDP socket checks is checked here (RFC 768).
The kernel answers no multicast with "port unreachable" (RFC 1122 3.2.2), so phones hear nothing of the missing port.
"""

import contextlib
import ctypes
import socket
import struct

from sipmcast.interfaces import Interface

SO_ATTACH_FILTER = 26  # asm-generic/socket.h
IP_MULTICAST_ALL = 49  # linux/in.h: 0 = only groups that this very socket joined
IP_HEADER_BYTES = 20
UDP_HEADER_BYTES = 8
PACKET_BYTES = 65_535
ALL_ONES = 0xFFFF


def open_raw(interface: Interface, group: str, port: int) -> socket.socket:
    """A raw socket that hears the group's datagrams to this port on this interface; the caller joins.

    Raises PermissionError without CAP_NET_RAW.
    """
    heard = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_UDP)
    try:
        heard.setblocking(False)
        heard.setsockopt(socket.IPPROTO_IP, IP_MULTICAST_ALL, 0)
        _attach_filter(heard, group, port)
        # Bound to the group, it costs the PBX's calls nothing: their datagrams are not even shown to the filter.
        heard.bind((group, 0))
        heard.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.device.encode())
        _forget(heard)
    except OSError:
        heard.close()
        raise
    return heard


def _forget(heard: socket.socket) -> None:
    """Throw away what came before the filter stood: until we join, nothing more can come."""
    with contextlib.suppress(BlockingIOError):
        while True:
            heard.recv(PACKET_BYTES)


def _attach_filter(heard: socket.socket, group: str, port: int) -> None:
    """Let the kernel drop all but the group's datagrams to our port.

    Classic BPF over the IP packet: destination address at 16, then the UDP destination port behind the header. A read
    behind the end of the packet drops it.
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
    """The payload and source port of a raw IPv4 UDP packet; (b"", 0) if a UDP socket would not have given it to us.

    What the reader's own buffer has cut off is missing from the payload, as with a UDP socket.
    """
    header = (packet[0] & 0x0F) * 4 if packet else 0
    if header < IP_HEADER_BYTES or len(packet) < header + UDP_HEADER_BYTES:
        return b"", 0
    (whole,) = struct.unpack_from("!H", packet, 2)
    source_port, _, length, checksum = struct.unpack_from("!HHHH", packet, header)
    if not UDP_HEADER_BYTES <= length <= whole - header:
        return b"", 0
    end = header + length
    if checksum and end <= len(packet) and not _is_sound(packet, header, length, checksum):
        return b"", 0
    return packet[header + UDP_HEADER_BYTES : end], source_port


def _is_sound(packet: bytes, header: int, length: int, checksum: int) -> bool:
    """Is this UDP checksum right, or not computed yet? (RFC 768, RFC 1071)

    A datagram that never left this machine (another container, a simulated phone) comes with the sum of its
    pseudo-header only: the network card, that never saw it, would have done the rest. A UDP socket takes it as sound
    because the kernel has marked it so; a raw socket does not see the mark and must know the sum itself.
    A sum of 16-bit words with the carry added at the end is a remainder of 65535, because 65536 leaves 1.
    """
    pseudo = int.from_bytes(packet[12:20], "big") + socket.IPPROTO_UDP + length
    segment = int.from_bytes(packet[header : header + length], "big") << (8 * (length & 1))
    return (pseudo + segment) % ALL_ONES == 0 or (pseudo - checksum) % ALL_ONES == 0
