"""What a message is: Request and Response, read on demand, and written. Pure. Obeys RFC 3261 7 and 8.1.1."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TypeVar

from sipmcast.sip.errors import SipParseError, SipSerialiseError
from sipmcast.sip.grammar import BLANKS, DIGITS, SAFE_LINE, TOKEN
from sipmcast.sip.headers import (
    USUAL_SPELLINGS,
    CSeq,
    Header,
    NameAddr,
    canonical,
    parse_cseq,
    parse_name_addr,
    split_list,
)
from sipmcast.sip.lazy import lazy
from sipmcast.sip.lines import Head
from sipmcast.sip.uri import SipUri, parse_uri
from sipmcast.sip.via import Via, parse_via

# RFC 3261 8.1.1 asks for these in every request, and 8.2.6.2 needs them in every response.
IDENTITY_HEADERS = ("via", "from", "to", "call-id", "cseq")


class Message:
    """What requests and responses share. Headers keep their order and spelling (RFC 3261 7.3).

    Not to be changed once it is made. Every property may raise SipParseError; those of a parsed message do so only
    where `parse_message` says that it has not looked.
    """

    body: bytes
    _head: Head

    def __init__(self, headers: Sequence[Header], body: bytes) -> None:
        self.__dict__["headers"] = tuple(headers)
        self.body = body

    @lazy
    def headers(self) -> tuple[Header, ...]:
        """All header fields, unfolded."""
        parts = (line.partition(":") for line in self._head.lines)
        return tuple(Header(name, value.strip(BLANKS)) for name, _, value in parts)

    @lazy
    def _index(self) -> dict[str, list[str]]:
        """Values by canonical name: looked up a dozen times per datagram."""
        index: dict[str, list[str]] = {}
        for header in self.headers:
            index.setdefault(canonical(header.name), []).append(header.value)
        return index

    def values(self, name: str) -> list[str]:
        """Every value of that header, in order; `name` in lower case and long form. Not to be changed."""
        return self._index.get(name, [])

    def first(self, name: str) -> str | None:
        """The first value of that header, or None."""
        values = self._index.get(name)
        return values[0] if values else None

    def required(self, name: str) -> str:
        """The only value of a header that must stand exactly once (RFC 3261 8.1.1)."""
        values = self._index.get(name, ())
        if len(values) != 1:
            raise SipParseError("doubled_header" if values else "missing_header", name)
        return values[0]

    @lazy
    def vias(self) -> tuple[str, ...]:
        """Every Via value as text, top first; combined ones are taken apart (RFC 3261 7.3.1)."""
        return tuple(piece for value in self.values("via") for piece in split_list(value))

    @lazy
    def via(self) -> Via:
        """The top Via."""
        if not self.vias:
            raise SipParseError("missing_header", "via")
        return parse_via(self.vias[0])

    @lazy
    def from_(self) -> NameAddr:
        """From."""
        return parse_name_addr(self.required("from"), "bad_from")

    @lazy
    def to(self) -> NameAddr:
        """To."""
        return parse_name_addr(self.required("to"), "bad_to")

    @lazy
    def call_id(self) -> str:
        """Call-ID."""
        value = self.required("call-id")
        if not value:
            raise SipParseError("missing_header", "call-id")
        return value

    @lazy
    def cseq(self) -> CSeq:
        """CSeq."""
        return parse_cseq(self.required("cseq"))

    def start_line(self) -> str:
        """The first line, without its end."""
        raise NotImplementedError

    def to_bytes(self) -> bytes:
        """The bytes that go out, with an exact Content-Length; raise SipSerialiseError for an unsafe part.

        Unsafe is a line break anywhere, a NUL outside of a quoted pair, a name that is no token, a Content-Length
        that lies, or a character beyond latin-1 (the bounds of RFC 3261 25.1).
        """
        lines = [self.start_line(), *map(header_line, self.headers)]
        lengths = self.values("content-length")
        if not lengths:
            lines.append(f"Content-Length: {len(self.body)}")
        elif any(not DIGITS.fullmatch(length) or int(length) != len(self.body) for length in lengths):
            raise SipSerialiseError("Content-Length is not the body's length")
        return written(lines) + self.body


class Request(Message):
    """RFC 3261 7.1. `uri` is the Request-URI's text."""

    def __init__(self, headers: Sequence[Header], body: bytes, method: str, uri: str) -> None:
        super().__init__(headers, body)
        self.method = method
        self.uri = uri

    def __repr__(self) -> str:
        # Without the body: that of a NOTIFY is a secret URL.
        return f"<Request {self.method} {self.uri!r}, {len(self.headers)} headers>"

    @lazy
    def target(self) -> SipUri:
        """The Request-URI, read."""
        return parse_uri(self.uri)

    @lazy
    def required_options(self) -> tuple[str, ...]:
        """The option tags of every Require, as they came, each once (RFC 3261 8.2.2.3, 20.32)."""
        tags = (tag.strip(BLANKS) for value in self.values("require") for tag in value.split(","))
        return tuple(dict.fromkeys(tag for tag in tags if tag))

    def unsupported_options(self, supported: Collection[str] = ()) -> tuple[str, ...]:
        """What a 420 must list in Unsupported: the required tags that are not `supported`; those in lower case."""
        return tuple(tag for tag in self.required_options if tag.lower() not in supported)

    def start_line(self) -> str:
        """Request-Line; raise SipSerialiseError if the method or URI would break it."""
        if not TOKEN.fullmatch(self.method) or not self.uri or " " in self.uri:
            raise SipSerialiseError("malformed method or Request-URI")
        return f"{self.method} {self.uri} SIP/2.0"


class Response(Message):
    """RFC 3261 7.2."""

    def __init__(self, headers: Sequence[Header], body: bytes, status: int, reason: str) -> None:
        super().__init__(headers, body)
        self.status = status
        self.reason = reason

    def __repr__(self) -> str:
        return f"<Response {self.status} {self.reason!r}, {len(self.headers)} headers>"

    def start_line(self) -> str:
        """Status-Line; raise SipSerialiseError if the status is none."""
        return status_line(self.status, self.reason)


AnyMessage = TypeVar("AnyMessage", Request, Response)


def from_head(kind: type[AnyMessage], head: Head, **start: object) -> AnyMessage:
    """A message whose headers are read when they are asked for; its body is all that follows the head."""
    message = kind.__new__(kind)
    message.__dict__ = {"_head": head, "_index": head.by_name, "body": head.rest, **start}
    return message


def read_identity(message: Message, head: Head, *, addresses: bool) -> None:
    """Read what names a message's transaction (and From and To, if asked); raise SipParseError for what is wrong.

    Where each of these headers stands once, they are read without asking the properties one by one, in half of
    the time. Of anything else the properties know what to say.
    """
    try:
        (via,), (from_,), (to,), (call_id,), (cseq,) = map(head.by_name.__getitem__, IDENTITY_HEADERS)
    except (KeyError, ValueError):
        for name in IDENTITY_HEADERS[1:]:
            message.required(name)
        _ = (message.via, message.call_id, message.cseq, addresses and (message.from_, message.to))
        return
    if not call_id:
        raise SipParseError("missing_header", "call-id")
    known = message.__dict__
    known["vias"] = (via,) if "," not in via else tuple(split_list(via))
    known["via"] = parse_via(known["vias"][0])
    known["call_id"] = call_id
    known["cseq"] = parse_cseq(cseq)
    if addresses:
        known["from_"] = parse_name_addr(from_, "bad_from")
        known["to"] = parse_name_addr(to, "bad_to")


def status_line(status: int, reason: str) -> str:
    """Status-Line (RFC 3261 7.2); raise SipSerialiseError if the status is none."""
    if not 100 <= status <= 699:
        raise SipSerialiseError("status is not from 100 to 699")
    return f"SIP/2.0 {status} {reason}"


def header_line(header: Header) -> str:
    """A header field as one line; raise SipSerialiseError if the name would break it."""
    name, value = header
    if name not in USUAL_SPELLINGS and not TOKEN.fullmatch(name):
        raise SipSerialiseError("header name is not a token")
    return f"{name}: {value}"


def written(lines: list[str]) -> bytes:
    """These lines and the empty one after them; raise SipSerialiseError if one of them holds what no line may."""
    text = "\r\n".join([*lines, "", ""])
    breaks = len(lines) + 1
    if text.count("\n") != breaks or text.count("\r") != breaks:
        raise SipSerialiseError("line break in a line")
    if "\0" in text and not all(map(SAFE_LINE.fullmatch, lines)):
        raise SipSerialiseError("NUL in a line")
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError:
        raise SipSerialiseError("character beyond latin-1") from None
