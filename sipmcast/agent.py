"""The user agent: datagrams and time go in; datagrams, events and the next deadline come out.

Pure: no sockets, no event loop, no framework. `now` is monotonic seconds, `at` POSIX seconds. The caller
sends what `take_datagrams` returns, acts on `take_events`, and calls `tick` at `next_deadline`. Obeys RFC
3261, RFC 6665 and the vendor's Plug and Play guide. On the group, whoever we do not serve hears nothing from
us.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable

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
from sipmcast.journal import Journal
from sipmcast.pnp import (
    DECOY_MAC_PREFIX,
    DOCTOR_VENDOR,
    GRANDSTREAM,
    SUPPORTED_OPTIONS,
    NotForUs,
    NotifyIds,
    Served,
    options_request,
    sighting_from,
)
from sipmcast.replies import FORBIDDEN, Replies, answerable, is_refusal
from sipmcast.sip.digest import read_challenges
from sipmcast.sip.errors import SipParseError
from sipmcast.sip.grammar import readable
from sipmcast.sip.message import Request, Response, parse_message
from sipmcast.sip.uri import Endpoint
from sipmcast.transaction import MAX_SERVER_TRANSACTIONS, ClientTransactions, ServerTransactions, server_key
from sipmcast.usual import Usual, read_usual

__all__ = ["Agent", "Endpoint", "Leg", "Outgoing"]

# Names a ping among the tokens of client transactions; NOTIFYs are plain numbers.
PING = "ping"
# Characters of a stranger's text in one log line. Our choice.
DETAIL_LIMIT = 120


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
        self.counters: Counter[str] = Counter()
        # This machine's own addresses, which pnp_doctor asks from.
        self.own_hosts: frozenset[str] = frozenset()
        # What was said last, for people; the caller takes it out.
        self.journal = Journal()
        self._known = served
        self._replies = Replies(tag_key, name)
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
        if not answerable(source):
            self._ignore("bad_source", source)
            return
        usual = read_usual(datagram)
        if usual is not None and self._receive_usual(usual, datagram, source, leg, now, at, group):
            return
        try:
            message = parse_message(datagram)
        except SipParseError as error:
            self._turn_away(error, error.request, source, leg, group=group)
            return
        if isinstance(message, Response):
            self._receive_response(message, datagram, source, leg, now, at, group)
        elif message.method == "OPTIONS" and not group:
            self._receive_options(message, source, leg)
        else:
            self._receive_request(message, datagram, source, leg, now, at, group)

    def answer(self, key: TransactionKey, now: float) -> None:
        """Send the 200 of a held SUBSCRIBE; nothing happens if that was done, or if the key is not known."""
        outgoing = self._served.complete(key, now)
        if outgoing is not None:
            self.counters["answered"] += 1
            self.journal.answered(key, outgoing, now)
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
            self.journal.opened(token, branch, outgoing, now)
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

    def _receive_usual(
        self, usual: Usual, datagram: bytes, source: Endpoint, leg: Leg, now: float, at: float, group: bool
    ) -> bool:
        """The SUBSCRIBE of a phone of ours, the short way; False if it has to go the long one."""
        if not self._known.serves(usual.vendor, usual.mac.upper()) or source[0] in self.own_hosts:
            return False
        key = usual.key(source[0])
        if self._served.knows(key, now):
            self._repeat(key, now, group)
            return True
        sighting = usual.sighting(source, leg, at)
        self.journal.heard(key, sighting.mac, datagram, source, leg, now, group)
        self._hold(key, sighting, self._replies.welcome_usual(usual, source, leg), now)
        return True

    def _receive_request(
        self, request: Request, datagram: bytes, source: Endpoint, leg: Leg, now: float, at: float, group: bool
    ) -> None:
        key = server_key(request, source[0])
        if self._served.knows(key, now):
            self._repeat(key, now, group)
            return
        try:
            sighting = sighting_from(request, source, leg.host, leg.interface, at, self._known)
        except NotForUs as refusal:
            self._turn_away(refusal, request, source, leg, group=group)
            return
        if source[0] in self.own_hosts and self._is_the_doctor(sighting, request, source, leg):
            return
        self.journal.heard(key, sighting.mac, datagram, source, leg, now, group)
        if not sighting.ours:
            told = None if group else self._replies.refusal(FORBIDDEN, request, source, leg)
            self._receive_foreign(key, sighting, told, now)
            return
        self._hold(key, sighting, self._replies.welcome(request, source, leg), now)

    def _hold(self, key: TransactionKey, sighting: Sighting, welcome: Outgoing, now: float) -> None:
        """A phone of ours waits for its 200."""
        self._served.open(key, welcome, now)
        self.counters["sighted"] += 1
        self._events.append(PhoneSighted(key, sighting))

    def _receive_foreign(self, key: TransactionKey, sighting: Sighting, refusal: Outgoing | None, now: float) -> None:
        """Somebody else's phone, and what it is told; nothing on the group, where its own server answers."""
        self._served.open(key, refusal, now)
        self.counters["foreign"] += 1
        self._events.append(ForeignSighted(sighting))
        outgoing = self._served.complete(key, now)
        if outgoing is not None:
            self.counters["refused"] += 1
            self.journal.answered(key, outgoing, now)
            self._send(outgoing)

    def _repeat(self, key: TransactionKey, now: float, group: bool) -> None:
        """The same request again: the same bytes again, if it was answered; a refusal never leaves on the group."""
        self.journal.heard_again(key, now)
        again = self._served.replay(key)
        if again is None or (group and is_refusal(again)):
            self.counters["absorbed"] += 1
        else:
            self.counters["replayed"] += 1
            self.journal.answered(key, again, now)
            self._send(again)

    def _is_the_doctor(self, sighting: Sighting, request: Request, source: Endpoint, leg: Leg) -> bool:
        """pnp_doctor of this very machine: its question is answered and no phone; its decoy is for rivals."""
        if sighting.vendor == DOCTOR_VENDOR:
            self.counters["doctor"] += 1
            self._send(self._replies.to_doctor(request, source, leg))
            return True
        return sighting.mac.startswith(DECOY_MAC_PREFIX)

    def _receive_options(self, request: Request, source: Endpoint, leg: Leg) -> None:
        """RFC 3261 11.2: what we can do; stateless, for the same question has the same answer."""
        required = request.unsupported_options(SUPPORTED_OPTIONS)
        if required:
            self._turn_away(NotForUs("required", ", ".join(required)), request, source, leg, group=False)
            return
        self.counters["options"] += 1
        self._send(self._replies.abilities(request, source, leg))

    def _receive_response(
        self, response: Response, datagram: bytes, source: Endpoint, leg: Leg, now: float, at: float, group: bool
    ) -> None:
        if group:
            self._ignore("response_on_group", source)
            return
        ours, final = self._sent.receive(response, now)
        if ours:
            self.journal.answer_heard(response.via.branch, datagram, source, leg, now)
        if not ours:
            self._ignore("stray_response", source, f"{response.status} {response.cseq.method}")
        elif final is not None and isinstance(final.token, int):
            self.counters["notify_answered"] += 1
            self.counters["notify_agreed" if 200 <= response.status < 300 else "notify_refused"] += 1
            reason = plain_text(readable(response.reason), DETAIL_LIMIT)
            challenges = read_challenges(response) if response.status in (401, 407) else ()
            branch = response.via.branch
            self._events.append(NotifyAnswered(final.token, response.status, reason, challenges, branch, at))
        elif final is not None:
            self.counters["ping_answered"] += 1
            self._events.append(PingEnded(_pinged(final.token), True, final.rtt_seconds))

    def _turn_away(
        self, error: SipParseError, request: Request | None, source: Endpoint, leg: Leg, *, group: bool
    ) -> None:
        """One line about it, and on the unicast socket its answer. Stateless: the same request gets the same bytes."""
        self._ignore(error.reason, source, error.detail)
        if group or request is None:
            return
        outgoing = self._replies.refusal(error.status, request, source, leg)
        if outgoing is not None:
            self.counters["refused"] += 1
            self._send(outgoing)

    def _tick_sent(self, now: float) -> None:
        resends, timed_out = self._sent.tick(now)
        self.counters["resent"] += len(resends)
        for request in resends:
            self.journal.resent(request, now)
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
