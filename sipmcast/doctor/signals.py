"""The doctor's two SUBSCRIBEs, and what their answers say. Pure: bytes in, bytes and facts out.

The *question* is marked by its vendor: a listener of ours answers it to its own machine and lists no phone. The
*decoy* looks like an ordinary phone, with a MAC that nobody owns (locally administered, IEEE 802): a listener of ours
is silent to its own machine, so whoever answers is somebody else.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from urllib.parse import urlsplit

from devices.sighting import plain_text
from sipmcast.pnp import DECOY_MAC_PREFIX, DOCTOR_VENDOR, EVENT_PACKAGE
from sipmcast.sip.errors import SipError
from sipmcast.sip.grammar import readable
from sipmcast.sip.headers import Header
from sipmcast.sip.message import Request, Response, parse_message, response_endpoint, response_to
from sipmcast.sip.uri import Endpoint, hostport

OURS_HEADER = "x-gspnp"
NAME_CHARS = 120
# RFC 3261 21.4.19: there is no such subscription; it ends the other side's resends at once.
NO_SUBSCRIPTION = (481, "Subscription Does Not Exist")


@dataclass(frozen=True, slots=True)
class Signal:
    """One SUBSCRIBE that is to be sent, and by what its answer is known."""

    datagram: bytes
    call_id: str


@dataclass(frozen=True, slots=True)
class Said:
    """What one datagram that came back says."""

    how: str
    """`200`, `202`, another status, or `NOTIFY`."""
    listener: str = ""
    """What our listener calls itself; empty for anybody else."""
    software: str = ""
    """User-Agent or Server, as claimed."""
    url_host: str = ""
    """Where a NOTIFY sends phones; never the whole URL, which may be somebody's secret."""
    reply: bytes = b""
    """What to answer, so that the other side does not go on sending."""
    reply_to: Endpoint = ("", 0)


def question(group: str, ours: Endpoint) -> Signal:
    """Are you there? For our own listener on this machine."""
    return _subscribe(group, ours, vendor=DOCTOR_VENDOR, model="doctor", version="1", agent=DOCTOR_VENDOR)


def decoy(group: str, ours: Endpoint) -> Signal:
    """A phone that does not exist, worded as in the vendor's guide, step 1."""
    agent = "Grandstream GXP1628 1.0.7.81"
    return _subscribe(group, ours, vendor="Grandstream", model="GXP1628", version="1.0.7.81", agent=agent)


def _subscribe(group: str, ours: Endpoint, *, vendor: str, model: str, version: str, agent: str) -> Signal:
    mac = DECOY_MAC_PREFIX + secrets.token_hex(3).upper()
    aor, call_id = f"sip:MAC%3A{mac}@{group}", secrets.token_hex(16)
    headers = (
        Header("Via", f"SIP/2.0/UDP {hostport(ours)};branch=z9hG4bK{secrets.token_hex(16)};rport"),
        Header("From", f"<{aor}>;tag={secrets.token_hex(8)}"),
        Header("To", f"<{aor}>"),
        Header("Call-ID", call_id),
        Header("CSeq", "20000 SUBSCRIBE"),
        Header("Contact", f"<sip:{hostport(ours)}>"),
        Header("Max-Forwards", "70"),
        Header("User-Agent", agent),
        Header("Expires", "0"),
        Header(
            "Event",
            f'{EVENT_PACKAGE};profile-type="device";vendor="{vendor}";model="{model}";version="{version}"',
        ),
        Header("Accept", "application/url"),
        Header("Content-Length", "0"),
    )
    return Signal(Request(headers, b"", "SUBSCRIBE", aor).to_bytes(), call_id)


def read(datagram: bytes, source: Endpoint, sent: Signal) -> Said | None:
    """What came back to the socket that sent `sent`; None if it has nothing to do with it."""
    try:
        message = parse_message(datagram)
        if isinstance(message, Response):
            if message.call_id != sent.call_id:
                return None
            return Said(str(message.status), listener=_text(message.first(OURS_HEADER)), software=_software(message))
        if message.method != "NOTIFY":
            return None
        answer = response_to(message, *NO_SUBSCRIPTION, source=source, to_tag=secrets.token_hex(8)).to_bytes()
        return Said(
            "NOTIFY",
            software=_software(message),
            url_host=_url_host(message.body),
            reply=answer,
            reply_to=response_endpoint(message, source),
        )
    except SipError:
        return None


def _software(message: Request | Response) -> str:
    return _text(message.first("user-agent") or message.first("server"))


def _text(value: str | None) -> str:
    return plain_text(readable(value or ""), NAME_CHARS)


def _url_host(body: bytes) -> str:
    try:
        return plain_text(urlsplit(body.decode("latin-1").strip()).netloc.rpartition("@")[2], NAME_CHARS)
    except ValueError:
        return ""
