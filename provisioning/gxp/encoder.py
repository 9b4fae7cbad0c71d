"""The binary file of the vendor's encoder, cfg<mac> without extension: settings to bytes, and back.

Pure: must never import Django, asyncio or socket. The same settings in the same order always give the same bytes.
Source: formats.md c. The vendor published no description; five independent implementations agree on the frame
(length in words, checksum, MAC, CR LF CR LF, pairs, gnkey last) and differ where the comments below say so.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Sequence
from urllib.parse import quote, unquote_to_bytes

from devices.mac import MacError, parse_mac

# A longer file is refused before it is looked at. Our choice: nine times the longest file known to be in use
# (118,646 bytes); the format's own bound, 2**32 - 1 words, is far beyond it.
MAX_FILE_BYTES = 2**20

_HEADER = struct.Struct(">IH6s4s")  # length in 16-bit words, checksum, MAC, delimiter
_DELIMITER = b"\r\n\r\n"
_GNKEY = b"gnkey=0b82"  # the encoder's fixed key, which stands for "no password"; formats.md c3, c10
_CHECKSUM_MODULUS = 2**16
_NO_PHONE = frozenset({"0" * 12, "F" * 12})  # of no device at all, and of every device (broadcast)

_PVALUE = re.compile(r"P[1-9][0-9]*", re.ASCII)
_BROKEN_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")
# Control characters, halves of characters and what XML cannot hold: refused here as in the XML file, so that a
# phone's settings can be written in every format or in none.
_UNFIT = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")


class EncoderError(ValueError):
    """The settings cannot be written, or the bytes are not a whole file. The message never quotes a value."""


def encode(mac: str, settings: Sequence[tuple[str, str]]) -> bytes:
    """The file for one phone; `settings` are (P-value, text), for example ("P35", "1001"), in the order to write.

    Values are percent-encoded as UTF-8, leaving letters, digits and -._~ (RFC 3986 2.1, 2.3): the one form that
    every reader known to us understands alike (c6). Zero bytes fill up to an even length, as four of five
    implementations do (c4). Raises EncoderError.
    """
    address = bytes.fromhex(_phone_mac(mac))
    pairs = []
    seen: set[str] = set()
    for position, (name, value) in enumerate(settings, start=1):
        _check_setting(position, name, value, seen)
        pairs.append(f"{name}={quote(value, safe='')}".encode("ascii"))
    body = b"&".join([*pairs, _GNKEY])
    body += bytes(len(body) % 2)
    length_bytes = _HEADER.size + len(body)
    if length_bytes > MAX_FILE_BYTES:
        raise EncoderError(f"The file would have {length_bytes} bytes; shorten the settings to {MAX_FILE_BYTES}.")
    unsummed = _HEADER.pack(length_bytes // 2, 0, address, _DELIMITER) + body
    checksum = -_word_sum(unsummed) % _CHECKSUM_MODULUS
    return _HEADER.pack(length_bytes // 2, checksum, address, _DELIMITER) + body


def decode(data: bytes, *, plus_is_blank: bool = True) -> tuple[str, list[tuple[str, str]]]:
    """The MAC (12 upper-case digits) and the settings in the order of the file. Raises EncoderError.

    Whatever this accepts, `encode` can write. %XX is read as one byte of UTF-8, in either letter case; bytes that
    a writer left unescaped stand for themselves. Only a bare + is ambiguous: form encoders mean a blank by it,
    writers that escape nothing mean a plus (c6). `encode` never writes one; `plus_is_blank` chooses.
    """
    _check_length(data)
    _, _, address, delimiter = _HEADER.unpack_from(data)
    if delimiter != _DELIMITER:
        raise EncoderError("There is no CR LF CR LF after the MAC; this is not an encoder file.")
    mac = _phone_mac(address.hex())
    pairs = _without_padding(data[_HEADER.size :]).split(b"&")
    if pairs.pop() != _GNKEY:
        raise EncoderError("The settings do not end with gnkey=0b82; this is not a whole encoder file.")
    seen: set[str] = set()
    settings = []
    for position, pair in enumerate(pairs, start=1):
        name, value = _read_pair(position, pair, plus_is_blank)
        _check_setting(position, name, value, seen)
        settings.append((name, value))
    return mac, settings


def _phone_mac(text: str) -> str:
    try:
        mac = parse_mac(text)
    except MacError as error:
        raise EncoderError(str(error)) from None
    if mac in _NO_PHONE:
        raise EncoderError(f"No phone has the MAC {mac}; enter the one from its label.")
    return mac


def _check_setting(position: int, name: str, value: str, seen: set[str]) -> None:
    """Raise EncoderError for a setting that no file may hold; `seen` collects the names."""
    if not _PVALUE.fullmatch(name):
        # Not quoted: behind an unescaped & it may be the rest of a password.
        raise EncoderError(f"The name of setting {position} is no P-value; write it as P and a number, such as P35.")
    if name in seen:
        raise EncoderError(f"{name} is given twice; remove one of them.")
    seen.add(name)
    unfit = _UNFIT.search(value)
    if unfit:
        code = ord(unfit[0])
        raise EncoderError(
            f"{name}: character {unfit.start() + 1} (U+{code:04X}) cannot stand in a phone's file; remove it."
        )


def _check_length(data: bytes) -> None:
    """Raise EncoderError unless the file is as long as it says and its words sum up to zero (c1)."""
    least = _HEADER.size + len(_GNKEY)
    if len(data) < least:
        raise EncoderError(f"The file has {len(data)} bytes and an encoder file at least {least}; it was cut off.")
    if len(data) > MAX_FILE_BYTES:
        raise EncoderError(f"The file has {len(data)} bytes; more than {MAX_FILE_BYTES} are not read.")
    if len(data) % 2:
        raise EncoderError("The file has an odd number of bytes; one is missing or too many.")
    words = int.from_bytes(data[:4], "big")
    if words * 2 != len(data):
        raise EncoderError(f"The file says that it has {words * 2} bytes and has {len(data)}; it is damaged.")
    if _word_sum(data):
        raise EncoderError("The checksum does not fit; the file is damaged.")


def _word_sum(data: bytes) -> int:
    """The sum of all 16-bit big-endian words, modulo 2**16; zero for a finished file."""
    words: tuple[int, ...] = struct.unpack(f">{len(data) // 2}H", data)
    return sum(words) % _CHECKSUM_MODULUS


def _without_padding(body: bytes) -> bytes:
    """The pairs without the zero bytes that fill up to an even length, or to a multiple of four (both seen, c4)."""
    text = body.rstrip(b"\0")
    if len(body) - len(text) not in (len(text) % 2, -len(text) % 4):
        raise EncoderError("The zero bytes at the end do not fit the length; the file is damaged.")
    return text


def _read_pair(position: int, pair: bytes, plus_is_blank: bool) -> tuple[str, str]:
    """One P-value and its text; only the first = divides them. Names are not judged here."""
    name, equals, raw = pair.partition(b"=")
    if not equals:
        raise EncoderError(f"Setting {position} has no = between name and value; write a & in a value as %26.")
    if _BROKEN_ESCAPE.search(raw):
        raise EncoderError(f"Setting {position} has a % without two hex digits; write a % in a value as %25.")
    if plus_is_blank:
        raw = raw.replace(b"+", b" ")
    try:
        return name.decode("utf-8"), unquote_to_bytes(raw).decode("utf-8")
    except UnicodeDecodeError:
        raise EncoderError(f"Setting {position} is not UTF-8; write the file with UTF-8 values.") from None
