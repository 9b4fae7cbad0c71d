"""The user agent's manners: who is answered, where, with which bytes, and who hears nothing."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sipmcast.agent import DETAIL_LIMIT, Agent, Leg, Outgoing
from sipmcast.events import Event, ForeignSighted, Ignored, NotifyAnswered, NotifyTimedOut, PhoneSighted, PingEnded
from sipmcast.pnp import NotifyIds, Served, Telling, notify_datagram
from sipmcast.sip.grammar import MAX_DATAGRAM_BYTES
from sipmcast.sip.message import Response, parse_message

DATAGRAMS = Path(__file__).parent.parent / "datagrams"
FILES = {path.stem: path.read_bytes() for path in sorted(DATAGRAMS.glob("*.sip"))}
GUIDE = FILES["subscribe-gxp1628"]
PHONE = ("172.18.32.197", 5060)
LEG = Leg("eth0", "172.18.0.10", 6060)
OPTIONS = GUIDE.replace(b"SUBSCRIBE sip", b"OPTIONS sip").replace(b"20000 SUBSCRIBE", b"1 OPTIONS")
NOTIFY = notify_datagram(
    phone=PHONE,
    ours=("172.18.0.10", 6060),
    telling=Telling("ua-profile", "http://172.18.0.10/x"),
    ids=NotifyIds("z9hG4bKours", "t", "c"),
)


class Bench:
    """An agent with a clock and one leg; `hear` returns what it sends and says."""

    def __init__(self, key: bytes = b"key", **options: Any) -> None:
        self.agent = Agent(key, **options)
        self.now = 1000.0

    def hear(
        self, data: bytes, source: tuple[str, int] = PHONE, *, group: bool = True
    ) -> tuple[list[Outgoing], list[Event]]:
        self.agent.receive(data, source, LEG, self.now, 1.7e9, group=group)
        return self.agent.take_datagrams(), self.agent.take_events()

    def sighted(self, data: bytes = GUIDE, *, group: bool = True) -> str:
        sent, events = self.hear(data, group=group)
        assert sent == [] and isinstance(events[0], PhoneSighted)
        return events[0].key

    def answered(self, key: str) -> list[Outgoing]:
        self.agent.answer(key, self.now)
        return self.agent.take_datagrams()


@pytest.fixture
def bench() -> Bench:
    return Bench()


def answer_to(sent: list[Outgoing]) -> Response:
    assert len(sent) == 1
    message = parse_message(sent[0].datagram)
    assert isinstance(message, Response)
    return message


def method(name: str, data: bytes = GUIDE) -> bytes:
    text = name.encode()
    return data.replace(b"SUBSCRIBE sip", text + b" sip").replace(b"20000 SUBSCRIBE", b"20000 " + text)


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


FOREIGN = ("yealink-w52p", "yealink-t21p", "yealink-t53w", "snom720", "planet")


@pytest.mark.parametrize("name", FOREIGN)
def test_another_vendors_phone_is_shown_once_and_never_answered_on_the_group(bench: Bench, name: str) -> None:
    data = FILES[f"subscribe-{name}"]
    sent, events = bench.hear(data)
    assert sent == [] and len(events) == 1
    assert isinstance(events[0], ForeignSighted) and not events[0].sighting.ours
    assert bench.hear(data) == ([], [])
    assert bench.agent.counters["foreign"] == 1


@pytest.mark.parametrize("name", FOREIGN)
def test_another_vendors_phone_that_asks_us_alone_is_shown_once_and_refused(bench: Bench, name: str) -> None:
    data = FILES[f"subscribe-{name}"]
    sent, events = bench.hear(data, group=False)
    assert sent[0].datagram.startswith(b"SIP/2.0 403 Forbidden\r\n") and sent[0].destination[0] == PHONE[0]
    assert len(events) == 1 and isinstance(events[0], ForeignSighted)
    bench.now += 4
    assert bench.hear(data, group=False) == (sent, [])
    restarted = Bench()
    assert restarted.hear(data, group=False)[0] == sent
    counters = bench.agent.counters
    assert (counters["foreign"], counters["refused"], counters["replayed"]) == (1, 1, 1)


def test_a_refusal_is_not_repeated_on_the_group(bench: Bench) -> None:
    """A foreign phone may ask both ways with one transaction; its own server is on the group."""
    data = FILES["subscribe-snom720"]
    sent, _ = bench.hear(data, group=False)
    assert bench.hear(data) == ([], [])
    assert bench.hear(data, group=False) == (sent, [])


NO_SUBSCRIBES = ("bad-", "no-mac", "response-", "http", "keepalive")
SILENT_ON_THE_GROUP = {
    **{name: data for name, data in FILES.items() if name.startswith(NO_SUBSCRIBES)},
    "audiocodes": FILES["subscribe-audiocodes"],
    "notify": FILES["notify-guide"],
    "options": OPTIONS,
    "invite": method("INVITE"),
    "ack": method("ACK"),
    "presence": GUIDE.replace(b"ua-profile", b"presence"),
    "no event": GUIDE.replace(b"Event:", b"X-Event:"),
    "bad event": GUIDE.replace(b"Event: ua", b"Event: ;ua"),
    "too large": GUIDE + b"x" * MAX_DATAGRAM_BYTES,
    "empty": b"",
}


@pytest.mark.parametrize("name", SILENT_ON_THE_GROUP)
def test_all_else_on_the_group_is_silence_a_counter_and_one_event(bench: Bench, name: str) -> None:
    sent, events = bench.hear(SILENT_ON_THE_GROUP[name])
    assert sent == [] and len(events) == 1
    (ignored,) = events
    assert isinstance(ignored, Ignored) and ignored.source == PHONE
    assert bench.agent.counters[ignored.reason] == 1
    assert bench.agent.next_deadline() is None


def test_options_is_answered_on_the_unicast_socket(bench: Bench) -> None:
    sent, events = bench.hear(OPTIONS, group=False)
    answer = answer_to(sent)
    assert (answer.status, answer.first("allow")) == (200, "OPTIONS, SUBSCRIBE")
    assert answer.first("allow-events") == "ua-profile" and answer.to.tag
    assert events == []
    assert bench.hear(OPTIONS, group=False)[0] == sent


@pytest.mark.parametrize(
    ("data", "status", "header", "value"),
    [
        (GUIDE.replace(b"Event: ua-profile", b"Event: presence"), 489, "allow-events", "ua-profile"),
        (GUIDE.replace(b"Event:", b"X-Event:"), 489, "allow-events", "ua-profile"),
        (GUIDE.replace(b"Event: ua", b"Event: ;ua"), 400, "content-length", "0"),
        (method("INVITE"), 405, "allow", "OPTIONS, SUBSCRIBE"),
        (method("NOTIFY"), 405, "allow", "OPTIONS, SUBSCRIBE"),
        (method("subscribe"), 405, "allow", "OPTIONS, SUBSCRIBE"),
        (GUIDE.replace(b"MAC%3A000B82273B89@", b"phone@"), 404, "content-length", "0"),
        (FILES["no-mac"], 404, "content-length", "0"),
        (FILES["no-mac-11-digits"], 404, "content-length", "0"),
        (FILES["subscribe-audiocodes"], 404, "content-length", "0"),
        (FILES["bad-version"], 505, "content-length", "0"),
        (FILES["bad-scheme"], 416, "content-length", "0"),
        (FILES["bad-no-colon"], 400, "content-length", "0"),
        (FILES["bad-length-too-long"], 400, "content-length", "0"),
        (FILES["bad-uri-spaces"], 400, "content-length", "0"),
        (FILES["bad-cseq-method"], 400, "content-length", "0"),
        (FILES["bad-cseq-huge"], 400, "content-length", "0"),
        (FILES["bad-doubled-tag"], 400, "content-length", "0"),
        (FILES["bad-from-open-quote"], 400, "content-length", "0"),
    ],
)
def test_refusals_on_the_unicast_socket_name_their_reason(
    bench: Bench, data: bytes, status: int, header: str, value: str
) -> None:
    sent, events = bench.hear(data, ("172.18.32.197", 40000), group=False)
    assert sent[0].datagram.startswith(b"SIP/2.0 %d " % status)
    assert sent[0].destination == ("172.18.32.197", 40000)
    lines = sent[0].datagram.decode("latin-1").lower().split("\r\n")
    assert f"{header}: {value}".lower() in lines
    assert any(line.startswith("to: ") and ";tag=" in line for line in lines)
    assert len(events) == 1 and isinstance(events[0], Ignored)
    assert bench.agent.counters["refused"] == 1
    assert bench.hear(data, ("172.18.32.197", 40000), group=False)[0] == sent


@pytest.mark.parametrize(
    "data",
    [
        method("ACK"),
        method("ACK", FILES["bad-length-too-long"]),
        FILES["bad-cut-short"],
        FILES["bad-nul"],
        FILES["bad-lone-cr"],
        FILES["http"],
        FILES["keepalive"],
        FILES["response-200"],
        FILES["response-bad-status"],
        GUIDE + b"x" * MAX_DATAGRAM_BYTES,
    ],
)
def test_what_cannot_or_must_not_be_answered_is_silence_there_too(bench: Bench, data: bytes) -> None:
    sent, events = bench.hear(data, group=False)
    assert sent == [] and len(events) == 1 and isinstance(events[0], Ignored)


@pytest.mark.parametrize(
    "source",
    [
        ("224.0.1.75", 5060),
        ("0.0.0.0", 5060),
        ("255.255.255.255", 5060),
        ("192.0.2.1", 0),
        ("phone", 5060),
        ("::", 1),
    ],
)
@pytest.mark.parametrize("group", [True, False])
def test_a_source_that_is_no_host_is_ignored(bench: Bench, source: tuple[str, int], group: bool) -> None:
    for data in (GUIDE, OPTIONS):
        sent, events = bench.hear(data, source, group=group)
        assert sent == [] and events == [Ignored("bad_source", source, "")]


def test_details_are_bounded_and_printable(bench: Bench) -> None:
    data = GUIDE.replace(b"MAC%3A000B82273B89@", b"\xe2\x80\xae\xff" + b"x" * 4000 + b"@")
    _, events = bench.hear(data)
    (ignored,) = events
    assert isinstance(ignored, Ignored) and ignored.reason == "no_mac"
    assert len(ignored.detail) <= DETAIL_LIMIT and ignored.detail.isprintable()


def phone_says(status: int, reason: str = "OK", data: bytes = NOTIFY) -> bytes:
    head = data.partition(b"\r\n\r\n")[0].partition(b"\r\n")[2].replace(b"Content-Length: 20", b"Content-Length: 0")
    return f"SIP/2.0 {status} {reason}\r\n".encode() + head + b"\r\n\r\n"


def test_a_notify_is_sent_resent_and_answered(bench: Bench) -> None:
    out = Outgoing(NOTIFY, PHONE, LEG)
    bench.agent.notify(7, NOTIFY, "z9hG4bKours", PHONE, LEG, bench.now)
    assert bench.agent.take_datagrams() == [out]
    assert bench.agent.next_deadline() == bench.now + 0.5
    bench.agent.tick(bench.now + 0.5)
    assert bench.agent.take_datagrams() == [out]
    bench.now += 0.6
    assert bench.hear(phone_says(100, "Trying"), group=False) == ([], [])
    assert bench.hear(phone_says(200), group=False) == ([], [NotifyAnswered(7, 200, "OK", branch="z9hG4bKours")])
    assert bench.hear(phone_says(200), group=False) == ([], [])
    bench.agent.tick(bench.now + 100)
    assert bench.agent.take_datagrams() == [] and bench.agent.take_events() == []
    counters = bench.agent.counters
    assert (counters["notify_sent"], counters["resent"], counters["notify_answered"]) == (1, 1, 1)


@pytest.mark.parametrize("status", [302, 400, 481, 489, 500, 603])
def test_a_refused_notify_says_which_and_in_the_phones_words(bench: Bench, status: int) -> None:
    bench.agent.notify(7, NOTIFY, "z9hG4bKours", PHONE, LEG, bench.now)
    bench.agent.take_datagrams()
    assert bench.hear(phone_says(status, "No\x1b[0m"), group=False) == (
        [],
        [NotifyAnswered(7, status, "No\ufffd[0m", branch="z9hG4bKours")],
    )


def test_an_unanswered_notify_times_out_after_32_seconds(bench: Bench) -> None:
    bench.agent.notify(7, NOTIFY, "z9hG4bKours", PHONE, LEG, 0.0)
    while (deadline := bench.agent.next_deadline()) is not None:
        bench.agent.tick(deadline)
    assert [out.datagram for out in bench.agent.take_datagrams()] == [NOTIFY] * 11
    assert bench.agent.take_events() == [NotifyTimedOut(7)]
    assert deadline is None


def test_a_notify_resumed_after_a_crash_sends_the_same_bytes_for_what_is_left(bench: Bench) -> None:
    bench.agent.notify(7, NOTIFY, "z9hG4bKours", PHONE, LEG, 0.0, elapsed=25.0)
    while (deadline := bench.agent.next_deadline()) is not None:
        bench.agent.tick(deadline)
        last = deadline
    assert [out.datagram for out in bench.agent.take_datagrams()] == [NOTIFY] * 3
    assert bench.agent.take_events() == [NotifyTimedOut(7)] and last == 7.0


def test_a_notify_resumed_too_late_times_out_at_once(bench: Bench) -> None:
    bench.agent.notify(7, NOTIFY, "z9hG4bKours", PHONE, LEG, 0.0, elapsed=32.0)
    assert bench.agent.take_datagrams() == [] and bench.agent.take_events() == [NotifyTimedOut(7)]


def test_a_cancelled_notify_is_silent(bench: Bench) -> None:
    bench.agent.notify(7, NOTIFY, "z9hG4bKours", PHONE, LEG, bench.now)
    bench.agent.take_datagrams()
    bench.agent.cancel(7)
    bench.agent.cancel(8)
    assert bench.hear(phone_says(200), group=False) == ([], [])
    bench.agent.tick(bench.now + 100)
    assert bench.agent.take_datagrams() == [] and bench.agent.take_events() == []


def test_responses_on_the_group_or_to_nothing_of_ours_are_ignored(bench: Bench) -> None:
    bench.agent.notify(7, NOTIFY, "z9hG4bKours", PHONE, LEG, bench.now)
    bench.agent.take_datagrams()
    assert bench.hear(phone_says(200)) == ([], [Ignored("response_on_group", PHONE, "")])
    stray = phone_says(200).replace(b"z9hG4bKours", b"z9hG4bKtheirs")
    assert bench.hear(stray, group=False) == ([], [Ignored("stray_response", PHONE, "200 NOTIFY")])


def test_an_agent_without_a_key_is_refused() -> None:
    with pytest.raises(ValueError):
        Agent(b"")


def test_the_next_deadline_is_the_earliest_of_both_kinds(bench: Bench) -> None:
    assert bench.agent.next_deadline() is None
    bench.sighted()
    assert bench.agent.next_deadline() == bench.now + 32
    bench.agent.notify(7, NOTIFY, "z9hG4bKours", PHONE, LEG, bench.now)
    assert bench.agent.next_deadline() == bench.now + 0.5


@pytest.mark.parametrize("seed", range(10))
def test_no_stranger_can_raise_or_be_answered_on_the_group(seed: int) -> None:
    chance = random.Random(seed)
    bench = Bench()
    bench.agent.notify(7, NOTIFY, "z9hG4bKours", PHONE, LEG, bench.now)
    bench.agent.take_datagrams()
    pool = [*FILES.values(), phone_says(200), OPTIONS]
    for _ in range(200):
        data = bytearray(chance.choice(pool))
        for _ in range(chance.randint(0, 4)):
            at = chance.randrange(len(data) + 1)
            data[at : at + chance.choice([0, 1, 9])] = bytes(
                chance.choices(b'";,<>:%\\\r\n =\xff\x000aZ', k=chance.randint(0, 3))
            )
        bench.now += chance.random()
        sent, events = bench.hear(bytes(data))
        for event in events:
            if isinstance(event, PhoneSighted):
                (out,) = bench.answered(event.key)
                answer = parse_message(out.datagram)
                assert isinstance(answer, Response) and answer.status == 200
                assert out.destination[0] == PHONE[0]
        # Without being told, only a replay of a 200 that was sent leaves on the group.
        assert all(out.datagram.startswith(b"SIP/2.0 200 ") for out in sent)
        for out in bench.hear(bytes(data), group=False)[0]:
            assert out.destination[0] == PHONE[0] and b"\r\n\r\n" in out.datagram


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=300), st.booleans(), st.text(max_size=8), st.integers(0, 65535))
def test_any_bytes_from_anywhere_are_survived(data: bytes, group: bool, host: str, port: int) -> None:
    bench = Bench()
    bench.hear(data, (host, port), group=group)
    sent, _ = bench.hear(data, group=group)
    assert sent == []


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


class TestPing:
    """OPTIONS to phones: is it there?"""

    def ask(self, bench: Bench) -> bytes:
        bench.agent.ping(7, PHONE, LEG, bench.now)
        (sent,) = bench.agent.take_datagrams()
        assert sent.destination == PHONE and sent.datagram.startswith(b"OPTIONS sip:172.18.32.197:5060 SIP/2.0\r\n")
        return sent.datagram

    def answer(self, question: bytes, status: bytes) -> bytes:
        head, _, rest = question.partition(b"\r\n")
        assert head
        return b"SIP/2.0 " + status + b"\r\n" + rest

    @pytest.mark.parametrize("status", [b"200 OK", b"486 Busy Here", b"404 Not Found", b"401 Unauthorized"])
    def test_any_final_answer_shows_that_it_is_there(self, bench: Bench, status: bytes) -> None:
        question = self.ask(bench)
        bench.now += 0.25
        assert bench.hear(self.answer(question, status), group=False)[1] == [PingEnded(7, True, 0.25)]

    def test_no_answer_within_timer_f_is_told_once(self, bench: Bench) -> None:
        self.ask(bench)
        events = []
        while (deadline := bench.agent.next_deadline()) is not None:
            bench.agent.tick(deadline)
            events += bench.agent.take_events()
        assert events == [PingEnded(7, False, None)]

    def test_a_second_question_waits_for_the_end_of_the_first(self, bench: Bench) -> None:
        self.ask(bench)
        bench.agent.ping(7, PHONE, LEG, bench.now)
        assert bench.agent.take_datagrams() == []

    def test_a_ping_and_a_notify_of_one_number_do_not_meet(self, bench: Bench) -> None:
        question = self.ask(bench)
        bench.agent.notify(7, NOTIFY, "z9hG4bKours", PHONE, LEG, bench.now)
        bench.agent.cancel(7)
        bench.hear(self.answer(question, b"200 OK"), group=False)
        assert bench.agent.counters["ping_answered"] == 1


class TestDoctor:
    """pnp_doctor asks from one of this machine's own addresses."""

    OURS = ("172.18.0.10", 40000)

    def question(self, vendor: bytes, mac: bytes = b"020B82273B89") -> bytes:
        return GUIDE.replace(b'vendor="Grandstream"', b'vendor="' + vendor + b'"').replace(b"000B82273B89", mac)

    def test_its_question_is_answered_at_once_and_is_no_phone(self) -> None:
        bench = Bench(name="4711")
        bench.agent.own_hosts = frozenset({"172.18.0.10"})
        sent, events = bench.hear(self.question(b"gspnp-doctor"), self.OURS)
        assert events == [] and answer_to(sent).first("x-gspnp") == "4711"

    def test_its_decoy_meets_silence(self, bench: Bench) -> None:
        bench.agent.own_hosts = frozenset({"172.18.0.10"})
        assert bench.hear(self.question(b"Grandstream"), self.OURS) == ([], [])

    def test_from_elsewhere_neither_has_a_meaning(self, bench: Bench) -> None:
        bench.agent.own_hosts = frozenset({"172.18.0.10"})
        sent, events = bench.hear(self.question(b"gspnp-doctor"))
        assert sent == [] and isinstance(events[0], ForeignSighted)
        decoy = self.question(b"Grandstream").replace(b"z9hG4bK458721093", b"z9hG4bK458721094")
        assert isinstance(bench.hear(decoy)[1][0], PhoneSighted)


def test_only_allowed_ouis_and_vendors_are_ours() -> None:
    served = Served(frozenset({"grandstream", "acme"}), frozenset({"C074AD"}))
    grp = GUIDE.replace(b"000B82273B89", b"C074AD273B89").replace(b"z9hG4bK4", b"z9hG4bK5")
    acme = grp.replace(b'"Grandstream"', b'"Acme"').replace(b"z9hG4bK5", b"z9hG4bK6")
    for data, kind in ((GUIDE, ForeignSighted), (grp, PhoneSighted), (acme, PhoneSighted)):
        _, (event,) = Bench(served=served).hear(data)
        assert isinstance(event, kind)


def test_a_401_tells_what_is_asked_for(bench: Bench) -> None:
    bench.agent.notify(7, NOTIFY, "z9hG4bKours", PHONE, LEG, bench.now)
    rest = NOTIFY.partition(b"\r\n")[2].partition(b"\r\n\r\n")[0].replace(b"Content-Length: 20", b"Content-Length: 0")
    asked = b'WWW-Authenticate: Digest realm="pbx", nonce="n", qop="auth"'
    answer = b"SIP/2.0 401 Unauthorized\r\n" + rest + b"\r\n" + asked + b"\r\n\r\n"
    _, (event,) = bench.hear(answer.replace(b"Content-Length: 18", b"Content-Length: 0"), group=False)
    assert isinstance(event, NotifyAnswered) and event.status == 401
    assert [(one.realm, one.nonce, one.qop) for one in event.challenges] == [("pbx", "n", ("auth",))]
