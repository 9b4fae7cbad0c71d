"""SIP addresses: `sip:user@host:port;parameters`. Pure; `ipaddress` only compares. Obeys RFC 3261 19.1."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass

from sipmcast.sip.errors import SipParseError
from sipmcast.sip.grammar import BLANKS, HOST_RULE

# (host, port); an IPv6 host stands here without brackets.
Endpoint = tuple[str, int]

DEFAULT_PORT = 5060

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+\-.]{0,30}+:")
# RFC 3261 25.1: SIP-URI = "sip:" [ userinfo ] hostport uri-parameters [ headers ]
_SIP_URI = re.compile(
    rf"(sips?):(?:([^\x00-\x20\x7f<>\"@]++)@)?+({HOST_RULE})(?::([0-9]{{1,5}}))?+([;?][^\x00-\x20\x7f<>\"]*+)?+",
    re.IGNORECASE | re.ASCII,
)
# RFC 5118 4.10: the IPv6address rule of RFC 3261 lets one colon too many stand before an IPv4 part.
_THREE_COLONS = re.compile(r":::(?=[0-9]{1,3}\.)")


@dataclass(slots=True)
class SipUri:
    """RFC 3261 19.1.1. `userinfo` is the raw text before the @, escapes and password included."""

    scheme: str
    userinfo: str | None
    host: str
    port: int | None
    rest: str = ""

    @property
    def has_headers(self) -> bool:
        """Does it carry header fields after a `?` (RFC 3261 19.1.1)? No Request-URI may."""
        return "?" in self.rest


def parse_uri(text: str) -> SipUri:
    """Read a sip: or sips: URI; raise SipParseError 416 for another scheme, 400 for anything malformed.

    Source: RFC 3261 19.1.1 and 8.2.2.1. Parameters and headers are kept as text; nothing here needs them.
    """
    match = _SIP_URI.fullmatch(text)
    if match is None:
        scheme = _SCHEME.match(text)
        if scheme is not None and scheme[0].lower() not in ("sip:", "sips:"):
            raise SipParseError("bad_scheme", "only sip and sips are known", 416)
        raise SipParseError("bad_uri", "malformed scheme, user, host, port or parameters")
    name, userinfo, host, port, rest = match.groups()
    return SipUri(name.lower(), userinfo, read_host(host), read_port(port) if port else None, rest or "")


def read_host(text: str) -> str:
    """The host of a URI or a Via, an IPv6 one without brackets (RFC 3261 25.1; RFC 5118 4.1)."""
    if text[0] != "[":
        return text
    try:
        return str(ipaddress.IPv6Address(_THREE_COLONS.sub("::", text[1:-1], count=1)))
    except ValueError:
        raise SipParseError("bad_uri", "not an IPv6 address") from None


def read_port(text: str) -> int:
    """A port from 1 to 65535; nothing can be sent to any other number."""
    port = int(text)
    if not 1 <= port <= 65_535:
        raise SipParseError("bad_uri", "port out of range")
    return port


def bracketed(host: str) -> str:
    """A host as it stands in a URI or a Via: IPv6 in brackets and without its zone (RFC 3261 25.1)."""
    return f"[{host.partition('%')[0]}]" if ":" in host else host


def hostport(endpoint: Endpoint) -> str:
    """`host:port` as it stands in a URI or a Via."""
    return f"{bracketed(endpoint[0])}:{endpoint[1]}"


def same_host(one: str, other: str) -> bool:
    """Do both texts name the same address? A name is never resolved: it equals only itself."""
    if one == other:
        return True
    if ":" not in one or ":" not in other:
        return one.strip(BLANKS).lower() == other.strip(BLANKS).lower()
    try:
        return _ipv6(one) == _ipv6(other)
    except ValueError:
        return False


def _ipv6(text: str) -> ipaddress.IPv6Address:
    """The address without its zone, which only its own machine understands."""
    return ipaddress.IPv6Address(text.strip(BLANKS).partition("%")[0])
