"""MAC addresses in every usual spelling."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.mac import MacError, colons, lower, parse_mac, search_digits

MAC = "000B82273B89"


@pytest.mark.parametrize(
    "text",
    [
        "000B82273B89",
        "000b82273b89",
        "00:0b:82:27:3b:89",
        "00-0B-82-27-3B-89",
        "00.0b.82.27.3b.89",
        "00 0B 82 27 3B 89",
        "000b.8227.3b89",
        "000b-8227-3b89",
        "000b82-273b89",
        "  00:0B:82:27:3b:89\t\n",
        "\u00a0000B82273B89",
    ],
)
def test_every_usual_spelling_gives_twelve_upper_case_digits(text):
    assert parse_mac(text) == MAC


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        ("", "label"),
        ("   ", "label"),
        ("000B82273B8", "this has 11"),
        ("000B82273B8900", "this has 14"),
        ("000B82273B8G", "Character 12 is not a hex digit"),
        ("00:0B-82:27:3B:89", "unusual way"),
        ("0:00B:82:27:3B:89", "unusual way"),
        ("00:0B:82:27:3B:89:", "unusual way"),
        ("\uff10\uff10\uff10B82273B89", "Character 1 is not a hex digit"),
        ("MAC:000B82273B89", "Character 1 is not a hex digit"),
        ("<script>", "Character 1 is not a hex digit"),
    ],
)
def test_a_refused_mac_says_what_to_do(text, advice):
    with pytest.raises(MacError, match=advice) as caught:
        parse_mac(text)
    assert isinstance(caught.value, ValueError)


def test_a_hostile_length_is_refused_with_short_words():
    with pytest.raises(MacError) as caught:
        parse_mac("0" * 1_000_000)
    assert len(str(caught.value)) < 200


@given(st.text())
def test_any_text_is_a_mac_or_a_mac_error(text):
    try:
        parsed = parse_mac(text)
    except MacError:
        return
    assert len(parsed) == 12
    assert set(parsed) <= set("0123456789ABCDEF")


@given(st.integers(0, 2**48 - 1).map(lambda number: f"{number:012X}"))
def test_display_forms_are_read_back(mac):
    assert parse_mac(colons(mac)) == parse_mac(lower(mac)) == mac


def test_display_forms():
    assert colons(MAC) == "00:0B:82:27:3B:89"
    assert lower(MAC) == "000b82273b89"


@pytest.mark.parametrize(
    ("text", "digits"),
    [
        ("3b89", "3B89"),
        (" 3b:89 ", "3B89"),
        ("00:0b:8", "000B8"),
        ("00:0b:", "000B"),
        (":82:2", "822"),
        ("000b.82", "000B82"),
        ("00-0B-82-27-3B-89", MAC),
        ("000B82273B89", MAC),
        ("c", "C"),
    ],
)
def test_a_piece_of_a_mac_can_be_searched(text, digits):
    assert search_digits(text) == digits


@pytest.mark.parametrize(
    "text",
    [
        "",
        "  ",
        ":",
        "Reception",
        "10.0.0.5",
        "192.168.1.20",
        "00:0b-82",
        "000B82273B890",
        "\u0661",
        "1:23:4:5",
    ],
)
def test_what_cannot_be_part_of_a_mac_is_none(text):
    assert search_digits(text) is None
