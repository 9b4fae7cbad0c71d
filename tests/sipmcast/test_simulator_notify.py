"""How the simulated phone judges and answers a NOTIFY, and whatever else it hears."""

import re

import pytest

from tests.support.small_pbx import Pbx, field, meet


@pytest.mark.parametrize("event", ["Event: check-syncs\r\n", "Event: ua-profiles\r\n", ""])
def test_a_notify_of_no_event_that_a_phone_knows_gets_489_and_starts_nothing(event: str) -> None:
    def wrong(pbx: Pbx) -> None:
        pbx.alter_notify = lambda text: text.replace("Event: ua-profile\r\n", event)

    pbx, result = meet(wrong)
    assert pbx.answers[0].startswith("SIP/2.0 489 ")
    assert pbx.gets == []
    assert "489" in result.reason


@pytest.mark.parametrize(
    ("before", "after", "reason"),
    [
        ("NOTIFY sip:127.0.0.1:[0-9]+", "NOTIFY sip:127.0.0.1:9", "Request-URI is not our Contact"),
        ("branch=z9hG4bK", "branch=", "Via branch does not start with z9hG4bK"),
        (";tag=e32c0d70", "", "From has no tag"),
        ("CSeq: 1 NOTIFY", "CSeq: 1 SUBSCRIBE", "CSeq is"),
        ("Max-Forwards: 70\r\n", "", "no max-forwards header"),
        ("application/url", "text/plain", "Content-Type is 'text/plain'"),
        (r"Content-Length: ([0-9])", r"Content-Length: 1\1", "Content-Length is 1"),
        ("\r\n\r\nhttp://", "\r\n\r\nhttq://", "body is no absolute http or https URL"),
        ("\r\n\r\nhttp:/", "\r\n\r\nhttp: ", "body is not one URL"),
    ],
)
def test_a_defect_in_the_notify_gets_400_with_the_reason(before: str, after: str, reason: str) -> None:
    def sloppy(pbx: Pbx) -> None:
        pbx.alter_notify = lambda text: re.sub(before, after, text)

    pbx, result = meet(sloppy)
    assert pbx.answers[0].startswith("SIP/2.0 400 Bad Request: ")
    assert reason in pbx.answers[0].partition("\r\n")[0]
    assert reason in result.reason
    assert pbx.gets == []


def test_a_retransmitted_notify_gets_the_same_answer_and_starts_nothing_again() -> None:
    def stubborn(pbx: Pbx) -> None:
        def again(path: str) -> None:
            for _ in range(3):
                pbx.sip.sendto(pbx.notify(pbx.contact, 1).encode(), pbx.contact)

        pbx.on_get = again

    pbx, result = meet(stubborn)
    assert (result.outcome, result.boots) == ("through", 2)
    assert len(pbx.answers) > 3
    assert len(set(pbx.answers)) == 1
    assert len(pbx.gets) == 3


def test_options_gets_200_another_request_405_and_rubbish_nothing() -> None:
    def noisy(pbx: Pbx) -> None:
        def noise(text: str) -> str:
            for method in ("OPTIONS", "INFO"):
                pbx.sip.sendto(text.replace("NOTIFY", method).encode(), pbx.contact)
            pbx.sip.sendto(b"\x00\xff rubbish", pbx.contact)
            pbx.sip.sendto(b"\r\n\r\n", pbx.contact)
            return text

        pbx.alter_notify = noise

    pbx, result = meet(noisy)
    assert result.outcome == "through"
    assert [answer[8:11] for answer in pbx.answers] == ["200", "405", "200"]
    assert field(pbx.answers[0], "Allow") == field(pbx.answers[1], "Allow") == "NOTIFY, OPTIONS"
    assert result.options == 1


def test_silent_options_are_not_answered() -> None:
    def curious(pbx: Pbx) -> None:
        def ask(text: str) -> str:
            pbx.sip.sendto(text.replace("NOTIFY", "OPTIONS").encode(), pbx.contact)
            return text

        pbx.alter_notify = ask

    pbx, result = meet(curious, "silent-options")
    assert (result.outcome, result.options) == ("through", 0)
    assert len(pbx.answers) == 1


@pytest.mark.parametrize("event", ["check-sync", "resync", "check-sync;reboot=true", "sys-control"])
def test_a_phone_without_a_configuration_agrees_to_a_command_and_ignores_it(event: str) -> None:
    def early(pbx: Pbx) -> None:
        pbx.alter_notify = lambda text: text.replace("Event: ua-profile", f"Event: {event}")

    pbx, result = meet(early)
    assert pbx.answers[0].startswith("SIP/2.0 200 ")
    assert (result.boots, result.orders, pbx.gets) == (1, [], [])
    assert "was ignored: there is no configuration" in result.notes[0]


@pytest.mark.parametrize(("user", "status"), [("1001@", 404), ("", 200)])
def test_a_phone_without_a_configuration_has_no_user(user: str, status: int) -> None:
    def named(pbx: Pbx) -> None:
        pbx.alter_notify = lambda text: text.replace("NOTIFY sip:", f"NOTIFY sip:{user}")

    pbx, _ = meet(named)
    assert pbx.answers[0].startswith(f"SIP/2.0 {status} ")
