"""What was last said between us and each phone, in memory until it is stored: the journal behind the SIP transcript.

Pure: it keeps the datagrams that the agent has in its hands anyway, and looks into none of them; `now` is monotonic
seconds. It is bounded in exchanges and in bytes, and what was not stored gives way before any phone has to wait. What
is secret in a datagram is still in it: redact it before it is shown or stored (redaction.py).
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field

from sipmcast.events import Leg, Outgoing, TransactionKey
from sipmcast.sip.uri import Endpoint

# All of these are our choice.
MAX_EXCHANGES = 12_000
# Of memory, with what Python needs around the datagrams: some 8,000 phones of a boot storm. The listener must not grow
# by 50 MB in one, and a transcript is the first thing that can be missed then.
MAX_BYTES = 16 * 1024 * 1024
MAX_MESSAGES = 24  # of one exchange: a NOTIFY with all its logins and renewals has 14
MAX_AGAIN = 12  # times of a repeated message; RFC 3261 17.1.2.2 makes 10 of a NOTIFY that nobody answers
KEPT_DATAGRAM_BYTES = 4_096
QUIET_SECONDS = 1.0  # an exchange that has just gone on probably goes on: it is stored when it rests
LATEST_SECONDS = 4.0  # but no later than this after it has changed
AGAIN_SECONDS = 10.0  # between two times that mere repeats of the same exchange are stored
# Rather too much: what Python 3.11 needs for one beside its datagrams, as tracemalloc counts it.
EXCHANGE_BYTES, MESSAGE_BYTES, AGAIN_BYTES, REQUEST_BYTES = 400, 250, 36, 300
KEPT_SECONDS = 34.0  # a repeat may come for 32 s (RFC 3261 17.1.2.2 and 17.2.2)


@dataclass(slots=True)
class Message:
    """One datagram: who sent it, from where to where, when, and when it was sent again."""

    sent: bool
    """By us."""
    datagram: bytes = field(repr=False)
    size: int
    """Bytes of the whole datagram, of which only the first are kept."""
    ours: Endpoint
    theirs: Endpoint
    at: float
    on_group: bool = False
    again: tuple[float, ...] = ()
    """When the first few repeats were."""
    repeats: int = 0


@dataclass(slots=True)
class Exchange:
    """A request and everything that belongs to it. `mac` is empty for what we began; `token` is 0 for the rest."""

    mac: str
    token: int
    messages: list[Message]
    size: int
    """Bytes of memory, roughly."""
    changed_at: float
    unsaved_since: float | None
    has_news: bool = True
    """Is there a message of which nothing is stored yet, or only repeats?"""
    stored_at: float = -math.inf
    branches: tuple[str, ...] = ()
    requests: tuple[bytes, ...] = field(default=(), repr=False)


class Journal:
    """The last exchanges of everybody; `lost` counts those that gave way unsaved."""

    def __init__(self, max_exchanges: int = MAX_EXCHANGES, max_bytes: int = MAX_BYTES) -> None:
        self.lost = 0
        self._max_exchanges, self._max_bytes = max_exchanges, max_bytes
        self._bytes = 0
        # In the order of their last change, so the oldest are the first to be stored and to be forgotten.
        self._exchanges: OrderedDict[Hashable, Exchange] = OrderedDict()
        # Those with something unsaved, in the same order; what is stored by now goes when it is come across.
        self._unsaved: OrderedDict[Hashable, Exchange] = OrderedDict()
        self._by_branch: dict[str, int] = {}
        self._by_request: dict[bytes, int] = {}

    def __len__(self) -> int:
        return len(self._exchanges)

    def heard(
        self, key: TransactionKey, mac: str, datagram: bytes, source: Endpoint, leg: Leg, now: float, on_group: bool
    ) -> None:
        """A phone began a transaction."""
        said = _message(False, datagram, (leg.host, leg.port), source, now, on_group)
        self._begin(key, Exchange(mac, 0, [said], EXCHANGE_BYTES + _memory(said), now, now))

    def heard_again(self, key: TransactionKey, now: float) -> None:
        """It repeated its request."""
        exchange = self._exchanges.get(key)
        if exchange is not None:
            self._again(key, exchange, exchange.messages[0], now)

    def answered(self, key: TransactionKey, answer: Outgoing, now: float) -> None:
        """We answered it, or did so again."""
        self._say(key, True, answer.datagram, (answer.leg.host, answer.leg.port), answer.destination, now)

    def opened(self, token: int, branch: str, request: Outgoing, now: float) -> None:
        """We began a NOTIFY, or went on with it by another transaction of the same token."""
        if token not in self._exchanges:
            self._begin(token, Exchange("", token, [], EXCHANGE_BYTES, now, now))
        exchange = self._exchanges[token]
        if branch not in exchange.branches:
            exchange.branches += (branch,)
            exchange.requests += (request.datagram,)
            self._grow(exchange, REQUEST_BYTES)
            self._by_branch[branch] = self._by_request[request.datagram] = token
        self._say(token, True, request.datagram, (request.leg.host, request.leg.port), request.destination, now)

    def resent(self, request: Outgoing, now: float) -> None:
        """The same bytes are the same transaction: one of ours went out again."""
        token = self._by_request.get(request.datagram)
        if token is not None:
            self._say(token, True, request.datagram, (request.leg.host, request.leg.port), request.destination, now)

    def answer_heard(self, branch: str, datagram: bytes, source: Endpoint, leg: Leg, now: float) -> None:
        """Somebody answered a transaction of ours; what belongs to no NOTIFY is passed over."""
        token = self._by_branch.get(branch)
        if token is not None:
            self._say(token, False, datagram, (leg.host, leg.port), source, now)

    def ripe(self, now: float, limit: int) -> list[Exchange]:
        """What is to be stored now, the longest quiet first; what is stored and over is forgotten."""
        found: list[Exchange] = []
        saved: list[Hashable] = []
        for key, exchange in self._unsaved.items():
            if exchange.unsaved_since is None:
                saved.append(key)
                continue
            if not exchange.has_news and now - exchange.stored_at < AGAIN_SECONDS:
                continue  # resends to phones that are off would else be most of what is written
            if now - exchange.changed_at >= QUIET_SECONDS or now - exchange.unsaved_since >= LATEST_SECONDS:
                found.append(exchange)
                if len(found) >= limit:
                    break
        for key in saved:
            del self._unsaved[key]
        self._forget_what_is_over(now)
        return found

    def stored(self, exchanges: Sequence[Exchange], taken_at: float) -> None:
        """These are stored as they were then; what has changed since is stored again."""
        for exchange in exchanges:
            went_on = exchange.changed_at > taken_at
            exchange.unsaved_since = exchange.changed_at if went_on else None
            exchange.has_news, exchange.stored_at = went_on, taken_at

    def _begin(self, key: Hashable, exchange: Exchange) -> None:
        if key in self._exchanges:
            self._forget(key)
        self._exchanges[key] = self._unsaved[key] = exchange
        self._bytes += exchange.size
        self._hold_to_bounds()

    def _forget_what_is_over(self, now: float) -> None:
        over: list[Hashable] = []
        for key, exchange in self._exchanges.items():
            if now - exchange.changed_at < KEPT_SECONDS:
                break
            if exchange.unsaved_since is None:
                over.append(key)
        for key in over:
            self._forget(key)

    def _say(self, key: Hashable, sent: bool, datagram: bytes, ours: Endpoint, theirs: Endpoint, now: float) -> None:
        """One message more; one that repeats an earlier one is counted there."""
        exchange = self._exchanges.get(key)
        if exchange is None:
            return
        said = _message(sent, datagram, ours, theirs, now, False)
        for known in reversed(exchange.messages):
            if (known.sent, known.size, known.datagram) == (sent, said.size, said.datagram):
                self._again(key, exchange, known, now)
                return
        if len(exchange.messages) >= MAX_MESSAGES:
            return
        exchange.messages.append(said)
        exchange.has_news = True
        self._grow(exchange, _memory(said))
        self._touch(key, exchange, now)
        self._hold_to_bounds()

    def _again(self, key: Hashable, exchange: Exchange, message: Message, now: float) -> None:
        message.repeats += 1
        if len(message.again) < MAX_AGAIN:
            message.again += (now,)
            self._grow(exchange, AGAIN_BYTES)
        self._touch(key, exchange, now)

    def _grow(self, exchange: Exchange, size: int) -> None:
        exchange.size += size
        self._bytes += size

    def _touch(self, key: Hashable, exchange: Exchange, now: float) -> None:
        exchange.changed_at = now
        if exchange.unsaved_since is None:
            exchange.unsaved_since = now
        self._exchanges.move_to_end(key)
        self._unsaved[key] = exchange
        self._unsaved.move_to_end(key)

    def _hold_to_bounds(self) -> None:
        while len(self._exchanges) > self._max_exchanges or self._bytes > self._max_bytes:
            oldest = next(iter(self._exchanges))
            self.lost += self._exchanges[oldest].unsaved_since is not None
            self._forget(oldest)

    def _forget(self, key: Hashable) -> None:
        exchange = self._exchanges.pop(key)
        self._unsaved.pop(key, None)
        self._bytes -= exchange.size
        for branch in exchange.branches:
            self._by_branch.pop(branch, None)
        for request in exchange.requests:
            self._by_request.pop(request, None)


def _memory(message: Message) -> int:
    return MESSAGE_BYTES + len(message.datagram)


def _message(sent: bool, datagram: bytes, ours: Endpoint, theirs: Endpoint, now: float, on_group: bool) -> Message:
    kept = datagram if len(datagram) <= KEPT_DATAGRAM_BYTES else datagram[:KEPT_DATAGRAM_BYTES]
    return Message(sent, kept, len(datagram), ours, theirs, now, on_group)
