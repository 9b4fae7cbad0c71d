"""Single header fields: names, parameters, Via, From and To, CSeq, Event.

Pure. Obeys RFC 3261 sections 20 and 25.1. Reading never rewrites: every value keeps its text, and what a
response must add is spliced into that text.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from sipmcast.sip.errors import SipParseError
from sipmcast.sip.grammar import BLANKS, DIGITS, HOST_RULE, QUOTED, QUOTED_RULE, TOKEN, TOKEN_CLASS, unquote
from sipmcast.sip.uri import Endpoint, read_host, read_port, same_host

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

# RFC 3261 8.1.1.5: the sequence number is below 2**31.
CSEQ_LIMIT = 2**31

_PARAM = re.compile(
    rf"[ \t]*+;[ \t]*+(?P<name>{TOKEN_CLASS}++)"
    rf"(?:[ \t]*+=[ \t]*+(?P<value>{QUOTED_RULE}|[^\x00-\x20\x7f;,\"]*+))?+",
    re.DOTALL,
)
_VIA = re.compile(
    rf"[ \t]*+SIP[ \t]*+/[ \t]*+2\.0[ \t]*+/[ \t]*+(?P<transport>{TOKEN_CLASS}++)[ \t]++"
    rf"(?P<host>{HOST_RULE})(?:[ \t]*+:[ \t]*+(?P<port>[0-9]{{1,5}}))?+",
    re.IGNORECASE | re.ASCII,
)
_CSEQ = re.compile(rf"(?P<number>[0-9]{{1,10}})[ \t]++(?P<method>{TOKEN_CLASS}++)")
_LIST_PIECE = re.compile(rf"{QUOTED_RULE}|<[^>]*+>|[^,\"<]++", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Header:
    """One header field: the name as written, the value unfolded and without blanks around it."""

    name: str
    value: str


@dataclass(frozen=True, slots=True)
class Param:
    """One `;name=value`, and where in the header value its text begins and ends."""

    name: str
    value: str | None
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Via:
    """RFC 3261 20.42. `host` and `port` are sent-by: where the sender believes that it is."""

    text: str
    transport: str
    host: str
    port: int | None
    params: tuple[Param, ...]

    @property
    def branch(self) -> str:
        """The transaction's identifier, empty for an RFC 2543 sender."""
        return param(self.params, "branch") or ""

    @property
    def has_rport(self) -> bool:
        """Does the sender ask for the answer at the port it sent from (RFC 3581 3)?"""
        return has_param(self.params, "rport")

    def stamped(self, source: Endpoint) -> str:
        """This Via's text with `received` and `rport` as the receiver must fill them.

        Source: RFC 3261 18.2.1 (received when sent-by is not the source address), RFC 3581 4 (rport filled,
        and then received always). A value that the sender already wrote there is replaced, not believed.
        """
        text = self.text.rstrip(BLANKS)
        wanted: dict[str, str] = {}
        if self.has_rport:
            wanted["rport"] = str(source[1])
        if self.has_rport or has_param(self.params, "received") or not same_host(self.host, source[0]):
            wanted["received"] = source[0].partition("%")[0]
        present = {name for name in wanted if has_param(self.params, name)}
        for item in reversed(self.params):
            name = item.name.lower()
            if name in wanted:
                text = f"{text[: item.start]}{name}={wanted[name]}{text[item.end :]}"
        return text + "".join(f";{name}={value}" for name, value in wanted.items() if name not in present)


@dataclass(frozen=True, slots=True)
class NameAddr:
    """From, To or Contact (RFC 3261 20.10): the URI's text, unread because phones write odd ones here."""

    uri: str
    params: tuple[Param, ...]

    @property
    def tag(self) -> str | None:
        """RFC 3261 19.3."""
        return param(self.params, "tag")


@dataclass(frozen=True, slots=True)
class CSeq:
    """RFC 3261 20.16."""

    number: int
    method: str


@dataclass(frozen=True, slots=True)
class EventPackage:
    """An Event value (RFC 6665 8.2.1): the package name in lower case, and its parameters."""

    package: str
    params: tuple[Param, ...]


def canonical(name: str) -> str:
    """One spelling per header: lower case, long form (RFC 3261 7.3.1 and 7.3.3)."""
    lower = name.lower()
    return COMPACT_NAMES.get(lower, lower)


def param(params: tuple[Param, ...], name: str) -> str | None:
    """The value of the parameter of that name, unquoted; None if it is absent or has no value."""
    for item in params:
        if item.name.lower() == name:
            return None if item.value is None else unquote(item.value)
    return None


def has_param(params: tuple[Param, ...], name: str) -> bool:
    """Is a parameter of that name there, with or without a value?"""
    return any(item.name.lower() == name for item in params)


def parse_params(text: str, start: int, reason: str) -> tuple[Param, ...]:
    """Read `;name=value` from `start` to the end of `text`, or raise SipParseError with `reason`.

    A name may stand only once (RFC 3261 7.3.1): two tags or branches would mean two things to two readers.
    """
    found: list[Param] = []
    seen: set[str] = set()
    position = start
    end = len(text.rstrip(BLANKS))
    while position < end:
        match = _PARAM.match(text, position)
        if match is None or match["name"].lower() in seen:
            raise SipParseError(reason, "malformed or doubled parameter")
        seen.add(match["name"].lower())
        found.append(Param(match["name"], match["value"], match.start("name"), match.end()))
        position = match.end()
    return tuple(found)


def split_list(text: str) -> list[str]:
    """Cut a header value at its commas, not at those inside quotes or angle brackets (RFC 3261 7.3.1).

    The pieces joined by commas are the value again, byte for byte.
    """
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


def parse_via(text: str) -> Via:
    """Read one Via value (RFC 3261 20.42, 25.1); blanks around slashes and the colon are legal."""
    match = _VIA.match(text)
    if match is None:
        raise SipParseError("bad_via", "malformed protocol or sent-by")
    params = parse_params(text, match.end(), "bad_via")
    return Via(text, match["transport"], read_host(match["host"]), read_port(match["port"]), params)


def parse_name_addr(text: str, reason: str) -> NameAddr:
    """Read a name-addr or a bare addr-spec with its header parameters (RFC 3261 20.10, 20.20, 20.39)."""
    text = text.strip(BLANKS)
    begin = 0
    if text.startswith('"'):
        quoted = QUOTED.match(text)
        if quoted is None:
            raise SipParseError(reason, "display name without its closing quote")
        begin = quoted.end()
    opening = text.find("<", begin)
    if opening < 0:
        if begin:
            raise SipParseError(reason, "display name without an address")
        uri, semicolon, _ = text.partition(";")
        rest = len(uri) if semicolon else len(text)
        uri = uri.rstrip(BLANKS)
    else:
        closing = text.find(">", opening)
        if closing < 0 or '"' in text[begin:opening] or "," in text[begin:opening]:
            raise SipParseError(reason, "malformed address")
        uri, rest = text[opening + 1 : closing].strip(BLANKS), closing + 1
    if not uri or any(character in uri for character in ' \t"<>'):
        raise SipParseError(reason, "malformed address")
    return NameAddr(uri, parse_params(text, rest, reason))


def parse_cseq(text: str) -> CSeq:
    """Read a CSeq (RFC 3261 20.16); the number is below 2**31 (8.1.1.5)."""
    match = _CSEQ.fullmatch(text)
    if match is None or int(match["number"]) >= CSEQ_LIMIT:
        raise SipParseError("bad_cseq", "not a number below 2**31 and a method")
    return CSeq(int(match["number"]), match["method"])


def parse_event(text: str) -> EventPackage:
    """Read an Event (RFC 6665 8.4): a package name, then parameters."""
    text = text.strip(BLANKS)
    name = TOKEN.match(text)
    if name is None:
        raise SipParseError("bad_event", "no package name")
    return EventPackage(name[0].lower(), parse_params(text, name.end(), "bad_event"))


def parse_content_length(values: list[str]) -> int | None:
    """The body's size in bytes, or None if not said; two that disagree are an error (RFC 3261 20.14)."""
    sizes = set()
    for value in values:
        if not DIGITS.fullmatch(value):
            raise SipParseError("bad_content_length", "not a number of bytes")
        sizes.add(int(value))
    if len(sizes) > 1:
        raise SipParseError("bad_content_length", "two lengths that disagree")
    return sizes.pop() if sizes else None
