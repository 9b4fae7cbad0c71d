"""The bounds and the small rules of SIP text, each beneath the grammar that it came from.

Bytes are held as latin-1 text, one character per byte, so that whatever came in goes out unchanged, UTF-8 or
not. Therefore only ASCII-aware tools touch held text: `strip(BLANKS)`, never `strip()`; explicit classes,
never `isdigit()`. Repetition is possessive where it could otherwise be retried, which keeps hostile input
linear. Imports only `re`.
"""

from __future__ import annotations

import re

# RFC 3261 18.1.1 asks for 65,535; no phone comes near it, and every byte we accept is a byte that a stranger
# makes us look at. Our choice.
MAX_DATAGRAM_BYTES = 16_384
# A GXP16xx sends 15 lines (vendor guide), proxies add a few. Our choice.
MAX_HEADER_LINES = 128
# Half of the largest datagram: long values are legal, and RFC 4475 sends some. Our choice.
MAX_LINE_BYTES = 8_192

# RFC 3261 25.1: LWS after unfolding is blanks only.
BLANKS = " \t"

# RFC 3261 25.1: token = 1*(alphanum / "-" / "." / "!" / "%" / "*" / "_" / "+" / "`" / "'" / "~")
TOKEN_CLASS = r"[A-Za-z0-9\-.!%*_+`'~]"
TOKEN = re.compile(rf"{TOKEN_CLASS}++")

# RFC 3261 25.1: quoted-string = SWS DQUOTE *(qdtext / quoted-pair) DQUOTE. Bytes above 0x7f need not be valid
# UTF-8 here.
QUOTED_RULE = r'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
QUOTED = re.compile(QUOTED_RULE, re.DOTALL)

# RFC 3261 25.1: SIP-Version = "SIP" "/" 1*DIGIT "." 1*DIGIT, compared without regard to case (7.1).
VERSION = re.compile(r"SIP/[0-9]{1,4}\.[0-9]{1,4}", re.IGNORECASE | re.ASCII)

# RFC 3261 25.1: host = hostname / IPv4address / IPv6reference. The underscore is not in the grammar but is in
# the field.
HOST_RULE = r"\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9_.\-]++"

DIGITS = re.compile(r"[0-9]{1,10}")

# What must never stand in text that we add to a message.
UNSAFE = re.compile(r"[\r\n\x00]")
# What a whole line may hold: no CR or LF, and a NUL only as a quoted pair in a quoted string (RFC 3261 25.1:
# quoted-pair = "\" (%x00-09 / %x0B-0C / %x0E-7F); RFC 4475 3.1.1.2 sends one).
SAFE_LINE = re.compile(r'(?:[^"\r\n\x00]++|"(?:[^"\\\r\n\x00]|\\[^\r\n])*+")*+[^\r\n\x00]*+')

_ESCAPED = re.compile(r"%([0-9A-Fa-f]{2})")
_QUOTED_PAIR = re.compile(r"\\(.)", re.DOTALL)


def unquote(text: str) -> str:
    """The value of a quoted string without its quotes and escapes; a bare token as it is (RFC 3261 25.1)."""
    if len(text) >= 2 and text[0] == '"' and text[-1] == '"':
        return _QUOTED_PAIR.sub(r"\1", text[1:-1])
    return text


def percent_decode(text: str) -> str:
    """Undo one level of %HH escapes (RFC 3261 25.1, escaped); anything else stays."""
    return _ESCAPED.sub(lambda match: chr(int(match[1], 16)), text)


def readable(text: str) -> str:
    """Held text as people should read it: its bytes as UTF-8, with a replacement mark where they are not."""
    return text.encode("latin-1", "replace").decode("utf-8", "replace")
