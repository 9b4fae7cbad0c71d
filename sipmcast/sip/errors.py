"""The one family of exceptions that leaves the codec. Imports nothing but typing."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sipmcast.sip.message import Request


class SipError(ValueError):
    """Whatever the codec refuses, in either direction."""


class SipParseError(SipError):
    """These bytes are not a message that we can work with.

    `reason` is a short name from a fixed set, fit for a counter. `status` is the answer that RFC 3261 gives
    to such a request, or None where silence is right (not SIP at all, or a response). `request` holds what
    could be read, its body uncut, when at least the start line and the header lines were separable.
    """

    def __init__(self, reason: str, detail: str, status: int | None = 400) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail
        self.status = status
        self.request: Request | None = None


class SipSerialiseError(SipError):
    """This object must not become bytes: a line break or NUL would let one header write another."""
