"""The phone's time zone text against the time zone database, through an evaluator of our own that shares no code."""

from __future__ import annotations

import calendar
import re
from datetime import UTC, datetime, timedelta
from functools import cache
from importlib import resources
from io import BytesIO
from zoneinfo import ZoneInfo

import pytest

from provisioning.gxp import zones
from provisioning.gxp.zones import UnknownZone, ZoneError, ZoneNotExpressible, parse, phone_time_zone, right_from

TZDATA = resources.files("tzdata.zoneinfo")
EVERY_NAME = tuple((resources.files("tzdata") / "zones").read_text(encoding="utf-8").split())
NEXT_YEAR = datetime(int(zones.release()[:4]) + 1, 1, 1, tzinfo=UTC)
TWO_YEARS_ON = NEXT_YEAR.replace(year=NEXT_YEAR.year + 2)

# The plain grammar of the vendor's own list of zones: letters, signed offsets, Mm.w.d/hh:mm:ss.
OFFSET = r"[+-][0-9]{1,2}(?::[0-9]{2})?"
DATE = r"M([0-9]{1,2})\.([1-5])\.([0-6])/([0-9]{2}):([0-9]{2}):([0-9]{2})"
PHONE = re.compile(rf"[A-Za-z]{{3,}}({OFFSET})(?:[A-Za-z]{{3,}}({OFFSET}),({DATE}),({DATE}))?", re.ASCII)


def east(text: str) -> timedelta:
    hours, _, minutes = text[1:].partition(":")
    west = timedelta(hours=int(hours), minutes=int(minutes or 0))
    return -west if text[0] == "+" else west


def on_the_wall(date: str, year: int) -> datetime:
    """The moment of a rule by the calendar module: the weeks of the month that have this weekday, counted."""
    month, week, weekday, hours, minutes, seconds = map(int, re.fullmatch(DATE, date).groups())
    column = calendar.Calendar(firstweekday=6).monthdayscalendar(year, month)
    days = [days[weekday] for days in column if days[weekday]]
    day = days[-1] if week == 5 else days[week - 1]
    return datetime(year, month, day, tzinfo=UTC) + timedelta(hours=hours, minutes=minutes, seconds=seconds)


@cache
def summer_of(text: str, year: int) -> tuple[datetime, datetime]:
    found = PHONE.fullmatch(text)
    return on_the_wall(found[3], year) - east(found[1]), on_the_wall(found[10], year) - east(found[2])


@cache
def offsets(text: str) -> tuple[timedelta, timedelta | None]:
    found = PHONE.fullmatch(text)
    assert found, text
    return east(found[1]), east(found[2]) if found[2] else None


def clock_of_the_phone(text: str, moment: datetime) -> timedelta:
    winter, summer = offsets(text)
    if summer is None:
        return winter
    start, end = summer_of(text, moment.year)
    in_summer = start <= moment < end if start < end else not end <= moment < start
    return summer if in_summer else winter


def zone(name: str) -> ZoneInfo:
    return ZoneInfo.from_file(BytesIO(TZDATA.joinpath(*name.split("/")).read_bytes()), name)


def moments_of(clock: ZoneInfo, since: datetime, until: datetime) -> list[datetime]:
    """Every midnight, and every quarter of an hour of each day in which the clock is changed, a second off too."""
    found = []
    day = since
    while day < until:
        found.append(day)
        after = day + timedelta(days=1)
        if day.astimezone(clock).utcoffset() != after.astimezone(clock).utcoffset():
            for quarter in range(96):
                at = day + timedelta(minutes=15 * quarter)
                found += [at - timedelta(seconds=1), at]
        day = after
    return found


@cache
def text_or_refusal(name: str) -> str | ZoneError:
    try:
        return phone_time_zone(name)
    except ZoneError as error:
        return error


def test_the_phone_shows_the_right_time_in_every_zone_for_two_years():
    wrong = []
    seen: set[bytes] = set()
    for name in EVERY_NAME:
        data = TZDATA.joinpath(*name.split("/")).read_bytes()
        text = text_or_refusal(name)
        if data in seen or isinstance(text, ZoneError):
            continue
        seen.add(data)
        clock = zone(name)
        for moment in moments_of(clock, max(right_from(name), NEXT_YEAR - timedelta(days=365)), TWO_YEARS_ON):
            # The second before the first right moment may still be of the old law.
            if moment >= right_from(name) and clock_of_the_phone(text, moment) != moment.astimezone(clock).utcoffset():
                wrong.append((name, text, moment))
                break
    assert not wrong
    assert len(seen) > 300


def test_a_name_gives_the_text_of_its_file_whatever_its_spelling():
    for name in EVERY_NAME:
        text = text_or_refusal(name)
        if isinstance(text, str):
            assert text.isascii() and len(text) <= 64 and PHONE.fullmatch(text)
    assert phone_time_zone("Europe/Kiev") == phone_time_zone("Europe/Kyiv")
    assert phone_time_zone("US/Pacific") == phone_time_zone("America/Los_Angeles")


def test_only_zones_without_any_steady_rule_are_refused_and_the_words_say_what_to_do():
    refused = {name: str(text) for name in zones.zone_names() if isinstance(text := text_or_refusal(name), ZoneError)}
    # Release 2026f: Cuba stays on summer time for a whole winter. A change of this list is news for operators.
    assert set(refused) == {"America/Havana"}
    assert "America/Havana" in refused["America/Havana"]
    assert "fixed offset" in refused["America/Havana"]
    with pytest.raises(ZoneNotExpressible):
        phone_time_zone("Cuba")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("Europe/Berlin", "CET-1CEST-2,M3.5.0/02:00:00,M10.5.0/03:00:00"),  # as in the vendor's list
        ("Europe/London", "GMT+0BST-1,M3.5.0/01:00:00,M10.5.0/02:00:00"),  # as in the vendor's list
        ("Europe/Dublin", "GMT+0IST-1,M3.5.0/01:00:00,M10.5.0/02:00:00"),  # its database rule has negative summer time
        ("America/New_York", "EST+5EDT+4,M3.2.0/02:00:00,M11.1.0/02:00:00"),
        ("Asia/Kolkata", "IST-5:30"),
        ("Asia/Dubai", "STD-4"),  # <+04>-4 in the database
        ("Etc/UTC", "UTC+0"),
        ("America/Santiago", "STD+4DST+3,M9.1.6/24:00:00,M4.1.6/24:00:00"),
        ("Asia/Jerusalem", "IST-2IDT-3,M3.4.5/02:00:00,M10.5.0/02:00:00"),  # M3.4.4/26 in the database
        ("America/Nuuk", "STD+2DST+1,M3.4.6/23:00:00,M10.5.0/00:00:00"),  # M3.5.0/-1 in the database
        ("Australia/Lord_Howe", "STD-10:30DST-11,M10.1.0/02:00:00,M4.1.0/02:00:00"),  # half an hour of summer time
    ],
)
def test_zones_are_written_in_the_plain_grammar(name, text):
    assert phone_time_zone(name) == text


def test_a_law_that_is_decided_says_from_when_the_text_is_right():
    assert right_from("Europe/Berlin") <= NEXT_YEAR - timedelta(days=365)
    begin = right_from("Africa/Casablanca")  # the last change of Morocco's clock stands explicitly in the database
    before, after = (begin + timedelta(seconds=seconds) for seconds in (-1, 0))
    clock = zone("Africa/Casablanca")
    assert before.astimezone(clock).utcoffset() != clock_of_the_phone(phone_time_zone("Africa/Casablanca"), before)
    assert after.astimezone(clock).utcoffset() == clock_of_the_phone(phone_time_zone("Africa/Casablanca"), after)


@pytest.mark.parametrize(
    "name", ["", "Berlin", "europe/berlin", "../tzdata.zi", "/etc/localtime", "Europe", "CET-1CEST"]
)
def test_a_name_that_the_database_does_not_have_is_refused(name):
    with pytest.raises(UnknownZone, match="Europe/Berlin"):
        phone_time_zone(name)


@pytest.mark.parametrize(
    "text", ["", "EST", "5EST", "EST5EDT", "EST5EDT,J60,J300", "EST5EDT,M13.1.0,M4.1.0", "EST5,M3.1.0"]
)
def test_a_rule_that_we_cannot_read_is_refused_and_never_guessed(text):
    with pytest.raises(ZoneNotExpressible):
        parse(text)


def test_the_choice_list_has_today_s_names_only():
    names = zones.zone_names()
    assert list(names) == sorted(set(names))
    assert {"Europe/Berlin", "Europe/Oslo", "Asia/Kolkata", "America/Nuuk", "Etc/UTC"} <= set(names)
    assert not {"Asia/Calcutta", "US/Pacific", "America/Godthab", "Europe/Kiev", "EST", "Factory"} & set(names)
