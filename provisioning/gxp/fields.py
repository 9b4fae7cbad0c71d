"""What one text may hold before it goes into a file for a phone. A check returns None or what to do about it.

Pure: must never import Django, asyncio or socket. No answer repeats the text, because it may be a secret.
Obeys XML 1.0 (Char, 2.2); control characters that XML would allow are refused too, our choice.
"""

from __future__ import annotations

import ipaddress
import re
import unicodedata
from functools import lru_cache

MAX_TEXT = 128  # characters; our choice, the vendor documents no bound for account texts
MAX_LABEL = 32  # characters; vendor template fw 1.0.3.6 for line keys, our choice for MPKs
MAX_VALUE = 64  # characters; likewise
MAX_HOST = 253  # characters of a DNS name, RFC 1035 2.3.4 as text
MAX_PATH = 512  # characters; documented for GXP21xx, taken for GXP16xx

# What turns the order of the characters around it: a label reads as another one, and so does the line that it is
# in. The marks U+200E, U+200F and U+061C only stand for a letter of one direction, and names are pasted with them.
# Source: Unicode Standard Annex #9, 2.1 to 2.5.
_TURNS = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_BREAKS = frozenset("\u2028\u2029")  # line and paragraph separator

_BROADCAST = ipaddress.IPv4Address("255.255.255.255")
_LABEL = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?", re.ASCII)
_PORT = re.compile(r"[0-9]{1,5}", re.ASCII)
_PATH = re.compile(r"[A-Za-z0-9._~!$&'()*+,;=:@%/-]*", re.ASCII)
_NUMERIC = re.compile(r"[0-9.]+", re.ASCII)


def text_fault(text: str, limit: int = MAX_TEXT) -> str | None:
    """Free text: any characters that an XML file can hold, within `limit` of them."""
    if len(text) > limit:
        return f"has {len(text)} characters; shorten it to {limit}"
    if text.isprintable():  # holds no character of the categories below; nearly every text ends here
        return None
    for position, char in enumerate(text, start=1):
        code = ord(char)
        if unicodedata.category(char) == "Cc":
            return f"character {position} is a control character (U+{code:04X}); remove it"
        if 0xD800 <= code <= 0xDFFF:
            return f"character {position} is half of a character (U+{code:04X}); remove it and type it again"
        if code in (0xFFFE, 0xFFFF):
            return f"character {position} (U+{code:04X}) cannot stand in an XML file; remove it"
    return None


def shown_fault(text: str, limit: int = MAX_TEXT) -> str | None:
    """Free text that people read, such as a name or a label: it stands in one line and reads as it is stored."""
    fault = text_fault(text, limit)
    if fault is None and not text.isprintable():
        for position, char in enumerate(text, start=1):
            if char in _TURNS:
                return f"character {position} turns the reading direction (U+{ord(char):04X}); remove it"
            if char in _BREAKS:
                return f"character {position} begins a new line (U+{ord(char):04X}); remove it"
    return fault


def word_fault(text: str, limit: int = MAX_TEXT) -> str | None:
    """Free text without any blank or invisible character, such as a SIP user ID."""
    fault = text_fault(text, limit)
    if fault is None and (" " in text or not text.isprintable()):
        for position, char in enumerate(text, start=1):
            if char.isspace():
                return f"character {position} is a blank; remove it"
            if unicodedata.category(char) == "Cf":
                return f"character {position} is invisible (U+{ord(char):04X}); remove it"
    return fault


def number_fault(text: str, limit: int = MAX_TEXT) -> str | None:
    """What a phone dials or watches: an extension or number without blanks, and without the part after @."""
    fault = word_fault(text, limit)
    if fault is None and "@" in text:
        return "holds an @; enter only the part before it"
    return fault


@lru_cache(maxsize=1024)  # a site has a handful of servers, and every file names them; no secret comes here
def address_fault(text: str, *, group_too: bool = False) -> str | None:
    """host or host:port, where host is a name, an IPv4 address or an IPv6 address in brackets; if said so, a multicast
    group too."""
    fault = word_fault(text, MAX_HOST + len(":65535"))
    if fault is not None:
        return fault
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]*://|sips?:(?![0-9]+$)", text, re.IGNORECASE):
        return "starts with a scheme; enter only host or host:port"
    if "/" in text or "@" in text:
        return "holds more than an address; enter only host or host:port"
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        if not bracket or not _is_ip(host, 6):
            return "is not an IPv6 address in brackets; enter it as [2001:db8::1] or [2001:db8::1]:5060"
        return _port_fault(rest) if rest else None
    if text.count(":") > 1:
        if _is_ip(text, 6):
            return "is an IPv6 address; put it in brackets, as [2001:db8::1]"
        return "has more than one colon; enter only host or host:port"
    host, colon, port = text.partition(":")
    return _host_fault(host, group_too) or (_port_fault(colon + port) if colon else None)


def path_fault(text: str) -> str | None:
    """host[:port][/path] as the phone takes a server path: no scheme, no blank, no slash at the end."""
    fault = word_fault(text, MAX_PATH)
    if fault is not None:
        return fault
    if "://" in text:
        return "starts with a scheme; leave it out, the protocol is a setting of its own"
    if text.endswith("/"):
        return "ends with a slash; leave the slash out"
    address, _, path = text.partition("/")
    if not _PATH.fullmatch(path):
        return "has a character that a URL path cannot hold; use letters, digits and - . _ ~ /"
    return address_fault(address)


def _host_fault(host: str, group_too: bool = False) -> str | None:
    if not host:
        return "has no host; enter a name or an IP address"
    if not host.isascii():
        return "has letters outside ASCII; enter the name in its xn-- form or the IP address"
    if _NUMERIC.fullmatch(host):
        if not _is_ip(host, 4):
            return "is not an IPv4 address; it has four numbers from 0 to 255"
        address = ipaddress.IPv4Address(host)
        if address.is_unspecified or address == _BROADCAST or (address.is_multicast and not group_too):
            return "is no address of one host; enter the server's own"
        return None
    labels = host.removesuffix(".").split(".")
    if len(host) > MAX_HOST or not all(_LABEL.fullmatch(label) for label in labels):
        return "is not a host name; use letters, digits, hyphens and dots, or an IP address"
    return None


def _port_fault(suffix: str) -> str | None:
    port = suffix[1:]
    if suffix[0] == ":" and _PORT.fullmatch(port) and 1 <= int(port) <= 65535:
        return None
    return "has no valid port after the host; use host:port with a port from 1 to 65535"


def _is_ip(text: str, version: int) -> bool:
    try:
        return ipaddress.ip_address(text).version == version and "%" not in text
    except ValueError:
        return False
