"""The phone's self-defined time zone from an IANA zone name. Summer time is computed, never typed.

Pure: must never import Django, asyncio or socket. It reads only the `tzdata` package and never the machine's own zone
files, so the same name gives the same text everywhere. Source: RFC 9636 3.3 (the footer of a TZif file) and
POSIX.1-2017 8.3.

The phone gets the plainest grammar that its vendor's own list of zones shows: names of letters, both offsets written
with their sign, dates as Mm.w.d, times from 0 to 24 hours (`CET-1CEST-2,M3.5.0/02:00:00,M10.5.0/03:00:00`).
"""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from importlib import resources
from io import BytesIO
from itertools import product
from struct import calcsize, unpack, unpack_from
from zoneinfo import ZoneInfo

MAX_TEXT_CHARS = 64  # source: settings.csv, row self_defined_time_zone
EXACT_YEARS = 3  # a text is proved for so many whole years after its tzdata release; our choice
RANKED_YEARS = 28  # the calendar repeats after so many; the better of two exact texts is right in more of them
SECONDS_PER_HOUR = 3600
SECONDS_PER_DAY = 86400

_TZIF_HEADER = ">4s1s15x6l"  # RFC 9636 3.1: magic, version, six counts
_NAME = r"(?:<[A-Za-z0-9+-]{3,}>|[A-Za-z]{3,})"
_TIME = r"[+-]?[0-9]{1,3}(?::[0-9][0-9]){0,2}"
_FOOTER = re.compile(rf"({_NAME})({_TIME})(?:({_NAME})({_TIME})?,([^,]+),([^,]+))?")
_RULE = re.compile(rf"M([0-9]{{1,2}})\.([1-5])\.([0-6])(?:/({_TIME}))?")


class ZoneError(ValueError):
    """No text can be made for this zone; its words are for the operator."""


class UnknownZone(ZoneError):
    """The name is none of the IANA time zone database."""


class ZoneNotExpressible(ZoneError):
    """The zone's law does not fit the phone's grammar. The operator may write self_defined_time_zone by hand."""


@dataclass(frozen=True)
class Rule:
    """A yearly change: the `week`th (5: last) `weekday` (0: Sunday) of a month, seconds after its midnight."""

    month: int
    week: int
    weekday: int
    seconds: int

    def local(self, year: int) -> datetime:
        """The moment by the clock on the wall that is about to be changed."""
        first = datetime(year, self.month, 1)
        day = 1 + (self.weekday - first.isoweekday()) % 7 + 7 * (self.week - 1)
        after = datetime(year + self.month // 12, self.month % 12 + 1, 1)
        if first + timedelta(days=day - 1) >= after:
            day -= 7
        return first + timedelta(days=day - 1, seconds=self.seconds)


@dataclass(frozen=True)
class Law:
    """What a POSIX TZ text says. Offsets are seconds east of UTC; `summer` is None where the clock never changes."""

    name: str
    offset: int
    summer: tuple[str, int, Rule, Rule] | None = None

    def changes(self, years: range) -> list[tuple[datetime, int]]:
        """The changes of these years in UTC, in order, each with the offset that holds from then."""
        if self.summer is None:
            return []
        _, offset, start, end = self.summer
        found = []
        for year in years:
            found.append((_utc(start.local(year), self.offset), offset))
            found.append((_utc(end.local(year), offset), self.offset))
        return sorted(found)


def phone_time_zone(iana_name: str) -> str:
    """The text for self_defined_time_zone; time_zone must then be `customize`. Raises ZoneError.

    It is right from `right_from(iana_name)` on and for EXACT_YEARS whole years after the release of tzdata.
    """
    return _proved(iana_name)[0]


def right_from(iana_name: str) -> datetime:
    """From when the text is right; later than the day of reading where a new law is decided but not yet in force."""
    return _proved(iana_name)[1]


@cache
def zone_names() -> tuple[str, ...]:
    """The names to choose from: those of inhabited places, and UTC. Old spellings are absent here, and accepted."""
    return tuple(sorted({name for _, name in _places()} | {"Etc/UTC"}))


@cache
def release() -> str:
    """The release of the time zone database that the texts come from, as `2026f`."""
    first = (resources.files("tzdata.zoneinfo") / "tzdata.zi").read_text(encoding="utf-8").partition("\n")[0]
    return first.removeprefix("# version ").strip()


@cache
def _places() -> tuple[tuple[str, str], ...]:
    """(country, zone) of every row of zone.tab."""
    text = (resources.files("tzdata.zoneinfo") / "zone.tab").read_text(encoding="utf-8")
    rows = (line.split("\t") for line in text.splitlines() if line and not line.startswith("#"))
    return tuple((row[0], row[2]) for row in rows)


@cache
def _known() -> frozenset[str]:
    """Every name of the database, old spellings too."""
    return frozenset((resources.files("tzdata") / "zones").read_text(encoding="utf-8").split())


def _file(iana_name: str) -> bytes:
    if iana_name not in _known():
        raise UnknownZone(f"{iana_name!r} is no time zone of the IANA database; write it as in Europe/Berlin")
    return resources.files("tzdata.zoneinfo").joinpath(*iana_name.split("/")).read_bytes()


@cache
def _proved(iana_name: str) -> tuple[str, datetime]:
    """The text, and from when it is right."""
    data = _file(iana_name)
    moments, footer = _read(data)
    try:
        law = parse(footer)
        plain = _plain(law)
    except ZoneError as why:
        raise ZoneNotExpressible(f"{iana_name}: {why}") from None
    written = write(plain)
    if len(written) > MAX_TEXT_CHARS:
        raise ZoneNotExpressible(f"{iana_name}: {written} is longer than {MAX_TEXT_CHARS} characters")
    since = _agree_since(ZoneInfo.from_file(BytesIO(data), iana_name), moments, law, plain)
    if since > _new_year(_exact_years().start):
        raise ZoneNotExpressible(
            f"{iana_name} follows no rule that the phone can be given: {written} would be right only from "
            f"{since:%Y-%m-%d}. Choose a zone with a fixed offset, or write self_defined_time_zone by hand"
        )
    return written, since


def _agree_since(zone: ZoneInfo, moments: list[datetime], law: Law, plain: Law) -> datetime:
    """From when on zone and text agree at every second, looking back to the release year; the end if they never do.

    Both are constant between their changes, so it is enough to compare at each change of either.
    """
    exact = _exact_years()
    around = range(exact.start - 2, exact.stop + 1)
    begin, end = _new_year(exact.start - 1), _new_year(exact.stop)
    changes = plain.changes(around)
    at = [moment for moment, _ in changes]
    breaks = {begin, *moments, *at, *(moment for moment, _ in law.changes(around))}
    since = end
    for moment in sorted((one for one in breaks if begin <= one < end), reverse=True):
        held = changes[bisect_right(at, moment) - 1][1] if changes else plain.offset
        if moment.astimezone(zone).utcoffset() != timedelta(seconds=held):
            break
        since = moment
    return since


def _exact_years() -> range:
    """The whole years that a text is proved for. They come from the release, not from a clock: files stay the same."""
    year = int(release()[:4]) + 1
    return range(year, year + EXACT_YEARS)


def _new_year(year: int) -> datetime:
    return datetime(year, 1, 1, tzinfo=UTC)


def _utc(local: datetime, offset: int) -> datetime:
    return (local - timedelta(seconds=offset)).replace(tzinfo=UTC)


def _read(data: bytes) -> tuple[list[datetime], str]:
    """The explicit changes and the footer of a TZif file of version 2 or later (RFC 9636 3.1 to 3.3)."""
    second = calcsize(_TZIF_HEADER) + _block_bytes(data, 0, 4)
    counts = unpack_from(_TZIF_HEADER, data, second)[2:]
    start = second + calcsize(_TZIF_HEADER)
    stamps = unpack(f">{counts[3]}q", data[start : start + 8 * counts[3]])
    footer = data[start + _block_bytes(data, second, 8) :].decode("ascii").strip("\n")
    year_1970 = _new_year(1970)
    return [year_1970 + timedelta(seconds=stamp) for stamp in stamps if stamp > 0], footer


def _block_bytes(data: bytes, header_at: int, time_bytes: int) -> int:
    """How long the data block after this header is."""
    _, _, is_ut, is_std, leaps, times, types, chars = unpack_from(_TZIF_HEADER, data, header_at)
    return int(times * (time_bytes + 1) + types * 6 + chars + leaps * (time_bytes + 4) + is_std + is_ut)


def parse(text: str) -> Law:
    """A POSIX TZ text as a Law. Raises ZoneNotExpressible if it is none, or has dates that are not Mm.w.d."""
    found = _FOOTER.fullmatch(text)
    if found is None:
        raise ZoneNotExpressible(f"{text!r} is no time zone rule that we can read")
    name, offset, summer, summer_offset, start, end = found.groups()
    east = -_seconds(offset)
    if summer is None:
        return Law(name, east)
    summer_east = -_seconds(summer_offset) if summer_offset else east + SECONDS_PER_HOUR
    return Law(name, east, (summer, summer_east, _rule(start), _rule(end)))


def _rule(text: str) -> Rule:
    found = _RULE.fullmatch(text)
    if found is None or not 1 <= int(found[1]) <= 12:
        raise ZoneNotExpressible(f"{text!r} is no date of the form Mm.w.d")
    return Rule(int(found[1]), int(found[2]), int(found[3]), _seconds(found[4] or "2"))


def _seconds(text: str) -> int:
    parts = [int(part) for part in text.lstrip("+-").split(":")] + [0, 0]
    total = parts[0] * SECONDS_PER_HOUR + parts[1] * 60 + parts[2]
    return -total if text.startswith("-") else total


def _plain(law: Law) -> Law:
    """The same law in the phone's grammar: letters, summer ahead of winter, times from 0 to 24 hours."""
    if law.summer is None:
        return Law(_letters(law.name, "STD"), law.offset)
    name, offset, start, end = law.summer
    if offset < law.offset:  # Dublin: its summer time is the standard, its winter time the exception
        law, (name, offset, start, end) = Law(name, offset), (law.name, law.offset, end, start)
    return Law(
        _letters(law.name, "STD"), law.offset, (_letters(name, "DST"), offset, _within_a_day(start), _within_a_day(end))
    )


def _letters(name: str, instead: str) -> str:
    """A name of letters only. `<+03>` has none, and the phone is not known to read the angle brackets."""
    return name if name.isalpha() else instead


def _within_a_day(rule: Rule) -> Rule:
    """The rule with a time from 0 to 24 hours; of several that mean the same in the exact years, the best later on."""
    if 0 <= rule.seconds <= SECONDS_PER_DAY:
        return rule
    days, seconds = divmod(rule.seconds, SECONDS_PER_DAY)
    weekday = (rule.weekday + days) % 7
    months = [month for month in (rule.month, rule.month - 1, rule.month + 1) if 1 <= month <= 12]
    others = [Rule(month, week, weekday, seconds) for month, week in product(months, range(1, 6))]
    exact = _exact_years()
    ranked = range(exact.start, exact.start + RANKED_YEARS)
    return max(others, key=lambda one: (_same(rule, one, exact), _same(rule, one, ranked)))


def _same(one: Rule, other: Rule, years: range) -> int:
    """In how many of these years both rules mean the same moment."""
    return sum(one.local(year) == other.local(year) for year in years)


def write(law: Law) -> str:
    """The law as text, every part written out as the vendor's own list of zones does."""
    text = law.name + _offset(law.offset)
    if law.summer:
        name, offset, start, end = law.summer
        text += f"{name}{_offset(offset)},{_date(start)},{_date(end)}"
    return text


def _offset(east: int) -> str:
    """An offset as POSIX counts it, west of UTC: `-5:30` is India."""
    hours, minutes = divmod(abs(east) // 60, 60)
    return ("-" if east > 0 else "+") + (f"{hours}:{minutes:02}" if minutes else f"{hours}")


def _date(rule: Rule) -> str:
    hours, rest = divmod(rule.seconds, SECONDS_PER_HOUR)
    return f"M{rule.month}.{rule.week}.{rule.weekday}/{hours:02}:{rest // 60:02}:{rest % 60:02}"
