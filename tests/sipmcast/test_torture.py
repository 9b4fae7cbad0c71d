"""The traps of RFC 4475 and RFC 5118, rebuilt: what the parser makes of each, and what the sockets answer.

Each file in tests/datagrams/torture is named after the section whose trap it sets. Where an RFC leaves a choice,
the comment in the table says why ours is what it is.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import pytest

from sipmcast.agent import Agent, Leg, Outgoing
from sipmcast.sip.errors import SipParseError
from sipmcast.sip.message import Request, Response, parse_message

FOLDER = Path(__file__).parent.parent / "datagrams" / "torture"
FILES = {path.stem: path.read_bytes() for path in sorted(FOLDER.glob("*.sip"))}
SENDER = ("192.0.2.77", 5060)
LEG = Leg("eth0", "192.0.2.1", 6060)


class Expected(NamedTuple):
    read: str | int
    """The method or status that is read, or the reason why nothing is."""
    answer: int | None
    """What the unicast socket answers; None is silence. The group is always silent."""


OPTIONS = Expected("OPTIONS", 200)
INVITE = Expected("INVITE", 405)
REGISTER = Expected("REGISTER", 405)

# fmt: off
TABLE = {
    "4475-3.1.1.1-short-tortuous": INVITE,
    "4475-3.1.1.2-wide-range": Expected("+Odd-Method_0123456789*!.%works`~'", 405),
    "4475-3.1.1.3-percent-escapes": INVITE,
    "4475-3.1.1.4-escaped-nul": REGISTER,
    "4475-3.1.1.5-percent-no-escape": Expected("R%45GIST%45R", 405),
    "4475-3.1.1.6-no-blank-before-bracket": OPTIONS,
    "4475-3.1.1.7-long-values": INVITE,
    "4475-3.1.1.8-extra-octets": REGISTER,
    "4475-3.1.1.9-semicolon-in-user": OPTIONS,
    "4475-3.1.1.10-transports": OPTIONS,
    "4475-3.1.1.11-binary-multipart": Expected("MESSAGE", 405),
    "4475-3.1.1.12-unusual-reason": Expected(200, None),
    "4475-3.1.1.13-empty-reason": Expected(100, None),
    "4475-3.1.2.1-stray-separators": Expected("bad_via", 400),
    "4475-3.1.2.2-length-too-large": Expected("bad_content_length", 400),
    "4475-3.1.2.3-length-negative": Expected("bad_content_length", 400),
    "4475-3.1.2.4-overlarge-request-numbers": Expected("bad_cseq", 400),
    "4475-3.1.2.5-overlarge-response-numbers": Expected("bad_cseq", None),
    "4475-3.1.2.6-open-quote": Expected("bad_to", 400),
    "4475-3.1.2.7-brackets-around-uri": Expected("bad_uri", 400),
    "4475-3.1.2.8-blank-in-uri": Expected("bad_uri", 400),
    "4475-3.1.2.9-many-blanks-in-request-line": Expected("bad_uri", 400),
    "4475-3.1.2.10-blanks-after-request-line": Expected("bad_start_line", 400),
    "4475-3.1.2.11-headers-in-request-uri": Expected("bad_uri", 400),
    # Nobody but the Date's user may mind its zone, and we are not.
    "4475-3.1.2.12-date-not-gmt": INVITE,
    # The method is refused before its Contact would be looked at (RFC 3261 8.2.1 comes before 8.2.2).
    "4475-3.1.2.13-contact-without-brackets": REGISTER,
    "4475-3.1.2.14-blanks-inside-brackets": Expected("bad_to", 400),
    "4475-3.1.2.15-comma-in-bare-name": Expected("bad_from", 400),
    "4475-3.1.2.16-unknown-version": Expected("bad_version", 505),
    "4475-3.1.2.17-method-mismatch": Expected("bad_cseq", 400),
    # 501 would be as good; a message that contradicts itself is malformed first.
    "4475-3.1.2.18-unknown-method-mismatch": Expected("bad_cseq", 400),
    "4475-3.1.2.19-overlarge-status": Expected("bad_status_line", None),
    # Matched as RFC 2543 would.
    "4475-3.2.1-branch-is-only-the-cookie": OPTIONS,
    "4475-3.3.1-missing-headers": Expected("missing_header", 400),
    "4475-3.3.2-unknown-scheme": Expected("bad_scheme", 416),
    "4475-3.3.3-other-known-scheme": Expected("bad_scheme", 416),
    "4475-3.3.4-unknown-schemes-in-headers": REGISTER,
    "4475-3.3.5-require": Expected("OPTIONS", 420),
    "4475-3.3.6-unknown-content-type": INVITE,
    "4475-3.3.7-unknown-authorization": REGISTER,
    "4475-3.3.8-doubled-single-headers": Expected("doubled_header", 400),
    "4475-3.3.9-doubled-content-length": Expected("bad_content_length", 400),
    "4475-3.3.10-broadcast-via": Expected(200, None),
    # A proxy would answer 483; we are where the request was going.
    "4475-3.3.11-max-forwards-zero": OPTIONS,
    "4475-3.3.12-contact-header-parameter": REGISTER,
    "4475-3.3.13-contact-uri-parameter": REGISTER,
    "4475-3.3.14-contact-escaped-header": REGISTER,
    "4475-3.3.15-unknown-accept": INVITE,
    "4475-3.4.1-rfc2543-invite": INVITE,
    "5118-4.1-ipv6": REGISTER,
    "5118-4.2-ipv6-without-brackets": Expected("bad_uri", 400),
    "5118-4.3-port-taken-for-address": REGISTER,
    "5118-4.4-port-after-brackets": REGISTER,
    "5118-4.5.1-received-with-brackets": Expected("BYE", 405),
    "5118-4.5.2-received-without-brackets": OPTIONS,
    "5118-4.6-ipv6-in-sdp": INVITE,
    "5118-4.7-mixed-addresses-in-vias": Expected("BYE", 405),
    "5118-4.8-mixed-addresses-in-sdp": INVITE,
    "5118-4.9-ipv4-mapped": INVITE,
    "5118-4.10.1-three-colons": OPTIONS,
    "5118-4.10.2-two-colons": OPTIONS,
}

# What must be understood, not merely survived: a property, as a path, and its value.
UNDERSTOOD: list[tuple[str, str, Any]] = [
    ("4475-3.1.1.1-short-tortuous", "target.rest", ";oddparam"),
    ("4475-3.1.1.1-short-tortuous", "from_.tag", "12ab"),
    ("4475-3.1.1.1-short-tortuous", "from_.uri", "sip:kweber@example.net"),
    ("4475-3.1.1.1-short-tortuous", "to.tag", "77aa55"),
    ("4475-3.1.1.1-short-tortuous", "cseq.number", 12),
    ("4475-3.1.1.1-short-tortuous", "via.host", "198.51.100.7"),
    ("4475-3.1.1.1-short-tortuous", "via.branch", "77dkq"),
    ("4475-3.1.1.2-wide-range", "from_.tag", "_tok~1'+`*%!-."),
    ("4475-3.1.1.2-wide-range", "via.branch", "z9hG4bK-.!%66*_+`'~"),
    ("4475-3.1.1.2-wide-range", "target.host", "example.net"),
    ("4475-3.1.1.2-wide-range", "call_id", "wide.word%ZQ-!.*_+'@part`~)(><:\\/\"][?}{"),
    ("4475-3.1.1.3-percent-escapes", "target.userinfo", "sips%3Akweber%40example.net"),
    ("4475-3.1.1.4-escaped-nul", "to.uri", "sip:zero-%00-zero@example.net"),
    ("4475-3.1.1.6-no-blank-before-bracket", "from_.uri", "sip:caller@example.net"),
    ("4475-3.1.1.8-extra-octets", "body", b""),
    ("4475-3.1.1.9-semicolon-in-user", "target.userinfo", "desk;side=b%40example.org"),
    ("4475-3.1.1.9-semicolon-in-user", "target.host", "example.net"),
    ("4475-3.1.1.10-transports", "via.transport", "UDP"),
    ("4475-3.1.1.13-empty-reason", "reason", ""),
    ("4475-3.2.1-branch-is-only-the-cookie", "via.branch", "z9hG4bK"),
    ("4475-3.3.4-unknown-schemes-in-headers", "to.uri", "isbn:9780306406157"),
    ("4475-3.3.4-unknown-schemes-in-headers", "from_.tag", "lab334"),
    ("4475-3.3.5-require", "required_options", ("nobodyHasThis", "nobodyHasThatEither")),
    ("4475-3.4.1-rfc2543-invite", "via.branch", ""),
    ("4475-3.4.1-rfc2543-invite", "from_.tag", None),
    ("5118-4.1-ipv6", "target.host", "2001:db8::77"),
    ("5118-4.1-ipv6", "via.host", "2001:db8::9:1"),
    ("5118-4.3-port-taken-for-address", "target.host", "2001:db8::77:5070"),
    ("5118-4.3-port-taken-for-address", "target.port", None),
    ("5118-4.4-port-after-brackets", "target.host", "2001:db8::77"),
    ("5118-4.4-port-after-brackets", "target.port", 5070),
    ("5118-4.7-mixed-addresses-in-vias", "via.port", 6050),
    ("5118-4.9-ipv4-mapped", "via.host", "::ffff:c000:20a"),
    ("5118-4.10.1-three-colons", "target.host", "2001:db8::c633:6409"),
    ("5118-4.10.2-two-colons", "target.host", "2001:db8::c633:6409"),
]
# fmt: on


def hear(datagram: bytes, *, group: bool) -> list[Outgoing]:
    """What a new agent sends when it hears this."""
    agent = Agent(b"key")
    agent.receive(datagram, SENDER, LEG, 1000.0, 1.7e9, group=group)
    return agent.take_datagrams()


def test_every_file_is_in_the_table_and_every_row_has_its_file() -> None:
    assert set(FILES) == set(TABLE)


@pytest.mark.parametrize("name", TABLE)
def test_the_trap_is_read_for_what_it_is(name: str) -> None:
    try:
        message = parse_message(FILES[name])
    except SipParseError as error:
        assert error.reason == TABLE[name].read
        assert error.status == TABLE[name].answer
    else:
        read = message.method if isinstance(message, Request) else message.status
        assert read == TABLE[name].read


@pytest.mark.parametrize(("name", "path", "value"), UNDERSTOOD)
def test_the_trap_is_understood(name: str, path: str, value: Any) -> None:
    found: Any = parse_message(FILES[name])
    for step in path.split("."):
        found = getattr(found, step)
    assert found == value


def test_a_multipart_body_keeps_every_byte() -> None:
    body = parse_message(FILES["4475-3.1.1.11-binary-multipart"]).body
    assert bytes(range(256)) in body and body.endswith(b"--b7f3--\r\n")


@pytest.mark.parametrize("name", TABLE)
def test_the_group_hears_nothing_from_us(name: str) -> None:
    assert hear(FILES[name], group=True) == []


@pytest.mark.parametrize("name", TABLE)
def test_the_unicast_socket_answers_as_it_should(name: str) -> None:
    sent = hear(FILES[name], group=False)
    if TABLE[name].answer is None:
        assert sent == []
        return
    (outgoing,) = sent
    assert outgoing.destination[0] == SENDER[0]
    assert outgoing.datagram.startswith(f"SIP/2.0 {TABLE[name].answer} ".encode())
    assert outgoing.datagram.endswith(b"Content-Length: 0\r\n\r\n")
    assert outgoing.datagram.count(b"\r\n\r\n") == 1


READABLE = [name for name, row in TABLE.items() if isinstance(row.read, str) and not row.read.islower()]


@pytest.mark.parametrize("name", READABLE)
def test_the_answer_repeats_what_came_to_the_byte(name: str) -> None:
    (outgoing,) = hear(FILES[name], group=False)
    request, answer = parse_message(FILES[name]), parse_message(outgoing.datagram)
    assert isinstance(answer, Response)
    for header in ("from", "call-id", "cseq"):
        assert answer.values(header) == request.values(header), header
    assert (answer.first("to") or "").startswith(request.first("to") or "no To")
    assert answer.to.tag is not None
    assert len(answer.vias) == len(request.vias)
    assert answer.vias[1:] == request.vias[1:]


def test_a_405_names_what_is_allowed_and_a_420_what_is_not_supported() -> None:
    (refused,) = hear(FILES["4475-3.1.1.3-percent-escapes"], group=False)
    assert parse_message(refused.datagram).first("allow") == "OPTIONS, SUBSCRIBE"
    (required,) = hear(FILES["4475-3.3.5-require"], group=False)
    assert parse_message(required.datagram).first("unsupported") == "nobodyHasThis, nobodyHasThatEither"


def test_of_a_request_without_its_headers_what_is_there_comes_back() -> None:
    (outgoing,) = hear(FILES["4475-3.3.1-missing-headers"], group=False)
    assert outgoing.datagram == (
        b"SIP/2.0 400 Bad Request\r\n"
        b"Via: SIP/2.0/UDP 192.0.2.77;branch=z9hG4bKlab331\r\n"
        b"CSeq: 331 INVITE\r\n"
        b"Content-Length: 0\r\n\r\n"
    )
