"""A request and an answer, as much of HTTP as a phone needs. Pure."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import dataclass, field
from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus
from urllib.parse import unquote_to_bytes

MALFORMED = "\0malformed"  # a path that nothing has: what could not be read gets the answer of what is not there
NO_STORE = ("Cache-Control", "no-store")

Headers = tuple[tuple[str, str], ...]


class Withdrawn(Exception):
    """The rest of an answer that has begun must not leave: the connection is cut."""


@dataclass(frozen=True)
class Request:
    """What somebody asks. `path` is decoded once and may hold anything; names of `headers` are in lower case."""

    method: str
    path: str = field(repr=False)
    headers: Mapping[str, str]
    peer: str
    local: str = ""
    """Our own address that it came to; "" if that is not known."""
    secure: bool = False
    """Whether it came through TLS of ours."""
    target: str = field(default="", repr=False)
    """What stands in its first line, one character for each byte: what a login by Digest is made for."""
    unarrived_bytes: Callable[[], int] = field(default=lambda: 0, repr=False, compare=False)
    """How much of what was sent on its connection so far the machine at the other end has not got."""

    def header(self, name: str) -> str:
        """Its value; "" if it was not sent."""
        return self.headers.get(name, "")


@dataclass(frozen=True)
class Answer:
    """What leaves: `length` bytes, in `body` or, as they become ready, in `pieces`. Whoever takes an answer with
    pieces closes them (`aclose`) if it does not take them to the end."""

    status: int
    content_type: str = ""
    body: bytes = field(default=b"", repr=False)
    pieces: AsyncGenerator[bytes] | None = None
    length: int | None = None
    headers: Headers = ()
    taken: Callable[[], None] | None = None
    """Called when all of it is on its way; of an answer without pieces."""

    def head(self, at: float, *, keep_alive: bool) -> bytes:
        """Status line and headers, at this Unix time. A 304 has no length of its own; RFC 9110 6.6.1, 15.4.5."""
        lines = [_status_line(self.status), _date(int(at))]
        if self.content_type:
            lines.append(f"Content-Type: {self.content_type}")
        if self.status != HTTPStatus.NOT_MODIFIED:
            lines.append(f"Content-Length: {len(self.body) if self.length is None else self.length}")
        lines += [f"{name}: {value}" for name, value in self.headers]
        if not keep_alive:
            lines.append("Connection: close")
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


@lru_cache(maxsize=16)
def _status_line(status: int) -> str:
    return f"HTTP/1.1 {status} {HTTPStatus(status).phrase}"


@lru_cache(maxsize=2)
def _date(at: int) -> str:
    """The same for all answers of a second."""
    return f"Date: {formatdate(at, usegmt=True)}"


def plain(text: str, status: int) -> Answer:
    """A short answer with an exact Content-Length: phones do not all read chunks."""
    return Answer(status, "text/plain", text.encode())


REFUSED = plain("not found\n", HTTPStatus.NOT_FOUND)
"""The one refusal, for unknown, denied, expired and malformed alike."""
FAILED = plain("try again later\n", HTTPStatus.SERVICE_UNAVAILABLE)
"""What a fault of ours looks like from outside; the log has the reason, without the path."""


def path_of(target: bytes) -> str:
    """The path in a request's target, which may be a whole URL (RFC 9112 3.2.2); what is no UTF-8 stays apart."""
    path = target.partition(b"?")[0]
    for scheme in (b"http://", b"https://"):
        if path[: len(scheme)].lower() == scheme:
            path = b"/" + path[len(scheme) :].partition(b"/")[2]
    return unquote_to_bytes(path).decode("utf-8", "surrogateescape")
