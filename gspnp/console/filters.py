"""The filters of the list: stages and reachability with their counts, and what a phone is and where it stands."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from django.db.models import Count, F, Q, QuerySet
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from devices.choices import OUT_OF_SIGHT, WAY, Neighbour, Stage
from devices.models import Phone
from gspnp.console import narrow
from gspnp.console.rows import ICONS, IS_OFFLINE, IS_ONLINE, OFFLINE, ONLINE, REACH_LABELS

if TYPE_CHECKING:
    from gspnp.console.tables import ListQuery

ALL_TITLE = _("Without the ignored and the retired ones: those have filters of their own")
ATTENTION = "attention"  # beside the stages, see `needs_attention`
REACHES = {ONLINE: IS_ONLINE, OFFLINE: IS_OFFLINE}
NO_SITE = "."  # in the URL; no slug
KINDS: dict[str, Promise] = {"model": _("Model"), "firmware": _("Firmware"), "site": _("Site")}
MOST_VALUES = 200  # offered of each


@dataclass(frozen=True)
class Chip:
    """A stage, or online and offline, as a filter: its count, and the URL that switches to it."""

    value: str
    label: str | Promise
    icon: str
    count: int
    url: str
    current: bool
    title: str | Promise = ""


@dataclass(frozen=True)
class Removable:
    """A filter that is on, and the URL without it."""

    name: str
    label: str | Promise
    value: str | Promise
    url: str


@dataclass(frozen=True)
class Kind:
    """A filter that can be switched on: its values, each with its URL."""

    name: str
    label: str | Promise
    chips: list[Chip]


class Counts:
    """How many phones there are of what; each is asked for once, and only if it is shown."""

    @cached_property
    def _groups(self) -> list[tuple[str, bool | None, int]]:
        """By stage and by what was last known of their being there: one look at an index."""
        return list(Phone.objects.order_by().values_list("stage", "online").annotate(Count("pk")))

    @cached_property
    def stages(self) -> Mapping[str, int]:
        found: dict[str, int] = {}
        for stage, _online, count in self._groups:
            found[stage] = found.get(stage, 0) + count
        return found

    @property
    def working(self) -> int:
        return sum(count for stage, count in self.stages.items() if stage not in OUT_OF_SIGHT)

    @cached_property
    def attention(self) -> int:
        return _in_need().count()

    @cached_property
    def reaches(self) -> Mapping[str, int]:
        """Online and offline; `rows.IS_ONLINE` says the same of one phone."""
        known = {online: 0 for online in (True, False)}
        for stage, online, count in self._groups:
            if online is not None and stage in WAY:
                known[online] += count
        silent = Phone.objects.filter(stage__in=WAY, online=False)
        back = silent.filter(last_seen_at__gt=F("online_at")).count() if known[False] else 0
        return {ONLINE: known[True] + back, OFFLINE: known[False] - back}


class CountsWithin(Counts):
    """The same among the phones that a search or another filter leaves, in one scan of them."""

    def __init__(self, phones: QuerySet[Phone], in_sight: bool) -> None:
        self._phones, self._in_sight = phones, in_sight

    @cached_property
    def _rows(self) -> list[tuple[str, bool | None, int, int, int]]:
        back, need = Q(last_seen_at__gt=F("online_at")), needs_attention()
        counts = {"all": Count("pk"), "back": Count("pk", filter=back), "need": Count("pk", filter=need)}
        return list(self._phones.order_by().values_list("stage", "online").annotate(**counts))

    @cached_property
    def _groups(self) -> list[tuple[str, bool | None, int]]:
        return [(stage, online, count) for stage, online, count, _back, _need in self._rows]

    @property
    def working(self) -> int:
        return super().working if self._in_sight else sum(self.stages.values())

    @cached_property
    def attention(self) -> int:
        return sum(need for *_, need in self._rows)

    @cached_property
    def reaches(self) -> Mapping[str, int]:
        known = {online: 0 for online in (True, False)}
        for stage, online, count, back, _need in self._rows:
            if online is not None and stage in WAY:
                known[online] += count
                if not online:
                    known[True] += back
                    known[False] -= back
        return {ONLINE: known[True], OFFLINE: known[False]}


def needs_attention() -> Q:
    """An alarm, another device's MAC at its address, or stopped on the way."""
    return Q(pk__in=_in_need())


def _in_need() -> QuerySet:
    """Their ids; each part by an index that holds only such phones."""
    phones = Phone.objects.order_by().values("pk")
    another = phones.filter(neighbour=Neighbour.MISMATCH).exclude(stage__in=OUT_OF_SIGHT)
    # Who waits to be plugged in says so, and needs nobody.
    stopped = phones.exclude(stage_reason="").filter(stage__in=WAY, first_seen_at__isnull=False)
    return phones.exclude(alarm="").union(another, stopped)


def stage_chips(query: ListQuery, counts: Counts) -> list[Chip]:
    """The stages, and who needs attention."""
    entries: list[tuple[str, str | Promise, str, int]] = [("", _("All"), "deskphone", counts.working)]
    entries += [(ATTENTION, _("Needs attention"), "priority_high", counts.attention)]
    entries += [(stage.value, stage.label, ICONS[stage], counts.stages.get(stage.value, 0)) for stage in Stage]
    return [
        Chip(value, label, icon, count, query.url(stage=value), query.stage == value, "" if value else ALL_TITLE)
        for value, label, icon, count in entries
        if count or value == query.stage or value not in (ATTENTION, *OUT_OF_SIGHT)
    ]


def reach_chips(query: ListQuery, counts: Counts) -> list[Chip]:
    """Online and offline, once any phone was asked; pressed again, such a filter is gone."""
    return [
        Chip(reach, REACH_LABELS[reach], "", count, query.url(reach="" if current else reach), current)
        for reach, count in counts.reaches.items()
        if (current := query.reach == reach) or any(counts.reaches.values())
    ]


def removable(query: ListQuery) -> list[Removable]:
    """The filters by what a phone is and where it stands, and what a figure of the overview counted."""
    found = [
        Removable(name, label, _site(value) if name == "site" else value, query.url(**{name: ""}))
        for name, label in KINDS.items()
        if (value := getattr(query, name))
    ]
    if query.only:
        found.append(Removable("only", _("Only"), narrow.words(query.only), query.url(only="")))
    return found


def offered(query: ListQuery) -> list[Kind]:
    """What can be filtered by: only values that some phone has."""
    rows = list(Phone.objects.order_by().values_list(*KINDS).distinct())
    found = []
    for place, (name, label) in enumerate(KINDS.items()):
        values = sorted({row[place] for row in rows}, key=_natural)
        if name == "site":
            values = [value or NO_SITE for value in values] if any(values) else []
        chips = [
            Chip(value, _site(value) if name == "site" else value, "", 0, query.url(**{name: value}), value == current)
            for current in [getattr(query, name)]
            for value in values[:MOST_VALUES]
            if value
        ]
        found.append(Kind(name, label, chips))
    return [kind for kind in found if kind.chips]


def of_kinds(query: ListQuery) -> dict[str, str]:
    """The conditions of these filters."""
    wanted = {name: getattr(query, name) for name in KINDS}
    return {name: "" if value == NO_SITE else value for name, value in wanted.items() if value}


def _site(value: str) -> str | Promise:
    return _("default site") if value == NO_SITE else value


def _natural(text: str) -> list[tuple[bool, int, str]]:
    """1.0.7.6 before 1.0.7.13."""
    parts = text.replace("-", ".").split(".")  # a phone's own words: isdigit() alone takes "²", which int() does not
    return [(True, int(part), part) if part.isascii() and part.isdigit() else (False, 0, part) for part in parts]
