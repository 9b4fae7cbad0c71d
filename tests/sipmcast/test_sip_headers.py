"""Header fields, one by one: what is read, what is refused, and that nothing is rewritten."""

from __future__ import annotations

import pytest

from sipmcast.sip.errors import SipParseError
from sipmcast.sip.grammar import percent_decode, readable, unquote
from sipmcast.sip.headers import (
    canonical,
    param,
    parse_content_length,
    parse_cseq,
    parse_event,
    parse_name_addr,
    split_list,
)
from sipmcast.sip.uri import hostport, parse_uri, same_host
from sipmcast.sip.via import parse_via

PHONE = ("192.0.2.7", 5062)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("sip:192.0.2.7", ("sip", None, "192.0.2.7", None, "")),
        ("SIP:192.0.2.7:5080", ("sip", None, "192.0.2.7", 5080, "")),
        ("sips:alice:secret@host.example;lr", ("sips", "alice:secret", "host.example", None, ";lr")),
        ("sip:MAC%3A000B82273B89@224.0.1.75", ("sip", "MAC%3A000B82273B89", "224.0.1.75", None, "")),
        ("sip:a;b?c/d=@h?subject=x", ("sip", "a;b?c/d=", "h", None, "?subject=x")),
        ("sip:u@[2001:DB8::10]:5070", ("sip", "u", "2001:db8::10", 5070, "")),
        ("sip:zero%00zero@h", ("sip", "zero%00zero", "h", None, "")),
        # RFC 5118 4.10: one colon too many, but only where the grammar's mistake lets it stand.
        ("sip:[2001:db8:::198.51.100.9]", ("sip", None, "2001:db8::c633:6409", None, "")),
    ],
)
def test_uri_is_taken_apart(text: str, expected: tuple[object, ...]) -> None:
    uri = parse_uri(text)
    assert (uri.scheme, uri.userinfo, uri.host, uri.port, uri.rest) == expected


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ("", 400),
        ("sip:", 400),
        ("sip:@host", 400),
        ("sip:a b@host", 400),
        ("sip:a@b@c", 400),
        ("sip:2001:db8::10", 400),
        ("sip:[2001:db8::zz]", 400),
        ("sip:[2001:db8:::10]", 400),
        ("sip:[2001:db8::::198.51.100.9]", 400),
        ("sip:a\0@host", 400),
        ("sip:host:0", 400),
        ("sip:host:65536", 400),
        ("sip:host:5060 ;x", 400),
        ("<sip:host>", 400),
        ("tel:+49123", 416),
        ("nobodyKnowsThis:x", 416),
        ("http://host/", 416),
    ],
)
def test_malformed_uri_is_400_and_another_scheme_is_416(text: str, status: int) -> None:
    with pytest.raises(SipParseError) as caught:
        parse_uri(text)
    assert caught.value.status == status


@pytest.mark.parametrize(
    ("text", "host", "port", "branch", "rport"),
    [
        ("UDP 172.18.32.197:5060;branch=z9hG4bK45;rport", "172.18.32.197", 5060, "z9hG4bK45", True),
        ("UDP 172.16.18.90:5060;rport", "172.16.18.90", 5060, "", True),
        ("udp a.example.com : 4000 ; ttl=16 ;branch=z9hG4bKa7", "a.example.com", 4000, "z9hG4bKa7", False),
        ("UDP host;branch=z9hG4bK-x;RPORT=9", "host", None, "z9hG4bK-x", True),
        ("UDP [2001:db8::9:1];received=[2001:db8::9];branch=b", "2001:db8::9:1", None, "b", False),
        ('UDP h;odd="a;b,c\\"d";branch=z9hG4bKq', "h", None, "z9hG4bKq", False),
    ],
)
def test_via_is_taken_apart(text: str, host: str, port: int | None, branch: str, rport: bool) -> None:
    for protocol in ("SIP/2.0/", "sip / 2.0 / ", "\tSIP/2.0 /"):
        via = parse_via(protocol + text)
        assert (via.host, via.port, via.branch, via.has_rport) == (host, port, branch, rport)
        assert via.text == protocol + text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "SIP/2.0/UDP",
        "SIP/3.0/UDP host",
        "SIP/2.0/UDP host:99999",
        "SIP/2.0/UDP host:0",
        "SIP/2.0/UDP host junk",
        "SIP/2.0/UDP host;branch=a;branch=b",
        "SIP/2.0/UDP host;rport;rport=1",
        'SIP/2.0/UDP host;x="open',
        "SIP/2.0/UDP [::zz]",
        "SIP/2.0/UDP host;;branch=x",
    ],
)
def test_malformed_via_is_refused(text: str) -> None:
    with pytest.raises(SipParseError):
        parse_via(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # RFC 3581 4: rport is filled, and then received is there even when sent-by is right.
        ("UDP 192.0.2.7:5060;rport;branch=b", "UDP 192.0.2.7:5060;rport=5062;branch=b;received=192.0.2.7"),
        # RFC 3261 18.2.1: received only if sent-by is not the source.
        ("UDP 192.0.2.7:5060;branch=b", "UDP 192.0.2.7:5060;branch=b"),
        ("UDP 10.0.0.1;branch=b", "UDP 10.0.0.1;branch=b;received=192.0.2.7"),
        ("UDP phone.example;branch=b", "UDP phone.example;branch=b;received=192.0.2.7"),
        # What the sender wrote there itself is not believed.
        ("UDP 192.0.2.7;received=6.6.6.6;RPORT=1;b=c", "UDP 192.0.2.7;received=192.0.2.7;rport=5062;b=c"),
        # Odd spacing and case survive.
        (
            "udp  192.0.2.7 : 5060 ; branch = B ; rport ",
            "udp  192.0.2.7 : 5060 ; branch = B ; rport=5062;received=192.0.2.7",
        ),
    ],
)
def test_via_is_stamped_and_otherwise_keeps_its_bytes(text: str, expected: str) -> None:
    assert parse_via(f"SIP/2.0/{text}").stamped(PHONE) == f"SIP/2.0/{expected}"
    assert parse_via(f" sip / 2.0/{text}").stamped(PHONE) == f" sip / 2.0/{expected}"


@pytest.mark.parametrize(
    ("text", "uri", "tag"),
    [
        ("<sip:MAC%3A000B82273B89@224.0.1.75>;tag=16920", "sip:MAC%3A000B82273B89@224.0.1.75", "16920"),
        ("<sip:MAC%3a00135E874B49>;tag=658512961", "sip:MAC%3a00135E874B49", "658512961"),
        ('"A \\"B\\" <c>, d" <sip:x@y;z>;a;tag=1', "sip:x@y;z", "1"),
        ("Caller Name <sip:x@y>", "sip:x@y", None),
        ("sip:x@y;tag=9", "sip:x@y", "9"),
        ("sip:x@y", "sip:x@y", None),
        ("  <sip:x@y> ; tag = 9 ", "sip:x@y", "9"),
    ],
)  # fmt: skip
def test_address_is_taken_apart(text: str, uri: str, tag: str | None) -> None:
    address = parse_name_addr(text, "bad_from")
    assert (address.uri, address.tag) == (uri, tag)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "<>",
        '"open <sip:x>',
        '"name"',
        "<sip:x",
        "<sip:x>tag",
        "<sip:x>, <sip:y>",
        "sip:x y",
        "<a b>",
        "< sip:x >",
        "A, B <sip:x>",
        'A"B" <sip:x>',
        "sip:x?a=b",
        "sip:x,y",
        "<sip:x>;tag=1;TAG=2",
        "<sip:x>;",
    ],  # fmt: skip
)
def test_malformed_address_is_refused(text: str) -> None:
    with pytest.raises(SipParseError, match="bad_from"):
        parse_name_addr(text, "bad_from")


def test_a_uri_with_header_fields_says_so() -> None:
    assert parse_uri("sip:x@y;a=b?Route=%3Csip:z%3E").has_headers
    assert not parse_uri("sip:x?y@z;a=b").has_headers


def test_event_parameters_are_unquoted_and_found_in_any_case() -> None:
    event = parse_event('UA-Profile;Profile-Type="device";model="A\\"B;C";empty;bare=x')
    assert event.package == "ua-profile"
    assert param(event.params, "profile-type") == "device"
    assert param(event.params, "model") == 'A"B;C'
    assert param(event.params, "empty") is None and "empty" in event.params
    assert param(event.params, "bare") == "x"
    assert "absent" not in event.params


@pytest.mark.parametrize("text", ["", ";x", "a b", 'ua-profile;x="open', "ua-profile;a=1;A=2"])
def test_malformed_event_is_refused(text: str) -> None:
    with pytest.raises(SipParseError, match="bad_event"):
        parse_event(text)


@pytest.mark.parametrize(
    "text", ["", "1", "SUBSCRIBE", "-1 SUBSCRIBE", "2147483648 SUBSCRIBE", "\xb2 SUBSCRIBE", "1 A B"]
)
def test_malformed_cseq_is_refused(text: str) -> None:
    with pytest.raises(SipParseError, match="bad_cseq"):
        parse_cseq(text)


def test_cseq_allows_leading_zeros_and_blanks_between() -> None:
    cseq = parse_cseq("0009 \t NOTIFY")
    assert (cseq.number, cseq.method) == (9, "NOTIFY")


def test_content_length_is_optional_and_must_agree() -> None:
    assert parse_content_length([]) is None
    assert parse_content_length(["5", "05"]) == 5
    for values in (["5", "6"], ["-1"], [""], ["1x"], ["\xb2"], ["99999999999"], ["0, 0"]):
        with pytest.raises(SipParseError):
            parse_content_length(values)


@pytest.mark.parametrize("text", ["a,b", ' <a,b>, "c,\\",d" ,e', "", ",,", "one"])
def test_list_pieces_join_to_the_same_text(text: str) -> None:
    assert ",".join(split_list(text)) == text


def test_commas_in_quotes_and_brackets_do_not_split() -> None:
    assert split_list('"a,b" <c,d>,e') == ['"a,b" <c,d>', "e"]
    for text in ('"open,b', "<open,b", 'a,"open', "a,<b"):
        with pytest.raises(SipParseError):
            split_list(text)
    assert split_list('"open') == ['"open']


def test_compact_names_mean_their_long_forms() -> None:
    assert [canonical(name) for name in ("v", "F", "t", "I", "m", "o", "L", "VIA", "X-Odd")] == [
        "via", "from", "to", "call-id", "contact", "event", "content-length", "via", "x-odd",
    ]  # fmt: skip


def test_small_text_rules() -> None:
    assert unquote('"a\\\\b\\"c"') == 'a\\b"c'
    assert unquote("plain") == "plain" and unquote('"') == '"'
    assert percent_decode("MAC%3a%zz%25") == "MAC:%zz%"
    assert readable("caf\xc3\xa9 \xff") == "caf\u00e9 \ufffd"


def test_hosts_are_compared_as_addresses_and_never_resolved() -> None:
    assert same_host("2001:DB8:0:0::1", "2001:db8::1")
    assert same_host("fe80::1%eth0", "fe80::1")
    assert same_host("Phone.Example", "phone.example")
    assert not same_host("127.0.0.1", "localhost")
    assert hostport(("fe80::1%eth0", 5060)) == "[fe80::1]:5060"
    assert hostport(("192.0.2.1", 6060)) == "192.0.2.1:6060"
