"""The user agent: datagrams and time go in; datagrams, events and the next deadline come out.

Pure: no sockets, no event loop, no framework. `now` is monotonic seconds, `at` POSIX seconds. The caller
sends what `take_datagrams` returns, acts on `take_events`, and calls `tick` at `next_deadline`. Obeys RFC
3261, RFC 6665 and the vendor's Plug and Play guide. On the group, whoever we do not serve hears nothing from
us.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
from collections import Counter

from devices.sighting import plain_text
from sipmcast.events import (
    Event,
    ForeignSighted,
    Ignored,
    Leg,
    NotifyAnswered,
    NotifyTimedOut,
    Outgoing,
    PhoneSighted,
    TransactionKey,
)
from sipmcast.pnp import ALLOWED_METHODS, EVENT_PACKAGE, NotForUs, sighting_from
from sipmcast.sip.errors import SipError, SipParseError
from sipmcast.sip.grammar import readable
from sipmcast.sip.headers import Header
from sipmcast.sip.message import Request, Response, parse_message, response_endpoint, response_to
from sipmcast.sip.uri import Endpoint, hostport
from sipmcast.transaction import MAX_SERVER_TRANSACTIONS, ClientTransactions, ServerTransactions, server_key

__all__ = ["Agent", "Endpoint", "Leg", "Outgoing"]

# Characters of a stranger's text in one log line. Our choice.
DETAIL_LIMIT = 120

# RFC 3261 21: the reason phrases of what a stranger's mistake can earn on the unicast socket.
REASON_PHRASES = {
    400: "Bad Request",
    405: "Method Not Allowed",
    413: "Request Entity Too Large",
    416: "Unsupported URI Scheme",
    489: "Bad Event",
    505: "Version Not Supported",
}

# RFC 3261 8.2.1 and RFC 6665 4.2.1.1: what a refusal must name.
_ALLOW = Header("Allow", ALLOWED_METHODS)
_ALLOW_EVENTS = Header("Allow-Events", EVENT_PACKAGE)
_REFUSALS: dict[str, tuple[int, tuple[Header, ...]]] = {
    "not_subscribe": (405, (_ALLOW,)),
    "no_event": (489, (_ALLOW_EVENTS,)),
    "other_event": (489, (_ALLOW_EVENTS,)),
    "bad_event": (400, ()),
}


class Agent:
    """Hears SUBSCRIBEs, holds their answers until told, and sees NOTIFYs through.

    `tag_key` is secret and outlives the process: the To tag is a keyed hash, so that a request sent again
    gets the same bytes even from a restarted agent. `counters` counts by fixed names: `received`, `sighted`,
    `foreign`, `answered`, `absorbed`, `replayed`, `options`, `refused`, the `notify_*` steps, and every
    `Ignored.reason`.
    """

    def __init__(self, tag_key: bytes, *, max_transactions: int = MAX_SERVER_TRANSACTIONS) -> None:
        if not tag_key:
            raise ValueError("tag_key is empty")
        self.counters: Counter[str] = Counter()
        self._tag_key = tag_key
        self._served = ServerTransactions(max_transactions)
        self._sent = ClientTransactions()
        self._datagrams: list[Outgoing] = []
        self._events: list[Event] = []

    def receive(self, datagram: bytes, source: Endpoint, leg: Leg, now: float, at: float, *, group: bool) -> None:
        """Take in one datagram, sent to the group or to the leg's own address; it never makes this raise."""
        self.counters["received"] += 1
        if not _answerable(source):
            self._ignore("bad_source", source)
            return
        try:
            message = parse_message(datagram)
        except SipParseError as error:
            self._ignore(error.reason, source, error.detail)
            if not group:
                self._refuse_unread(error, source, leg)
            return
        if isinstance(message, Response):
            self._receive_response(message, source, now, group)
        elif message.method == "OPTIONS" and not group:
            self.counters["options"] += 1
            self._send(self._response(message, 200, "OK", source, leg, (_ALLOW, _ALLOW_EVENTS)))
        else:
            self._receive_request(message, source, leg, now, at, group)

    def answer(self, key: TransactionKey, now: float) -> None:
        """Send the 200 of a held SUBSCRIBE; nothing happens if that was done, or if the key is not known."""
        outgoing = self._served.complete(key, now)
        if outgoing is not None:
            self.counters["answered"] += 1
            self._datagrams.append(outgoing)

    def notify(
        self,
        token: int,
        datagram: bytes,
        destination: Endpoint,
        leg: Leg,
        now: float,
        *,
        elapsed: float = 0.0,
    ) -> None:
        """Open a client transaction for these very bytes, or resume one begun `elapsed` seconds ago.

        It ends in one NotifyAnswered or NotifyTimedOut, unless it is cancelled. Raises ValueError for bytes
        that are not a request.
        """
        outgoing = Outgoing(datagram, destination, leg)
        if self._sent.open(token, outgoing, now, elapsed):
            self.counters["notify_resent" if elapsed > 0 else "notify_sent"] += 1
            self._datagrams.append(outgoing)
        else:
            self._tick_sent(now)

    def cancel(self, token: int) -> None:
        """Give up a NOTIFY without an event; an unknown token is no error."""
        self._sent.cancel(token)

    def tick(self, now: float) -> None:
        """Let time pass: resend, time out, forget."""
        self._served.expire(now)
        self._tick_sent(now)

    def next_deadline(self) -> float | None:
        """When `tick` is needed next, or None."""
        deadlines = [when for when in (self._served.next_deadline(), self._sent.next_deadline()) if when is not None]
        return min(deadlines, default=None)

    def take_datagrams(self) -> list[Outgoing]:
        """What is to be sent, in order; each is returned once."""
        taken, self._datagrams = self._datagrams, []
        return taken

    def take_events(self) -> list[Event]:
        """What happened, in order; each is returned once."""
        taken, self._events = self._events, []
        return taken

    def _receive_request(
        self, request: Request, source: Endpoint, leg: Leg, now: float, at: float, group: bool
    ) -> None:
        key = server_key(request, source[0])
        if self._served.knows(key, now):
            again = self._served.replay(key)
            self.counters["absorbed" if again is None else "replayed"] += 1
            if again is not None:
                self._datagrams.append(again)
            return
        try:
            sighting = sighting_from(request, source, leg.host, leg.interface, at)
        except NotForUs as refusal:
            self._ignore(refusal.reason, source, refusal.detail)
            if not group:
                self._refuse(refusal, request, source, leg)
            return
        if not sighting.ours:
            self._served.open(key, None, now)
            self.counters["foreign"] += 1
            self._events.append(ForeignSighted(sighting))
            return
        extra = (Header("Contact", f"<sip:{hostport((leg.host, leg.port))}>"), Header("Expires", "0"))
        self._served.open(key, self._response(request, 200, "OK", source, leg, extra), now)
        self.counters["sighted"] += 1
        self._events.append(PhoneSighted(key, sighting))

    def _receive_response(self, response: Response, source: Endpoint, now: float, group: bool) -> None:
        if group:
            self._ignore("response_on_group", source)
            return
        ours, token = self._sent.receive(response, now)
        if not ours:
            self._ignore("stray_response", source, f"{response.status} {response.cseq.method}")
        elif token is not None:
            self.counters["notify_answered"] += 1
            reason = plain_text(readable(response.reason), DETAIL_LIMIT)
            self._events.append(NotifyAnswered(token, response.status, reason))

    def _refuse(self, refusal: NotForUs, request: Request, source: Endpoint, leg: Leg) -> None:
        """Answer what we do not do, statelessly: the same request gets the same bytes (RFC 3261 8.2.7)."""
        if refusal.reason in _REFUSALS and request.method != "ACK":
            status, extra = _REFUSALS[refusal.reason]
            self.counters["refused"] += 1
            self._send(self._response(request, status, REASON_PHRASES[status], source, leg, extra))

    def _refuse_unread(self, error: SipParseError, source: Endpoint, leg: Leg) -> None:
        """Answer a malformed request if enough of it could be read; never an ACK (RFC 3261 8.2, 17.1.1.3)."""
        request = error.request
        if error.status is None or request is None or request.method == "ACK":
            return
        try:
            outgoing = self._response(request, error.status, REASON_PHRASES[error.status], source, leg, ())
        except SipError:
            return
        self.counters["refused"] += 1
        self._send(outgoing)

    def _response(
        self,
        request: Request,
        status: int,
        reason: str,
        source: Endpoint,
        leg: Leg,
        extra: tuple[Header, ...],
    ) -> Outgoing:
        """A response and where it goes; raises SipError only for a request that could not be read."""
        response = response_to(request, status, reason, source=source, to_tag=self._tag(request), extra=extra)
        return Outgoing(response.to_bytes(), response_endpoint(request, source), leg)

    def _tag(self, request: Request) -> str:
        """Our To tag: unguessable, and the same for the same request (RFC 3261 19.3, 8.2.7)."""
        try:
            from_tag = request.from_.tag or ""
        except SipParseError:
            from_tag = request.required("from")
        digest = hmac.new(self._tag_key, digestmod=hashlib.sha256)
        for part in (request.required("call-id"), from_tag, request.via.branch):
            digest.update(f"{len(part)}:{part}".encode())
        return digest.hexdigest()[:16]

    def _tick_sent(self, now: float) -> None:
        resends, timed_out = self._sent.tick(now)
        self.counters["notify_resent"] += len(resends)
        self.counters["notify_timed_out"] += len(timed_out)
        self._datagrams.extend(resends)
        self._events.extend(NotifyTimedOut(token) for token in timed_out)

    def _send(self, outgoing: Outgoing) -> None:
        self._datagrams.append(outgoing)

    def _ignore(self, reason: str, source: Endpoint, detail: str = "") -> None:
        self.counters[reason] += 1
        self._events.append(Ignored(reason, source, plain_text(readable(detail), DETAIL_LIMIT)))


def _answerable(source: Endpoint) -> bool:
    """Is the source one host's address with a port? A forged packet may claim otherwise."""
    try:
        address = ipaddress.ip_address(source[0].partition("%")[0])
    except ValueError:
        return False
    broadcast = address == ipaddress.IPv4Address("255.255.255.255")
    return not (address.is_multicast or address.is_unspecified or broadcast) and 0 < source[1] <= 65_535
