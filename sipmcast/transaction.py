"""SIP transactions over UDP: the server side replays its answer, the client side repeats its request.

Pure: time is a monotonic number of seconds named `now`, passed in. Obeys RFC 3261 section 17; timers keep its
letters.
"""

from __future__ import annotations

import hashlib
import heapq
import math
from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass
from enum import Enum, auto

from sipmcast.events import Outgoing, TransactionKey
from sipmcast.sip.message import Request, Response

# RFC 3261 17.1.1.1 and table 4.
T1_SECONDS = 0.5
T2_SECONDS = 4.0
T4_SECONDS = 5.0
TIMER_F_SECONDS = 64 * T1_SECONDS
TIMER_J_SECONDS = 64 * T1_SECONDS
TIMER_K_SECONDS = T4_SECONDS

# A power cut brings a whole site back at once, each phone with one transaction. Our choice.
MAX_SERVER_TRANSACTIONS = 16_384
# A flood of the largest datagrams must not become memory: 16,384 answers to real phones take 8 MB. Our
# choice.
MAX_SERVER_BYTES = 32 * 1024 * 1024
# As many phones may be told at once; the others wait in the outbox. Our choice.
MAX_CLIENT_TRANSACTIONS = 16_384
# Characters of a key that are kept as they are; phones send branches of some 17. Our choice.
MAX_KEY_CHARS = 200

MAGIC_COOKIE = "z9hG4bK"


def server_key(request: Request, source_host: str) -> TransactionKey:
    """The name of the transaction that this request belongs to; a long one is digested, so that it costs no memory.

    Source: RFC 3261 17.2.3: branch, sent-by and method; for an RFC 2543 sender, and one whose branch is the bare
    cookie, Request-URI, From tag, Call-ID, CSeq and top Via. The source address is added (our choice): else a
    stranger could use up a phone's branch before the phone does.
    """
    via = request.via
    if via.branch.startswith(MAGIC_COOKIE) and len(via.branch) > len(MAGIC_COOKIE):
        return cookie_key(source_host, via.branch, via.host, via.port, request.method)
    tag, cseq = request.from_.tag or "", request.cseq.number
    # Lengths keep the borders apart where a part may hold blanks.
    return _bounded(
        f"{source_host} {request.method} {cseq} {request.uri} {len(tag)}:{tag} {request.call_id} {via.text}"
    )


def cookie_key(source_host: str, branch: str, host: str, port: int | str | None, method: str) -> TransactionKey:
    """The same where the branch begins with the magic cookie; `host` and `port` are sent-by."""
    return _bounded(f"{source_host} {branch} {host.lower()}:{port or ''} {method}")


def _bounded(key: str) -> TransactionKey:
    if len(key) > MAX_KEY_CHARS:
        return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()
    return key


@dataclass(slots=True)
class _Served:
    """One server transaction: what will be or was answered (None: never), and when it is forgotten."""

    answer: Outgoing | None
    answered: bool
    ends_at: float


class ServerTransactions:
    """Non-INVITE server transactions (RFC 3261 17.2.2), bounded in number, bytes and age."""

    def __init__(self, limit: int = MAX_SERVER_TRANSACTIONS, max_bytes: int = MAX_SERVER_BYTES) -> None:
        self._limit = limit
        self._max_bytes = max_bytes
        self._bytes = 0
        # Every entry lives 32 s from its last change and a change moves it to the end, so the order is by
        # ends_at.
        self._served: OrderedDict[TransactionKey, _Served] = OrderedDict()

    def __len__(self) -> int:
        return len(self._served)

    def knows(self, key: TransactionKey, now: float) -> bool:
        """Has a request of this transaction been seen within its lifetime?"""
        self.expire(now)
        return key in self._served

    def open(self, key: TransactionKey, answer: Outgoing | None, now: float) -> None:
        """Begin a transaction that waits for `complete`; without an answer it only absorbs repeats."""
        self._drop(key)
        self._served[key] = _Served(answer, False, now + TIMER_J_SECONDS)
        self._bytes += _size(answer)
        # The oldest is the first to go.
        while len(self._served) > self._limit or self._bytes > self._max_bytes:
            self._drop(next(iter(self._served)))

    def complete(self, key: TransactionKey, now: float) -> Outgoing | None:
        """The answer to send now, and timer J starts; None if it was sent before, or is not known."""
        self.expire(now)
        served = self._served.get(key)
        if served is None or served.answer is None or served.answered:
            return None
        served.answered = True
        served.ends_at = now + TIMER_J_SECONDS
        self._served.move_to_end(key)
        return served.answer

    def withhold(self, key: TransactionKey) -> None:
        """Only absorb repeats from now on, if it was not answered yet."""
        served = self._served.get(key)
        if served is not None and not served.answered:
            self._bytes -= _size(served.answer)
            served.answer = None

    def replay(self, key: TransactionKey) -> Outgoing | None:
        """The same bytes again for a retransmission; None while there is nothing to repeat."""
        served = self._served.get(key)
        return served.answer if served is not None and served.answered else None

    def expire(self, now: float) -> None:
        """Forget what is over."""
        while self._served:
            key, served = next(iter(self._served.items()))
            if served.ends_at > now:
                return
            self._drop(key)

    def next_deadline(self) -> float | None:
        """When the oldest transaction is over."""
        return next(iter(self._served.values())).ends_at if self._served else None

    def _drop(self, key: TransactionKey) -> None:
        served = self._served.pop(key, None)
        if served is not None:
            self._bytes -= _size(served.answer)


def _size(answer: Outgoing | None) -> int:
    return 0 if answer is None else len(answer.datagram)


class State(Enum):
    """RFC 3261 17.1.2.2, figure 6; TERMINATED ones are forgotten."""

    TRYING = auto()
    PROCEEDING = auto()
    COMPLETED = auto()


@dataclass(slots=True, eq=False)
class _Sent:
    """One client transaction."""

    token: Hashable
    outgoing: Outgoing
    match: tuple[str, str]
    state: State
    interval: float
    resend_at: float
    ends_at: float
    sent_at: float | None

    @property
    def deadline(self) -> float:
        return min(self.resend_at, self.ends_at)


@dataclass(frozen=True, slots=True)
class Final:
    """The first final response of a transaction. `rtt_seconds` is None if a resend makes it ambiguous."""

    token: Hashable
    rtt_seconds: float | None


class NoRoom(ValueError):
    """As many client transactions are open as we hold; wait until some have ended."""


class ClientTransactions:
    """Non-INVITE client transactions (RFC 3261 17.1.2), named by the caller's token; bounded in number and age."""

    def __init__(self, limit: int = MAX_CLIENT_TRANSACTIONS) -> None:
        self._limit = limit
        self._by_token: dict[Hashable, _Sent] = {}
        self._by_match: dict[tuple[str, str], _Sent] = {}
        # (deadline, serial, transaction); an entry whose deadline is no longer the transaction's is stale.
        self._queue: list[tuple[float, int, _Sent]] = []
        self._serial = 0

    def __len__(self) -> int:
        return len(self._by_token)

    @property
    def room(self) -> int:
        """How many more may be opened now; those that only absorb late responses count too."""
        return max(0, self._limit - len(self._by_match))

    def knows(self, token: Hashable) -> bool:
        """Is a transaction of this token waiting for its end?"""
        return token in self._by_token

    def open(
        self, token: Hashable, outgoing: Outgoing, match: tuple[str, str], now: float, elapsed: float = 0.0
    ) -> bool:
        """Begin, or resume `elapsed` seconds after the first datagram; True if the bytes are to be sent now.

        `match` is the request's branch and method. Resuming sends at once and goes on with timer E's rhythm for
        what is left of timer F; False when nothing is left (the next `tick` reports it). A token that is open
        already is given up for the new one. Raises NoRoom, and ValueError if the branch is another token's.
        """
        self.cancel(token)
        previous = self._by_match.get(match)
        if previous is not None:
            if previous.state is not State.COMPLETED:
                raise ValueError("another token's transaction has this branch")
            self._forget(previous)
        elif not self.room:
            raise NoRoom("too many transactions are open")
        elapsed = max(0.0, elapsed)
        offset, interval = 0.0, T1_SECONDS
        while offset + interval <= elapsed < TIMER_F_SECONDS:
            offset += interval
            interval = min(2 * interval, T2_SECONDS)
        started_at = now - elapsed
        ends_at = started_at + TIMER_F_SECONDS
        sent_at = None if elapsed else now
        resend_at = started_at + offset + interval
        sent = _Sent(token, outgoing, match, State.TRYING, interval, resend_at, ends_at, sent_at)
        self._by_token[token] = self._by_match[match] = sent
        self._push(sent)
        return elapsed < TIMER_F_SECONDS

    def cancel(self, token: Hashable) -> None:
        """Send nothing more and report nothing; a late response is still absorbed until timer F."""
        sent = self._by_token.pop(token, None)
        if sent is not None:
            sent.state, sent.resend_at = State.COMPLETED, math.inf
            self._push(sent)

    def receive(self, response: Response, now: float) -> tuple[bool, Final | None]:
        """(Is it ours?, what it ends if it was the first final response).

        Source: RFC 3261 17.1.3 (top branch and CSeq method), 17.1.2.2, and 8.1.3.3 (more than one Via: not
        for us).
        """
        sent = self._by_match.get((response.via.branch, response.cseq.method))
        if sent is None or len(response.vias) != 1:
            return False, None
        if sent.state is State.COMPLETED:
            return True, None
        if response.status < 200:
            sent.state = State.PROCEEDING
            return True, None
        self._by_token.pop(sent.token)
        sent.state, sent.resend_at, sent.ends_at = State.COMPLETED, math.inf, now + TIMER_K_SECONDS
        self._push(sent)
        return True, Final(sent.token, None if sent.sent_at is None else max(0.0, now - sent.sent_at))

    def tick(self, now: float) -> tuple[list[Outgoing], list[Hashable]]:
        """What timer E sends again, and whose timer F has run out."""
        resends: list[Outgoing] = []
        timed_out: list[Hashable] = []
        while (deadline := self.next_deadline()) is not None and deadline <= now:
            sent = heapq.heappop(self._queue)[2]
            if sent.ends_at <= now:
                if sent.state is not State.COMPLETED:
                    timed_out.append(sent.token)
                self._forget(sent)
                continue
            resends.append(sent.outgoing)
            sent.sent_at = None
            # RFC 3261 17.1.2.2: doubling up to T2 while Trying, every T2 while Proceeding.
            sent.interval = T2_SECONDS if sent.state is State.PROCEEDING else min(2 * sent.interval, T2_SECONDS)
            sent.resend_at = now + sent.interval
            self._push(sent)
        return resends, timed_out

    def next_deadline(self) -> float | None:
        """When `tick` has work again."""
        while self._queue:
            deadline, _, sent = self._queue[0]
            if self._by_match.get(sent.match) is sent and sent.deadline == deadline:
                return deadline
            heapq.heappop(self._queue)
        return None

    def _push(self, sent: _Sent) -> None:
        self._serial += 1
        heapq.heappush(self._queue, (sent.deadline, self._serial, sent))

    def _forget(self, sent: _Sent) -> None:
        if self._by_token.get(sent.token) is sent:
            del self._by_token[sent.token]
        if self._by_match.get(sent.match) is sent:
            del self._by_match[sent.match]
