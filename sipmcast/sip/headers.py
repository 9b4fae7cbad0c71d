"""Single header fields: names, parameters, From and To, CSeq, Event; Via is in via.py.

Pure. Obeys RFC 3261 sections 20 and 25.1. Reading never rewrites: a value that is echoed is the text that came.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from sipmcast.sip.errors import SipParseError
from sipmcast.sip.grammar import BLANKS, DIGITS, QUOTED, QUOTED_RULE, TOKEN, TOKEN_CLASS, unquote

# RFC 3261 7.3.3 and the registry that it began (RFC 3515, 3841, 3892, 4028, 6665, 8224).
COMPACT_NAMES = {
    "a": "accept-contact",
    "b": "referred-by",
    "c": "content-type",
    "d": "request-disposition",
    "e": "content-encoding",
    "f": "from",
    "i": "call-id",
    "j": "reject-contact",
    "k": "supported",
    "l": "content-length",
    "m": "contact",
    "o": "event",
    "r": "refer-to",
    "s": "subject",
    "t": "to",
    "u": "allow-events",
    "v": "via",
    "x": "session-expires",
    "y": "identity",
}

# As the phones that we know spell them (guide; formats.md f): a name found here needs no further look.
_USUAL_NAMES = (
    "Via", "From", "To", "Call-ID", "CSeq", "Contact", "Max-Forwards", "User-Agent", "Server", "Expires", "Supported",
    "Event", "Accept", "Allow", "Content-Length", "Content-Type", "Subscription-State", "X-Grandstream-PBX",
    "WWW-Authenticate", "Proxy-Authenticate", "Require", "Date", "Warning", "Record-Route", "Allow-Events",
)  # fmt: skip
USUAL_SPELLINGS = {name: name.lower() for name in _USUAL_NAMES}

# RFC 3261 8.1.1.5: the sequence number is below 2**31.
CSEQ_LIMIT = 2**31

# RFC 3261 25.1: generic-param = token [ EQUAL gen-value ], each after SEMI. The last group takes what is none.
_PARAM_VALUE = rf"{QUOTED_RULE}|[^\x00-\x20\x7f;,\"]*+"
PARAM = re.compile(
    rf"[ \t]*+;[ \t]*+({TOKEN_CLASS}++)(?:[ \t]*+(=)[ \t]*+({_PARAM_VALUE}))?+|[ \t]++\Z|(.+)",
    re.DOTALL,
)
_BRACKETED = re.compile(r"<([^\x00-\x20\x7f<>\"]++)>")
_BARE = re.compile(r"[^\x00-\x20\x7f<>\",?;]++")
_CSEQ = re.compile(rf"([0-9]{{1,10}})[ \t]++({TOKEN_CLASS}++)")
_LIST_PIECE = re.compile(rf"{QUOTED_RULE}|<[^>]*+>|[^,\"<]++", re.DOTALL)

# Lower-case names; a value is raw text (a quoted string keeps its quotes), None where there is no "=".
Params = Mapping[str, str | None]

_NO_PARAMS: Params = {}


class Header(NamedTuple):
    """One header field: the name as written, the value unfolded and without blanks around it."""

    name: str
    value: str


@dataclass(slots=True)
class NameAddr:
    """From, To or Contact (RFC 3261 20.10): the URI's text, unread because phones write odd ones here."""

    uri: str
    params: Params

    @property
    def tag(self) -> str | None:
        """RFC 3261 19.3."""
        return param(self.params, "tag")


@dataclass(slots=True)
class CSeq:
    """RFC 3261 20.16."""

    number: int
    method: str


@dataclass(slots=True)
class EventPackage:
    """An Event value (RFC 6665 8.2.1): the package name in lower case, and its parameters."""

    package: str
    params: Params


def canonical(name: str) -> str:
    """One spelling per header: lower case, long form (RFC 3261 7.3.1 and 7.3.3)."""
    lower = name.lower()
    return COMPACT_NAMES.get(lower, lower)


def param(params: Params, name: str) -> str | None:
    """The value of the parameter of that name, unquoted; None if it is absent or has no value."""
    value = params.get(name)
    if not value or value[0] != '"':
        return value
    return unquote(value) if "\\" in value else value[1:-1]


def parse_params(text: str, start: int, reason: str) -> Params:
    """Read `;name=value` from `start` to the end of `text`, or raise SipParseError with `reason`.

    A name may stand only once (RFC 3261 7.3.1): two tags or branches would mean two things to two readers.
    """
    found: dict[str, str | None] = {}
    for name, equals, value, junk in PARAM.findall(text, start):
        name = name.lower()
        if junk or name in found:
            raise SipParseError(reason, "malformed or doubled parameter")
        if name:
            found[name] = value if equals else None
    return found


def split_list(text: str) -> list[str]:
    """Cut a header value at its commas, not at those inside quotes or angle brackets (RFC 3261 7.3.1).

    The pieces joined by commas are the value again, byte for byte. Whether a piece is well-formed is left to its
    reader, except where a quote or bracket without its end hides the borders.
    """
    if "," not in text:
        return [text]
    pieces: list[str] = []
    begin = position = 0
    while position < len(text):
        if text[position] == ",":
            pieces.append(text[begin:position])
            begin = position = position + 1
            continue
        match = _LIST_PIECE.match(text, position)
        if match is None:
            raise SipParseError("bad_header", "quote or bracket without its end")
        position = match.end()
    pieces.append(text[begin:])
    return pieces


def parse_name_addr(text: str, reason: str) -> NameAddr:
    """Read a name-addr or a bare addr-spec with its header parameters (RFC 3261 20.10, 20.20, 20.39)."""
    match = _BRACKETED.match(text)
    if match is not None:
        end = match.end()
        return NameAddr(match[1], parse_params(text, end, reason) if end < len(text) else _NO_PARAMS)
    text = text.strip(BLANKS)
    begin = 0
    if text.startswith('"'):
        quoted = QUOTED.match(text)
        if quoted is None:
            raise SipParseError(reason, "display name without its closing quote")
        begin = quoted.end()
    opening = text.find("<", begin)
    if opening >= 0:
        name = text[begin:opening]
        match = None if '"' in name or "," in name else _BRACKETED.match(text, opening)
    else:
        # RFC 3261 20.10: an address with a comma, question mark or semicolon of its own needs its brackets.
        match = None if begin else _BARE.match(text)
    if match is None:
        raise SipParseError(reason, "malformed address")
    return NameAddr(match[match.lastindex or 0], parse_params(text, match.end(), reason))


def parse_cseq(text: str) -> CSeq:
    """Read a CSeq (RFC 3261 20.16); the number is below 2**31 (8.1.1.5)."""
    match = _CSEQ.fullmatch(text)
    if match is None or (number := int(match[1])) >= CSEQ_LIMIT:
        raise SipParseError("bad_cseq", "not a number below 2**31 and a method")
    return CSeq(number, match[2])


def parse_event(text: str) -> EventPackage:
    """Read an Event (RFC 6665 8.4): a package name, then parameters."""
    text = text.strip(BLANKS)
    name = TOKEN.match(text)
    if name is None:
        raise SipParseError("bad_event", "no package name")
    return EventPackage(name[0].lower(), parse_params(text, name.end(), "bad_event"))


def parse_content_length(values: list[str]) -> int | None:
    """The body's size in bytes, or None if not said; two that disagree are an error (RFC 3261 20.14)."""
    size: int | None = None
    for value in values:
        if not DIGITS.fullmatch(value):
            raise SipParseError("bad_content_length", "not a number of bytes")
        if size is not None and size != int(value):
            raise SipParseError("bad_content_length", "two lengths that disagree")
        size = int(value)
    return size
