"""The list of extensions as its URL describes it: search, filter, page; and which phones have each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from django.db.models import Q, QuerySet
from django.utils.translation import gettext_lazy as _

from devices import directory, holders
from devices.holders import Holder
from devices.models import Extension
from gspnp.console.paging import MAX_PAGE, PAGE_ROWS, QUERY_CHARS, Paged, UrlQuery, page_within
from gspnp.console.search import named

SITE_CHARS = 40
PAGE_DIGITS = 9
FILTERS = {"": _("All"), "free": _("Free"), "used": _("On a phone"), "shared": _("On several phones")}
ICONS = {"": "dialpad", "free": "radio_button_unchecked", "used": "deskphone", "shared": "group_work"}
_NARROW = {"free": holders.free, "used": holders.used, "shared": holders.shared}


@dataclass(frozen=True)
class DirectoryQuery(UrlQuery):
    """What the URL asks for, made safe. `site` is None for every site; "" is the default one."""

    q: str = ""
    only: str = ""
    site: str | None = None
    page: int = 1

    @classmethod
    def read(cls, params: Mapping[str, str]) -> DirectoryQuery:
        """From the query string."""
        only, page, site = params.get("only", ""), params.get("page", ""), params.get("site")
        number = int(page) if page.isascii() and page.isdigit() and len(page) <= PAGE_DIGITS else 1
        return cls(
            q=clean(params.get("q", "")),
            only=only if only in FILTERS else "",
            site=None if site is None else clean(site)[:SITE_CHARS],
            page=min(max(number, 1), MAX_PAGE),
        )


def clean(text: str) -> str:
    """A search text without what no column holds."""
    return text.replace("\0", "").strip()[:QUERY_CHARS]


@dataclass(frozen=True)
class Choice:
    """A filter, and the URL that switches to it."""

    value: str
    label: str
    icon: str
    url: str
    current: bool


@dataclass(frozen=True)
class Line:
    """One extension with the accounts of phones that have it."""

    extension: Extension
    held: list[Holder]

    @property
    def phones(self) -> list[Holder]:
        """One for each phone."""
        return list({one.phone_id: one for one in self.held}.values())

    @property
    def shown(self) -> list[Holder]:
        return self.phones[:3]

    @property
    def more(self) -> int:
        return max(0, len(self.phones) - 3)


@dataclass(frozen=True)
class DirectoryPage(Paged):
    """One page of the directory and where it lies."""

    lines: list[Line]
    number: int
    total: int
    any: bool
    sites: list[str]
    query: DirectoryQuery

    @property
    def shown(self) -> int:
        return len(self.lines)

    @property
    def filters(self) -> list[Choice]:
        return [
            Choice(value, str(label), ICONS[value], self.query.url(only=value), self.query.only == value)
            for value, label in FILTERS.items()
        ]


def read_page(query: DirectoryQuery) -> DirectoryPage:
    """The extensions that this URL shows; a page beyond the end is the last one."""
    found = filtered(query)
    total = found.count()
    number = page_within(query.page, total)
    start = (number - 1) * PAGE_ROWS
    rows = list(found[start : start + PAGE_ROWS])
    held = holders.of_extensions(rows)
    lines = [Line(row, held[row.pk]) for row in rows]
    exists = bool(total) or Extension.objects.exists()
    return DirectoryPage(lines, number, total, exists, sites(), replace(query, page=number))


def filtered(query: DirectoryQuery) -> QuerySet[Extension]:
    """Extensions without secrets, in the order of their numbers."""
    rows = directory.readable()
    if query.site is not None:
        rows = rows.filter(site=query.site)
    if query.only:
        rows = _NARROW[query.only](rows)
    return rows.filter(matches(query.q)) if query.q else rows


def matches(text: str) -> Q:
    """Number, name, site, SIP server or authentication ID, whatever the case and the accents."""
    found = Q()
    for field in ("number", "name", "site", "sip_server", "auth_id"):
        found |= named(field, text)
    return found


def sites() -> list[str]:
    """Every site that has extensions."""
    return list(Extension.objects.order_by("site").values_list("site", flat=True).distinct())
