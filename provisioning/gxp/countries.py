"""What a phone in a country needs: language, tones, date and time, zone, NTP. A preset; the operator may override all.

Pure: must never import Django, asyncio or socket. The data is data/countries.toml, checked when it is first read; what
it leaves out stays as the phone has it.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType

from provisioning.gxp.zones import phone_time_zone, zone_names

DATA = Path(__file__).parent / "data" / "countries.toml"

# Source of the four tables: settings.csv, rows display_language, date_format, time_format and the tones.
LANGUAGES = frozenset({
    "ar", "cs", "de", "en", "es", "fr", "he", "hr", "hu", "it", "ja", "ko", "lv", "nl", "pl", "pt", "ru", "sl", "se",
    "tr", "zh-tw", "zh",
})  # fmt: skip
DATE_FORMATS = MappingProxyType({"yyyy-mm-dd": "0", "mm-dd-yyyy": "1", "dd-mm-yyyy": "2"})
TIME_FORMATS = MappingProxyType({12: "0", 24: "1"})
TONES = ("dial_tone", "ring_back_tone", "busy_tone", "reorder_tone", "call_waiting_tone")

CADENCE_UNIT_MS = 10
MAX_CADENCE_PAIRS = 3
TONE_HZ = range(300, 2001)  # tones for people lie well within a telephone channel; our choice
PULSE_MS = range(CADENCE_UNIT_MS, 30_001)  # our choice; the longest pause in the tables is 14 s

_TONE = re.compile(r"([0-9]+)(?:\+([0-9]+))?(?: ([0-9]+/[0-9]+(?:-[0-9]+/[0-9]+)*))?")
_NTP = re.compile(r"[a-z]{2}|africa|asia|europe|north-america|oceania|south-america")
_ROW = frozenset({"name", "zone", "language", "date", "clock", "ntp", "tones"})
_REQUIRED = ("name", "zone", "date", "clock", "ntp")


class CountryDataError(ValueError):
    """countries.toml is wrong; the message names the row. Correct the file."""


class UnknownCountry(KeyError):
    """No preset for this ISO code; `countries()` lists those that exist."""

    def __str__(self) -> str:
        return f"there is no preset for the country {self.args[0]!r}"


@dataclass(frozen=True)
class Value:
    """One setting of a preset, where it comes from, and how sure that is."""

    text: str
    source: str
    confidence: str


@dataclass(frozen=True)
class Country:
    """A country: its name, its default IANA zone, and its settings but for the zone."""

    name: str
    zone: str
    settings: Mapping[str, Value]


def preset(country: str) -> Mapping[str, str]:
    """The settings of a country by name, for a layer. Raises UnknownCountry, and ZoneError of its default zone."""
    return MappingProxyType({name: value.text for name, value in explained(country).items()})


def explained(country: str) -> Mapping[str, Value]:
    """The same settings, each with source and confidence."""
    row = _row(country)
    _, zone_source = _loaded()
    zone = {
        "time_zone": Value("customize", *zone_source),
        "self_defined_time_zone": Value(phone_time_zone(row.zone), *zone_source),
    }
    return MappingProxyType({**row.settings, **zone})


def countries() -> Mapping[str, str]:
    """Country names by ISO code, for a choice list, in the order of the names."""
    rows = _loaded()[0].items()
    return MappingProxyType({code: row.name for code, row in sorted(rows, key=lambda item: item[1].name)})


def _row(country: str) -> Country:
    rows, _ = _loaded()
    if country not in rows:
        raise UnknownCountry(country)
    return rows[country]


@cache
def _loaded() -> tuple[Mapping[str, Country], tuple[str, str]]:
    return read_countries(DATA.read_text(encoding="utf-8"))


def read_countries(text: str) -> tuple[Mapping[str, Country], tuple[str, str]]:
    """The rows of a data file by ISO code, and the source of their zones. Raises CountryDataError at a fault."""
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise CountryDataError(f"{DATA.name}: {error}") from None
    try:
        sources = _sources(table.pop("sources", None))
    except ValueError as error:
        raise CountryDataError(f"{DATA.name}, [sources]: {error}") from None
    rows = {}
    for code, row in table.items():
        try:
            rows[code] = _country(code, row, sources)
        except ValueError as error:
            raise CountryDataError(f"{DATA.name}, [{code}]: {error}") from None
    return MappingProxyType(rows), sources["zone"]


def _sources(table: object) -> dict[str, tuple[str, str]]:
    """(source, confidence) by key."""
    if not isinstance(table, dict):
        raise ValueError("the table is missing")
    found: dict[str, tuple[str, str]] = {}
    for key, pair in table.items():
        match pair:
            case [str(source), str(confidence)] if source and confidence:
                found[key] = (source, confidence)
            case _:
                raise ValueError(f"{key} must be [source, confidence]")
    missing = {"zone", "ntp", "date", "clock", "language"} - set(found)
    if missing:
        raise ValueError(f"{', '.join(sorted(missing))} missing")
    return found


def _country(code: str, row: object, sources: Mapping[str, tuple[str, str]]) -> Country:
    if not re.fullmatch(r"[A-Z]{2}", code):
        raise ValueError("the name of a row is an ISO code of two capital letters")
    if not isinstance(row, dict):
        raise ValueError("a row is a table")
    for wrong, words in ((set(row) - _ROW, "is no field of a row"), (set(_REQUIRED) - set(row), "is missing")):
        if wrong:
            raise ValueError(f"{sorted(wrong)[0]} {words}")
    if not isinstance(row["name"], str) or not row["name"].strip():
        raise ValueError("name is empty")
    if row["zone"] not in zone_names():
        raise ValueError(f"zone {row['zone']!r} is none of the IANA zones to choose from")
    settings = dict(_plain_settings(row, sources)) | dict(_tones(row.get("tones", {}), sources))
    return Country(row["name"], row["zone"], MappingProxyType(settings))


def _plain_settings(row: Mapping[str, object], sources: Mapping[str, tuple[str, str]]) -> Iterator[tuple[str, Value]]:
    language, date, clock, ntp = row.get("language"), row["date"], row["clock"], row["ntp"]
    if language is not None:
        if not isinstance(language, str) or language not in LANGUAGES:
            raise ValueError(f"language {language!r} is none that the phone has")
        yield "display_language", Value(language, *sources["language"])
    if not isinstance(date, str) or date not in DATE_FORMATS:
        raise ValueError(f"date {date!r} is none of {', '.join(DATE_FORMATS)}")
    yield "date_format", Value(DATE_FORMATS[date], *sources["date"])
    if not isinstance(clock, int) or clock not in TIME_FORMATS:
        raise ValueError(f"clock {clock!r} is neither 12 nor 24")
    yield "time_format", Value(TIME_FORMATS[clock], *sources["clock"])
    if not isinstance(ntp, str) or not _NTP.fullmatch(ntp):
        raise ValueError(f"ntp {ntp!r} is no zone of pool.ntp.org")
    yield "ntp_server", Value(f"{ntp}.pool.ntp.org", *sources["ntp"])


def _tones(table: object, sources: Mapping[str, tuple[str, str]]) -> Iterator[tuple[str, Value]]:
    """The tones in the phone's syntax. The second dial tone is the dial tone (our choice: no table has both)."""
    if not isinstance(table, dict):
        raise ValueError("tones is no table")
    tones = dict(table)
    source = tones.pop("source", None)
    if tones and (not isinstance(source, str) or source not in sources):
        raise ValueError(f"tones.source {source!r} is none of [sources]")
    for name, text in tones.items():
        if name not in TONES:
            raise ValueError(f"tones.{name} is none of {', '.join(TONES)}")
        try:
            value = Value(phone_tone(text), *sources[source])
        except ValueError as error:
            raise ValueError(f"tones.{name}: {error}") from None
        yield name, value
        if name == "dial_tone":
            yield "second_dial_tone", value


def phone_tone(text: object) -> str:
    """`425 200/200-600/1000` (Hz, ms) in the phone's syntax, whose cadence counts in 10 ms. Raises ValueError.

    A single frequency stands in both places, as in the vendor's default call waiting tone (settings.csv).
    """
    found = _TONE.fullmatch(text) if isinstance(text, str) else None
    if found is None:
        raise ValueError(f"{text!r} is not written as 425+450 400/200-400/2000")
    first, second, cadence = int(found[1]), int(found[2] or found[1]), found[3]
    if first not in TONE_HZ or second not in TONE_HZ:
        raise ValueError(f"{text!r} has a frequency outside {TONE_HZ[0]} to {TONE_HZ[-1]} Hz")
    written = f"f1={first},f2={second}"
    if cadence:
        written += f",c={_cadence(cadence)}"
    return written + ";"


def _cadence(text: str) -> str:
    pairs = [[int(ms) for ms in pair.split("/")] for pair in text.split("-")]
    if len(pairs) > MAX_CADENCE_PAIRS:
        raise ValueError(f"{text!r} has more than {MAX_CADENCE_PAIRS} pulses")
    if any(ms not in PULSE_MS for pair in pairs for ms in pair):
        raise ValueError(f"{text!r} has a time outside {PULSE_MS[0]} to {PULSE_MS[-1]} ms")
    return "-".join("/".join(str((ms + CADENCE_UNIT_MS // 2) // CADENCE_UNIT_MS) for ms in pair) for pair in pairs)
