"""Answers to requests: what is echoed to the byte, what is added, and where they go."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest

from sipmcast.sip.answer import identity
from sipmcast.sip.errors import SipParseError, SipSerialiseError
from sipmcast.sip.headers import Header
from sipmcast.sip.message import Request, parse_message, response_bytes, response_endpoint, response_to

DATAGRAMS = Path(__file__).parent.parent / "datagrams"
FILES = {path.stem: path.read_bytes() for path in sorted(DATAGRAMS.glob("*.sip"))}
GUIDE = FILES["subscribe-gxp1628"]
PHONE = ("172.18.32.197", 5060)


def read_request(data: bytes) -> Request:
    message = parse_message(data)
    assert isinstance(message, Request)
    return message


def test_combined_via_headers_are_taken_apart_and_echoed_as_they_came() -> None:
    request = read_request(FILES["odd-combined-via"])
    assert len(request.vias) == 2 and request.via.branch == "z9hG4bK458721093"
    response = response_to(request, 200, "OK", source=PHONE, to_tag="t")
    assert response.values("via") == [
        "SIP/2.0/UDP 172.18.32.197:5060;branch=z9hG4bK458721093;rport=5060;received=172.18.32.197,"
        " SIP/2.0/UDP 10.9.8.7:5070;branch=z9hG4bKsecond",
    ]


def test_separate_via_headers_are_echoed_in_their_order() -> None:
    data = GUIDE.replace(b"From: ", b"v: SIP/2.0/UDP b;branch=2\r\nVIA: SIP/2.0/UDP c , x\r\nFrom: ", 1)
    response = response_to(read_request(data), 200, "OK", source=PHONE, to_tag="t")
    assert response.values("via")[1:] == ["SIP/2.0/UDP b;branch=2", "SIP/2.0/UDP c , x"]


@pytest.mark.parametrize("filler", [b",", b",\r\nv:", b";a", b"\r\nv:x"])
def test_a_response_is_hardly_larger_than_its_request(filler: bytes) -> None:
    data = GUIDE.replace(b"\r\nFrom: ", filler * 100 + b"\r\nFrom: ", 1)
    with suppress(SipParseError):
        answer = response_to(read_request(data), 200, "OK", source=PHONE, to_tag="t" * 16).to_bytes()
        assert len(answer) < len(data) * 1.5


def test_response_echoes_every_byte_even_those_that_are_not_utf8() -> None:
    response = response_to(read_request(FILES["odd-not-utf8"]), 200, "OK", source=PHONE, to_tag="mine").to_bytes()
    assert b'From: "Caf\xe9 \xff" <sip:MAC%3A000B82273B89@224.0.1.75>;tag=1692014507\r\n' in response
    assert b"To: <sip:MAC%3A000B82273B89@224.0.1.75>;tag=mine\r\n" in response
    assert b"Call-ID: 1278367207-5060-1@BHC.BI.DC.BJH\r\n" in response
    assert b"CSeq: 20000 SUBSCRIBE\r\n" in response
    assert response.startswith(b"SIP/2.0 200 OK\r\n") and response.endswith(b"Content-Length: 0\r\n\r\n")


def test_response_keeps_a_tag_that_to_has_already() -> None:
    data = GUIDE.replace(b"To: <sip:MAC%3A000B82273B89@224.0.1.75>", b"To: <sip:x@y>;tag=theirs")
    response = response_to(read_request(data), 200, "OK", source=PHONE, to_tag="mine")
    assert response.first("to") == "<sip:x@y>;tag=theirs"


def test_response_goes_to_the_source_address_whatever_via_claims() -> None:
    source = ("192.0.2.9", 40000)
    assert response_endpoint(read_request(GUIDE), source) == source
    assert response_endpoint(read_request(GUIDE.replace(b";rport", b"")), source) == ("192.0.2.9", 5060)
    without_port = GUIDE.replace(b";rport", b"").replace(b"UDP 172.18.32.197:5060", b"UDP 6.6.6.6")
    assert response_endpoint(read_request(without_port), source) == ("192.0.2.9", 5060)
    elsewhere = GUIDE.replace(b";rport", b"").replace(b"UDP 172.18.32.197:5060", b"UDP 6.6.6.6:7000")
    assert response_endpoint(read_request(elsewhere), source) == ("192.0.2.9", 7000)


def test_the_quick_answer_is_the_slow_one() -> None:
    extra = (Header("Contact", "<sip:192.0.2.1:6060>"), Header("X-Odd", ""))
    for data in FILES.values():
        message = None
        with suppress(SipParseError):
            message = parse_message(data)
        if isinstance(message, Request):
            slow = response_to(message, 200, "OK", source=PHONE, to_tag="t", extra=extra)
            assert response_bytes(message, 200, "OK", source=PHONE, to_tag="t", extra=extra) == slow.to_bytes()


@pytest.mark.parametrize("evil", ["\r\nX: y", "\n", "\r", "\0", "\u20ac"])
def test_the_quick_answer_is_as_careful(evil: str) -> None:
    request = read_request(GUIDE)

    def answer(tag: str = "t", reason: str = "OK", name: str = "X", value: str = "x") -> bytes:
        return response_bytes(request, 200, reason, source=PHONE, to_tag=tag, extra=(Header(name, value),))

    assert answer().startswith(b"SIP/2.0 200 OK\r\n")
    for place in ("tag", "reason", "name", "value"):
        with pytest.raises(SipSerialiseError):
            answer(**{place: f"x{evil}"})
    with pytest.raises(SipSerialiseError):
        response_bytes(request, 99, "OK", source=PHONE, to_tag="t")


@pytest.mark.parametrize(
    "text",
    [
        b"Via: SIP/7.0/UDP h;branch=z9hG4bKx",
        b"Via: SIP/2.0/UDP 192.0.2.15;;,;,,",
        b"Via: nonsense",
        b"From: <sip:a@b>;tag=1\r\nFrom: <sip:c@d>;tag=2",
        b'To: "open <sip:a@b>',
        b"Subject: nothing else",
    ],
)
def test_what_could_be_read_of_a_malformed_request_can_be_answered(text: bytes) -> None:
    """With the headers that are there, at the packet's own port where no Via tells another (RFC 4475 3.3.1)."""
    name = text.partition(b":")[0]
    kept = [line for line in GUIDE.split(b"\r\n") if not line.startswith((name + b":", b"Call-ID"))]
    with pytest.raises(SipParseError) as caught:
        parse_message(b"\r\n".join([kept[0], text, *kept[1:]]))
    request = caught.value.request
    assert request is not None and caught.value.status == 400
    answer = response_bytes(request, 400, "Bad Request", source=("192.0.2.9", 4000), to_tag="t")
    assert text.split(b"\r\n")[0] in answer or name == b"Subject"
    assert answer.count(b"\r\nFrom: ") == answer.count(b"\r\nVia: ") == answer.count(b"\r\nCSeq: ") == 1
    assert response_endpoint(request, ("192.0.2.9", 4000)) == ("192.0.2.9", 4000)
    assert identity(request)[0] == "" and all(identity(request)[1:])


def test_identity_names_a_good_request_by_its_parts() -> None:
    assert identity(read_request(GUIDE)) == ("1278367207-5060-1@BHC.BI.DC.BJH", "1692014507", "z9hG4bK458721093")


def test_a_request_without_any_via_cannot_be_answered() -> None:
    with pytest.raises(SipParseError) as caught:
        parse_message(GUIDE.replace(b"Via:", b"Vie:"))
    assert caught.value.request is not None
    for answer in (response_to, response_bytes):
        with pytest.raises(SipParseError, match="missing_header: via"):
            answer(caught.value.request, 400, "Bad Request", source=PHONE, to_tag="t")
