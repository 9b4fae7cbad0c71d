"""MAC addresses: any usual spelling in, 12 upper-case hex digits inside, display forms out.

Pure: must never import Django, asyncio or socket. The spellings accepted are our choice, taken from phone
labels, switches and capture tools.
"""

from __future__ import annotations

import re

EXAMPLE = "000B82273B89"
DIGITS = 12

_SEPARATORS = ":-. "
_HEX = frozenset("0123456789abcdefABCDEF")
_SPELLINGS = re.compile(
    r"[0-9A-F]{12}"
    r"|[0-9A-F]{2}([:. -])[0-9A-F]{2}(?:\1[0-9A-F]{2}){4}"
    r"|[0-9A-F]{4}([:. -])[0-9A-F]{4}\2[0-9A-F]{4}"
    r"|[0-9A-F]{6}[:. -][0-9A-F]{6}",
    re.IGNORECASE | re.ASCII,
)
_PARTIAL_WIDTHS = {":": (2, 6, 4), "-": (2, 6, 4), ".": (4, 2, 6), " ": (2, 4, 6)}


class MacError(ValueError):
    """The text is not a MAC address; the message says what to type instead."""


def parse_mac(text: str) -> str:
    """Read a MAC in any usual spelling and return it as 12 upper-case hex digits.

    Raises MacError: show its words next to the field.
    """
    trimmed = text.strip()
    if _SPELLINGS.fullmatch(trimmed):
        return _without_separators(trimmed).upper()
    raise MacError(_advice(trimmed))


def parse_oui(text: str) -> str:
    """Read the first half of a MAC in any usual spelling and return it as 6 upper-case hex digits. Raises MacError."""
    digits = _without_separators(text.strip())
    if len(digits) != DIGITS // 2 or not _HEX.issuperset(digits):
        raise MacError(f"{text!r} is no OUI: write the first six hex digits of a MAC, for example {EXAMPLE[:6]}.")
    return digits.upper()


def colons(mac: str) -> str:
    """00:0B:82:27:3B:89, for people."""
    return ":".join(mac[at : at + 2] for at in range(0, len(mac), 2))


def lower(mac: str) -> str:
    """000b82273b89, for file names and configuration files."""
    return mac.lower()


def search_digits(text: str) -> str | None:
    """The upper-case hex digits of a piece of a MAC typed into a search box; None if it cannot be one.

    With separators, the groups between them must be as wide as a MAC's groups are, so that an IP address such
    as 10.0.0.5 is not taken for one.
    """
    trimmed = text.strip()
    digits = _without_separators(trimmed)
    if not 1 <= len(digits) <= DIGITS or not _HEX.issuperset(digits):
        return None
    used = {char for char in trimmed if char in _SEPARATORS}
    if len(used) > 1:
        return None
    if used:
        separator = used.pop()
        groups = trimmed.split(separator)
        if not any(_fits(groups, width) for width in _PARTIAL_WIDTHS[separator]):
            return None
    return digits.upper()


def _fits(groups: list[str], width: int) -> bool:
    """Inner groups are complete; the first and the last may be cut off."""
    inner = groups[1:-1]
    return all(len(group) == width for group in inner) and max(len(groups[0]), len(groups[-1])) <= width


def _without_separators(text: str) -> str:
    return "".join(char for char in text if char not in _SEPARATORS)


def _advice(text: str) -> str:
    if not text:
        return f"Enter the MAC from the phone's label, for example {EXAMPLE}."
    for position, char in enumerate(text, start=1):
        if char not in _HEX and char not in _SEPARATORS:
            return (
                f"Character {position} is not a hex digit (0-9, A-F); "
                f"enter the 12 digits from the phone's label, for example {EXAMPLE}."
            )
    count = len(_without_separators(text))
    if count != DIGITS:
        return f"A MAC has 12 hex digits and this has {count}; compare it with the phone's label ({EXAMPLE})."
    return f"The digits are grouped in an unusual way; enter them without separators, for example {EXAMPLE}."
