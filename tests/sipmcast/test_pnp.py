"""What a SUBSCRIBE teaches, and the NOTIFY that answers it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.sighting import TEXT_LIMITS, Sighting, plain_text
from sipmcast.pnp import GRANDSTREAM, NotForUs, NotifyIds, Telling, notify_datagram, sighting_from
from sipmcast.sip.errors import SipSerialiseError
from sipmcast.sip.message import Request, parse_message

DATAGRAMS = Path(__file__).parent.parent / "datagrams"
GUIDE = (DATAGRAMS / "subscribe-gxp1628.sip").read_bytes()
SOURCE = ("172.18.32.197", 5060)
IDS = NotifyIds("z9hG4bKabc", "tag1", "call1")


def sight(data: bytes, source: tuple[str, int] = SOURCE) -> Sighting:
    request = parse_message(data)
    assert isinstance(request, Request)
    return sighting_from(request, source, "172.18.0.10", "eth0", 1700000000.5, GRANDSTREAM)


def refusal(data: bytes) -> str:
    with pytest.raises(NotForUs) as caught:
        sight(data)
    return caught.value.reason


def test_guide_subscribe_becomes_a_complete_sighting() -> None:
    assert sight(GUIDE) == Sighting(
        mac="000B82273B89",
        vendor="Grandstream",
        model="GXP1628",
        firmware="1.0.2.7",
        source_host="172.18.32.197",
        source_port=5060,
        contact="sip:172.18.32.197:5060",
        notify_port=5060,
        interface="eth0",
        local_host="172.18.0.10",
        ours=True,
        heard_at=1700000000.5,
        origin="pnp",
    )


@pytest.mark.parametrize(
    ("name", "mac", "vendor", "model", "firmware", "ours"),
    [
        ("subscribe-grp2612w", "C074AD112233", "Grandstream", "GRP2612W", "1.0.5.67", True),
        ("subscribe-yealink-w52p", "001565F4F9E1", "yealink", "W52P", "25.81.0.10", False),
        ("subscribe-yealink-t21p", "001565A1B2C3", "Yealink", "T21D", "34.72.14.6", False),
        ("subscribe-yealink-t53w", "805E0C4D796D", "Yealink", "T53W", "96.87.0.16", False),
        ("subscribe-snom720", "00135E874B49", "snom", "snom720", "7.1.19", False),
        ("subscribe-planet", "00304FA99948", "PLANET", "VIP-2140PT", "2.0.3.2991", False),
        ("odd-folded", "000B82273B89", "Grandstream", "GXP1628", "1.0.2.7", True),
        ("odd-bare-lf", "000B82273B89", "Grandstream", "GXP1628", "1.0.2.7", True),
        ("odd-compact", "000B82273B89", "Grandstream", "GXP1628", "1.0.2.7", True),
        ("odd-vender", "000B82273B89", "Grandstream", "GXP1628", "1.0.2.7", True),
        ("odd-event-bare", "000B82273B89", "Grandstream", "GXP1628", "1.0.2.7", True),
        ("odd-mac-in-from", "000B82273B89", "Grandstream", "GXP1628", "1.0.2.7", True),
        ("odd-not-utf8", "000B82273B89", "Grandstream", "GXP1628\ufffd", "1.0.2.7", True),
        ("odd-script-model", "000B82273B89", "Grandstream", "<script>alert(1)</script>", "1.0.2.7", True),
        ("odd-escape-model", "000B82273B89", "Grandstream", 'GXP"16\\28\ufffd[31m\ufffd', "1.0.2.7", True),
    ],
)
def test_each_vendors_subscribe_is_understood(
    name: str, mac: str, vendor: str, model: str, firmware: str, ours: bool
) -> None:
    seen = sight((DATAGRAMS / f"{name}.sip").read_bytes())
    assert (seen.mac, seen.vendor, seen.model, seen.firmware, seen.ours) == (
        mac,
        vendor,
        model,
        firmware,
        ours,
    )


@pytest.mark.parametrize(
    "name", ["subscribe-audiocodes", "no-mac", "no-mac-11-digits", "no-mac-13-digits", "no-mac-not-hex"]
)
def test_without_exactly_twelve_digits_there_is_no_mac(name: str) -> None:
    assert refusal((DATAGRAMS / f"{name}.sip").read_bytes()) == "no_mac"


@pytest.mark.parametrize(
    ("user", "mac"),
    [
        ("MAC%3A000B82273B89", "000B82273B89"),
        ("mac%3a000b82273b89", "000B82273B89"),
        ("MAC:000B82273b89", "000B82273B89"),
        ("MAC=000B82273B89", "000B82273B89"),
        ("MAC000B82273B89", "000B82273B89"),
        ("%4DAC%3A%30%30%30B82273B89", "000B82273B89"),
        ("000B82273B89", None),
        ("MAC%253A000B82273B89", None),
        ("MAC%3A%3A000B82273B89", None),
        ("MAC%3A00:0B:82:27:3B:89", None),
        ("MAC%3A000B82273B89%00", None),
        ("MAC%3A000B82273B89%0A", None),
        ("XMAC%3A000B82273B89", None),
        ("MAC%3A000B82273B8\xb2", None),
    ],
)
def test_mac_spellings(user: str, mac: str | None) -> None:
    data = GUIDE.replace(b"MAC%3A000B82273B89", user.encode("latin-1"))
    if mac is None:
        assert refusal(data) == "no_mac"
    else:
        assert sight(data).mac == mac


def test_request_uri_wins_over_from() -> None:
    data = GUIDE.replace(b"From: <sip:MAC%3A000B82273B89", b"From: <sip:MAC%3AFFFFFFFFFFFF")
    assert sight(data).mac == "000B82273B89"


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        (b"SUBSCRIBE", b"MESSAGE", "not_subscribe"),
        (b"Event: ua-profile", b"Event: presence", "other_event"),
        (b"Event: ua-profile", b"X-Event: ua-profile", "no_event"),
        (b"Event: ua-profile", b"Event: ;", "bad_event"),
        (b"Event: ua-profile", b"Event: ua-profile\r\no: ua-profile", "bad_event"),
        (b'vendor="Grandstream"', b'vendor="Grandstream', "bad_event"),
    ],
)
def test_what_is_not_a_ua_profile_subscribe_is_not_for_us(old: bytes, new: bytes, reason: str) -> None:
    assert refusal(GUIDE.replace(old, new)) == reason


@pytest.mark.parametrize("vendor", ["Grandstream", "GRANDSTREAM", "grandstream"])
def test_our_vendor_is_known_in_any_case(vendor: str) -> None:
    assert sight(GUIDE.replace(b'"Grandstream"', f'"{vendor}"'.encode())).ours


@pytest.mark.parametrize("vendor", ["Grandstream2", "OEM", "gr\xe4ndstream"])
def test_any_other_vendor_is_not_ours_whatever_its_user_agent_says(vendor: str) -> None:
    assert not sight(GUIDE.replace(b'"Grandstream"', f'"{vendor}"'.encode("latin-1"))).ours


def test_x_grandstream_pbx_is_not_required() -> None:
    assert sight(GUIDE.replace(b"X-Grandstream-PBX: true\r\n", b"")).ours


@pytest.mark.parametrize(
    ("contact", "port"),
    [
        (b"<sip:172.18.32.197:5080>", 5080),
        (b"<sip:172.18.32.197>", 5060),
        (b"sip:172.18.32.197:5081;expires=0", 5081),
        (b'"Desk, 1" <sip:u@172.18.32.197:5082;transport=udp>, <sip:172.18.32.197:1>', 5082),
        (b"<sip:6.6.6.6:7000>", 40000),
        (b"<sip:phone.example:7000>", 40000),
        (b"<sip:172.18.32.197:0>", 40000),
        (b"<sip:172.18.32.197:99999>", 40000),
        (b"*", 40000),
        (b"<", 40000),
        (b'"', 40000),
        (b"", 40000),
    ],
)
def test_contact_is_believed_about_its_port_only_if_it_names_the_source(contact: bytes, port: int) -> None:
    seen = sight(GUIDE.replace(b"<sip:172.18.32.197:5060>\r\nX", contact + b"\r\nX"), ("172.18.32.197", 40000))
    assert (seen.source_host, seen.source_port, seen.notify_port) == ("172.18.32.197", 40000, port)


def test_without_a_contact_the_source_port_is_used() -> None:
    seen = sight(GUIDE.replace(b"Contact: <sip:172.18.32.197:5060>\r\n", b""), ("172.18.32.197", 40000))
    assert (seen.contact, seen.notify_port) == ("", 40000)


def test_ipv6_contact_is_compared_as_an_address() -> None:
    data = (DATAGRAMS / "odd-ipv6.sip").read_bytes().replace(b"[2001:db8::197]:5060>", b"[2001:DB8:0::197]:5090>")
    assert sight(data, ("2001:db8::197", 40000)).notify_port == 5090


@given(st.text(max_size=600), st.text(max_size=600))
def test_every_text_of_a_sighting_is_bounded_and_printable(text: str, other: str) -> None:
    seen = Sighting("000B82273B89", text, other, text, text, 1, other, 2, text, other, True, 0.0, text)
    for name, limit in TEXT_LIMITS.items():
        value = getattr(seen, name)
        assert len(value) <= limit and value.isprintable()


def test_a_sighting_refuses_a_mac_or_port_that_is_none() -> None:
    def make(mac: str, port: int) -> Sighting:
        return Sighting(mac, "", "", "", "192.0.2.1", port, "", 5060, "eth0", "192.0.2.2", True, 0.0)

    assert make("000B82273B89", 1)
    for mac, port in (
        ("000b82273b89", 1),
        ("000B82273B8", 1),
        ("000B82273B89\n", 1),
        ("000B82273B89", 65536),
    ):
        with pytest.raises(ValueError):
            make(mac, port)


def test_plain_text_replaces_what_a_terminal_would_obey() -> None:
    assert plain_text("a\x1b[2J\r\nb\u202e\x7f\x85", 40) == "a\ufffd[2J\ufffd\ufffdb\ufffd\ufffd\ufffd"


def test_notify_is_what_the_guide_shows() -> None:
    url = "http://172.18.0.10:5481/provisioning/cfg000B82273B89"
    written = notify_datagram(phone=SOURCE, ours=("172.18.0.10", 6060), telling=Telling("ua-profile", url), ids=IDS)
    assert written == (
        b"NOTIFY sip:172.18.32.197:5060 SIP/2.0\r\n"
        b"Via: SIP/2.0/UDP 172.18.0.10:6060;branch=z9hG4bKabc;rport\r\n"
        b"Max-Forwards: 70\r\n"
        b"Contact: <sip:172.18.0.10:6060>\r\n"
        b"To: <sip:172.18.32.197:5060>\r\n"
        b"From: <sip:172.18.0.10:6060>;tag=tag1\r\n"
        b"Call-ID: call1\r\n"
        b"CSeq: 1 NOTIFY\r\n"
        b"Allow: OPTIONS, SUBSCRIBE\r\n"
        b"Event: ua-profile\r\n"
        b"Subscription-State: terminated;reason=timeout\r\n"
        b"Content-Type: application/url\r\n"
        b"User-Agent: gspnp\r\n"
        b"Content-Length: 52\r\n"
        b"\r\n"
        b"http://172.18.0.10:5481/provisioning/cfg000B82273B89"
    )
    guide = parse_message((DATAGRAMS / "notify-guide.sip").read_bytes())
    ours = parse_message(written)
    for name in ("content-type", "event", "content-length", "max-forwards", "cseq"):
        assert ours.first(name) == guide.first(name)
    assert ours.to.tag is None


def test_notify_over_ipv6_has_brackets() -> None:
    written = notify_datagram(
        phone=("2001:db8::7", 5060),
        ours=("2001:db8::1", 6060),
        telling=Telling("ua-profile", "http://[2001:db8::1]/"),
        ids=IDS,
    )
    message = parse_message(written)
    assert message.start_line() == "NOTIFY sip:[2001:db8::7]:5060 SIP/2.0"
    assert message.via.host == "2001:db8::1"


@pytest.mark.parametrize("url", ["", "http://x/a b", "http://x/\r\nX: y", "http://x/\u00e4", "http://x/" + "a" * 1100])
def test_a_url_that_would_break_the_body_is_refused(url: str) -> None:
    with pytest.raises(SipSerialiseError):
        notify_datagram(phone=SOURCE, ours=("172.18.0.10", 6060), telling=Telling("ua-profile", url), ids=IDS)


def test_fresh_identifiers_are_new_each_time_and_carry_the_cookie() -> None:
    one, other = NotifyIds.fresh(), NotifyIds.fresh()
    assert one.branch != other.branch and one.tag != other.tag and one.call_id != other.call_id
    assert re.fullmatch(r"z9hG4bK[0-9a-f]{32}", one.branch)


@pytest.mark.parametrize(
    "ids", [("abc", "t", "c"), ("z9hG4bKa;b", "t", "c"), ("z9hG4bKa", "", "c"), ("z9hG4bKa", "t", "c\r\n")]
)
def test_identifiers_that_would_break_a_header_are_refused(ids: tuple[str, str, str]) -> None:
    with pytest.raises(ValueError):
        NotifyIds(*ids)
