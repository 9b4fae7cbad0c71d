"""The encoder's binary file, against files that were not made by us and against damage."""

from __future__ import annotations

import struct
from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provisioning.gxp.encoder import MAX_FILE_BYTES, EncoderError, decode, encode

MAC = "000B82273B89"

# formats.md c2 (a published fixture of another project) and the two worked examples of formats.md c.
FOREIGN = {
    "fixture": ("0004F200E06B", [("P1", "A")], "00000010ba480004f200e06b0d0a0d0a50313d4126676e6b65793d3062383200"),
    "even": (
        MAC,
        [("P2", "a b"), ("P35", "1001")],
        "00000016 9844 000b82273b89 0d0a0d0a 50323d6125323062 265033353d31303031 26676e6b65793d30623832",
    ),
    "odd": (MAC, [("P35", "1001")], "00000012 759b 000b82273b89 0d0a0d0a 5033353d31303031 26676e6b65793d30623832 00"),
}

# What every format of a phone's file can hold.
LEGAL = st.characters(exclude_categories=["Cc", "Cs"], exclude_characters="\ufffe\uffff")
SETTINGS = st.lists(
    st.tuples(st.integers(1, 99999).map("P{}".format), st.text(LEGAL, max_size=40)),
    max_size=8,
    unique_by=lambda s: s[0],
)
MACS = st.integers(1, 2**48 - 2).map("{:012X}".format)


def framed(body: bytes, mac: str = MAC) -> bytes:
    """A file around any body, with a length and a checksum that fit; written apart from the product's code."""
    head = struct.pack(">I", (16 + len(body)) // 2)
    rest = bytes.fromhex(mac) + b"\r\n\r\n" + body
    whole = head + rest
    total = sum(256 * high + low for high, low in zip(whole[::2], whole[1::2], strict=True))
    return head + struct.pack(">H", (65536 - total % 65536) % 65536) + rest


@pytest.mark.parametrize("name", FOREIGN)
def test_published_and_worked_files_are_met_byte_for_byte_and_read_back(name):
    mac, settings, written = FOREIGN[name]
    assert encode(mac, settings) == bytes.fromhex(written)
    assert decode(bytes.fromhex(written)) == (mac, settings)


@given(mac=MACS, settings=SETTINGS)
def test_any_settings_come_back_unchanged(mac, settings):
    data = encode(mac, settings)
    assert decode(data) == decode(data, plus_is_blank=False) == (mac, settings)
    assert encode(mac, settings) == data


@given(settings=SETTINGS)
def test_a_plain_form_parser_reads_the_same_settings(settings):
    body = encode(MAC, settings)[16:].rstrip(b"\0").decode("ascii")
    assert parse_qsl(body, keep_blank_values=True, strict_parsing=True) == [*settings, ("gnkey", "0b82")]


@given(settings=SETTINGS)
def test_the_words_sum_up_to_zero_and_are_counted_with_the_header(settings):
    data = encode(MAC, settings)
    assert data == framed(data[16:])
    assert int.from_bytes(data[:4], "big") * 2 == len(data)


def test_every_printable_character_survives_in_a_password():
    password = "".join(map(chr, range(0x20, 0x7F)))
    data = encode(MAC, [("P34", password), ("P35", "1001")])
    assert decode(data)[1] == [("P34", password), ("P35", "1001")]
    assert data[16:].count(b"&") == 2
    assert b"+" not in data[16:]


@pytest.mark.parametrize("name", FOREIGN)
def test_every_single_flipped_bit_is_refused(name):
    data = bytes.fromhex(FOREIGN[name][2])
    for bit in range(len(data) * 8):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        with pytest.raises(EncoderError):
            decode(bytes(flipped))


@pytest.mark.parametrize("name", FOREIGN)
def test_every_cut_and_every_longer_file_is_refused(name):
    data = bytes.fromhex(FOREIGN[name][2])
    for other in (*(data[:end] for end in range(len(data))), data + b"\0", data + b"\0\0", data + data):
        with pytest.raises(EncoderError):
            decode(other)


# 17, 18, 19 and 20 bytes of pairs, and what a writer of either rule puts behind them (formats.md c4).
@pytest.mark.parametrize(("value", "accepted"), [("10", {1, 3}), ("100", {0, 2}), ("1001", {1}), ("10010", {0})])
def test_both_paddings_are_read_and_no_other(value, accepted):
    body = b"P35=%s&gnkey=0b82" % value.encode()
    for count in range(len(body) % 2, 9, 2):
        data = framed(body + bytes(count))
        if count in accepted:
            assert decode(data) == (MAC, [("P35", value)])
        else:
            with pytest.raises(EncoderError, match="zero bytes at the end"):
                decode(data)


def read(pairs: bytes, **reading: bool) -> str:
    """The text of P1 in a file of a foreign writer."""
    body = b"P1=" + pairs + b"&gnkey=0b82"
    return dict(decode(framed(body + bytes(len(body) % 2)), **reading)[1])["P1"]


def test_a_bare_plus_is_read_as_its_writer_meant_it():
    assert read(b"a+b") == "a b"
    assert read(b"+49+30", plus_is_blank=False) == "+49+30"
    assert read(b"a%2Bb") == read(b"a%2Bb", plus_is_blank=False) == "a+b"


def test_escapes_of_either_case_and_bytes_left_unescaped_are_read():
    assert read(b"%c3%bC") == read(b"\xc3\xbc") == "ü"
    assert read(b"a b=c") == "a b=c"
    assert read(b"") == ""
    assert read(b"%2541") == "%41"  # unescaped once only


REFUSED_BODIES = {
    b"P1=ABCDEFG": "do not end with gnkey",
    b"gnkey=0b82&P1=A1": "do not end with gnkey",
    b"P1=A&gnkey=0b83": "do not end with gnkey",
    b"P1=A&GNKEY=0b82": "do not end with gnkey",
    b"P1=A&gnkey=0b82&": "do not end with gnkey",
    b"P12=gnkey=0b82": "do not end with gnkey",
    b"&gnkey=0b82": "Setting 1 has no =",
    b"P1=A&&gnkey=0b82": "Setting 2 has no =",
    b"P1=A&rest&gnkey=0b82": "Setting 2 has no =",
    b"gnkey=0b82&gnkey=0b82": "name of setting 1",
    b"=A&gnkey=0b82": "name of setting 1",
    b"p1=A&gnkey=0b82": "name of setting 1",
    b"P01=A&gnkey=0b82": "name of setting 1",
    b"P1 =A&gnkey=0b82": "name of setting 1",
    b"P%31=A&gnkey=0b82": "name of setting 1",
    b"P\xd9\xa1=A&gnkey=0b82": "name of setting 1",
    b"P1=A&P1=A&gnkey=0b82": "P1 is given twice",
    b"P1=100%&gnkey=0b82": "Setting 1 has a % without",
    b"P1=%4&gnkey=0b82": "Setting 1 has a % without",
    b"P1=%+1&gnkey=0b82": "Setting 1 has a % without",
    b"P1=%FF&gnkey=0b82": "not UTF-8",
    b"P1=%C3&P2=%BC&gnkey=0b82": "Setting 1 is not UTF-8",
    b"P1=%ED%A0%80&gnkey=0b82": "not UTF-8",  # half of a character
    b"\xff=A&gnkey=0b82": "not UTF-8",
    b"P1=%00&gnkey=0b82": r"P1: character 1 \(U\+0000\)",
    b"P1=a\0b&gnkey=0b82": r"P1: character 2 \(U\+0000\)",
    b"P1=%0D%0A&gnkey=0b82": r"P1: character 1 \(U\+000D\)",
    b"P1=%EF%BF%BF&gnkey=0b82": r"P1: character 1 \(U\+FFFF\)",
}


@pytest.mark.parametrize("body", REFUSED_BODIES, ids=ascii)
def test_a_body_that_is_not_well_formed_is_refused_and_the_fault_is_named(body):
    with pytest.raises(EncoderError, match=REFUSED_BODIES[body]):
        decode(framed(body + bytes(len(body) % 2)))


def test_faults_of_the_frame_are_named():
    data = bytes.fromhex(FOREIGN["even"][2])
    with pytest.raises(EncoderError, match="at least 26; it was cut off"):
        decode(data[:24])
    with pytest.raises(EncoderError, match="odd number"):
        decode(data[:-1])
    with pytest.raises(EncoderError, match="says that it has 44 bytes and has 42"):
        decode(data[:-2])
    with pytest.raises(EncoderError, match="checksum"):
        decode(data[:-2] + b"38")
    with pytest.raises(EncoderError, match="CR LF CR LF"):
        decode(_with_other_delimiter(data))
    for mac in ("000000000000", "FFFFFFFFFFFF"):
        with pytest.raises(EncoderError, match=f"No phone has the MAC {mac}"):
            decode(framed(data[16:], mac))


def _with_other_delimiter(data: bytes) -> bytes:
    """The two words of the delimiter turned: 0D0A becomes 0A0D, and the checksum is put right."""
    turned = bytearray(data)
    turned[12:16] = b"\n\r\n\r"
    turned[4:6] = bytes(2)
    total = sum(struct.unpack(f">{len(turned) // 2}H", turned))
    turned[4:6] = struct.pack(">H", -total % 65536)
    return bytes(turned)


@pytest.mark.parametrize(
    ("name", "value", "fault"),
    [
        ("35", "1001", "name of setting 1"),
        ("p35", "1001", "name of setting 1"),
        ("P035", "1001", "name of setting 1"),
        ("P35\n", "1001", "name of setting 1"),
        ("P٣", "1001", "name of setting 1"),
        ("gnkey", "0b82", "name of setting 1"),
        ("P35", "10\x0001", r"P35: character 3 \(U\+0000\)"),
        ("P35", "10\n01", r"P35: character 3 \(U\+000A\)"),
        ("P35", "\ud83d", r"P35: character 1 \(U\+D83D\)"),
        ("P35", "\ufffe", r"P35: character 1 \(U\+FFFE\)"),
    ],
)
def test_settings_that_no_file_may_hold_are_refused(name, value, fault):
    with pytest.raises(EncoderError, match=fault):
        encode(MAC, [(name, value)])


def test_a_setting_given_twice_is_refused():
    with pytest.raises(EncoderError, match="P35 is given twice"):
        encode(MAC, [("P35", "1001"), ("P34", "x"), ("P35", "1002")])


def test_any_spelling_of_a_mac_is_taken_and_other_texts_are_refused():
    assert encode("00:0b:82:27:3b:89", []) == encode(MAC, [])
    for mac in ("", "000B82273B8", "000B82273B8G", "0" * 12, "F" * 12):
        with pytest.raises(EncoderError):
            encode(mac, [("P35", "1001")])


def test_a_file_without_settings_can_be_written():
    assert decode(encode(MAC, [])) == (MAC, [])


def test_the_size_is_bound_in_both_directions():
    room = MAX_FILE_BYTES - len(encode(MAC, [("P1", "")]))
    longest = encode(MAC, [("P1", "a" * room)])
    assert len(longest) == MAX_FILE_BYTES
    assert decode(longest) == (MAC, [("P1", "a" * room)])
    with pytest.raises(EncoderError, match=f"shorten the settings to {MAX_FILE_BYTES}"):
        encode(MAC, [("P1", "a" * (room + 1))])
    with pytest.raises(EncoderError, match="are not read"):
        decode(framed(longest[16:] + b"\0\0"))


def test_no_message_quotes_a_value():
    secret = "Zk3rT9qLw2"
    bodies = [b"P34=%s%%&gnkey=0b82", b"P34=a&%s=b&gnkey=0b82", b"P34=a&%s&gnkey=0b82", b"P34=%s%%00&gnkey=0b82"]
    for body in (one % secret.encode() for one in bodies):
        with pytest.raises(EncoderError) as refused:
            decode(framed(body + bytes(len(body) % 2)))
        assert secret not in str(refused.value)
    with pytest.raises(EncoderError) as refused:
        encode(MAC, [("P34", f"{secret}\0")])
    assert secret not in str(refused.value)


@given(data=st.binary(max_size=80))
def test_any_bytes_are_read_or_refused(data):
    _read_or_refuse(data)


@given(body=st.lists(st.sampled_from([b"P1", b"P22", b"=", b"&", b"%", b"+", b"41", b"\0", b"\xff", b"gnkey=0b82"])))
def test_any_body_in_a_frame_that_fits_is_read_or_refused(body):
    joined = b"".join(body)
    _read_or_refuse(framed(joined + b"&gnkey=0b82" + bytes(-len(joined) % 2 ^ 1)))


def _read_or_refuse(data: bytes) -> None:
    """Only the one named exception may leave, and what was read can be written and is then the same."""
    try:
        mac, settings = decode(data)
    except EncoderError:
        return
    assert decode(encode(mac, settings)) == (mac, settings)
