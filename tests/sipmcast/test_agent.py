"""The user agent's manners: who is answered, where, with which bytes, and who hears nothing."""

from __future__ import annotations

import pytest

from sipmcast.agent import Agent, Leg, Outgoing
from sipmcast.events import PhoneSighted
from tests.support.agent_bench import FILES, GUIDE, LEG, OPTIONS, PHONE, Bench, answer_to, method


@pytest.mark.parametrize("group", [True, False])
def test_a_subscribe_is_held_until_told_and_then_answered_once(bench: Bench, group: bool) -> None:
    key = bench.sighted(group=group)
    sent = bench.answered(key)
    assert sent[0].destination == PHONE and sent[0].leg == LEG
    assert bench.answered(key) == []
    assert bench.answered("unknown") == []


def test_the_200_is_what_the_phone_waits_for(bench: Bench) -> None:
    written = bench.answered(bench.sighted())[0].datagram
    tag = answer_to([Outgoing(written, PHONE, LEG)]).to.tag
    assert tag is not None and len(tag) == 16
    assert written == (
        b"SIP/2.0 200 OK\r\n"
        b"Via: SIP/2.0/UDP 172.18.32.197:5060;branch=z9hG4bK458721093;rport=5060;received=172.18.32.197\r\n"
        b"From: <sip:MAC%3A000B82273B89@224.0.1.75>;tag=1692014507\r\n"
        b"To: <sip:MAC%3A000B82273B89@224.0.1.75>;tag=" + tag.encode() + b"\r\n"
        b"Call-ID: 1278367207-5060-1@BHC.BI.DC.BJH\r\n"
        b"CSeq: 20000 SUBSCRIBE\r\n"
        b"Contact: <sip:172.18.0.10:6060>\r\n"
        b"Expires: 0\r\n"
        b"Content-Length: 0\r\n\r\n"
    )


def test_an_ipv6_leg_has_brackets_in_its_contact(bench: Bench) -> None:
    leg = Leg("eth0", "fe80::1%eth0", 6060)
    bench.agent.receive(FILES["odd-ipv6"], ("2001:db8::197", 5060), leg, bench.now, 0.0, group=True)
    (event,) = bench.agent.take_events()
    assert isinstance(event, PhoneSighted)
    answer = answer_to(bench.answered(event.key))
    assert answer.first("contact") == "<sip:[fe80::1]:6060>"


def test_the_200_goes_to_the_source_address_by_rport_or_by_sent_by(bench: Bench) -> None:
    source = ("172.18.32.197", 40000)
    for data, port in ((GUIDE, 40000), (GUIDE.replace(b";rport", b""), 5060)):
        _, events = bench.hear(data, source)
        assert isinstance(events[0], PhoneSighted)
        assert bench.answered(events[0].key)[0].destination == ("172.18.32.197", port)
        bench.now += 100
    elsewhere = GUIDE.replace(b";rport", b"").replace(b"UDP 172.18.32.197:5060", b"UDP 6.6.6.6:7000")
    _, events = bench.hear(elsewhere, source)
    assert isinstance(events[0], PhoneSighted)
    assert bench.answered(events[0].key)[0].destination == ("172.18.32.197", 7000)


def test_a_retransmission_before_the_answer_is_absorbed(bench: Bench) -> None:
    bench.sighted()
    for _ in range(4):
        bench.now += 1
        assert bench.hear(GUIDE) == ([], [])
    assert bench.agent.counters["absorbed"] == 4


def test_a_retransmission_after_the_answer_gets_the_same_bytes_and_no_event(bench: Bench) -> None:
    first = bench.answered(bench.sighted())
    for _ in range(4):
        bench.now += 7
        assert bench.hear(GUIDE) == (first, [])
    assert bench.agent.counters["replayed"] == 4


def test_a_retransmission_after_a_restart_gets_the_same_bytes() -> None:
    first, restarted, other = Bench(), Bench(), Bench(b"another key")
    written = first.answered(first.sighted())
    assert restarted.answered(restarted.sighted()) == written
    assert other.answered(other.sighted()) != written


def test_the_tag_depends_on_call_id_from_tag_and_branch(bench: Bench) -> None:
    tags = set()
    for old, new in (
        (b"", b""),
        (b"Call-ID: 1", b"Call-ID: 2"),
        (b"tag=1", b"tag=2"),
        (b"z9hG4bK4", b"z9hG4bK5"),
    ):
        fresh = Bench()
        tags.add(answer_to(fresh.answered(fresh.sighted(GUIDE.replace(old, new)))).to.tag)
    assert len(tags) == 4


def test_after_timer_j_the_same_subscribe_is_news_again(bench: Bench) -> None:
    bench.answered(bench.sighted())
    bench.now += 32
    bench.sighted()


def test_a_held_answer_that_nobody_asks_for_is_forgotten(bench: Bench) -> None:
    key = bench.sighted()
    assert bench.agent.next_deadline() == bench.now + 32
    bench.now += 32
    bench.agent.tick(bench.now)
    assert bench.agent.next_deadline() is None
    assert bench.answered(key) == []


def test_the_same_subscribe_heard_on_two_legs_is_one_sighting(bench: Bench) -> None:
    bench.sighted()
    bench.agent.receive(GUIDE, PHONE, Leg("eth1", "172.18.0.11", 6060), bench.now, 0.0, group=True)
    assert bench.agent.take_events() == []


def test_server_transactions_are_bounded() -> None:
    bench = Bench(max_transactions=2)
    keys = [bench.sighted(GUIDE.replace(b"458721093", b"%d" % number)) for number in range(3)]
    assert [len(bench.answered(key)) for key in keys] == [0, 1, 1]


def test_options_is_answered_on_the_unicast_socket(bench: Bench) -> None:
    sent, events = bench.hear(OPTIONS, group=False)
    answer = answer_to(sent)
    assert (answer.status, answer.first("allow")) == (200, "OPTIONS, SUBSCRIBE")
    assert answer.first("allow-events") == "ua-profile" and answer.to.tag
    assert events == []
    assert bench.hear(OPTIONS, group=False)[0] == sent


def test_an_agent_without_a_key_is_refused() -> None:
    with pytest.raises(ValueError):
        Agent(b"")


def test_an_extension_that_is_insisted_on_is_named_in_a_420(bench: Bench) -> None:
    """RFC 3261 8.2.2.3; a method that we do not do comes first (8.2.1)."""
    line = b"Require: nothingSupportsThis, norOther\r\nRequire: third\r\n"
    for data in (GUIDE, OPTIONS):
        required = data.replace(b"Max-Forwards", line + b"Max-Forwards", 1)
        sent, _ = bench.hear(required, group=False)
        answer = answer_to(sent)
        assert (answer.status, answer.first("unsupported")) == (420, "nothingSupportsThis, norOther, third")
        assert bench.hear(required, group=True)[0] == []
    sent, _ = bench.hear(method("INFO", GUIDE).replace(b"Max-Forwards", line + b"Max-Forwards", 1), group=False)
    assert answer_to(sent).status == 405


def test_a_withheld_phone_is_never_answered(bench: Bench) -> None:
    key = bench.sighted()
    bench.agent.withhold(key)
    assert bench.answered(key) == [] and bench.hear(GUIDE)[0] == []
