"""Sighting: what one SUBSCRIBE or one download taught us about a phone. Pure: no Django, no sockets.

Everything in it was said by a stranger, so every text is bounded and printable before anybody else can hold
it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

# Bounds in characters, generous for what phones send. Our choice.
TEXT_LIMITS = {
    "vendor": 40,
    "model": 40,
    "firmware": 40,
    "source_host": 64,
    "contact": 200,
    "interface": 40,
    "local_host": 64,
    "origin": 20,
}

_MAC = re.compile(r"[0-9A-F]{12}")


def plain_text(text: str, limit: int) -> str:
    """One printable line of at most `limit` characters; what is not printable becomes a replacement mark."""
    if text.isprintable():
        return text[:limit].strip()
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text[:limit]).strip()


@dataclass(frozen=True, slots=True)
class Sighting:
    """One phone, seen once. Raises ValueError if `mac` is not 12 upper-case hex digits or a port is none."""

    mac: str
    """12 upper-case hex digits."""
    vendor: str
    """As claimed; empty if unknown."""
    model: str
    """As claimed; empty if unknown."""
    firmware: str
    """As claimed; empty if unknown."""
    source_host: str
    """The packet's source address: the only host that may ever be contacted."""
    source_port: int
    """The packet's source port."""
    contact: str
    """Contact URI as claimed: for display only."""
    notify_port: int
    """The port on `source_host` that a NOTIFY goes to."""
    interface: str
    """The name of our interface that heard it."""
    local_host: str
    """Our own address on that interface."""
    ours: bool
    """Is the vendor one that we serve?"""
    heard_at: float
    """POSIX seconds."""
    origin: str = "pnp"
    """How it reached us: `pnp`, or the name of another door."""

    def __post_init__(self) -> None:
        if not _MAC.fullmatch(self.mac):
            raise ValueError("mac is not 12 upper-case hex digits")
        if not (0 <= self.source_port <= 65_535 and 0 <= self.notify_port <= 65_535):
            raise ValueError("port out of range")
        for name, limit in TEXT_LIMITS.items():
            text = getattr(self, name)
            # A boot storm makes thousands of these, and what phones say is nearly always fine as it is.
            if len(text) > limit or not text.isprintable() or text != text.strip():
                object.__setattr__(self, name, plain_text(text, limit))

    def __reduce__(self) -> tuple[Any, ...]:
        """Thousands go from process to process in a boot storm: as a plain tuple that is ten times as fast."""
        return _remade, (_VALUES(self),)


_VALUES = attrgetter(*Sighting.__slots__)


def _remade(values: tuple[Any, ...]) -> Sighting:
    """A Sighting whose values were checked when it was first made."""
    sighting = object.__new__(Sighting)
    for name, value in zip(Sighting.__slots__, values, strict=True):
        object.__setattr__(sighting, name, value)
    return sighting
