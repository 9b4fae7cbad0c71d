"""Country presets: what is in them, and that a wrong row is named."""

from __future__ import annotations

import re

import pytest

from provisioning.gxp import zones
from provisioning.gxp.catalogue import SETTINGS, fault
from provisioning.gxp.countries import (
    DATA,
    CountryDataError,
    UnknownCountry,
    countries,
    explained,
    phone_tone,
    preset,
    read_countries,
)
from provisioning.gxp.zones import phone_time_zone

PROMISED = {
    "DE", "AT", "CH", "GB", "IE", "FR", "BE", "NL", "LU", "ES", "PT", "IT", "PL", "CZ", "SK", "HU", "SI", "HR",
    "RS", "RO", "BG", "GR", "DK", "SE", "NO", "FI", "EE", "LV", "LT", "UA", "RU", "TR", "IL", "US", "CA", "MX",
    "BR", "AR", "CL", "CO", "PE", "AU", "NZ", "JP", "KR", "CN", "HK", "SG", "MY", "TH", "VN", "ID", "PH", "IN",
    "PK", "AE", "SA", "EG", "ZA", "KE", "NG",
}  # fmt: skip
ALWAYS = {"date_format", "time_format", "ntp_server", "time_zone", "self_defined_time_zone"}
SOURCES = "[sources]\n" + "".join(
    f'{key} = ["a", "seen"]\n' for key in ("zone", "ntp", "date", "clock", "language", "t")
)
ROW = '[DE]\nname = "Germany"\nzone = "Europe/Berlin"\nlanguage = "de"\ndate = "dd-mm-yyyy"\nclock = 24\nntp = "de"\n'
TONES = '[DE.tones]\nsource = "t"\ndial_tone = "425"\n'


def test_every_promised_country_has_a_preset_that_a_phone_accepts():
    assert set(countries()) == PROMISED
    for code in countries():
        settings = preset(code)
        assert set(settings) >= ALWAYS
        for name, text in settings.items():
            assert fault(SETTINGS[name], text) is None, (code, name, text)


def test_every_value_says_where_it_comes_from_and_how_sure_that_is():
    for code in countries():
        assert all(value.source and value.confidence for value in explained(code).values())


def test_germany_as_a_technician_expects_it():
    assert preset("DE") == {
        "display_language": "de",
        "date_format": "2",
        "time_format": "1",
        "ntp_server": "de.pool.ntp.org",
        "dial_tone": "f1=425,f2=425;",
        "second_dial_tone": "f1=425,f2=425;",
        "ring_back_tone": "f1=425,f2=425,c=100/400;",
        "busy_tone": "f1=425,f2=425,c=48/48;",
        "reorder_tone": "f1=425,f2=425,c=24/24;",
        "call_waiting_tone": "f1=425,f2=425,c=20/20-20/500;",
        "time_zone": "customize",
        "self_defined_time_zone": "CET-1CEST-2,M3.5.0/02:00:00,M10.5.0/03:00:00",
    }


def test_american_tones_are_the_phone_s_own_defaults():
    american = preset("US")
    tones = {name: american[name] for name in american if name.endswith("tone")}
    assert set(tones) == {
        "dial_tone", "second_dial_tone", "ring_back_tone", "busy_tone", "reorder_tone", "call_waiting_tone",
    }  # fmt: skip
    del tones["call_waiting_tone"]  # the phone's default pauses 5 s, the table says 10 s
    assert tones == {name: SETTINGS[name].default for name in tones}


def test_what_is_not_known_is_left_to_the_phone():
    assert not [name for name in preset("IE") if name.endswith("tone")]
    assert "display_language" not in preset("RO")  # no Romanian on the phone
    assert "dial_tone" not in preset("IN")  # a modulated tone, which the syntax cannot say


def test_the_zone_of_a_country_lies_in_it():
    for code in countries():
        texts = {phone_time_zone(zone) for place, zone in zones._places() if place == code}
        assert preset(code)["self_defined_time_zone"] in texts


def test_choices_come_in_the_order_of_their_names():
    assert list(countries().values()) == sorted(countries().values())


@pytest.mark.parametrize("code", ["", "de", "XX", "sources"])
def test_a_country_without_a_preset_is_named(code):
    with pytest.raises(UnknownCountry, match=re.escape(repr(code))):
        preset(code)


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("425", "f1=425,f2=425;"),
        ("350+440", "f1=350,f2=440;"),
        ("425 200/200-600/1000", "f1=425,f2=425,c=20/20-60/100;"),
        ("400 375/375", "f1=400,f2=400,c=38/38;"),  # the phone counts in 10 ms
        ("425 167/164", "f1=425,f2=425,c=17/16;"),
    ],
)
def test_tones_are_written_as_the_phone_reads_them(text, written):
    assert phone_tone(text) == written


@pytest.mark.parametrize(
    "text",
    ["", "425 ", "425/200", "425+440+480", "425 200", "425 200/", "425 0/200", "425 1/1-1/1-1/1-1/1", "25", "9000", 425,
     "٤٢٥", "425 100/100-100/100-100/100-100/100", "425 100/99999"],
)  # fmt: skip
def test_a_tone_that_the_phone_cannot_play_is_refused(text):
    with pytest.raises(ValueError):
        phone_tone(text)


def test_a_row_without_tones_and_language_is_whole():
    rows, _ = read_countries(SOURCES + ROW.replace('language = "de"\n', ""))
    assert set(rows["DE"].settings) == {"date_format", "time_format", "ntp_server"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[DE\n", "line 1"),
        (ROW, "[sources]"),
        (SOURCES.replace('ntp = ["a", "seen"]\n', "") + ROW, "[sources]: ntp missing"),
        (SOURCES.replace('["a", "seen"]', '["a"]') + ROW, "[sources]: zone must be"),
        (SOURCES + ROW.replace("[DE]", "[de]"), "[de]"),
        (SOURCES + "DE = 1\n" + ROW.replace("[DE]", "[AT]"), "[sources]: DE"),
        ("DE = 1\n" + SOURCES, "[DE]: a row is a table"),
        (SOURCES + ROW + "colour = 1\n", "[DE]: colour"),
        (SOURCES + ROW.replace("clock = 24\n", ""), "[DE]: clock is missing"),
        (SOURCES + ROW.replace("Germany", " "), "[DE]: name"),
        (SOURCES + ROW.replace("Europe/Berlin", "Europe/Bonn"), "[DE]: zone 'Europe/Bonn'"),
        (SOURCES + ROW.replace("Europe/Berlin", "Asia/Calcutta"), "[DE]: zone"),
        (SOURCES + ROW.replace('language = "de"', 'language = "da"'), "[DE]: language 'da'"),
        (SOURCES + ROW.replace("dd-mm-yyyy", "dd.mm.yyyy"), "[DE]: date"),
        (SOURCES + ROW.replace("clock = 24", "clock = 25"), "[DE]: clock"),
        (SOURCES + ROW.replace('ntp = "de"', 'ntp = "de.pool.ntp.org"'), "[DE]: ntp"),
        (SOURCES + ROW + "tones = 1\n", "[DE]: tones"),
        (SOURCES + ROW + TONES.replace('"t"', '"nobody"'), "[DE]: tones.source"),
        (SOURCES + ROW + TONES.replace('source = "t"\n', ""), "[DE]: tones.source"),
        (SOURCES + ROW + TONES.replace("dial_tone", "dial"), "[DE]: tones.dial is none"),
        (SOURCES + ROW + TONES.replace('"425"', '"425*24"'), "[DE]: tones.dial_tone: '425*24'"),
    ],
)
def test_a_wrong_row_is_refused_by_its_name(text, words):
    with pytest.raises(CountryDataError, match=re.escape(words)) as caught:
        read_countries(text)
    assert str(caught.value).startswith(DATA.name)
