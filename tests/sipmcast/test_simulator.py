"""The simulated phone's way through, and its SUBSCRIBE, against a small server of the suite."""

import itertools
import json
import re

import pytest

from sipmcast.simulator.messages import Subscribe
from tests.support.small_pbx import FIRST, GROUP, LOW, MAC, STEADY, Pbx, document, field, meet, timings

GUIDE_SUBSCRIBE = (
    "SUBSCRIBE sip:MAC%3A000B82273B89@224.0.1.75 SIP/2.0\r\n"
    "Via: SIP/2.0/UDP 172.18.32.197:5060;branch=z9hG4bK458721093;rport\r\n"
    "From: <sip:MAC%3A000B82273B89@224.0.1.75>;tag=1692014507\r\n"
    "To: <sip:MAC%3A000B82273B89@224.0.1.75>\r\n"
    "Call-ID: 1278367207-5060-1@BHC.BI.DC.BJH\r\n"
    "CSeq: 20000 SUBSCRIBE\r\n"
    "Contact: <sip:172.18.32.197:5060>\r\n"
    "X-Grandstream-PBX: true\r\n"
    "Max-Forwards: 70\r\n"
    "User-Agent: Grandstream GXP1628 1.0.2.7\r\n"
    "Expires: 0\r\n"
    "Supported: replaces, path, timer\r\n"
    'Event: ua-profile;profile-type="device";vendor="Grandstream";model="GXP1628";version="1.0.2.7"\r\n'
    "Accept: application/url\r\n"
    "Allow: INVITE, ACK, OPTIONS, CANCEL, BYE, SUBSCRIBE, NOTIFY, INFO, REFER, UPDATE, MESSAGE\r\n"
    "Content-Length: 0\r\n\r\n"
)


def test_a_phone_is_through_after_exactly_two_boots() -> None:
    pbx, result = meet()
    assert (result.outcome, result.reason, result.boots) == ("through", "", 2)
    assert result.stage == "applied"
    assert result.delivered_by == "notify"
    assert pbx.gets == [f"{FIRST}/cfg{LOW}", f"{STEADY}/cfg{LOW}", f"{STEADY}/cfg{LOW}.xml"]
    assert pbx.agents == {f"Grandstream Model HW GXP1628 SW 1.0.2.7 DevId {LOW}"}
    assert len(pbx.boots) == len(pbx.subscribes) == 2
    assert list(result.timings) == ["booted", "answered", "notified", "fetched", "rebooted", "applied"]


def test_the_subscribe_is_the_guides_byte_for_byte() -> None:
    message = Subscribe(
        mac=MAC, model="GXP1628", firmware="1.0.2.7", group=GROUP, host="172.18.32.197", port=5060,
        branch="z9hG4bK458721093", tag="1692014507", call_id="1278367207-5060-1@BHC.BI.DC.BJH",
    )  # fmt: skip
    assert message.to_bytes() == GUIDE_SUBSCRIBE.encode()


def test_identifiers_have_the_guides_shapes_and_are_new_at_every_boot() -> None:
    pbx, result = meet()
    port = result.contact.partition(":")[2]
    for text in pbx.subscribes:
        assert re.fullmatch(rf"[0-9]+-{port}-1@BCH\.A\.A\.B", field(text, "Call-ID"))
        assert re.fullmatch(rf"SIP/2.0/UDP {result.contact};branch=z9hG4bK[0-9]+;rport", field(text, "Via"))
        assert field(text, "CSeq") == "20000 SUBSCRIBE"
        assert field(text, "Contact") == f"<sip:{result.contact}>"
    assert len({field(text, "Via") for text in pbx.subscribes}) == 2


def test_the_answer_to_a_notify_echoes_it_and_adds_rport_received_and_a_tag() -> None:
    pbx, _ = meet()
    (answer,) = pbx.answers
    host, port = "127.0.0.1", int(re.search(r"UDP 127\.0\.0\.1:([0-9]+)", answer)[1])  # type: ignore[index]
    assert answer.startswith("SIP/2.0 200 OK\r\n")
    assert field(answer, "Via") == f"SIP/2.0/UDP {host}:{port};branch=z9hG4bKn1;rport={port};received={host}"
    assert re.fullmatch(rf"<sip:{host}:[0-9]+>;tag=[0-9]+", field(answer, "To"))
    assert field(answer, "CSeq") == "1 NOTIFY"
    assert field(answer, "Content-Length") == "0"


def test_the_report_never_holds_the_secret_of_a_path() -> None:
    _, result = meet()
    text = json.dumps(result.as_json(), ensure_ascii=False)
    assert "Secret" not in text
    assert [one["path"] for one in result.as_json()["downloads"]][0] == f"/p/…/cfg{LOW}"


def test_a_notify_that_comes_late_is_still_obeyed() -> None:
    def late(pbx: Pbx) -> None:
        pbx.notify_after = 0.6  # long after the PnP wait

    _, result = meet(late, timings=timings(wait_assign=3))
    assert result.outcome == "through"


# SUBSCRIBE


def test_subscribe_is_sent_five_times_with_the_same_bytes_and_growing_gaps() -> None:
    def silent(pbx: Pbx) -> None:
        pbx.statuses = [0] * 99
        pbx.notified_boots = set()

    pbx, result = meet(silent, timings=timings(t1=0.05, t2=0.4))
    assert len(pbx.subscribes) == 5
    assert len(set(pbx.subscribes)) == 1
    gaps = [after - before for before, after in itertools.pairwise(pbx.heard_at)]
    for gap, least in zip(gaps, (0.05, 0.1, 0.2, 0.4), strict=True):
        assert gap > least * 0.9
    assert result.outcome == "failed"
    assert "SUBSCRIBE was not answered" in result.reason


def test_a_4xx_and_a_3xx_to_subscribe_are_ignored_and_a_200_ends_it() -> None:
    def reluctant(pbx: Pbx) -> None:
        pbx.statuses = [404, 302, 403]
        pbx.notify_after = 0.5

    pbx, result = meet(reluctant, timings=timings(t1=0.03, t2=0.1, wait_assign=3))
    assert result.outcome == "through"
    assert pbx.subscribes[:4] == [pbx.subscribes[0]] * 4
    assert pbx.subscribes[4] != pbx.subscribes[0]  # the second boot's


def test_a_500_to_subscribe_ends_it() -> None:
    def busy(pbx: Pbx) -> None:
        pbx.statuses = [500]
        pbx.notified_boots = set()

    pbx, result = meet(busy)
    assert len(pbx.subscribes) == 1
    assert "answered with 500" in result.reason


@pytest.mark.parametrize(
    ("before", "after", "reason"),
    [
        ("Content-Length: 0", "Content-Length: 5", "Content-Length is 5 but 0 bytes follow"),
        ("Content-Length: 0\r\n", "", "no content-length header"),
        (r"(To: [^\r]*);tag=[0-9]+", r"\1", "To has no tag"),
        (r"From: <sip:MAC%3A", "From: <sip:mac%3a", "From was changed"),
        ("Call-ID: ", "Call-ID: x", "Call-ID is not ours"),
        ("CSeq: 20000", "CSeq: 1", "CSeq was changed"),
        (";received=127.0.0.1", "", "Via received is None"),
        (";rport=[0-9]+", ";rport", "Via rport is ''"),
        ("branch=z9hG4bK", "branch=z9hG4bKx", "Via branch was changed"),
        ("\r\nTo:", "\nTo:", "a line does not end with CR LF"),
        ("\r\nTo:", "\r\nVia: SIP/2.0/UDP 1.2.3.4;branch=z9hG4bK1\r\nTo:", "2 via headers"),
    ],
)
def test_a_defect_in_the_200_is_reported(before: str, after: str, reason: str) -> None:
    def sloppy(pbx: Pbx) -> None:
        pbx.alter_answer = lambda text: re.sub(before, after, text)

    _, result = meet(sloppy)
    assert result.outcome == "failed"
    assert reason in result.reason


def test_with_p1414_off_no_subscribe_is_sent_after_the_reboot() -> None:
    pbx, result = meet(lambda pbx: pbx.offer(document(pbx.host, P1414="0")))
    assert result.outcome == "through"
    assert len(pbx.subscribes) == 1
