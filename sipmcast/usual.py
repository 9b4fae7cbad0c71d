"""The SUBSCRIBE as nearly every phone sends it, read in one go; a boot storm is made of these.

Pure. One regular expression knows the guide's message: its lines in their order, each without anything that could
mean two things. What is written differently is not read here: message.py, pnp.py and replies.py read all that SIP
allows, and of this message they make the same key, the same sighting and the same answer, in four times the time
(tests/sipmcast/test_usual.py compares both ways).
"""

from __future__ import annotations

import re
from typing import NamedTuple

from devices.sighting import Sighting
from sipmcast.events import Leg, TransactionKey
from sipmcast.sip.grammar import TOKEN_CLASS
from sipmcast.sip.uri import DEFAULT_PORT, Endpoint, same_host
from sipmcast.transaction import MAGIC_COOKIE, cookie_key

# The guide's has 700; more is looked at line by line. Our choice.
MAX_USUAL_BYTES = 2_048

_HOST = r"[A-Za-z0-9_.\-]++"
# Ports that can be nothing else: no leading zero, and below 60,000 so that no number needs to be looked at.
_PORT = r"[1-5][0-9]{4}|[1-9][0-9]{0,3}"
_ADDRESS = r"<[^\x00-\x20\x7f<>\"]++>"
_ANYTHING = r"[^\x00\r\n]*+"
# What the phone says of itself: printable, without blanks, quotes and escapes, and as short as a Sighting may hold.
_WORD = r'"([!#-\[\]-~]{1,40}+)"'
# Headers that nothing is read from. Require is not among them, nor any compact name.
_OTHERS = (
    r"(?:(?:Accept|Allow|Expires|Max-Forwards|Supported|User-Agent|X-Grandstream-PBX): " + _ANYTHING + r"\r\n){0,16}+"
)
_USUAL = re.compile(
    rf"SUBSCRIBE sip:MAC%3[Aa]([0-9A-Fa-f]{{12}})@{_HOST} SIP/2\.0\r\n"
    rf"Via: (SIP/2\.0/UDP ({_HOST})(?::({_PORT}))?+;branch=({MAGIC_COOKIE}{TOKEN_CLASS}++));rport\r\n"
    rf"From: ({_ADDRESS};tag=({TOKEN_CLASS}++))\r\n"
    rf"To: ({_ADDRESS})\r\n"
    r"Call-ID: ([!-~]++)\r\n"
    r"CSeq: ([0-9]{1,9}+ SUBSCRIBE)\r\n"
    rf"Contact: <(sip:({_HOST})(?::({_PORT}))?+)>\r\n"
    rf"{_OTHERS}"
    rf'Event: ua-profile;profile-type="device";vendor={_WORD};model={_WORD};version={_WORD}\r\n'
    rf"{_OTHERS}"
    r"Content-Length: 0\r\n\r\n"
)


class Usual(NamedTuple):
    """What such a SUBSCRIBE says, as it came; the fields stand in the order of the groups above."""

    mac: str
    via: str
    """Up to its bare rport, which is its end."""
    sent_by_host: str
    sent_by_port: str | None
    branch: str
    from_: str
    from_tag: str
    to: str
    """Without a tag."""
    call_id: str
    cseq: str
    contact: str
    contact_host: str
    contact_port: str | None
    vendor: str
    model: str
    firmware: str

    def key(self, source_host: str) -> TransactionKey:
        """Which transaction it belongs to (RFC 3261 17.2.3)."""
        return cookie_key(source_host, self.branch, self.sent_by_host, self.sent_by_port, "SUBSCRIBE")

    def sighting(self, source: Endpoint, leg: Leg, at: float) -> Sighting:
        """What it teaches about a phone that we serve, heard at `at` POSIX seconds; see pnp.sighting_from."""
        host, port = source
        if same_host(self.contact_host, host):
            port = int(self.contact_port) if self.contact_port else DEFAULT_PORT
        return Sighting(
            self.mac.upper(), self.vendor, self.model, self.firmware, host, source[1], self.contact, port,
            leg.interface, leg.host, True, at,
        )  # fmt: skip

    def answer(self, source: Endpoint, to_tag: str, rest: str) -> bytes:
        """Its 200 (RFC 3261 8.2.6.2, RFC 3581 4); `rest` is all that follows the headers that are echoed."""
        host = source[0].partition("%")[0]
        return (
            f"SIP/2.0 200 OK\r\nVia: {self.via};rport={source[1]};received={host}\r\nFrom: {self.from_}\r\n"
            f"To: {self.to};tag={to_tag}\r\nCall-ID: {self.call_id}\r\nCSeq: {self.cseq}\r\n{rest}"
        ).encode("latin-1")


def read_usual(datagram: bytes) -> Usual | None:
    """The SUBSCRIBE if it is of the usual kind; None says nothing about a datagram but that it is of another."""
    if len(datagram) > MAX_USUAL_BYTES:
        return None
    match = _USUAL.fullmatch(datagram.decode("latin-1"))
    return None if match is None else Usual._make(match.groups())
