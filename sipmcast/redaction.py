"""A datagram as people may read it: its secrets masked, and every byte that is no plain text visible as such.

Pure. It reads bytes and no message, because a stranger's bytes need not be one, and whatever it does not know stands
there as it came. What a login consists of is masked by naming what may be shown, not what may not (RFC 3261 22.4,
RFC 7616 3.3): a parameter that nobody has heard of is masked too.
"""

from __future__ import annotations

import re
import unicodedata

MASK = b"********"
MAX_CHARS = 6_000  # of one message as it is shown; our choice

# Header fields that hold logins and challenges (RFC 3261 20.7, 20.27, 20.28, 20.44; RFC 7615).
_LOGIN = re.compile(
    rb"^([ \t]*(?:(?:proxy-)?(?:authorization|authenticate|authentication-info)|www-authenticate))"
    rb"([ \t]*:[ \t]*)(.*)$",
    re.IGNORECASE | re.DOTALL,
)
_FOLD = re.compile(rb"(?:\r\n|\r|\n)[ \t]+")
_END_OF_LINE = re.compile(rb"(\r\n|\r|\n)")
_MAY_HOLD_LOGIN = re.compile(rb"(?i)authenti|authoriz")
_SHOWN = frozenset((b"realm", b"algorithm", b"qop", b"stale", b"username", b"uri", b"nc", b"domain"))
_SCHEME = re.compile(rb"[A-Za-z0-9-]{1,20}(?=[ \t])")
_PARAMETER = re.compile(rb'([^\s,=";]{1,60})([ \t]*=[ \t]*)("(?:[^"\\]|\\.)*+"?|[^\s,]*)', re.DOTALL)

# The secret part of an address that leads to a file or a phonebook of ours, plain or percent-encoded.
_PATH = re.compile(rb"(?i)((?:/|%2f)(?:p|phonebook)(?:/|%2f))[^\s/\"<>&;?]+")
# user:password@host (RFC 3261 19.1.1; RFC 3986 3.2.1).
_USER = re.compile(rb"(?i)((?:sips?:|https?://|ftp://)[^\s:@/<>\"]{0,128}:)[^\s@/<>\"]{1,128}(?=@)")


def redacted(datagram: bytes) -> bytes:
    """The same message without what would help somebody to a file, a login or a phone."""
    if _MAY_HOLD_LOGIN.search(datagram):
        datagram = b"".join(map(_without_login, _END_OF_LINE.split(_FOLD.sub(b" ", datagram))))
    datagram = _PATH.sub(rb"\1" + MASK, datagram)
    return _USER.sub(rb"\1" + MASK, datagram)


def _without_login(line: bytes) -> bytes:
    """A header field with its login masked; another line as it is."""
    found = _LOGIN.match(line)
    if found is None:
        return line
    name, colon, value = found.groups()
    scheme = _SCHEME.match(value)
    kind = b"" if scheme is None else scheme[0] + b" "
    is_info = name.strip().lower().endswith(b"info")
    if not is_info and kind.lower() != b"digest ":
        return name + colon + kind + MASK  # Basic holds the password itself (RFC 7617)
    said = [
        key + equals + (text if key.lower() in _SHOWN else MASK)
        for key, equals, text in _PARAMETER.findall(value[len(kind) :])
    ]
    return name + colon + kind + b", ".join(said)


def visible(datagram: bytes, limit: int = MAX_CHARS) -> tuple[str, bool]:
    """Text that shows every byte, and whether it was cut: what is not UTF-8 or cannot be seen stands as \\x.., a bare
    CR as \\r, and lines end as lines do."""
    text = datagram[: limit * 4].decode("utf-8", "backslashreplace").replace("\r\n", "\n")
    shown = "".join(one if one == "\n" or one == " " or _is_seen(one) else _escaped(one) for one in text[:limit])
    return shown[:limit], len(text) > limit or len(shown) > limit or len(datagram) > limit * 4


def _is_seen(one: str) -> bool:
    # Format characters could turn the direction of a line or hide in it.
    return one.isprintable() and unicodedata.category(one) not in ("Cf", "Zs")


def _escaped(one: str) -> str:
    return {"\r": "\\r", "\t": "\\t"}.get(one, f"\\x{ord(one):02x}" if ord(one) < 256 else f"\\u{ord(one):04x}")
