"""Transactions with a clock that is a number."""

from __future__ import annotations

from pathlib import Path

import pytest

from sipmcast.events import Leg, Outgoing
from sipmcast.sip.message import Request, Response, parse_message
from sipmcast.transaction import (
    TIMER_F_SECONDS,
    TIMER_J_SECONDS,
    TIMER_K_SECONDS,
    ClientTransactions,
    Final,
    NoRoom,
    ServerTransactions,
    server_key,
)

DATAGRAMS = Path(__file__).parent.parent / "datagrams"
SUBSCRIBE = (DATAGRAMS / "subscribe-gxp1628.sip").read_bytes()
OLD_STYLE = (DATAGRAMS / "subscribe-snom720.sip").read_bytes()
NOTIFY = (DATAGRAMS / "notify-guide.sip").read_bytes()
ANSWER = (DATAGRAMS / "response-200.sip").read_bytes()
LEG = Leg("eth0", "172.18.0.10", 6060)
OUT = Outgoing(NOTIFY, ("172.18.32.197", 5060), LEG)
MATCH = ("z9hG4bK-d8754z-6b22332837742742-1---d8754z-", "NOTIFY")
# RFC 3261 17.1.2.2 with T1 0.5 s and T2 4 s.
TIMER_E_AT = [0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5]


def request(data: bytes) -> Request:
    message = parse_message(data)
    assert isinstance(message, Request)
    return message


def response(status: int = 200, data: bytes = ANSWER) -> Response:
    message = parse_message(data.replace(b"200 OK", b"%d Said" % status))
    assert isinstance(message, Response)
    return message


def key(data: bytes, host: str = "192.0.2.7") -> str:
    return server_key(request(data), host)


def test_same_branch_sent_by_and_method_are_one_transaction_whatever_else_differs() -> None:
    assert key(SUBSCRIBE) == key(SUBSCRIBE.replace(b"Max-Forwards: 70", b"Max-Forwards: 69"))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"z9hG4bK458721093", b"z9hG4bK458721094"),
        (b"UDP 172.18.32.197:5060", b"UDP 172.18.32.197:5061"),
        (b"UDP 172.18.32.197:5060", b"UDP 172.18.32.198:5060"),
        (b"UDP 172.18.32.197:5060", b"UDP 172.18.32.197"),
        (b"SUBSCRIBE", b"NOTIFY"),
    ],
)
def test_another_branch_sent_by_or_method_is_another_transaction(old: bytes, new: bytes) -> None:
    assert key(SUBSCRIBE) != key(SUBSCRIBE.replace(old, new))


def test_a_long_branch_costs_no_memory_and_stays_unique() -> None:
    long = [SUBSCRIBE.replace(b"z9hG4bK458721093", b"z9hG4bK" + tail * 1000) for tail in (b"a", b"b")]
    assert key(long[0]) != key(long[1])
    assert max(len(key(data)) for data in long) <= 200


def test_the_bare_cookie_names_nobody() -> None:
    """RFC 4475 3.2.1: two phones with that firmware must not get each other's answer."""
    bare = SUBSCRIBE.replace(b"z9hG4bK458721093", b"z9hG4bK")
    assert key(bare) != key(bare.replace(b"Call-ID: 1", b"Call-ID: 2"))


def test_a_withheld_answer_is_never_sent() -> None:
    served = ServerTransactions()
    served.open("k", OUT, 0.0)
    served.withhold("k")
    assert served.knows("k", 1.0) and served.complete("k", 1.0) is None and served.replay("k") is None
    served.open("answered", OUT, 0.0)
    served.complete("answered", 1.0)
    served.withhold("answered")
    assert served.replay("answered") == OUT


def test_a_stranger_cannot_use_up_a_phones_branch() -> None:
    assert key(SUBSCRIBE, "192.0.2.7") != key(SUBSCRIBE, "192.0.2.8")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"Call-ID: 1930770594", b"Call-ID: 1930770595"),
        (b"CSeq: 1", b"CSeq: 2"),
        (b"tag=658512961", b"tag=658512962"),
        (b"@fake SIP", b"@real SIP"),
        (b";rport", b";rport;branch=old"),
    ],
)
def test_a_sender_without_a_cookie_is_known_by_its_other_headers(old: bytes, new: bytes) -> None:
    assert key(OLD_STYLE) == key(OLD_STYLE.replace(b"Expires: 0", b"Expires: 1"))
    assert key(OLD_STYLE) != key(OLD_STYLE.replace(old, new))


def test_server_transaction_absorbs_then_replays_then_is_forgotten() -> None:
    served = ServerTransactions()
    served.open("k", OUT, 100.0)
    assert served.knows("k", 101.0) and served.replay("k") is None
    assert served.complete("k", 102.0) == OUT
    assert served.complete("k", 102.0) is None
    assert served.knows("k", 133.9) and served.replay("k") == OUT
    assert served.next_deadline() == 102.0 + TIMER_J_SECONDS
    assert not served.knows("k", 134.0)
    assert served.next_deadline() is None and served.replay("k") is None


def test_a_transaction_that_nobody_answers_is_forgotten_too() -> None:
    served = ServerTransactions()
    served.open("k", OUT, 0.0)
    assert served.complete("k", TIMER_J_SECONDS) is None
    assert len(served) == 0


def test_a_transaction_without_an_answer_only_absorbs() -> None:
    served = ServerTransactions()
    served.open("k", None, 0.0)
    assert served.knows("k", 1.0) and served.complete("k", 1.0) is None and served.replay("k") is None


def test_server_transactions_are_bounded_in_number_and_in_bytes() -> None:
    served = ServerTransactions(limit=3)
    for name in "abcd":
        served.open(name, OUT, 0.0)
    assert [served.knows(name, 0.0) for name in "abcd"] == [False, True, True, True]
    small = ServerTransactions(max_bytes=2 * len(NOTIFY))
    for name in "abc":
        small.open(name, OUT, 0.0)
    small.open("c", OUT, 0.0)
    assert [small.knows(name, 0.0) for name in "abc"] == [False, True, True]
    small.expire(TIMER_J_SECONDS)
    for name in "de":
        small.open(name, OUT, 40.0)
    assert len(small) == 2


def run(sent: ClientTransactions, until: float) -> tuple[list[float], list[tuple[float, int]]]:
    """Follow next_deadline to `until`: (when something was resent, when which token timed out)."""
    resent: list[float] = []
    timed_out: list[tuple[float, int]] = []
    while (deadline := sent.next_deadline()) is not None and deadline <= until:
        again, tokens = sent.tick(deadline)
        assert all(outgoing == OUT for outgoing in again)
        resent += [deadline] * len(again)
        timed_out += [(deadline, token) for token in tokens]
    return resent, timed_out


def test_timer_e_doubles_to_t2_and_timer_f_ends_it() -> None:
    sent = ClientTransactions()
    assert sent.open(7, OUT, MATCH, 0.0)
    assert run(sent, 1000.0) == (TIMER_E_AT, [(TIMER_F_SECONDS, 7)])
    assert len(sent) == 0 and sent.next_deadline() is None


@pytest.mark.parametrize("elapsed", [0.2, 0.5, 3.0, 10.0, 31.0, 31.9])
def test_a_resumed_transaction_keeps_the_rhythm_of_what_is_left(elapsed: float) -> None:
    sent = ClientTransactions()
    assert sent.open(7, OUT, MATCH, 1000.0, elapsed)
    resent, timed_out = run(sent, 2000.0)
    assert [when - 1000.0 + elapsed for when in resent] == pytest.approx([at for at in TIMER_E_AT if at > elapsed])
    ((ended, token),) = timed_out
    assert token == 7 and ended == pytest.approx(1000.0 - elapsed + TIMER_F_SECONDS)


@pytest.mark.parametrize("elapsed", [32.0, 1e9])
def test_a_transaction_resumed_too_late_sends_nothing_and_times_out(elapsed: float) -> None:
    sent = ClientTransactions()
    assert not sent.open(7, OUT, MATCH, 1000.0, elapsed)
    assert sent.tick(1000.0) == ([], [7])


def test_a_clock_that_went_back_counts_as_no_time() -> None:
    sent = ClientTransactions()
    assert sent.open(7, OUT, MATCH, 0.0, -5.0)
    assert run(sent, 1000.0) == (TIMER_E_AT, [(TIMER_F_SECONDS, 7)])


def test_after_a_provisional_response_it_resends_every_t2() -> None:
    sent = ClientTransactions()
    sent.open(7, OUT, MATCH, 0.0)
    assert run(sent, 0.6)[0] == [0.5]
    assert sent.receive(response(100), 0.7) == (True, None)
    assert run(sent, 1000.0) == ([1.5, 5.5, 9.5, 13.5, 17.5, 21.5, 25.5, 29.5], [(32.0, 7)])


@pytest.mark.parametrize("status", [200, 202, 302, 489, 503, 600])
def test_the_first_final_response_ends_it_and_repeats_are_absorbed_for_timer_k(status: int) -> None:
    sent = ClientTransactions()
    sent.open(7, OUT, MATCH, 0.0)
    assert sent.receive(response(status), 0.2) == (True, Final(7, 0.2))
    assert sent.receive(response(status), 0.3) == (True, None)
    assert sent.receive(response(100), 0.3) == (True, None)
    assert run(sent, 0.2 + TIMER_K_SECONDS) == ([], [])
    assert sent.receive(response(status), 6.0) == (False, None)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"branch=z9hG4bK-d8754z", b"branch=z9hG4bK-d8755z"),
        (b"CSeq: 1 NOTIFY", b"CSeq: 1 INFO"),
        (b";rport", b";rport, SIP/2.0/UDP other"),
    ],
)
def test_a_response_of_another_branch_method_or_route_is_not_ours(old: bytes, new: bytes) -> None:
    sent = ClientTransactions()
    sent.open(7, OUT, MATCH, 0.0)
    assert sent.receive(response(200, ANSWER.replace(old, new)), 0.2) == (False, None)
    assert len(sent) == 1


def test_a_response_that_a_late_clock_brings_still_counts() -> None:
    sent = ClientTransactions()
    sent.open(7, OUT, MATCH, 0.0)
    assert sent.receive(response(200), 40.0) == (True, Final(7, 40.0))
    assert run(sent, 100.0) == ([], [])


def test_a_late_tick_resends_once_and_not_in_a_burst() -> None:
    sent = ClientTransactions()
    sent.open(7, OUT, MATCH, 0.0)
    assert sent.tick(20.0) == ([OUT], [])
    assert sent.tick(20.0) == ([], [])
    assert sent.tick(33.0) == ([], [7])


def test_a_cancelled_one_is_silent_and_its_answer_is_no_stranger() -> None:
    sent = ClientTransactions()
    sent.open(7, OUT, MATCH, 0.0)
    sent.cancel(7)
    sent.cancel(8)
    assert run(sent, 5.0) == ([], []) and len(sent) == 0
    assert sent.receive(response(200), 5.0) == (True, None)
    assert run(sent, 100.0) == ([], [])
    assert sent.next_deadline() is None


def test_opening_a_token_again_gives_up_the_former() -> None:
    sent = ClientTransactions()
    other = Outgoing(NOTIFY.replace(b"z9hG4bK-d", b"z9hG4bK-e"), OUT.destination, LEG)
    sent.open(7, other, ("z9hG4bK-other", "NOTIFY"), 0.0)
    sent.open(7, OUT, MATCH, 0.0)
    sent.open(7, OUT, MATCH, 1.0)
    assert run(sent, 100.0) == ([1.0 + at for at in TIMER_E_AT], [(33.0, 7)])
    sent.open(7, OUT, MATCH, 0.0)
    with pytest.raises(ValueError, match="branch"):
        sent.open(8, OUT, MATCH, 0.0)


def test_the_round_trip_is_told_only_if_no_resend_makes_it_ambiguous() -> None:
    """Karn's rule: nobody knows which of two datagrams an answer belongs to."""
    sent = ClientTransactions()
    sent.open(7, OUT, MATCH, 0.0)
    sent.tick(0.5)
    assert sent.receive(response(200), 0.6) == (True, Final(7, None))
    sent.open(8, OUT, MATCH, 10.0, 3.0)
    assert sent.receive(response(200), 10.1) == (True, Final(8, None))


def test_client_transactions_are_bounded_and_late_answers_count_as_open() -> None:
    sent = ClientTransactions(limit=2)
    for token in range(2):
        sent.open(token, OUT, (f"z9hG4bK-{token}", "NOTIFY"), 0.0)
    assert sent.room == 0
    with pytest.raises(NoRoom):
        sent.open(2, OUT, MATCH, 0.0)
    sent.cancel(0)
    assert sent.room == 0
    assert run(sent, TIMER_F_SECONDS)[1] == [(TIMER_F_SECONDS, 1)]
    assert sent.room == 2 and sent.open(2, OUT, MATCH, 40.0)


def test_many_transactions_keep_their_own_clocks() -> None:
    sent = ClientTransactions()
    for token in range(50):
        sent.open(token, OUT, (f"z9hG4bK-{token}", "NOTIFY"), token / 10)
    count = 0
    ended = []
    while (deadline := sent.next_deadline()) is not None:
        again, tokens = sent.tick(deadline)
        count += len(again)
        ended += tokens
    assert count == 50 * len(TIMER_E_AT) and ended == list(range(50))
