"""The list of phones as its URL describes it: search, filters, order, and the page of it.

A page is found by its ids alone, from the nearer end, and only then read: paging stays fast at 100,000 phones.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from django.db.models import Case, CharField, F, IntegerField, OuterRef, QuerySet, Subquery, Value, When
from django.db.models.expressions import OrderBy
from django.db.models.functions import Cast, Concat, Length, Right
from django.utils.functional import Promise

from devices.choices import OUT_OF_SIGHT, Stage
from devices.models import Account, Phone
from gspnp.console import filters, narrow
from gspnp.console.columns import DEFAULT, LABELS, NEWEST_FIRST, UNSORTED
from gspnp.console.filters import ATTENTION, REACHES, Chip, Counts, CountsWithin, Removable
from gspnp.console.paging import MAX_PAGE, PAGE_ROWS, QUERY_CHARS, Paged, UrlQuery, page_within
from gspnp.console.rows import SHOWN_ACCOUNTS
from gspnp.console.search import matches

VALUE_CHARS = 40
PAGE_DIGITS = 9
DEFAULT_SORT = "-new"
FOUND_AT_ONCE = 2000  # ids; what is found in one go need not be counted, which would be a second scan

_FIRST_ACCOUNT = Account.objects.filter(phone=OuterRef("pk")).order_by("number")
_STAGE_RANK = Case(
    *(When(stage=stage, then=Value(rank)) for rank, stage in enumerate(Stage)),
    default=Value(99),
    output_field=IntegerField(),
)
_BY_LENGTH = Concat(Right(Concat(Value("00"), Cast(Length("user_id"), CharField())), 3), "user_id")  # 99 before 1000
SORTS: Mapping[str, tuple[Any, ...]] = {
    "new": ("listed_at",),
    "stage": (_STAGE_RANK,),
    "mac": ("mac",),
    "vendor": ("vendor",),
    "model": ("model",),
    "firmware": ("firmware",),
    "address": ("source_host",),
    "extension": (Subquery(_FIRST_ACCOUNT.values_list(_BY_LENGTH)[:1]),),
    "name": (Subquery(_FIRST_ACCOUNT.values("display_name")[:1]),),
    "site": ("site",),
    "reach": ("online", "rtt_ms"),
    "seen": ("last_seen_at",),  # see `ordered`
}
UNKNOWN_LAST = frozenset({"extension", "name", "reach", "address"})  # whichever way it is sorted


@dataclass(frozen=True)
class ListQuery(UrlQuery):
    """What the URL asks for, made safe: anything that is not understood is the default."""

    q: str = ""
    stage: str = ""
    reach: str = ""
    model: str = ""
    firmware: str = ""
    site: str = ""
    only: str = ""
    sort: str = DEFAULT_SORT
    page: int = 1

    @classmethod
    def read(cls, params: Mapping[str, str]) -> ListQuery:
        """From the query string."""
        stage, reach, sort, page = (params.get(name, "") for name in ("stage", "reach", "sort", "page"))
        return cls(
            q=_text(params, "q", QUERY_CHARS),
            stage=stage if stage in (*Stage.values, ATTENTION) else "",
            reach=reach if reach in REACHES else "",
            only=narrow.read(params.get("only", "")),
            sort=sort if sort.removeprefix("-") in SORTS else DEFAULT_SORT,
            page=_page(page),
            **{name: _text(params, name, VALUE_CHARS) for name in filters.KINDS},
        )

    @property
    def which(self) -> str:
        """The query string of the phones that it means, in whatever order."""
        return self.url(sort=DEFAULT_SORT)


def _text(params: Mapping[str, str], name: str, most: int) -> str:
    return params.get(name, "").replace("\0", "").strip()[:most]


def _page(text: str) -> int:
    """A page number, bounded before it is one: Python refuses to read thousands of digits."""
    if not (text.isascii() and text.isdigit()):
        return 1
    return MAX_PAGE if len(text) > PAGE_DIGITS else min(max(int(text), 1), MAX_PAGE)


@dataclass(frozen=True)
class Column:
    """A head of the table. `sorted` is "", "ascending" or "descending"; without an URL it cannot be sorted by."""

    name: str
    label: str | Promise
    url: str
    sorted: str


@dataclass(frozen=True)
class Page(Paged):
    """One page of phones and where it lies."""

    phones: list[Phone]
    number: int
    total: int
    heard_any: bool
    chips: list[Chip]
    reach_chips: list[Chip]
    removable: list[Removable]
    columns: list[Column]
    own_columns: bool
    query: ListQuery

    @property
    def shown(self) -> int:
        return len(self.phones)


def read_page(query: ListQuery, own: Sequence[str] | None = None, usual: Sequence[str] = DEFAULT) -> Page:
    """The phones that this URL shows, with the reader's own columns or the usual ones. A page beyond the end is the
    last one."""
    counts = _counts(query)
    ids, number, total = _ids(query, counts)
    found = {phone.pk: phone for phone in Phone.objects.filter(pk__in=ids).prefetch_related(SHOWN_ACCOUNTS)}
    shown = replace(query, page=number)
    return Page(
        phones=[found[pk] for pk in ids if pk in found],  # one may be forgotten in between
        number=number,
        total=total,
        heard_any=bool(counts.stages) or Phone.objects.exists(),
        chips=filters.stage_chips(shown, counts),
        reach_chips=filters.reach_chips(shown, counts),
        removable=filters.removable(shown),
        columns=[_column(shown, name) for name in (own or usual)],
        own_columns=own is not None,
        query=shown,
    )


def filtered(query: ListQuery) -> QuerySet[Phone]:
    """The phones that are meant. Ignored and retired ones appear when they are asked for, or searched for."""
    phones = _narrowed(query)
    if query.stage == ATTENTION:
        phones = phones.filter(filters.needs_attention())
    elif query.stage:
        phones = phones.filter(stage=query.stage)
    elif _is_in_sight(query):
        phones = phones.exclude(stage__in=OUT_OF_SIGHT)
    return phones.filter(REACHES[query.reach]) if query.reach else phones


def _narrowed(query: ListQuery) -> QuerySet[Phone]:
    """The phones among which the chips choose."""
    phones = Phone.objects.filter(**filters.of_kinds(query))
    if query.only:
        phones = phones.filter(narrow.rule(query.only))
    return phones.filter(matches(query.q)) if query.q else phones


def _is_in_sight(query: ListQuery) -> bool:
    return not query.q and not narrow.is_of_all(query.only)


def _counts(query: ListQuery) -> Counts:
    if query.q or query.only or query.model or query.firmware or query.site:
        return CountsWithin(_narrowed(query), _is_in_sight(query))
    return Counts()


def ordered(phones: QuerySet[Phone], sort: str) -> QuerySet[Phone]:
    """In this order; equals by MAC, so that paging never shows a phone twice."""
    name, down = sort.removeprefix("-"), sort.startswith("-")
    nulls_last = True if name in UNKNOWN_LAST else None
    if name == "seen":  # who was never heard comes after all who were, in every database
        term = OrderBy(F("last_seen_at"), descending=down, nulls_last=down or None, nulls_first=not down or None)
        return phones.order_by(term, "mac")
    terms = [F(term) if isinstance(term, str) else term for term in SORTS[name]]
    return phones.order_by(*(OrderBy(term, descending=down, nulls_last=nulls_last) for term in terms), "mac")


# --- which ids ------------------------------------------------------------------------------------------------------


def _ids(query: ListQuery, counts: Counts) -> tuple[list[int], int, int]:
    """The ids of the page, its number, and how many there are on all pages."""
    phones = filtered(query)
    ids = ordered(phones, query.sort).values_list("pk", flat=True)
    total = _known_total(query, counts)
    if total is None:
        found = list(ids[: FOUND_AT_ONCE + 1])
        if len(found) <= FOUND_AT_ONCE:
            number = page_within(query.page, len(found))
            return found[(number - 1) * PAGE_ROWS : number * PAGE_ROWS], number, len(found)
        total = phones.count()
    number = page_within(query.page, total)
    start, end = (number - 1) * PAGE_ROWS, min(number * PAGE_ROWS, total)
    if start > total // 2:
        return list(ids.reverse()[total - end : total - start])[::-1], number, total
    return list(ids[start:end]), number, total


def _known_total(query: ListQuery, counts: Counts) -> int | None:
    """How many there are, if a count that is shown anyway says it."""
    if query.reach and query.stage:
        return None
    if query.reach:
        return counts.reaches[query.reach]
    if query.stage == ATTENTION:
        return counts.attention
    return counts.stages.get(query.stage, 0) if query.stage else counts.working


def _column(query: ListQuery, name: str) -> Column:
    if name in UNSORTED:
        return Column(name, LABELS[name], "", "")
    # Times begin with the newest, everything else at its beginning.
    both: Sequence[str] = (f"-{name}", name) if name in NEWEST_FIRST else (name, f"-{name}")
    state = {name: "ascending", f"-{name}": "descending"}.get(query.sort, "")
    return Column(name, LABELS[name], query.url(sort=both[1] if query.sort == both[0] else both[0]), state)
