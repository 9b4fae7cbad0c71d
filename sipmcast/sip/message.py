"""Whole SIP messages: bytes to Request or Response, and back.

Pure. Obeys RFC 3261 sections 7, 8.2.6, 18.2 and 18.3. Tolerant where phones are (compact names, folding, bare
LF, blanks before a colon, bytes that are not UTF-8), strict where a guess would be dangerous (lengths, line
breaks, doubled identity headers). Cost is linear in the datagram's size.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TypeVar

from sipmcast.sip.errors import SipParseError, SipSerialiseError
from sipmcast.sip.grammar import (
    BLANKS,
    DIGITS,
    MAX_DATAGRAM_BYTES,
    MAX_HEADER_LINES,
    MAX_LINE_BYTES,
    TOKEN,
    UNSAFE,
    VERSION,
)
from sipmcast.sip.headers import (
    CSeq,
    Header,
    NameAddr,
    Via,
    canonical,
    parse_content_length,
    parse_cseq,
    parse_name_addr,
    parse_via,
    split_list,
)
from sipmcast.sip.uri import DEFAULT_PORT, Endpoint, SipUri, parse_uri

# RFC 3261 8.1.1 asks for these in every request, and 8.2.6.2 needs them in every response. Max-Forwards is
# left out: snom's SUBSCRIBE lacks it, and only a proxy would use it.
SINGLE_HEADERS = ("from", "to", "call-id", "cseq")

_HEAD_END = re.compile(rb"\n\r?\n")
_STATUS_LINE = re.compile(
    r"SIP/2\.0 (?P<status>[1-6][0-9]{2})(?: (?P<reason>.*))?", re.IGNORECASE | re.ASCII | re.DOTALL
)


@dataclass(frozen=True)
class Message:
    """What requests and responses share. Headers keep their order and spelling (RFC 3261 7.3)."""

    headers: tuple[Header, ...]
    body: bytes = field(repr=False)  # the body of a NOTIFY is a secret URL

    def values(self, name: str) -> list[str]:
        """Every value of that header, in order; `name` in lower case and long form."""
        return self._index.get(name, [])

    @cached_property
    def _index(self) -> dict[str, list[str]]:
        """Values by canonical name: looked up a dozen times per datagram."""
        index: dict[str, list[str]] = {}
        for header in self.headers:
            index.setdefault(canonical(header.name), []).append(header.value)
        return index

    def first(self, name: str) -> str | None:
        """The first value of that header, or None."""
        return next(iter(self.values(name)), None)

    def required(self, name: str) -> str:
        """The only value of a header that must stand exactly once (RFC 3261 8.1.1)."""
        values = self.values(name)
        if len(values) != 1:
            raise SipParseError("doubled_header" if values else "missing_header", name)
        return values[0]

    @cached_property
    def vias(self) -> tuple[str, ...]:
        """Every Via value as text, top first; combined ones are taken apart (RFC 3261 7.3.1)."""
        return tuple(piece for value in self.values("via") for piece in split_list(value))

    @cached_property
    def via(self) -> Via:
        """The top Via."""
        if not self.vias:
            raise SipParseError("missing_header", "via")
        return parse_via(self.vias[0])

    @cached_property
    def from_(self) -> NameAddr:
        """From."""
        return parse_name_addr(self.required("from"), "bad_from")

    @cached_property
    def to(self) -> NameAddr:
        """To."""
        return parse_name_addr(self.required("to"), "bad_to")

    @cached_property
    def call_id(self) -> str:
        """Call-ID."""
        value = self.required("call-id")
        if not value:
            raise SipParseError("missing_header", "call-id")
        return value

    @cached_property
    def cseq(self) -> CSeq:
        """CSeq."""
        return parse_cseq(self.required("cseq"))

    def start_line(self) -> str:
        """The first line, without its end."""
        raise NotImplementedError

    def to_bytes(self) -> bytes:
        """The bytes that go out, with an exact Content-Length; raise SipSerialiseError for an unsafe part.

        Unsafe is a line break or NUL anywhere, a name that is no token, a Content-Length that lies, or a
        character beyond latin-1 (the bounds of RFC 3261 25.1).
        """
        lines = [self.start_line()]
        for header in self.headers:
            if not TOKEN.fullmatch(header.name):
                raise SipSerialiseError("header name is not a token")
            lines.append(f"{header.name}: {header.value}")
        lengths = self.values("content-length")
        if not lengths:
            lines.append(f"Content-Length: {len(self.body)}")
        elif any(not DIGITS.fullmatch(length) or int(length) != len(self.body) for length in lengths):
            raise SipSerialiseError("Content-Length is not the body's length")
        if any(UNSAFE.search(line) for line in lines):
            raise SipSerialiseError("line break or NUL in a line")
        try:
            head = "\r\n".join([*lines, "", ""]).encode("latin-1")
        except UnicodeEncodeError:
            raise SipSerialiseError("character beyond latin-1") from None
        return head + self.body


@dataclass(frozen=True)
class Request(Message):
    """RFC 3261 7.1. `uri` is the Request-URI's text."""

    method: str
    uri: str

    @cached_property
    def target(self) -> SipUri:
        """The Request-URI, read."""
        return parse_uri(self.uri)

    def start_line(self) -> str:
        """Request-Line; raise SipSerialiseError if the method or URI would break it."""
        if not TOKEN.fullmatch(self.method) or not self.uri or " " in self.uri:
            raise SipSerialiseError("malformed method or Request-URI")
        return f"{self.method} {self.uri} SIP/2.0"


@dataclass(frozen=True)
class Response(Message):
    """RFC 3261 7.2."""

    status: int
    reason: str

    def start_line(self) -> str:
        """Status-Line; raise SipSerialiseError if the status is none."""
        if not 100 <= self.status <= 699:
            raise SipSerialiseError("status is not from 100 to 699")
        return f"SIP/2.0 {self.status} {self.reason}"


AnyMessage = TypeVar("AnyMessage", Request, Response)


def parse_message(datagram: bytes) -> Request | Response:
    """Read one datagram; raise SipParseError, whose `status` and `request` say what could be answered.

    Source: RFC 3261 7, 18.3 (the body ends with the datagram unless Content-Length ends it sooner; bytes
    beyond it are dropped) and 7.5 (empty lines before the start line are skipped).
    """
    if len(datagram) > MAX_DATAGRAM_BYTES:
        raise SipParseError("too_large", f"{len(datagram)} bytes", 413)
    datagram = datagram.lstrip(b"\r\n")
    if not datagram:
        raise SipParseError("empty", "nothing but line ends", None)
    end = _HEAD_END.search(datagram)
    if end is None:
        raise SipParseError("unfinished_head", "no empty line after the headers", None)
    lines = _split_lines(datagram[: end.start()])
    rest = datagram[end.end() :]
    headers, fault = _read_headers(lines[1:])
    if lines[0][:4].upper() == "SIP/":
        return _read_response(lines[0], headers, fault, rest)
    return _read_request(lines[0], headers, fault, rest)


def _split_lines(head: bytes) -> list[str]:
    """The head's lines as held text; sizes are checked before any of them is looked into."""
    if head.count(b"\n") > MAX_HEADER_LINES:
        raise SipParseError("too_many_lines", f"more than {MAX_HEADER_LINES} lines", None)
    lines = [line[:-1] if line.endswith(b"\r") else line for line in head.split(b"\n")]
    if any(len(line) > MAX_LINE_BYTES for line in lines):
        raise SipParseError("long_line", f"a line of more than {MAX_LINE_BYTES} bytes", None)
    if any(b"\r" in line or b"\x00" in line for line in lines):
        raise SipParseError("bad_bytes", "CR or NUL inside of a line", None)
    return [line.decode("latin-1") for line in lines]


def _read_headers(lines: list[str]) -> tuple[tuple[Header, ...], SipParseError | None]:
    """Unfold and split header lines; the first malformed one is returned as a fault beside the others.

    Source: RFC 3261 7.3.1: a line that begins with a blank continues the one before, joined by one space.
    """
    fields: list[list[str]] = []
    fault: SipParseError | None = None
    for line in lines:
        if line[0] in BLANKS:
            if fields:
                fields[-1].append(line.strip(BLANKS))
            else:
                fault = fault or SipParseError("bad_header", "continuation of nothing")
        else:
            fields.append([line.strip(BLANKS)])
    headers: list[Header] = []
    for parts in fields:
        name, colon, value = " ".join(parts).partition(":")
        name = name.rstrip(BLANKS)
        if not colon or not TOKEN.fullmatch(name):
            fault = fault or SipParseError("bad_header", "a line without a header name")
            continue
        headers.append(Header(name, value.strip(BLANKS)))
    return tuple(headers), fault


def _read_request(start: str, headers: tuple[Header, ...], fault: SipParseError | None, rest: bytes) -> Request:
    """Check a request as RFC 3261 8.2 and 16.3 do; errors carry the request as far as it was read."""
    method, _, tail = start.partition(" ")
    uri, _, version = tail.rpartition(" ")
    if not TOKEN.fullmatch(method) or not VERSION.fullmatch(version):
        raise SipParseError("not_sip", "the first line is neither request nor status", None)
    request = Request(headers, rest, method, uri)
    try:
        if fault is not None:
            raise fault
        if version.upper() != "SIP/2.0":
            raise SipParseError("bad_version", version, 505)
        _check_identity(request)
        if request.cseq.method != method:
            raise SipParseError("bad_cseq", "its method is not the request's")
        # cached_property: reading the target is the check.
        request.target  # noqa: B018
        return _cut(request)
    except SipParseError as error:
        error.request = request
        raise


def _read_response(start: str, headers: tuple[Header, ...], fault: SipParseError | None, rest: bytes) -> Response:
    """Check a response; whatever is wrong with it, nobody is answered (RFC 3261 18.1.2, 18.3)."""
    match = _STATUS_LINE.fullmatch(start)
    if match is None:
        raise SipParseError("bad_status_line", "not SIP/2.0 and a status", None)
    response = Response(headers, rest, int(match["status"]), match["reason"] or "")
    try:
        if fault is not None:
            raise fault
        _check_identity(response)
        return _cut(response)
    except SipParseError as error:
        error.status = None
        raise


def _check_identity(message: Message) -> None:
    """Read each header that identifies the transaction; the properties raise what is wrong with them."""
    for name in SINGLE_HEADERS:
        message.required(name)
    _ = (message.via, message.from_, message.to, message.call_id, message.cseq)


def _cut(message: AnyMessage) -> AnyMessage:
    """The message with the body that Content-Length promises, and no more (RFC 3261 18.3, 20.14)."""
    size = parse_content_length(message.values("content-length"))
    if size is None or size == len(message.body):
        return message
    if size > len(message.body):
        raise SipParseError("bad_content_length", "longer than the datagram")
    return replace(message, body=message.body[:size])


def response_to(
    request: Request,
    status: int,
    reason: str,
    *,
    source: Endpoint,
    to_tag: str,
    extra: tuple[Header, ...] = (),
) -> Response:
    """The bodiless response that echoes a request; raise SipParseError if it lacks what must be echoed.

    Source: RFC 3261 8.2.6.2 (Via, From, To, Call-ID, CSeq as they came, a tag added to To), 18.2.1 and RFC
    3581 4.
    """
    first, *others = request.values("via") or [""]
    # Combined values stay combined: a header for each comma would make the answer larger than the question.
    rest = split_list(first)[1:]
    to = request.required("to")
    try:
        tagged = request.to.tag is not None
    except SipParseError:
        tagged = True  # unreadable: it goes back as it came, in an error response
    headers = (
        Header("Via", ",".join([request.via.stamped(source), *rest])),
        *(Header("Via", value) for value in others),
        Header("From", request.required("from")),
        Header("To", to if tagged else f"{to};tag={to_tag}"),
        Header("Call-ID", request.required("call-id")),
        Header("CSeq", request.required("cseq")),
        *extra,
        Header("Content-Length", "0"),
    )
    return Response(headers, b"", status, reason)


def response_endpoint(request: Request, source: Endpoint) -> Endpoint:
    """Where the response goes: always the packet's source address, never a host that the request names.

    Source: RFC 3581 4 (source port if rport is there), else RFC 3261 18.2.2 (sent-by port, 5060 where none is
    written).
    """
    via = request.via
    return source if via.has_rport else (source[0], via.port or DEFAULT_PORT)
