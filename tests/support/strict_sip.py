"""SIP as the strict phone reads it: messages, the rules of the server's answer, of a NOTIFY and of an OPTIONS.

Standard library only; it shares no code with the server nor with `sipmcast/simulator`. Whatever the server does wrong
raises `Wrong`.
"""

import re
import secrets
import socket
import struct
import time
from dataclasses import dataclass
from urllib.parse import unquote

SO_TIMESTAMPNS = 35  # asm-generic/socket.h
COMMANDS = ("check-sync", "resync", "check-sync;reboot=true")  # formats.md g1, g2

Endpoint = tuple[str, int]


class Wrong(AssertionError):
    """The server broke a rule of the guide or of an RFC."""


def must(condition: object, rule: str) -> None:
    if not condition:
        raise Wrong(rule)


def arrived_at(ancillary: list[tuple[int, int, bytes]]) -> float:
    """When the kernel received a datagram, however late it is read; on the clock of time.perf_counter."""
    (stamp,) = (data for level, kind, data in ancillary if (level, kind) == (socket.SOL_SOCKET, SO_TIMESTAMPNS))
    seconds, nanoseconds = struct.unpack("@qq", stamp[:16])
    ago = max(0.0, time.time() - seconds - nanoseconds / 1e9)
    return time.perf_counter() - ago  # in this order a pause between the two clocks makes it later, never earlier


@dataclass(frozen=True)
class Message:
    """A SIP message, read strictly: CRLF only, no folding, exact Content-Length."""

    start: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    raw: bytes
    source: Endpoint
    at: float

    @classmethod
    def read(cls, raw: bytes, source: Endpoint, at: float) -> "Message":
        head, empty_line, body = raw.partition(b"\r\n\r\n")
        must(empty_line, f"no empty line: {raw!r}")
        must(not re.search(rb"(?<!\r)\n|\r(?!\n)", head), "a line does not end in CRLF")
        start, *lines = head.decode("utf-8").split("\r\n")
        headers = []
        for line in lines:
            found = re.fullmatch(r"([A-Za-z][A-Za-z0-9-]*): ?(\S.*|)", line)
            must(found, f"no header line: {line!r}")
            headers.append((found[1].lower(), found[2]))
        message = cls(start, tuple(headers), body, raw, source, at)
        must(message.one("content-length") == str(len(body)), f"Content-Length is not {len(body)}: {raw!r}")
        return message

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key == name]

    def one(self, name: str) -> str:
        values = self.all(name)
        must(len(values) == 1, f"{len(values)} {name} headers in {self.start!r}")
        return values[0]

    @property
    def branch(self) -> str:
        return self.one("via").partition("branch=")[2].partition(";")[0]

    @property
    def from_tag(self) -> str:
        return self.one("from").partition(";tag=")[2]

    @property
    def cseq(self) -> int:
        return int(self.one("cseq").split()[0])

    @property
    def uri(self) -> str:
        """The Request-URI."""
        return self.start.split(" ")[1]


@dataclass(frozen=True)
class Notify:
    """A NOTIFY that obeys every rule we know. Two with the same `transaction` are one and the same."""

    message: Message
    url: str  # empty for a command
    transaction: tuple[str, str]  # Call-ID, branch
    event: str = "ua-profile"
    user: str = ""  # the SIP user it is addressed to; empty: the device

    @property
    def has_login(self) -> bool:
        return bool(self.message.all("authorization") or self.message.all("proxy-authorization"))


@dataclass
class Subscribe:
    """What the phone says at one boot; a resend has the same bytes."""

    raw: bytes
    via: str
    branch: str
    from_: str
    to: str
    call_id: str
    cseq: str


def check_200(answer: Message, said: Subscribe, source: Endpoint) -> None:
    """RFC 3261 8.2.6 and 18.2.1, RFC 3581 4. `source` is where the SUBSCRIBE came from."""
    must(re.fullmatch(r"SIP/2\.0 200 \S.*", answer.start), f"not a 200: {answer.start}")
    sent_by, *parameters = answer.one("via").split(";")
    must(sent_by == said.via.split(";")[0], f"Via sent-by was changed: {answer.one('via')}")
    must(f"branch={said.branch}" in parameters, f"Via branch was changed: {answer.one('via')}")
    must(f"received={source[0]}" in parameters, f"Via lacks received: {answer.one('via')}")
    must(f"rport={source[1]}" in parameters, f"Via lacks rport: {answer.one('via')}")
    must(answer.one("from") == said.from_, f"From was changed: {answer.one('from')}")
    to, _, tag = answer.one("to").partition(";tag=")
    must(to == said.to, f"To was changed: {answer.one('to')}")
    must(re.fullmatch(r"[A-Za-z0-9.!%*_+`'~-]+", tag), f"To has no tag: {answer.one('to')}")
    must(answer.one("call-id") == said.call_id, "Call-ID was changed")
    must(answer.one("cseq") == said.cseq, "CSeq was changed")
    must(answer.one("expires") == "0", f"Expires is {answer.one('expires')}")
    contact = re.fullmatch(r"<sip:([0-9.]+):(\d+)>", answer.one("contact"))
    must(contact and contact[1] == answer.source[0], f"Contact is elsewhere: {answer.one('contact')}")


def check_request(request: Message, method: str, address: str, port: int) -> str:
    """What every request of ours must have (RFC 3261 8.1.1); the SIP user that it is addressed to."""
    addressed = re.fullmatch(rf"{method} sip:(?:([^@\s]+)@)?{re.escape(address)}:{port} SIP/2\.0", request.start)
    must(addressed, f"not for us: {request.start}")
    via = re.fullmatch(r"SIP/2\.0/UDP ([0-9.]+):(\d+);branch=(z9hG4bK[^;]+);rport", request.one("via"))
    must(via, f"Via: {request.one('via')}")
    must((via[1], int(via[2])) == request.source, f"Via {via[0]} is not the sender {request.source}")
    must(re.fullmatch(r"[1-9]\d{0,2}", request.one("max-forwards")), "Max-Forwards")
    must(re.fullmatch(r"<sip:[^>]+>;tag=[^;]+", request.one("from")), f"From: {request.one('from')}")
    must(request.one("to") == f"<{request.uri}>", f"To: {request.one('to')}")
    must(request.one("contact") == f"<sip:{via[1]}:{via[2]}>", f"Contact: {request.one('contact')}")
    must(re.fullmatch(rf"[1-9]\d* {method}", request.one("cseq")), f"CSeq: {request.one('cseq')}")
    must(re.fullmatch(r"\S+", request.one("call-id")), f"Call-ID: {request.one('call-id')}")
    return unquote(addressed[1] or "")


def check_options(request: Message, address: str, port: int) -> None:
    """RFC 3261 11.1: a question and nothing else, to the device."""
    must(check_request(request, "OPTIONS", address, port) == "", f"OPTIONS to a user: {request.start}")
    must(request.body == b"", "OPTIONS with a body")
    must(not request.all("authorization"), "OPTIONS with a login that nobody asked for")


def read_notify(request: Message, address: str, port: int, file_name: str) -> Notify:
    """The guide, step 3; RFC 6665 4.2; formats.md (g). `file_name` ends the URL; empty: a folder is expected."""
    user = check_request(request, "NOTIFY", address, port)
    must(request.one("subscription-state").startswith("terminated"), "Subscription-State")
    event = request.one("event")
    url = request.body.decode("ascii")
    if event == "ua-profile":
        must(request.one("content-type") == "application/url", f"Content-Type: {request.one('content-type')}")
        place = re.fullmatch(rf"https?://([0-9.]+):\d+/p/[A-Za-z0-9_-]{{22}}/{file_name}", url)
        must(place and place[1] == request.source[0], f"URL: {url}")
    else:
        must(event in COMMANDS, f"Event: {event}")
        must(not url and not request.all("content-type"), f"a command with a body: {url}")
    return Notify(request, url, (request.one("call-id"), request.branch), event, user)


def reply(request: Message, status: int, reason: str, agent: str, *more: str) -> bytes:
    """An answer to a request, `more` being further header lines (RFC 3261 8.2.6, RFC 3581 4)."""
    lines = (
        f"SIP/2.0 {status} {reason}",
        f"Via: {request.one('via')};received={request.source[0]}".replace(";rport", f";rport={request.source[1]}"),
        f"From: {request.one('from')}",
        f"To: {request.one('to')};tag={secrets.randbelow(10**9)}",
        f"Call-ID: {request.one('call-id')}",
        f"CSeq: {request.one('cseq')}",
        *more,
        f"User-Agent: {agent}",
        "Content-Length: 0",
    )
    return ("\r\n".join(lines) + "\r\n\r\n").encode()
