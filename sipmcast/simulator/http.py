"""One GET, as strict as a test wants it: an own connection per request, on raw streams.

Refused as the server's defect (HttpViolation): no or a wrong Content-Length, chunked bodies, bytes after
the body, an unreadable head. A connection that fails or ends early is a FetchError and may be tried again.
Redirects are not followed. Certificates are not checked unless authorities are given: the factory phone has no
reason to trust a PBX's own certificate (our choice).
"""

import asyncio
import re
import socket
import ssl
from dataclasses import dataclass
from functools import lru_cache
from time import monotonic
from urllib.parse import urlsplit

MAX_HEAD_BYTES = 16384
MAX_BODY_BYTES = 4_000_000
SMALL_BUFFER_BYTES = 2048  # while a download is to be aborted, so that the server can notice

HEADER = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[ \t]*(.*?)[ \t]*")


class FetchError(OSError):
    """The network failed or the answer ended early; asking again may help."""


class HttpViolation(ValueError):
    """The server's answer breaks HTTP or the contract of the phones' door; asking again will not help."""


class Aborted(Exception):
    """We closed the connection in the middle of the body, on purpose."""


@dataclass(frozen=True)
class Answer:
    """A complete answer. `closed` is whether the server closed the connection after it, as we asked it to."""

    status: int
    body: bytes
    closed: bool
    seconds: float
    challenge: str = ""
    """What a 401 asks for."""


@dataclass(frozen=True)
class Getter:
    """How one phone asks: its own address, its User-Agent, its patience in seconds, and the file with the authorities
    that it knows."""

    address: str
    user_agent: str
    timeout: float = 30.0
    close_wait: float = 1.0
    ca: str = ""

    async def get(self, url: str, abort_after: int | None = None, authorization: str = "") -> Answer:
        """Fetch `url`. With `abort_after`, a 200 is left after so many bytes of its body by Aborted."""
        began = monotonic()
        try:
            async with asyncio.timeout(self.timeout):
                return await self._get(url, abort_after, authorization, began)
        except TimeoutError:
            raise FetchError(f"no complete answer within {self.timeout:g} s") from None
        except ssl.SSLError as error:
            raise FetchError(f"TLS failed: {error.reason}") from None
        except (FetchError, HttpViolation):
            raise
        except ValueError as error:  # a port that is no number, a name that is no name
            raise FetchError(f"the address cannot be asked: {error}") from None
        except OSError as error:
            raise FetchError(error.strerror or str(error)) from None

    async def _get(self, url: str, abort_after: int | None, authorization: str, began: float) -> Answer:
        reader, writer = await self._connect(url, small=abort_after is not None)
        try:
            writer.write(self._request(url, authorization))
            await writer.drain()
            status, headers = await _read_head(reader)
            length = _content_length(headers)
            if abort_after is not None and status == 200 and length:
                await reader.readexactly(min(abort_after, length - 1))
                raise Aborted
            body = await _read_body(reader, length)
            closed = await self._closed_after(reader)
            challenge = next((value for name, value in headers if name == "www-authenticate"), "")
            return Answer(status, body, closed, monotonic() - began, challenge)
        finally:
            writer.transport.abort()

    async def _connect(self, url: str, small: bool) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        parts = urlsplit(url)
        tls = _tls(self.ca) if parts.scheme == "https" else None
        port = parts.port or (443 if tls else 80)
        loop = asyncio.get_running_loop()
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            sock.setblocking(False)
            if small:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_BUFFER_BYTES)
            sock.bind((self.address, 0))  # a phone has one address: the one that the NOTIFY went to
            await loop.sock_connect(sock, (parts.hostname, port))
            return await asyncio.open_connection(
                sock=sock, ssl=tls, server_hostname=parts.hostname if tls else None, limit=MAX_HEAD_BYTES
            )
        except BaseException:
            sock.close()
            raise

    def _request(self, url: str, authorization: str) -> bytes:
        parts, target = urlsplit(url), target_of(url)
        if not re.fullmatch(r"[!-~]+", target):
            raise FetchError("the path has blanks or letters that no request line may have")
        lines = [
            f"GET {target} HTTP/1.1",
            f"Host: {parts.netloc}",
            f"User-Agent: {self.user_agent}",
            "Accept: */*",
            *([f"Authorization: {authorization}"] if authorization else []),
            "Connection: close",
        ]
        return "\r\n".join([*lines, "", ""]).encode("ascii")

    async def _closed_after(self, reader: asyncio.StreamReader) -> bool:
        try:
            more = await asyncio.wait_for(reader.read(1), self.close_wait)
        except TimeoutError:
            return False
        except OSError:
            return True
        if more:
            raise HttpViolation("more bytes follow the body than Content-Length says")
        return True


def target_of(url: str) -> str:
    """What stands in the request's line."""
    parts = urlsplit(url)
    return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")


@lru_cache(maxsize=8)  # one has some 300 KB, and thousands of phones know the same authorities
def _tls(ca: str) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=ca or None)
    if not ca:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


async def _read_head(reader: asyncio.StreamReader) -> tuple[int, list[tuple[str, str]]]:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as error:
        raise FetchError(f"connection closed after {len(error.partial)} bytes of the head") from None
    except asyncio.LimitOverrunError:
        raise HttpViolation(f"the head is larger than {MAX_HEAD_BYTES} bytes") from None
    lines = head[:-4].split(b"\r\n")
    match = re.fullmatch(rb"HTTP/1\.[01] ([1-5][0-9]{2})(?: .*)?", lines[0])
    if not match:
        raise HttpViolation(f"no HTTP status line: {lines[0][:60]!r}")
    headers = []
    for line in lines[1:]:
        found = HEADER.fullmatch(line)
        if not found:
            raise HttpViolation(f"not a header line: {line[:60]!r}")
        headers.append((found[1].decode().lower(), found[2].decode("latin-1")))
    return int(match[1]), headers


def _content_length(headers: list[tuple[str, str]]) -> int:
    if any(name == "transfer-encoding" for name, _ in headers):
        raise HttpViolation("the body has a Transfer-Encoding instead of a Content-Length")
    lengths = [value for name, value in headers if name == "content-length"]
    if len(lengths) != 1 or not re.fullmatch(r"[0-9]{1,9}", lengths[0]):
        raise HttpViolation(f"Content-Length is {lengths[0]!r}" if lengths else "no Content-Length")
    if int(lengths[0]) > MAX_BODY_BYTES:
        raise HttpViolation(f"a file of {lengths[0]} bytes is more than a phone can take")
    return int(lengths[0])


async def _read_body(reader: asyncio.StreamReader, length: int) -> bytes:
    try:
        return await reader.readexactly(length)
    except asyncio.IncompleteReadError as error:
        raise FetchError(f"the answer ended after {len(error.partial)} of {length} bytes") from None
