"""What the user agent asks of phones itself: NOTIFYs, and whether they are there."""

from __future__ import annotations

import pytest

from sipmcast.agent import Outgoing
from sipmcast.events import Ignored, NotifyAnswered, NotifyTimedOut, PingEnded
from tests.support.agent_bench import LEG, NOTIFY, PHONE, Bench, phone_says


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


def test_the_next_deadline_is_the_earliest_of_both_kinds(bench: Bench) -> None:
    assert bench.agent.next_deadline() is None
    bench.sighted()
    assert bench.agent.next_deadline() == bench.now + 32
    bench.agent.notify(7, NOTIFY, "z9hG4bKours", PHONE, LEG, bench.now)
    assert bench.agent.next_deadline() == bench.now + 0.5


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


def test_a_401_tells_what_is_asked_for(bench: Bench) -> None:
    bench.agent.notify(7, NOTIFY, "z9hG4bKours", PHONE, LEG, bench.now)
    rest = NOTIFY.partition(b"\r\n")[2].partition(b"\r\n\r\n")[0].replace(b"Content-Length: 20", b"Content-Length: 0")
    asked = b'WWW-Authenticate: Digest realm="pbx", nonce="n", qop="auth"'
    answer = b"SIP/2.0 401 Unauthorized\r\n" + rest + b"\r\n" + asked + b"\r\n\r\n"
    _, (event,) = bench.hear(answer.replace(b"Content-Length: 18", b"Content-Length: 0"), group=False)
    assert isinstance(event, NotifyAnswered) and event.status == 401
    assert [(one.realm, one.nonce, one.qop) for one in event.challenges] == [("pbx", "n", ("auth",))]
