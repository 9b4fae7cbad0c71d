"""What a raw socket hands over must have passed the same checks as a UDP socket's datagram (RFC 768)."""

import socket
import struct

import pytest

from sipmcast.rawudp import unwrap

PHONE, GROUP = socket.inet_aton("10.71.1.9"), socket.inet_aton("224.0.1.75")
PORT = 5062


def ones_sum(data: bytes) -> int:
    """RFC 1071, word for word: the 16-bit one's complement sum."""
    total = sum(struct.unpack(f"!{(len(data) + 1) // 2}H", data + b"\0" * (len(data) % 2)))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


def pseudo_header(length: int) -> bytes:
    return PHONE + GROUP + struct.pack("!BBH", 0, socket.IPPROTO_UDP, length)


def packet(payload: bytes, checksum: int | None = None, length: int | None = None, options: bytes = b"") -> bytes:
    """An IPv4 packet as a raw socket delivers it; the right checksum and length unless they are given."""
    length = len(payload) + 8 if length is None else length
    if checksum is None:
        udp = struct.pack("!HHHH", PORT, 5060, length, 0) + payload
        checksum = (0xFFFF - ones_sum(pseudo_header(length) + udp)) or 0xFFFF
    udp = struct.pack("!HHHH", PORT, 5060, length, checksum) + payload
    first = 0x45 + len(options) // 4
    total = 20 + len(options) + len(udp)
    ip = struct.pack("!BBHHHBBH", first, 0, total, 0, 0, 1, socket.IPPROTO_UDP, 0) + PHONE + GROUP + options
    return ip + udp


@pytest.mark.parametrize("payload", [b"", b"S", b"SUBSCRIBE", b"\xff" * 501, bytes(65_000)], ids=len)
def test_a_right_checksum_passes_and_a_wrong_one_does_not(payload: bytes):
    right = packet(payload)
    assert unwrap(right) == (payload, PORT)
    stated = struct.unpack_from("!H", right, 26)[0]
    wrong = stated ^ 0x0100
    assert unwrap(packet(payload, checksum=wrong)) == (b"", 0)


def test_every_single_flipped_bit_is_noticed():
    right = packet(b"SUBSCRIBE sip:MAC%3A000B82270001@224.0.1.75 SIP/2.0")
    for place in range(20, len(right)):
        for bit in range(8):
            flipped = bytearray(right)
            flipped[place] ^= 1 << bit
            assert unwrap(bytes(flipped)) == (b"", 0), (place, bit)


def test_no_checksum_at_all_is_allowed():
    assert unwrap(packet(b"SUBSCRIBE", checksum=0)) == (b"SUBSCRIBE", PORT)


def test_the_half_done_checksum_of_this_very_machine_passes():
    """The kernel leaves the rest to a network card that the datagram never meets."""
    half = ones_sum(pseudo_header(len(b"SUBSCRIBE") + 8))
    assert unwrap(packet(b"SUBSCRIBE", checksum=half)) == (b"SUBSCRIBE", PORT)


@pytest.mark.parametrize("length", [0, 7, 18, 65_535])
def test_a_length_that_cannot_be_is_refused(length: int):
    assert unwrap(packet(b"SUBSCRIBE", checksum=0, length=length)) == (b"", 0)


def test_what_lies_behind_the_stated_length_is_no_payload():
    assert unwrap(packet(b"SUBSCRIBE and padding", checksum=0, length=8 + 9)) == (b"SUBSCRIBE", PORT)


def test_ip_options_are_stepped_over():
    assert unwrap(packet(b"SUBSCRIBE", options=b"\x94\x04\x00\x00")) == (b"SUBSCRIBE", PORT)  # router alert


def test_what_the_readers_buffer_cuts_off_is_missing_and_the_rest_is_there():
    """So one that is too large is refused for its size, and not taken for an empty one."""
    whole = packet(b"SUBSCRIBE")
    for size in range(len(whole)):
        assert unwrap(whole[:size]) == ((b"SUBSCRIBE"[: size - 28], PORT) if size >= 28 else (b"", 0))


def test_a_header_that_cannot_be_is_refused():
    whole = packet(b"SUBSCRIBE")
    assert unwrap(b"\x4f" + whole[1:]) == (b"", 0)
    assert unwrap(b"\x41" + whole[1:]) == (b"", 0)
