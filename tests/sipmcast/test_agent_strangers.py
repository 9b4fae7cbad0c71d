"""What strangers may send to the user agent, and what they get for it."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sipmcast.agent import DETAIL_LIMIT
from sipmcast.events import ForeignSighted, Ignored, PhoneSighted
from sipmcast.pnp import Served
from sipmcast.sip.grammar import MAX_DATAGRAM_BYTES
from sipmcast.sip.message import Response, parse_message
from tests.support.agent_bench import FILES, GUIDE, LEG, NOTIFY, OPTIONS, PHONE, Bench, answer_to, method, phone_says

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
