"""Who may be told a URL that leads to secrets; pure, so that every row of the rule can be tested.

Must import neither Django, asyncio nor socket. Source: design, "Letting a secret out of the door".
"""

from dataclasses import dataclass
from enum import Enum

ATTENDED_CONTACT_SECONDS = 15 * 60  # how long a contact that a person saw stays good (field practice: formats.md f39)
LOOPBACK = "127."  # a simulated phone on this very machine: nobody else can take its address
CLOCK_SLACK_SECONDS = 60  # NTP may set the clock back a little


class Verdict(Enum):
    """What the kernel's neighbour table says of "this MAC lives at this address"."""

    MATCH = "match"
    MISMATCH = "mismatch"
    UNKNOWN = "unknown"  # routed, loopback, or not asked yet


@dataclass(frozen=True)
class Standing:
    """What we know of a phone at the moment when a NOTIFY is about to leave."""

    source_host: str | None
    approved_host: str | None
    """The address that a person saw when saving."""
    steady_host: str | None
    """Where its last complete steady download went."""
    contact_age_seconds: float
    """Since it was last heard, or since a person approved its address, whichever is longer ago: what a person saw
    a year ago says nothing of who is there today."""
    insists: bool = True
    """Does a person's word for this address stand against the neighbour table? "Notify again" is about the address;
    a save is about the settings, and stands only where the table does not show most phones to be who they say."""


def attended(standing: Standing) -> bool:
    """Did a person just see this phone at this address? A clock that went back a lot makes nothing fresh."""
    fresh = -CLOCK_SLACK_SECONDS <= standing.contact_age_seconds <= ATTENDED_CONTACT_SECONDS
    return standing.source_host is not None and standing.source_host == standing.approved_host and fresh


def objection(standing: Standing, verdict: Verdict) -> str | None:
    """Why no NOTIFY may go to the phone's present address; None if it may.

    Attended: the address that a person saw when saving, while the contact is fresh. Unattended: an address that the
    neighbour table verifies or, where it cannot know, the one where the last complete steady download went. Into a
    mismatch only what a person insists on.
    """
    host = standing.source_host
    if host is None:
        return "Its address is not known yet; it is notified when it is next seen."
    if verdict is Verdict.MATCH:
        return None
    if attended(standing) and (standing.insists or verdict is Verdict.UNKNOWN):
        return None
    if verdict is Verdict.MISMATCH:
        return (
            f"Another device answers at {host}: the neighbour table shows a different MAC there. Nothing was sent. "
            "Find out which one it is; if it is this phone all the same, press “Notify again”."
        )
    if host == standing.steady_host or (host == standing.approved_host and host.startswith(LOOPBACK)):
        return None
    if host == standing.approved_host:
        return (
            f"That this phone is at {host} was confirmed too long ago. "
            "Switch the phone off and on, then press “Notify again”."
        )
    return f"Nobody has confirmed that this phone is at {host}. Check it and press “Notify again”."
