"""What crosses the user agent's border besides bytes: where datagrams go, and what happened. Pure data."""

from __future__ import annotations

from dataclasses import dataclass, field

from devices.sighting import Sighting
from sipmcast.sip.digest import Challenge
from sipmcast.sip.uri import Endpoint

# Names one server transaction; opaque outside of transaction.py.
TransactionKey = str


# How a phone's row names the leg that heard it: interface name, our address on it.
LegKey = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Leg:
    """Our own unicast socket on one interface; `host` and `port` go into Contact and Via."""

    interface: str
    host: str
    port: int


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A datagram that the caller must send from that leg's unicast socket."""

    datagram: bytes = field(repr=False)
    destination: Endpoint
    leg: Leg


@dataclass(frozen=True, slots=True)
class PhoneSighted:
    """A phone of a vendor that we serve announced itself, and waits for its 200."""

    key: TransactionKey
    """Give it to `Agent.answer` once the sighting is safe."""
    sighting: Sighting
    """What the phone said."""


@dataclass(frozen=True, slots=True)
class ForeignSighted:
    """A phone of another vendor announced itself. On the group it hears nothing from us."""

    sighting: Sighting
    """What the phone said; `ours` is False."""


@dataclass(frozen=True, slots=True)
class NotifyAnswered:
    """A NOTIFY got its final response; that transaction is over."""

    token: int
    """As given to `Agent.notify`."""
    status: int
    """From 200 to 699."""
    reason: str
    """The phone's own words, bounded and printable."""
    challenges: tuple[Challenge, ...] = ()
    """What a 401 or 407 asks for (RFC 3261 22)."""
    branch: str = ""
    """Which transaction it ends: a NOTIFY may have had more than one."""
    at: float | None = field(default=None, compare=False)
    """POSIX seconds when it was heard, which may be a while before it is recorded; None: just now."""


@dataclass(frozen=True, slots=True)
class NotifyTimedOut:
    """A NOTIFY got no final response within its 32 s (timer F); that transaction is over."""

    token: int
    """As given to `Agent.notify`."""


@dataclass(frozen=True, slots=True)
class PingEnded:
    """An OPTIONS that asked whether a phone is there has ended."""

    token: int
    """As given to `Agent.ping`."""
    answered: bool
    """Did any final response come? Even a refusal shows that the phone is there."""
    rtt_seconds: float | None
    """Round trip; None if there was no answer, or if a resend makes it ambiguous."""


@dataclass(frozen=True, slots=True)
class Ignored:
    """A datagram led to nothing, or to a refusal. Worth one log line."""

    reason: str
    """A short name from a fixed set; the same name counts in `Agent.counters`."""
    source: Endpoint
    """Who sent it."""
    detail: str
    """A few words more, bounded and printable; may be empty."""


Event = PhoneSighted | ForeignSighted | NotifyAnswered | NotifyTimedOut | PingEnded | Ignored
