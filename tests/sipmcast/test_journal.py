"""What was said last, in memory: whole exchanges, bounded, the stored and over ones forgotten."""

import tracemalloc
from pathlib import Path

import pytest

from sipmcast import journal
from sipmcast.agent import Agent
from sipmcast.events import Leg, Outgoing, PhoneSighted
from sipmcast.pnp import NotifyIds, Telling, notify_datagram

DATAGRAMS = Path(__file__).parent.parent / "datagrams"
GUIDE = (DATAGRAMS / "subscribe-gxp1628.sip").read_bytes()
PHONE = ("172.18.32.197", 5060)
LEG = Leg("eth0", "172.18.0.10", 6060)
OURS = ("172.18.0.10", 6060)


def notify(branch: str = "z9hG4bKours") -> bytes:
    return notify_datagram(
        phone=PHONE, ours=OURS, telling=Telling("ua-profile", "http://172.18.0.10/x"), ids=NotifyIds(branch, "t", "c")
    )


def answer_to(request: bytes, status: str) -> bytes:
    """What a phone sends back: the same header fields (RFC 3261 8.2.6.2)."""
    head = request.partition(b"\r\n\r\n")[0].split(b"\r\n")[1:]
    kept = [line for line in head if line.split(b":")[0] in (b"Via", b"From", b"To", b"Call-ID", b"CSeq")]
    return b"\r\n".join([f"SIP/2.0 {status}".encode(), *kept, b"Content-Length: 0", b"", b""])


def hear(agent: Agent, datagram: bytes, now: float, group: bool = True) -> str:
    agent.receive(datagram, PHONE, LEG, now, 1.7e9, group=group)
    agent.take_datagrams()
    events = agent.take_events()
    return events[0].key if events and isinstance(events[0], PhoneSighted) else ""


def said(exchange: journal.Exchange) -> list[tuple[bool, str, int]]:
    """Who said what, and how often again."""
    return [(one.sent, one.datagram.split(b"\r\n")[0].decode(), one.repeats) for one in exchange.messages]


@pytest.fixture
def agent() -> Agent:
    return Agent(b"key")


def test_a_subscribe_and_its_200_are_one_exchange_with_their_repeats(agent):
    key = hear(agent, GUIDE, 100.0)
    hear(agent, GUIDE, 100.5)  # our answer is not there yet
    agent.answer(key, 100.6)
    hear(agent, GUIDE, 101.5)
    (exchange,) = agent.journal.ripe(103.0, 10)
    assert exchange.mac == "000B82273B89"
    request = GUIDE.split(b"\r\n")[0].decode()
    assert said(exchange) == [(False, request, 2), (True, "SIP/2.0 200 OK", 1)]
    heard, answered = exchange.messages
    assert (heard.on_group, heard.theirs, heard.again) == (True, PHONE, (100.5, 101.5))
    assert (answered.ours, answered.theirs, answered.at) == (OURS, PHONE, 100.6)


def test_a_notify_is_told_with_every_resend_login_and_answer(agent):
    first, second = notify(), notify("z9hG4bKlogin")
    agent.notify(7, first, "z9hG4bKours", PHONE, LEG, 0.0)
    agent.tick(0.5)
    agent.tick(1.5)
    hear(agent, answer_to(first, "401 Unauthorized"), 1.6, group=False)
    agent.notify(7, second, "z9hG4bKlogin", PHONE, LEG, 1.7)
    hear(agent, answer_to(second, "100 Trying"), 1.8, group=False)
    hear(agent, answer_to(second, "200 OK"), 1.9, group=False)
    hear(agent, answer_to(second, "200 OK"), 2.0, group=False)
    (exchange,) = agent.journal.ripe(4.0, 10)
    request = first.split(b"\r\n")[0].decode()
    assert (exchange.token, exchange.mac) == (7, "")
    assert said(exchange) == [
        (True, request, 2),
        (False, "SIP/2.0 401 Unauthorized", 0),
        (True, request, 0),
        (False, "SIP/2.0 100 Trying", 0),
        (False, "SIP/2.0 200 OK", 1),
    ]


def test_another_vendors_phone_is_written_down_too_and_got_no_answer_on_the_group(agent):
    foreign = GUIDE.replace(b"Grandstream", b"Otherstream").replace(b"000b82", b"0004f2").replace(b"000B82", b"0004F2")
    hear(agent, foreign, 100.0)
    (exchange,) = agent.journal.ripe(103.0, 10)
    assert [message.sent for message in exchange.messages] == [False]


def test_who_only_asks_whether_a_phone_is_there_leaves_nothing(agent):
    agent.ping(1, PHONE, LEG, 0.0)
    agent.tick(0.5)
    assert len(agent.journal) == 0


def test_what_rests_is_stored_once_and_again_only_if_something_came(agent):
    key = hear(agent, GUIDE, 100.0)
    log = agent.journal
    assert log.ripe(100.5, 10) == []
    taken = log.ripe(101.5, 10)
    agent.answer(key, 102.0)  # while the store is at it
    log.stored(taken, 101.5)
    again = log.ripe(103.5, 10)
    assert [len(one.messages) for one in again] == [2]
    log.stored(again, 103.5)
    assert log.ripe(110.0, 10) == [] and len(log) == 1  # a repeat may still come
    assert log.ripe(137.0, 10) == [] and len(log) == 0


def test_one_that_never_rests_is_stored_all_the_same(agent):
    key = hear(agent, GUIDE, 100.0)
    agent.answer(key, 100.0)
    for tenth in range(1, 45):
        hear(agent, GUIDE, 100.0 + tenth / 10)
    (exchange,) = agent.journal.ripe(104.5, 10)
    assert exchange.messages[0].repeats == 44
    assert len(exchange.messages[0].again) == journal.MAX_AGAIN


def test_mere_repeats_are_stored_seldom_and_an_answer_soon(agent):
    request, log = notify(), agent.journal
    agent.notify(7, request, "z9hG4bKours", PHONE, LEG, 0.0)
    stored = []
    for tenth in range(320):
        now = tenth / 10
        agent.tick(now)
        if taken := log.ripe(now, 10):
            stored.append(now)
            log.stored(taken, now)
    assert len(stored) <= 5 and stored[0] < 5
    hear(agent, answer_to(request, "200 OK"), 31.95, group=False)
    assert log.ripe(33.0, 10)


def test_the_oldest_gives_way_and_is_counted_if_it_was_not_stored():
    log = journal.Journal(max_exchanges=3)
    for number in range(5):
        log.heard(f"key-{number}", f"{number:012X}", b"x", PHONE, LEG, float(number), True)
    assert (len(log), log.lost) == (3, 2)
    assert [one.mac for one in log.ripe(100.0, 10)] == [f"{number:012X}" for number in (2, 3, 4)]


def test_bytes_are_bounded_whatever_a_stranger_sends():
    log = journal.Journal(max_bytes=10_000)
    for number in range(50):
        log.heard(f"key-{number}", f"{number:012X}", b"x" * 16_000, PHONE, LEG, float(number), True)
    kept = log.ripe(100.0, 100)
    assert sum(len(message.datagram) for one in kept for message in one.messages) <= 10_000
    assert kept[0].messages[0].size == 16_000


@pytest.mark.parametrize(("messages", "repeats"), [(1, 0), (24, 0), (2, 12)])
def test_the_bound_is_of_memory_and_not_of_datagrams_alone(messages, repeats):
    tracemalloc.start()
    try:
        log, before = journal.Journal(max_bytes=1_000_000), tracemalloc.get_traced_memory()[0]
        for number in range(5_000):
            now, branch = float(number), f"z9hG4bK{number:032}"
            log.opened(number, branch, Outgoing(f"NOTIFY {number}".encode(), PHONE, LEG), now)
            for answer in range(1, messages):
                for again in range(1 + repeats):
                    log.answer_heard(branch, f"SIP/2.0 1{answer:02} {number}".encode(), PHONE, LEG, now + again / 100)
        grown = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert 500_000 < grown < 1_200_000


def test_a_phone_that_answers_with_ever_new_words_fills_nothing(agent):
    request = notify()
    agent.notify(7, request, "z9hG4bKours", PHONE, LEG, 0.0)
    for number in range(100):
        hear(agent, answer_to(request, f"100 Try {number}"), 0.1, group=False)
    (exchange,) = agent.journal.ripe(5.0, 10)
    assert len(exchange.messages) == journal.MAX_MESSAGES


def test_what_is_forgotten_leaves_no_trace(agent):
    log = agent.journal
    agent.notify(7, notify(), "z9hG4bKours", PHONE, LEG, 0.0)
    log.stored(log.ripe(2.0, 10), 2.0)
    log.ripe(60.0, 10)
    assert (len(log), log._by_branch, log._by_request, log._bytes) == (0, {}, {}, 0)
    assert "http://" not in repr(log.ripe(60.0, 10))


def test_no_secret_is_in_the_repr_of_an_exchange(agent):
    agent.notify(7, notify(), "z9hG4bKours", PHONE, LEG, 0.0)
    assert "http://" not in repr(agent.journal.ripe(5.0, 10))
