"""The words of SIP multicast Plug and Play: a SUBSCRIBE becomes a Sighting, an address and a URL a NOTIFY.

Pure. Obeys the vendor's "GXP16XX Auto-configuration Plug and Play" guide, and RFC 6665 where the guide is
silent.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass, field
from urllib.parse import quote

from devices.sighting import Sighting
from sipmcast.sip.errors import SipParseError, SipSerialiseError
from sipmcast.sip.grammar import TOKEN, UNSAFE, percent_decode, readable
from sipmcast.sip.headers import EventPackage, Header, param, parse_event, parse_name_addr, split_list
from sipmcast.sip.message import Request
from sipmcast.sip.uri import DEFAULT_PORT, Endpoint, hostport, parse_uri, same_host

EVENT_PACKAGE = "ua-profile"
# What the unicast socket understands (RFC 3261 20.5).
ALLOWED_METHODS = "OPTIONS, SUBSCRIBE"
# The option tags of RFC 3261 19.2 that we understand: none.
SUPPORTED_OPTIONS: frozenset[str] = frozenset()
USER_AGENT = "gspnp"
# pnp_doctor's own SUBSCRIBEs: one that we answer and do not list, and a decoy that only a rival answers.
DOCTOR_VENDOR = "gspnp-doctor"
DECOY_MAC_PREFIX = "020B82"

# Guide: the user part of the Request-URI. `MAC:` and `MAC=` and bare `MAC` are seen from snom, Planet and
# Yealink.
_MAC_USER = re.compile(r"MAC[:=]?([0-9A-F]{12})", re.IGNORECASE | re.ASCII)
# Guide: "Grandstream GXP1628 1.0.2.7": vendor, model, firmware.
_USER_AGENT = re.compile(r"([^ \t]++)[ \t]++([^ \t]++)(?:[ \t]++([^ \t]++))?")
# RFC 3261 25.1: unreserved and user-unreserved, without the characters that quote() keeps by itself.
_USER_SAFE = "!~*'()&=+$,;?/"
# RFC 3986 2: no blanks, no control characters; http and https alike are left to the caller.
_URL = re.compile(r"[\x21-\x7e]{1,1024}")


@dataclass(frozen=True, slots=True)
class Served:
    """Whose phones we serve; on the group all others hear nothing from us, for they belong to whoever else is there."""

    vendors: Collection[str] = frozenset({"grandstream"})
    """In lower case."""
    ouis: Collection[str] = frozenset()
    """First six upper-case hex digits of the MAC; none means any."""

    def serves(self, vendor: str, mac: str) -> bool:
        """Is a phone of this vendor with this MAC ours?"""
        return vendor.lower() in self.vendors and (not self.ouis or mac[:6] in self.ouis)


GRANDSTREAM = Served()


class NotForUs(SipParseError):
    """This request is fine as SIP, and teaches nothing about a phone.

    `reason` is `not_subscribe`, `required`, `no_event`, `bad_event`, `other_event` or `no_mac`; `status` is what
    RFC 3261 8.2.1, 8.2.2.1, 8.2.2.3 and RFC 6665 4.2.1.1 answer to it. The caller counts it and, on the group, is
    silent.
    """

    STATUS = {
        "not_subscribe": 405, "required": 420, "no_event": 489, "other_event": 489, "bad_event": 400, "no_mac": 404,
    }  # fmt: skip

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(reason, detail, self.STATUS.get(reason))


@dataclass(frozen=True, slots=True)
class NotifyIds:
    """What identifies one NOTIFY transaction, stored before its first datagram; ValueError if unsafe."""

    branch: str
    """Begins with the magic cookie (RFC 3261 8.1.1.7)."""
    tag: str
    """Our From tag (RFC 3261 19.3)."""
    call_id: str
    """New for each transaction, as in the guide."""

    def __post_init__(self) -> None:
        if not self.branch.startswith("z9hG4bK"):
            raise ValueError("branch without the magic cookie")
        if not all(TOKEN.fullmatch(text) for text in (self.branch, self.tag, self.call_id)):
            raise ValueError("identifier is not a token")

    @classmethod
    def fresh(cls) -> NotifyIds:
        """Identifiers that nobody can guess: the branch is what ties an answer to our request."""
        return cls(f"z9hG4bK{secrets.token_hex(16)}", secrets.token_hex(8), secrets.token_hex(16))


def sighting_from(
    request: Request, source: Endpoint, local_host: str, interface: str, at: float, served: Served
) -> Sighting:
    """What this SUBSCRIBE says about the phone that sent it, any vendor's; raise NotForUs if it says nothing.

    Source: the guide, step 1; "Event, else User-Agent" is our choice, because foreign phones fill only one of
    them.
    """
    event = _ua_profile(request)
    mac = _mac(request)
    vendor, model, firmware = _identity(event, request.first("user-agent") or "")
    contact, notify_port = _contact(request, source)
    return Sighting(
        mac=mac,
        vendor=vendor,
        model=model,
        firmware=firmware,
        source_host=source[0],
        source_port=source[1],
        contact=readable(contact),
        notify_port=notify_port,
        interface=interface,
        local_host=local_host,
        ours=served.serves(vendor, mac),
        heard_at=at,
    )


def _ua_profile(request: Request) -> EventPackage:
    """The Event of a ua-profile SUBSCRIBE (RFC 6665 4.1.2; the package: RFC 6080), or NotForUs.

    The order is that of RFC 3261 8.2: method, then Require, then what the request is about.
    """
    if request.method != "SUBSCRIBE":
        raise NotForUs("not_subscribe", request.method)
    required = request.unsupported_options(SUPPORTED_OPTIONS)
    if required:
        raise NotForUs("required", ", ".join(required))
    values = request.values("event")
    if not values:
        raise NotForUs("no_event")
    try:
        event = parse_event(values[0])
    except SipParseError as error:
        raise NotForUs("bad_event", error.detail) from None
    if len(values) > 1:
        raise NotForUs("bad_event", "more than one")
    if event.package != EVENT_PACKAGE:
        raise NotForUs("other_event", event.package)
    return event


def _mac(request: Request) -> str:
    """The MAC that the phone names: the Request-URI's user, else From's (guide, step 1)."""
    match = _MAC_USER.fullmatch(percent_decode(request.target.userinfo or ""))
    # snom writes a From without a host; the Request-URI is enough then.
    with suppress(SipParseError):
        match = match or _MAC_USER.fullmatch(percent_decode(parse_uri(request.from_.uri).userinfo or ""))
    if match is None:
        raise NotForUs("no_mac", request.uri)
    return match[1].upper()


def _identity(event: EventPackage, user_agent: str) -> tuple[str, str, str]:
    """Vendor, model and firmware as claimed. Some firmware spells `vender` (observed: Panasonic)."""
    words = _USER_AGENT.match(user_agent)
    spare = words.groups(default="") if words else ("", "", "")
    claimed = (
        param(event.params, "vendor") or param(event.params, "vender"),
        param(event.params, "model"),
        param(event.params, "version"),
    )
    vendor, model, firmware = (readable(said or other).strip() for said, other in zip(claimed, spare, strict=True))
    return vendor, model, firmware


def _contact(request: Request, source: Endpoint) -> tuple[str, int]:
    """The Contact URI as text, and the port that a NOTIFY goes to.

    Source: our choice: a Contact is believed only about the port, and only if it names the packet's own
    source address.
    """
    values = request.values("contact")
    uri = ""
    try:
        uri = parse_name_addr(split_list(values[0])[0], "bad_contact").uri if values else ""
        contact = parse_uri(uri)
    except SipParseError:
        return uri, source[1]
    return uri, (contact.port or DEFAULT_PORT) if same_host(contact.host, source[0]) else source[1]


@dataclass(frozen=True, slots=True)
class Telling:
    """What a NOTIFY says: its Event, and a URL where it names a file."""

    event: str
    url: str = field(default="", repr=False)


# formats.md (g): what makes a Grandstream phone act without a new URL.
CHECK_SYNC = Telling("check-sync")
RESYNC = Telling("resync")
REBOOT = Telling("check-sync;reboot=true")


def notify_datagram(
    *,
    phone: Endpoint,
    ours: Endpoint,
    telling: Telling,
    ids: NotifyIds,
    cseq: int = 1,
    user: str = "",
    login: Header | None = None,
) -> bytes:
    """The NOTIFY that tells a phone something; raise SipSerialiseError if the URL is not plain ASCII.

    It is addressed to the device, or to a SIP `user` of it. `login` is the answer to a challenge. Source: the
    guide, step 3. Other than there, To names the phone, as RFC 3261 8.1.1.2 has it, and Subscription-State is
    present, because RFC 6665 8.2.3 demands it. The body is the URL alone: the guide's length counts no line end.
    """
    if (telling.url or telling.event == EVENT_PACKAGE) and not _URL.fullmatch(telling.url):
        raise SipSerialiseError("URL is empty, too long, or holds blanks or other than ASCII")
    at, there = hostport(ours), device_uri(phone, user)
    lines = (
        f"NOTIFY {there} SIP/2.0",
        f"Via: SIP/2.0/UDP {at};branch={ids.branch};rport",
        "Max-Forwards: 70",
        f"Contact: <sip:{at}>",
        f"To: <{there}>",
        f"From: <sip:{at}>;tag={ids.tag}",
        f"Call-ID: {ids.call_id}",
        f"CSeq: {cseq} NOTIFY",
        *([f"{login.name}: {login.value}"] if login is not None else []),
        f"Allow: {ALLOWED_METHODS}",
        f"Event: {telling.event}",
        "Subscription-State: terminated;reason=timeout",
        *(["Content-Type: application/url"] if telling.url else []),
        f"User-Agent: {USER_AGENT}",
        f"Content-Length: {len(telling.url)}",
    )
    if any(UNSAFE.search(line) for line in lines):
        raise SipSerialiseError("line break or NUL in a line")
    return "\r\n".join([*lines, "", telling.url]).encode("latin-1")


def options_request(*, phone: Endpoint, ours: Endpoint, ids: NotifyIds) -> Request:
    """The OPTIONS that asks whether a phone is there (RFC 3261 11)."""
    here, there = f"sip:{hostport(ours)}", device_uri(phone)
    headers = (
        Header("Via", f"SIP/2.0/UDP {hostport(ours)};branch={ids.branch};rport"),
        Header("Max-Forwards", "70"),
        Header("Contact", f"<{here}>"),
        Header("To", f"<{there}>"),
        Header("From", f"<{here}>;tag={ids.tag}"),
        Header("Call-ID", ids.call_id),
        Header("CSeq", "1 OPTIONS"),
        Header("Accept", "application/sdp"),
        Header("User-Agent", USER_AGENT),
        Header("Content-Length", "0"),
    )
    return Request(headers, b"", "OPTIONS", there)


def device_uri(phone: Endpoint, user: str = "") -> str:
    """The address of a phone, or of a SIP user on it; what a user may not hold is escaped (RFC 3261 25.1)."""
    at = f"{quote(user, safe=_USER_SAFE)}@" if user else ""
    return f"sip:{at}{hostport(phone)}"
