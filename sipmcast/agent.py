"""The user agent: datagrams and time go in; datagrams, events and the next deadline come out.

Pure: no sockets, no event loop, no framework. `now` is monotonic seconds, `at` POSIX seconds. The caller
sends what `take_datagrams` returns, acts on `take_events`, and calls `tick` at `next_deadline`. Obeys RFC
3261, RFC 6665 and the vendor's Plug and Play guide. On the group, whoever we do not serve hears nothing from
us.
"""

from __future__ import annotations

import hashlib
import ipaddress
from collections import Counter
from collections.abc import Hashable
from functools import lru_cache

from devices.sighting import Sighting, plain_text
from sipmcast.events import (
    Event,
    ForeignSighted,
    Ignored,
    Leg,
    NotifyAnswered,
    NotifyTimedOut,
    Outgoing,
    PhoneSighted,
    PingEnded,
    TransactionKey,
)
from sipmcast.pnp import (
    ALLOWED_METHODS,
    DECOY_MAC_PREFIX,
    DOCTOR_VENDOR,
    EVENT_PACKAGE,
    GRANDSTREAM,
    SUPPORTED_OPTIONS,
    NotForUs,
    NotifyIds,
    Served,
    options_request,
    sighting_from,
)
from sipmcast.sip.answer import identity, response_bytes, response_endpoint
from sipmcast.sip.digest import read_challenges
from sipmcast.sip.errors import SipError, SipParseError
from sipmcast.sip.grammar import readable
from sipmcast.sip.headers import Header
from sipmcast.sip.message import Request, Response, parse_message
from sipmcast.sip.uri import Endpoint, hostport
from sipmcast.transaction import MAX_SERVER_TRANSACTIONS, ClientTransactions, ServerTransactions, server_key

__all__ = ["Agent", "Endpoint", "Leg", "Outgoing"]

# Names a ping among the tokens of client transactions; NOTIFYs are plain numbers.
PING = "ping"
# Characters of a stranger's text in one log line. Our choice.
DETAIL_LIMIT = 120

# RFC 3261 21: the reason phrases of what a stranger's mistake can earn on the unicast socket.
REASON_PHRASES = {
    400: "Bad Request",
    405: "Method Not Allowed",
    413: "Request Entity Too Large",
    416: "Unsupported URI Scheme",
    420: "Bad Extension",
    489: "Bad Event",
    505: "Version Not Supported",
}

# What we can do (RFC 3261 20.5, RFC 6665 8.2.2).
_ALLOW = Header("Allow", ALLOWED_METHODS)
_ALLOW_EVENTS = Header("Allow-Events", EVENT_PACKAGE)

# What a refusal must name (RFC 3261 8.2.1, RFC 6665 4.2.1.1).
_NAMED: dict[int, tuple[Header, ...]] = {405: (_ALLOW,), 489: (_ALLOW_EVENTS,)}


class Agent:
    """Hears SUBSCRIBEs, holds their answers until told, and sees NOTIFYs through.

    `tag_key` is secret and outlives the process: the To tag is a keyed hash, so that a request sent again
    gets the same bytes even from a restarted agent. `counters` counts by fixed names: `received`, `sighted`,
    `foreign`, `answered`, `absorbed`, `replayed`, `options`, `refused`, `doctor`, `resent`, the `notify_*` and
    `ping_*` steps, and every `Ignored.reason`. `name` is what pnp_doctor is told of this process.
    """

    def __init__(
        self,
        tag_key: bytes,
        *,
        served: Served = GRANDSTREAM,
        name: str = "",
        max_transactions: int = MAX_SERVER_TRANSACTIONS,
    ) -> None:
        if not tag_key:
            raise ValueError("tag_key is empty")
        self.counters: Counter[str] = Counter()
        # This machine's own addresses, which pnp_doctor asks from.
        self.own_hosts: frozenset[str] = frozenset()
        self._tag_key = hashlib.blake2b(tag_key).digest()
        self._known = served
        self._name = name
        self._served = ServerTransactions(max_transactions)
        self._sent = ClientTransactions()
        self._datagrams: list[Outgoing] = []
        self._events: list[Event] = []

    @property
    def room(self) -> int:
        """How many NOTIFYs may be opened now."""
        return self._sent.room

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
            if not group and error.request is not None:
                self._refuse(error, error.request, source, leg)
            return
        if isinstance(message, Response):
            self._receive_response(message, source, now, group)
        elif message.method == "OPTIONS" and not group:
            self._receive_options(message, source, leg)
        else:
            self._receive_request(message, source, leg, now, at, group)

    def answer(self, key: TransactionKey, now: float) -> None:
        """Send the 200 of a held SUBSCRIBE; nothing happens if that was done, or if the key is not known."""
        outgoing = self._served.complete(key, now)
        if outgoing is not None:
            self.counters["answered"] += 1
            self._datagrams.append(outgoing)

    def withhold(self, key: TransactionKey) -> None:
        """Never answer a held SUBSCRIBE, nor what repeats it."""
        self._served.withhold(key)

    def notify(
        self,
        token: int,
        datagram: bytes,
        branch: str,
        destination: Endpoint,
        leg: Leg,
        now: float,
        *,
        elapsed: float = 0.0,
    ) -> None:
        """Open a client transaction for these very bytes, or resume one begun `elapsed` seconds ago.

        `branch` is the one in their Via. It ends in one NotifyAnswered or NotifyTimedOut, unless it is cancelled.
        A token that is open already is given up for the new one. Raises NoRoom, or ValueError for a branch that
        another token has.
        """
        outgoing = Outgoing(datagram, destination, leg)
        if self._sent.open(token, outgoing, (branch, "NOTIFY"), now, elapsed):
            self.counters["notify_resent" if elapsed > 0 else "notify_sent"] += 1
            self._datagrams.append(outgoing)
        else:
            self._tick_sent(now)

    def ping(self, token: int, destination: Endpoint, leg: Leg, now: float) -> None:
        """Ask whether a phone is there; ends in one PingEnded. Raises NoRoom. One that is open already goes on."""
        name = (PING, token)
        if self._sent.knows(name):
            return
        ids = NotifyIds.fresh()
        datagram = options_request(phone=destination, ours=(leg.host, leg.port), ids=ids).to_bytes()
        outgoing = Outgoing(datagram, destination, leg)
        self._sent.open(name, outgoing, (ids.branch, "OPTIONS"), now)
        self.counters["ping_sent"] += 1
        self._datagrams.append(outgoing)

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
            sighting = sighting_from(request, source, leg.host, leg.interface, at, self._known)
        except NotForUs as refusal:
            self._ignore(refusal.reason, source, refusal.detail)
            if not group:
                self._refuse(refusal, request, source, leg)
            return
        if source[0] in self.own_hosts and self._is_the_doctor(sighting, request, source, leg):
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

    def _is_the_doctor(self, sighting: Sighting, request: Request, source: Endpoint, leg: Leg) -> bool:
        """pnp_doctor of this very machine: its question is answered and no phone; its decoy is for rivals."""
        if sighting.vendor == DOCTOR_VENDOR:
            self.counters["doctor"] += 1
            self._send(self._response(request, 200, "OK", source, leg, (Header("X-Gspnp", self._name),)))
            return True
        return sighting.mac.startswith(DECOY_MAC_PREFIX)

    def _receive_options(self, request: Request, source: Endpoint, leg: Leg) -> None:
        """RFC 3261 11.2: what we can do; stateless, for the same question has the same answer."""
        required = request.unsupported_options(SUPPORTED_OPTIONS)
        if required:
            refusal = NotForUs("required", ", ".join(required))
            self._ignore(refusal.reason, source, refusal.detail)
            self._refuse(refusal, request, source, leg)
            return
        self.counters["options"] += 1
        self._send(self._response(request, 200, "OK", source, leg, (_ALLOW, _ALLOW_EVENTS)))

    def _receive_response(self, response: Response, source: Endpoint, now: float, group: bool) -> None:
        if group:
            self._ignore("response_on_group", source)
            return
        ours, final = self._sent.receive(response, now)
        if not ours:
            self._ignore("stray_response", source, f"{response.status} {response.cseq.method}")
        elif final is not None and isinstance(final.token, int):
            self.counters["notify_answered"] += 1
            reason = plain_text(readable(response.reason), DETAIL_LIMIT)
            challenges = read_challenges(response) if response.status in (401, 407) else ()
            self._events.append(NotifyAnswered(final.token, response.status, reason, challenges))
        elif final is not None:
            self.counters["ping_answered"] += 1
            self._events.append(PingEnded(_pinged(final.token), True, final.rtt_seconds))

    def _refuse(self, error: SipParseError, request: Request, source: Endpoint, leg: Leg) -> None:
        """Answer what is wrong, or what we do not do, as far as enough of it could be read; never an ACK.

        Stateless: the same request gets the same bytes. Source: RFC 3261 8.2, 8.2.7 and 17.1.1.3.
        """
        if error.status is None or request.method == "ACK":
            return
        extra = _NAMED.get(error.status, ())
        if error.status == 420:
            extra = (Header("Unsupported", ", ".join(request.unsupported_options(SUPPORTED_OPTIONS))),)
        try:
            outgoing = self._response(request, error.status, REASON_PHRASES[error.status], source, leg, extra)
        except SipError:
            return
        self.counters["refused"] += 1
        self._send(outgoing)

    def _response(
        self, request: Request, status: int, reason: str, source: Endpoint, leg: Leg, extra: tuple[Header, ...]
    ) -> Outgoing:
        """A response and where it goes; raises SipError only for a request that could not be read."""
        tag = self._tag(request)
        datagram = response_bytes(request, status, reason, source=source, to_tag=tag, extra=extra)
        return Outgoing(datagram, response_endpoint(request, source), leg)

    def _tag(self, request: Request) -> str:
        """Our To tag: unguessable, and the same for the same request (RFC 3261 19.3, 8.2.7)."""
        named = "".join(f"{len(part)}:{part}" for part in identity(request))
        data = named.encode("utf-8", "surrogatepass")
        return hashlib.blake2b(data, key=self._tag_key, digest_size=8).hexdigest()

    def _tick_sent(self, now: float) -> None:
        resends, timed_out = self._sent.tick(now)
        self.counters["resent"] += len(resends)
        self._datagrams.extend(resends)
        for token in timed_out:
            if isinstance(token, int):
                self.counters["notify_timed_out"] += 1
                self._events.append(NotifyTimedOut(token))
            else:
                self.counters["ping_timed_out"] += 1
                self._events.append(PingEnded(_pinged(token), False, None))

    def _send(self, outgoing: Outgoing) -> None:
        self._datagrams.append(outgoing)

    def _ignore(self, reason: str, source: Endpoint, detail: str = "") -> None:
        self.counters[reason] += 1
        self._events.append(Ignored(reason, source, plain_text(readable(detail), DETAIL_LIMIT)))


def _pinged(token: Hashable) -> int:
    """The caller's number in a ping's token."""
    assert isinstance(token, tuple)
    return int(token[1])


@lru_cache(maxsize=1024)
def _host_answerable(host: str) -> bool:
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    broadcast = address == ipaddress.IPv4Address("255.255.255.255")
    return not (address.is_multicast or address.is_unspecified or broadcast)


def _answerable(source: Endpoint) -> bool:
    """Is the source one host's address with a port? A forged packet may claim otherwise."""
    return 0 < source[1] <= 65_535 and _host_answerable(source[0])
