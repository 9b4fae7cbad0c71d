"""The list of changes, newest first: by person, by kind of deed, by phone or other thing, by day."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, time, timedelta

from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import render
from django.utils import timezone
from django.utils.dateparse import parse_date
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from devices.mac import search_digits
from gspnp.console import deeds
from gspnp.console.access import VIEW_CHANGES, needs
from gspnp.console.models import Change
from gspnp.console.paging import PAGE_ROWS, QUERY_CHARS, Paged, UrlQuery, page_within
from gspnp.console.shell import shell_context


@dataclass(frozen=True)
class ChangesQuery(UrlQuery):
    """What the URL asks for."""

    who: str = ""
    q: str = ""
    day: str = ""
    page: int = 1

    @classmethod
    def read(cls, said: QueryDict) -> ChangesQuery:
        """Bounded; what makes no sense is passed over."""
        number = said.get("page", "")
        return cls(
            said.get("who", "")[:QUERY_CHARS].replace("\0", ""),
            said.get("q", "")[:QUERY_CHARS].replace("\0", "").strip(),
            said.get("day", "")[:10] if _day(said.get("day", "")) else "",
            int(number) if number.isascii() and number.isdigit() and len(number) < 8 else 1,
        )


@dataclass
class ChangesPage(Paged):
    """One page of the list."""

    lines: list[Line]
    number: int
    total: int
    query: ChangesQuery

    @property
    def shown(self) -> int:
        return len(self.lines)


@dataclass(frozen=True)
class Line:
    """An entry in words, and what differs: name, before, after."""

    change: Change
    who: str
    deed: str
    what: str
    differs: list[tuple[str, str, str]]


@require_safe
@needs(VIEW_CHANGES)
def page(request: HttpRequest) -> HttpResponse:
    """The list for what the URL asks."""
    query = ChangesQuery.read(request.GET)
    found = _found(query)
    total = found.count()
    number = page_within(query.page, total)
    rows = found[(number - 1) * PAGE_ROWS : number * PAGE_ROWS]
    lines = [_line(row) for row in rows]
    names = Change.objects.exclude(who="").order_by("who").values_list("who", flat=True).distinct()[:200]
    context = shell_context(
        request, _("Changes"), page=ChangesPage(lines, number, total, query), query=query, names=list(names)
    )
    return render(request, "console/changes.html", context)


def _found(query: ChangesQuery) -> QuerySet[Change]:
    rows = Change.objects.order_by("-id")
    if query.who:
        rows = rows.filter(who=query.who)
    if query.q:
        digits = search_digits(query.q)
        by_mac = Q(mac__contains=digits) if digits else Q()
        rows = rows.filter(Q(what__icontains=query.q) | Q(deed__icontains=query.q) | Q(host=query.q) | by_mac)
    day = _day(query.day)
    if day is not None:
        rows = rows.filter(at__gte=day, at__lt=day + timedelta(days=1))
    return rows


def _day(text: str) -> datetime | None:
    """Its beginning in the reader's zone."""
    try:
        date = parse_date(text)
        if date is None or not 1900 < date.year < 9000:
            return None
        return timezone.make_aware(datetime.combine(date, time.min))
    except (ValueError, OverflowError):
        return None


def _line(change: Change) -> Line:
    who, what = change.who, deeds.thing(change.what)
    if change.deed == deeds.LOCKED_OUT:
        who, what = what, ""  # nobody did it: it befell this name
    names = sorted({*change.before, *change.after})
    differs = [
        (deeds.label(change.deed, name), deeds.value(change.deed, name, change.before.get(name, "")),
         deeds.value(change.deed, name, change.after.get(name, "")))
        for name in names
    ]  # fmt: skip
    return Line(change, who, deeds.words(change.deed), what, differs)
