"""What the overview's figures lead to: the list of phones, narrowed to those that were counted.

`only` in the list's URL is a kind and a value, such as `hole:CVE-2026-2329` or `why:not-fetched`; whatever is not
understood narrows nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from itertools import groupby

from django.db.models import Count, Q
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _

from devices.choices import OUT_OF_SIGHT
from devices.models import Phone
from gspnp.console import reasons, withheld
from provisioning.gxp import firmware

ONLY_CHARS = 100
RUNS_READ = 500  # different pairs of model and firmware; a network has a handful, only a hostile one has more
MAX_SECONDS = 253_402_214_399  # a day before the year 9999 ends: every zone can still say it
ALARM, ARRIVED, FIRMWARE, HOLE, MODEL, WHY = "alarm", "arrived", "firmware", "hole", "model", "why"
UNASKED, WITHHELD = "unasked", "withheld"  # by the number of the job

Run = tuple[str, str, int]


def read(text: str) -> str:
    """The text if it narrows the list, "" if it is not understood."""
    text = text.replace("\0", "")[:ONLY_CHARS]
    kind, _colon, value = text.partition(":")
    understood = {
        ALARM: not value,
        ARRIVED: span(value) is not None,
        FIRMWARE: bool(value),
        HOLE: value in {hole.name for hole in firmware.all_holes()},
        MODEL: bool(value),
        WHY: value in reasons.BY_KEY,
        UNASKED: _is_number(value),
        WITHHELD: _is_number(value),
    }
    return text if understood.get(kind) else ""


def rule(only: str) -> Q:
    """The phones that it means."""
    kind, _colon, value = only.partition(":")
    if kind == ALARM:
        return ~Q(alarm="")
    if kind == ARRIVED and (between := span(value)):
        return Q(first_seen_at__gte=between[0], first_seen_at__lt=between[1])
    if kind == FIRMWARE:
        return Q(firmware=value)
    if kind == HOLE:
        return with_hole(value, runs())
    if kind == MODEL:
        return Q(model=value)
    if kind == UNASKED:
        return withheld.unasked(int(value))
    if kind == WITHHELD:
        return Q(pk__in=withheld.of_jobs([int(value)]).values("phone"))
    return reasons.rule(value) if kind == WHY else Q()


def is_of_all(only: str) -> bool:
    """Whether it means ignored and retired phones too: they arrive as others do, and an alarm is an alarm."""
    return only.partition(":")[0] in (ALARM, ARRIVED)


def words(only: str) -> str:
    """What a person reads of it."""
    kind, _colon, value = only.partition(":")
    if kind == ALARM:
        return _("with an alarm")
    if kind == ARRIVED and (between := span(value)):
        first, last = (date_format(timezone.localtime(at), "SHORT_DATETIME_FORMAT") for at in between)
        return _("first seen from {first} to {last}").format(first=first, last=last)
    if kind == FIRMWARE:
        return _("firmware {version}").format(version=value)
    if kind == HOLE:
        return _("firmware with a known hole: {name}").format(name=value)
    if kind == MODEL:
        return _("model {model}").format(model=value)
    if kind == UNASKED:
        return _("without their turn, of job {number}").format(number=value)
    if kind == WITHHELD:
        return _("held back, of job {number}").format(number=value)
    return str(reasons.BY_KEY[value].title) if kind == WHY else ""


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 12


def arrived(start: datetime, end: datetime) -> str:
    """The value for phones that were first seen in this time."""
    return f"{ARRIVED}:{int(start.timestamp())}-{int(end.timestamp())}"


def span(value: str) -> tuple[datetime, datetime] | None:
    """Two POSIX seconds with a hyphen between, as times."""
    numbers = value.split("-")
    if len(numbers) != 2 or not all(_is_number(one) for one in numbers):
        return None
    first, last = (int(one) for one in numbers)
    if max(first, last) > MAX_SECONDS:
        return None
    return datetime.fromtimestamp(first, UTC), datetime.fromtimestamp(last, UTC)


def runs() -> list[Run]:
    """(model, firmware, how many) of the phones in sight, the most first; at most RUNS_READ."""
    # Written as what is left out, the whole is answered from an index.
    counted = Phone.objects.exclude(stage__in=OUT_OF_SIGHT).order_by().values_list("model", "firmware")
    return list(counted.annotate(count=Count("pk")).order_by("-count", "model", "firmware")[:RUNS_READ])


def with_hole(name: str, all_runs: Iterable[Run]) -> Q:
    """Phones whose model and firmware have this known hole."""
    pairs = sorted(
        (model, version)
        for model, version, _count in all_runs
        if any(hole.name == name for hole in firmware.holes(model, version))
    )
    found = Q(pk__in=[])
    for model, group in groupby(pairs, key=lambda pair: pair[0]):
        found |= Q(model=model, firmware__in=[version for _model, version in group])
    return found
