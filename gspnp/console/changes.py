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
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_safe

from devices.mac import search_digits
from gspnp.console.access import VIEW_CHANGES, needs
from gspnp.console.models import Change
from gspnp.console.paging import PAGE_ROWS, QUERY_CHARS, Paged, UrlQuery, page_within
from gspnp.console.shell import shell_context

# What a person reads for a deed; one without words of its own is shown as it is stored.
DEEDS = {
    "add": gettext_lazy("added"),
    "change": gettext_lazy("changed"),
    "delete": gettext_lazy("deleted"),
    "password": gettext_lazy("set a password of"),
    "assign": gettext_lazy("assigned"),
    "reveal": gettext_lazy("looked at a password of"),
    "layer": gettext_lazy("changed settings of"),
    "opinions": gettext_lazy("changed our defaults for"),
    "phone_settings": gettext_lazy("changed settings of"),
    "roll_back": gettext_lazy("went back to an earlier version of"),
    "signed in": gettext_lazy("signed in"),
    "signed out": gettext_lazy("signed out"),
    "locked out": gettext_lazy("locked out"),
    "unlock": gettext_lazy("unlocked a name"),
    "firmware_pin": gettext_lazy("set the firmware path of"),
    "firmware_upload": gettext_lazy("stored a firmware image"),
    "firmware_remove": gettext_lazy("removed a firmware image"),
    "extension": gettext_lazy("changed the extension"),
    "extension_delete": gettext_lazy("deleted the extension"),
    "extension_add": gettext_lazy("added an extension"),
    "forget": gettext_lazy("forgot"),
    "swap": gettext_lazy("swapped"),
}


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
    """An entry and what differs: name, before, after."""

    change: Change
    deed: str
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
    lines = [Line(row, str(DEEDS.get(row.deed, row.deed.replace("_", " "))), _differs(row)) for row in rows]
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


def _differs(change: Change) -> list[tuple[str, str, str]]:
    names = sorted({*change.before, *change.after})
    return [(name, str(change.before.get(name, "")), str(change.after.get(name, ""))) for name in names]
