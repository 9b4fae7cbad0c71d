"""A datagram as people may read it: its secrets masked, and every byte that is no plain text visible as such.

Pure. It reads bytes and no message, because a stranger's bytes need not be one, and whatever it does not know stands
there as it came. What a login consists of is masked by naming what may be shown, not what may not (RFC 3261 22.4,
RFC 7616 3.3): a parameter that nobody has heard of is masked too. Where a secret may be spelled in many ways, rather
too much is masked than too little.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection
from hashlib import sha256

MASK = b"********"
MAX_CHARS = 6_000  # of one message as it is shown; our choice
SECRET_CHARS = 22  # of a path: 128 random bits in URL-safe base64 (provisioning/paths.py)
MAX_TRIED = 1_000  # places of one message where a secret of ours is looked for; some 50 in a plain one. Our choice

# A header field with its folds (RFC 3261 7.3.1); what is no letter of a name may stand anywhere in it or around it.
_NEXT_LINE = re.compile(rb"((?:\r\n|\r(?!\n)|\n)(?![ \t]))")
_FOLD = re.compile(rb"(?:\r\n|\r|\n)[ \t]+")
_NO_NAME = bytes(set(range(256)) - set(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-"))
# Logins and challenges (RFC 3261 20.7, 20.27, 20.28, 20.44; RFC 7615), and whatever is called like a secret.
_LOGIN = re.compile(rb"auth|credential")
_SECRET = re.compile(rb"pass|pwd|secret|token|cookie|key")
_SHOWN = frozenset((b"realm", b"algorithm", b"qop", b"stale", b"username", b"uri", b"nc", b"domain"))
_SCHEME = re.compile(rb"(?i)(?:digest|basic|bearer|ntlm|negotiate)(?=[ \t])")
_PARAMETER = re.compile(rb'([^\s,=";]{1,60})([ \t]*=[ \t]*)("(?:[^"\\]|\\.)*+"?|[^\s,]*)', re.DOTALL)
# The same outside of such a field, in a line that hides what it is; P-values too (a phone's P34 is a password).
_GAP = rb"[ \t]{0,9}(?:(?:\r\n|\r|\n)[ \t]{1,9})?"
_NAMED = re.compile(
    rb"(?i)((?:(?:nonce|response|opaque|rspauth|\bp\d{1,6})[\"']?" + _GAP + rb"=|"
    rb"(?:pass(?:w(?:or)?d|phrase)?|pwd|secret|token)[\"']?" + _GAP + rb"[=:])" + _GAP + rb")"
    rb"(?:\"(?:[^\"\\]|\\.)*+\"?|'[^']*+'?|[^\s&;,<>\"']+)",
    re.DOTALL,
)
_BEHIND_SCHEME = re.compile(rb"(?i)(\b(?:basic|bearer)[ \t]{1,9})[A-Za-z0-9+/=._~-]{6,}")

# The secret part of an address that leads to a file or a phonebook of ours, in any spelling that a phone or a proxy
# may make of it: percent-encoded once or more, escaped as in JSON or XML, with its slashes doubled, folded.
_SLASH = rb"(?:[/\\]|%(?:25)*(?:2f|5c)|&\#(?:47|x2f);)"
_PATH = re.compile(
    rb"(?i)(%(s)b(?:p|%%(?:25)*70|phonebook)(?:%(s)b|\.(?=%(s)b))+(?:(?:\r\n|\r|\n)[ \t]+)?)"
    rb"[^\s/\\\"<>?]+(?:(?:\r\n|\r|\n)[ \t]+[^\s/\\\"<>?]+)*" % {b"s": _SLASH}
)
# Behind the first empty line. A body may say a secret in any language; what one says to us is seldom more than nothing,
# and what we say is the address of a file.
_BODY = re.compile(rb"((?>\r\n|\r|\n)(?>\r\n|\r|\n))(.+)", re.DOTALL)
_OUR_URL = re.compile(rb"(?i)\s*https?://[^\s/@?]+/(?:p|phonebook)/\*{8}(?:/[\w.-]*)?\s*")
# user:password@host (RFC 3261 19.1.1; RFC 3986 3.2.1), plain or percent-encoded. A password may hold an @ or a slash.
_WORD = re.compile(rb"[^\s<>\"]+")
_LAST_WORD = re.compile(rb"[^\s<>\"]+\Z")
_AT = re.compile(rb"(?i)@|%(?:25)*40")
_COLON = re.compile(rb"(?i):|%(?:25)*3a")
# How a phone says who it is, in the URIs of its SUBSCRIBE: MAC%3A000b82…@ (the vendor's guide). That is no password.
_OWN_MAC = re.compile(rb"(?i)MAC(?::|%3a)[0-9a-f]{12}(?=@)")
_KIND = re.compile(rb"(?i)(?:sips?|tel)(?::|%(?:25)*3a)|[a-z]{2,8}(?::|%(?:25)*3a)" + _SLASH + rb"{2}")
# Where a secret of ours may stand.
_RUN = re.compile(rb"[A-Za-z0-9_-]{%d,}" % SECRET_CHARS)
_ALL_SEEN = re.compile(r"[ -~\n]*")  # nearly every message


def redacted(datagram: bytes, known: Collection[str] = (), *, is_cut: bool = False) -> bytes:
    """The same message without what would help somebody to a file, a login or a phone.

    `known` are the hashes (provisioning/paths.py) of secrets that stand nowhere, whatever is in front of them. Of one
    that was cut off, the last word may be the half of anything: it is masked.
    """
    if is_cut:
        datagram = _LAST_WORD.sub(MASK, datagram)
    datagram = b"".join(map(_without_login, _NEXT_LINE.split(datagram)))
    datagram = _PATH.sub(rb"\1" + MASK, datagram)
    datagram = _WORD.sub(_without_password, datagram)
    datagram = _NAMED.sub(rb"\1" + MASK, datagram)
    datagram = _BEHIND_SCHEME.sub(rb"\1" + MASK, datagram)
    datagram = _BODY.sub(_without_body, datagram, count=1)
    return _without_known(datagram, known) if known else datagram


def _without_login(line: bytes) -> bytes:
    """A header field with its login masked; another line as it is."""
    said, colon, value = line.partition(b":")
    name = said.translate(None, _NO_NAME).lower()
    if not colon or not (_LOGIN.search(name) or _SECRET.search(name)):
        return line
    value = _FOLD.sub(b" ", value)
    text = value.lstrip(b" \t")
    head = said + colon + value[: len(value) - len(text)]
    scheme = None if _SECRET.search(name) else _SCHEME.match(text)
    kind = b"" if scheme is None else scheme[0] + b" "
    if not name.endswith(b"authentication-info") and kind.lower() != b"digest ":
        return head + kind + MASK  # Basic holds the password itself (RFC 7617)
    shown = [
        key + equals + (text if key.lower() in _SHOWN else MASK)
        for key, equals, text in _PARAMETER.findall(text[len(kind) :])
    ]
    return head + kind + b", ".join(shown)


def _without_password(found: re.Match[bytes]) -> bytes:
    """One word; in an address, what stands between the user's colon and the last @ is masked."""
    word = found[0]
    if b"@" not in word and b"%" not in word:
        return word
    end = max((at.start() for at in _AT.finditer(word)), default=0)
    kind = _KIND.search(word, 0, end)
    user_at = kind.end() if kind else 0  # without a scheme it is an address all the same
    own = _OWN_MAC.match(word, user_at)
    if own and own.end() == end:
        return word
    colon = _COLON.search(word, user_at, end)
    return word if colon is None else word[: colon.end()] + MASK + word[end:]


def _without_body(found: re.Match[bytes]) -> bytes:
    """The body, if it is an address of ours with its secret masked."""
    return found[0] if _OUR_URL.fullmatch(found[2]) else found[1] + MASK


def _without_known(datagram: bytes, known: Collection[str]) -> bytes:
    left = MAX_TRIED

    def masked(found: re.Match[bytes]) -> bytes:
        nonlocal left
        run = found[0]
        places = len(run) - SECRET_CHARS + 1
        left -= places
        if left < 0:
            return MASK
        parts = (run[place : place + SECRET_CHARS] for place in range(places))
        return MASK if any(sha256(part).hexdigest() in known for part in parts) else run

    return _RUN.sub(masked, datagram)


def visible(datagram: bytes, limit: int = MAX_CHARS) -> tuple[str, bool]:
    """Text that shows every byte, and whether it was cut: what is not UTF-8 or cannot be seen stands as \\x.., a bare
    CR as \\r, and lines end as lines do."""
    text = datagram[: limit * 4].decode("utf-8", "backslashreplace").replace("\r\n", "\n")
    shown = text[:limit]
    if _ALL_SEEN.fullmatch(shown) is None:
        shown = "".join(one if one == "\n" or one == " " or _is_seen(one) else _escaped(one) for one in shown)
    return shown[:limit], len(text) > limit or len(shown) > limit or len(datagram) > limit * 4


def _is_seen(one: str) -> bool:
    # Format characters could turn the direction of a line or hide in it.
    return one.isprintable() and unicodedata.category(one) not in ("Cf", "Zs")


def _escaped(one: str) -> str:
    return {"\r": "\\r", "\t": "\\t"}.get(one, f"\\x{ord(one):02x}" if ord(one) < 256 else f"\\u{ord(one):04x}")
