"""SIP as the phone writes and reads it: the guide's SUBSCRIBE, answers, and a small strict reader.

The reader takes what RFC 3261 section 7 allows in one datagram and refuses bare line feeds, folded headers
and anything undecodable: our server has no reason to send them. It must never import asyncio or socket:
bytes in, objects out.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

MAX_DATAGRAM_BYTES = 65507

# RFC 3261 25.1: token = 1*(alphanum / "-" / "." / "!" / "%" / "*" / "_" / "+" / "`" / "'" / "~")
TOKEN = re.compile(r"[A-Za-z0-9\-.!%*_+`'~]+")
STATUS_LINE = re.compile(r"SIP/2\.0 ([1-6][0-9]{2}) ([^\r\n]*)")
REQUEST_LINE = re.compile(r"([A-Z]+) (\S+) SIP/2\.0")
# name-addr with header parameters, RFC 3261 20.20 and 20.39; the display name may be quoted
NAME_ADDR = re.compile(r'(?:"(?:[^"\\]|\\.)*"\s*|[^<"]*)<([^<>\s]+)>((?:\s*;\s*[^;<>]+)*)')
ADDR_SPEC = re.compile(r"([^<>;\s]+)((?:\s*;\s*[^;<>]+)*)")

# RFC 3261 7.3.3 and RFC 6665 8.2: compact names
COMPACT = {
    "v": "via", "f": "from", "t": "to", "i": "call-id", "m": "contact", "c": "content-type",
    "l": "content-length", "o": "event", "k": "supported", "s": "subject", "e": "content-encoding",
}  # fmt: skip

PHRASES = {200: "OK", 400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found",
           405: "Method Not Allowed", 407: "Proxy Authentication Required", 489: "Bad Event",
           500: "Server Internal Error", 503: "Service Unavailable"}  # fmt: skip


class MessageError(ValueError):
    """The bytes are no SIP message this phone can read; the text says what is wrong."""


@dataclass(frozen=True)
class Message:
    """One request or answer. Header names are lower case and long; values have no surrounding blanks."""

    method: str  # empty for an answer
    uri: str  # empty for an answer
    status: int  # 0 for a request
    phrase: str
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def all(self, name: str) -> list[str]:
        """Every value of a header, in order."""
        return [value for header, value in self.headers if header == name]

    def first(self, name: str) -> str:
        """The first value of a header, or an empty text."""
        return next(iter(self.all(name)), "")

    def only(self, name: str) -> str:
        """The value of a header that must be there exactly once, else MessageError."""
        values = self.all(name)
        if len(values) != 1:
            raise MessageError(f"{'no' if not values else len(values)} {name} header{'s' if len(values) > 1 else ''}")
        return values[0]


def parse(data: bytes) -> Message:
    """Read one datagram; what follows the empty line is the body, whatever Content-Length says."""
    head, empty_line, body = data.partition(b"\r\n\r\n")
    if not empty_line:
        raise MessageError("no empty line after the headers")
    try:
        lines = head.decode("utf-8").split("\r\n")
    except UnicodeDecodeError:
        raise MessageError("headers are not UTF-8") from None
    if any("\n" in line or "\r" in line or "\0" in line for line in lines):
        raise MessageError("a line does not end with CR LF")
    headers = tuple(_parse_header(line) for line in lines[1:])
    if match := STATUS_LINE.fullmatch(lines[0]):
        return Message("", "", int(match[1]), match[2], headers, body)
    if match := REQUEST_LINE.fullmatch(lines[0]):
        return Message(match[1], match[2], 0, "", headers, body)
    raise MessageError(f"no SIP start line: {lines[0][:60]!r}")


def _parse_header(line: str) -> tuple[str, str]:
    name, colon, value = line.partition(":")
    name = name.rstrip(" \t")
    if not colon or not TOKEN.fullmatch(name):
        raise MessageError(f"not a header line: {line[:60]!r}")
    name = name.lower()
    return COMPACT.get(name, name), value.strip(" \t")


def split_parameters(text: str) -> dict[str, str]:
    """`;a=1;b` into {"a": "1", "b": ""}; names lower case. A name that comes twice is a MessageError."""
    found: dict[str, str] = {}
    for part in filter(None, (piece.strip() for piece in text.split(";"))):
        name, _, value = part.partition("=")
        name = name.strip().lower()
        if name in found:
            raise MessageError(f"parameter {name} comes twice")
        found[name] = value.strip()
    return found


def parse_address(value: str) -> tuple[str, dict[str, str]]:
    """URI and parameters of a From, To or Contact value."""
    match = NAME_ADDR.fullmatch(value) if "<" in value else ADDR_SPEC.fullmatch(value)
    if not match:
        raise MessageError(f"not an address: {value[:80]!r}")
    return match[1], split_parameters(match[2])


def parse_via(value: str) -> tuple[str, dict[str, str]]:
    """Sent-by (host or host:port) and parameters of one Via value over UDP."""
    sent, _, parameters = value.partition(";")
    match = re.fullmatch(r"SIP\s*/\s*2\.0\s*/\s*UDP\s+([^\s;,]+)\s*", sent)
    if not match:
        raise MessageError(f"not a Via over UDP: {value[:80]!r}")
    return match[1], split_parameters(parameters)


def host_in_letters(address: str) -> str:
    """An IPv4 address as the phone writes it in its Call-ID: A for 0 up to J for 9."""
    return address.translate(str.maketrans("0123456789", "ABCDEFGHIJ"))


@dataclass(frozen=True)
class Subscribe:
    """The SUBSCRIBE of one boot; every resend has the same bytes. Source: vendor guide, step 1."""

    mac: str  # 12 upper-case hex digits
    model: str
    firmware: str
    group: str
    host: str
    port: int
    branch: str
    tag: str
    call_id: str
    cseq: int = 20000

    @property
    def contact(self) -> str:
        """The Contact URI, which a NOTIFY's Request-URI has to repeat."""
        return f"sip:{self.host}:{self.port}"

    @property
    def aor(self) -> str:
        """Request-URI, From and To: the MAC as a user on the group address."""
        return f"sip:MAC%3A{self.mac}@{self.group}"

    @property
    def from_value(self) -> str:
        """The From value, which the answer has to repeat."""
        return f"<{self.aor}>;tag={self.tag}"

    def to_bytes(self) -> bytes:
        """The datagram, headers in the guide's order."""
        lines = [
            f"SUBSCRIBE {self.aor} SIP/2.0",
            f"Via: SIP/2.0/UDP {self.host}:{self.port};branch={self.branch};rport",
            f"From: {self.from_value}",
            f"To: <{self.aor}>",
            f"Call-ID: {self.call_id}",
            f"CSeq: {self.cseq} SUBSCRIBE",
            f"Contact: <{self.contact}>",
            "X-Grandstream-PBX: true",
            "Max-Forwards: 70",
            f"User-Agent: Grandstream {self.model} {self.firmware}",
            "Expires: 0",
            "Supported: replaces, path, timer",
            f'Event: ua-profile;profile-type="device";vendor="Grandstream";model="{self.model}"'
            f';version="{self.firmware}"',
            "Accept: application/url",
            "Allow: INVITE, ACK, OPTIONS, CANCEL, BYE, SUBSCRIBE, NOTIFY, INFO, REFER, UPDATE, MESSAGE",
            "Content-Length: 0",
        ]
        return "\r\n".join([*lines, "", ""]).encode()


def build_answer(
    request: Message, source: tuple[str, int], status: int, why: str, tag: str, agent: str, more: Sequence[str] = ()
) -> bytes:
    """The answer to a request: Via with received and rport (RFC 3581 4), To with a tag, the rest echoed.

    `more` are further header lines.
    """
    phrase = PHRASES.get(status, "Refused")
    lines = [f"SIP/2.0 {status} {phrase}{': ' + why if why else ''}"]
    for number, via in enumerate(request.all("via")):
        lines.append(f"Via: {_stamp(via, source) if number == 0 else via}")
    lines += [f"From: {value}" for value in request.all("from")]
    for value in request.all("to"):
        lines.append(f"To: {value}" if re.search(r";\s*tag\s*=", value) else f"To: {value};tag={tag}")
    lines += [f"Call-ID: {value}" for value in request.all("call-id")]
    lines += [f"CSeq: {value}" for value in request.all("cseq")]
    if status == 405 or request.method == "OPTIONS":
        lines.append("Allow: NOTIFY, OPTIONS")
    if status == 489 or request.method == "OPTIONS":
        lines.append("Allow-Events: ua-profile, check-sync, resync, sys-control")
    lines += [*more, f"User-Agent: {agent}", "Content-Length: 0"]
    return "\r\n".join([*lines, "", ""]).encode()


def _stamp(via: str, source: tuple[str, int]) -> str:
    stamped = re.sub(r";\s*rport\s*(?=;|$)", f";rport={source[1]}", via)
    return f"{stamped};received={source[0]}"
