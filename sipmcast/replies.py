"""What the user agent answers to requests: the bytes, and where they go. Pure; obeys RFC 3261 8.2 and RFC 6665 4.2."""

from __future__ import annotations

import hashlib
import ipaddress
from functools import lru_cache

from devices.address import parse_address
from sipmcast.events import Leg, Outgoing
from sipmcast.pnp import ALLOWED_METHODS, EVENT_PACKAGE, SUPPORTED_OPTIONS
from sipmcast.sip.answer import identity, response_bytes, response_endpoint
from sipmcast.sip.errors import SipError
from sipmcast.sip.headers import Header
from sipmcast.sip.message import Request
from sipmcast.sip.uri import Endpoint, hostport
from sipmcast.usual import Usual

# RFC 3261 21: the reason phrases of what a stranger's mistake can earn on the unicast socket.
REASON_PHRASES = {
    400: "Bad Request",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    413: "Request Entity Too Large",
    416: "Unsupported URI Scheme",
    420: "Bad Extension",
    489: "Bad Event",
    505: "Version Not Supported",
}

_BROADCAST = ipaddress.IPv4Address("255.255.255.255")

# RFC 3261 21.4.4: understood, and not done: a phone of a vendor that we do not serve.
FORBIDDEN = 403

# What we can do (RFC 3261 20.5, RFC 6665 8.2.2).
_ALLOW = Header("Allow", ALLOWED_METHODS)
_ALLOW_EVENTS = Header("Allow-Events", EVENT_PACKAGE)

# What a refusal must name (RFC 3261 8.2.1, RFC 6665 4.2.1.1).
_NAMED: dict[int, tuple[Header, ...]] = {405: (_ALLOW,), 489: (_ALLOW_EVENTS,)}


class Replies:
    """Makes answers; it remembers none, for the same request has the same answer, to the byte.

    `tag_key` is secret and outlives the process; `name` is what pnp_doctor is told.
    """

    def __init__(self, tag_key: bytes, name: str) -> None:
        if not tag_key:
            raise ValueError("tag_key is empty")
        self._tag_key = hashlib.blake2b(tag_key).digest()
        self._name = name

    def welcome(self, request: Request, source: Endpoint, leg: Leg) -> Outgoing:
        """The 200 of a phone's SUBSCRIBE: the one NOTIFY that follows is all there is (the guide, step 2)."""
        extra = (Header("Contact", f"<sip:{hostport((leg.host, leg.port))}>"), Header("Expires", "0"))
        return self._response(request, 200, "OK", source, leg, extra)

    def welcome_usual(self, usual: Usual, source: Endpoint, leg: Leg) -> Outgoing:
        """The same for a SUBSCRIBE that was read the short way."""
        tag = self._tag(usual.call_id, usual.from_tag, usual.branch)
        return Outgoing(usual.answer(source, tag, _end_of_welcome(leg.host, leg.port)), source, leg)

    def to_doctor(self, request: Request, source: Endpoint, leg: Leg) -> Outgoing:
        """The 200 that tells pnp_doctor who we are."""
        return self._response(request, 200, "OK", source, leg, (Header("X-Gspnp", self._name),))

    def abilities(self, request: Request, source: Endpoint, leg: Leg) -> Outgoing:
        """RFC 3261 11.2: the 200 of an OPTIONS says what we can do."""
        return self._response(request, 200, "OK", source, leg, (_ALLOW, _ALLOW_EVENTS))

    def refusal(self, status: int | None, request: Request, source: Endpoint, leg: Leg) -> Outgoing | None:
        """What is wrong, or what we do not do, as far as enough of it could be read; never to an ACK.

        Source: RFC 3261 8.2, 8.2.7 and 17.1.1.3.
        """
        if status is None or request.method == "ACK":
            return None
        extra = _NAMED.get(status, ())
        if status == 420:
            extra = (Header("Unsupported", ", ".join(request.unsupported_options(SUPPORTED_OPTIONS))),)
        try:
            return self._response(request, status, REASON_PHRASES[status], source, leg, extra)
        except SipError:
            return None

    def _response(
        self, request: Request, status: int, reason: str, source: Endpoint, leg: Leg, extra: tuple[Header, ...]
    ) -> Outgoing:
        """A response and where it goes; raises SipError only for a request that could not be read."""
        tag = self._tag(*identity(request))
        datagram = response_bytes(request, status, reason, source=source, to_tag=tag, extra=extra)
        return Outgoing(datagram, response_endpoint(request, source), leg)

    def _tag(self, call_id: str, from_tag: str, branch: str) -> str:
        """Our To tag: unguessable, and the same for the same request (RFC 3261 19.3, 8.2.7)."""
        named = f"{len(call_id)}:{call_id}{len(from_tag)}:{from_tag}{len(branch)}:{branch}"
        data = named.encode("utf-8", "surrogatepass")
        return hashlib.blake2b(data, key=self._tag_key, digest_size=8).hexdigest()


@lru_cache(maxsize=64)  # a few legs, of which each has one
def _end_of_welcome(host: str, port: int) -> str:
    """What follows the echoed headers in the 200 of a SUBSCRIBE; see Replies.welcome."""
    return f"Contact: <sip:{hostport((host, port))}>\r\nExpires: 0\r\nContent-Length: 0\r\n\r\n"


def is_refusal(answer: Outgoing) -> bool:
    """Is this answer of ours another than a 200?"""
    return not answer.datagram.startswith(b"SIP/2.0 200 ")


def _host_answerable(host: str) -> bool:
    address = parse_address(host)
    return address is not None and not (address.is_multicast or address.is_unspecified or address == _BROADCAST)


def answerable(source: Endpoint) -> bool:
    """Is the source one host's address with a port? A forged packet may claim otherwise."""
    return 0 < source[1] <= 65_535 and _host_answerable(source[0])
