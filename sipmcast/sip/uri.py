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
_PLACE = re.compile(rf"(?P<host>{HOST_RULE})(?::(?P<port>[0-9]{{1,5}}))?+(?P<rest>[;?].*)?", re.DOTALL)
_USERINFO = re.compile(r"[^\x00-\x20\x7f<>\"@]++")
_REST = re.compile(r"[^\x00-\x20\x7f<>\"]*+")


@dataclass(frozen=True, slots=True)
class SipUri:
    """RFC 3261 19.1.1. `userinfo` is the raw text before the @, escapes and password included."""

    scheme: str
    userinfo: str | None
    host: str
    port: int | None
    rest: str = ""


def parse_uri(text: str) -> SipUri:
    """Read a sip: or sips: URI; raise SipParseError 416 for another scheme, 400 for anything malformed.

    Source: RFC 3261 19.1.1 and 8.2.2.1. Parameters and headers are kept as text; nothing here needs them.
    """
    scheme = _SCHEME.match(text)
    if scheme is None:
        raise SipParseError("bad_uri", "no scheme")
    name = scheme[0][:-1].lower()
    if name not in ("sip", "sips"):
        raise SipParseError("bad_scheme", "only sip and sips are known", 416)
    before, at, after = text[scheme.end() :].partition("@")
    userinfo, place = (before, after) if at else (None, before)
    if userinfo is not None and not _USERINFO.fullmatch(userinfo):
        raise SipParseError("bad_uri", "malformed user")
    match = _PLACE.fullmatch(place)
    if match is None or not _REST.fullmatch(match["rest"] or ""):
        raise SipParseError("bad_uri", "malformed host, port or parameters")
    return SipUri(name, userinfo, read_host(match["host"]), read_port(match["port"]), match["rest"] or "")


def read_host(text: str) -> str:
    """The host of a URI or a Via, an IPv6 one without brackets (RFC 3261 25.1; RFC 5118 4.1)."""
    if not text.startswith("["):
        return text
    try:
        return str(ipaddress.IPv6Address(text[1:-1]))
    except ValueError:
        raise SipParseError("bad_uri", "not an IPv6 address") from None


def read_port(text: str | None) -> int | None:
    """A port from 1 to 65535, or None where none is written; nothing can be sent to any other number."""
    if text is None:
        return None
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
    try:
        return ipaddress.ip_address(one.strip(BLANKS).partition("%")[0]) == ipaddress.ip_address(
            other.strip(BLANKS).partition("%")[0]
        )
    except ValueError:
        return one.lower() == other.lower()
