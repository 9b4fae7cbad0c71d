"""The list of phones as its URL describes it: search, filter by stage and by reachability, sort, page; and counts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any
from urllib.parse import urlencode

from django.db.models import Case, Count, Exists, F, IntegerField, OuterRef, Q, QuerySet, Subquery, Value, When
from django.db.models.functions import Length

from devices.choices import WAY, Neighbour, Stage
from devices.mac import search_digits
from devices.models import Account, Phone
from gspnp.console.rows import ICONS, IS_OFFLINE, IS_ONLINE, OFFLINE, ONLINE, REACH_LABELS, SHOWN_ACCOUNTS

PAGE_ROWS = 50
QUERY_CHARS = 100
MAX_PAGE = 1_000_000
PAGE_DIGITS = 9
ATTENTION = "attention"  # beside the stages, see `needs_attention`
REACHES = {ONLINE: IS_ONLINE, OFFLINE: IS_OFFLINE}
OUT_OF_SIGHT = (Stage.IGNORED, Stage.RETIRED)
DEFAULT_SORT = "-new"

_FIRST_ACCOUNT = Account.objects.filter(phone=OuterRef("pk")).order_by("number")
_STAGE_RANK = Case(
    *(When(stage=stage, then=Value(rank)) for rank, stage in enumerate(Stage)),
    default=Value(99),
    output_field=IntegerField(),
)
SORTS: Mapping[str, tuple[Any, ...]] = {
    "new": ("listed_at",),
    "stage": (_STAGE_RANK,),
    "mac": ("mac",),
    "vendor": ("vendor",),
    "model": ("model",),
    "firmware": ("firmware",),
    "address": ("source_host",),
    "extension": (Length("extension"), "extension"),  # 99 before 1000
    "seen": ("last_seen_at",),  # see `ordered`
}


@dataclass(frozen=True)
class ListQuery:
    """What the URL asks for, made safe: anything that is not understood is the default."""

    q: str = ""
    stage: str = ""
    reach: str = ""
    sort: str = DEFAULT_SORT
    page: int = 1

    @classmethod
    def read(cls, params: Mapping[str, str]) -> ListQuery:
        """From the query string."""
        stage, reach, sort, page = (params.get(name, "") for name in ("stage", "reach", "sort", "page"))
        return cls(
            q=params.get("q", "").replace("\0", "").strip()[:QUERY_CHARS],
            stage=stage if stage in (*Stage.values, ATTENTION) else "",
            reach=reach if reach in REACHES else "",
            sort=sort if sort.removeprefix("-") in SORTS else DEFAULT_SORT,
            page=_page(page),
        )

    def url(self, **changes: Any) -> str:
        """The query string of this list with changes; another search, filter or order begins at the first page."""
        asked = replace(self, **({"page": 1} | changes))
        default = asdict(ListQuery())
        kept = {name: value for name, value in asdict(asked).items() if value != default[name]}
        return f"?{urlencode(kept)}" if kept else "?"


def _page(text: str) -> int:
    """A page number, bounded before it is one: Python refuses to read thousands of digits."""
    if not (text.isascii() and text.isdigit()):
        return 1
    return MAX_PAGE if len(text) > PAGE_DIGITS else min(max(int(text), 1), MAX_PAGE)


@dataclass(frozen=True)
class Chip:
    """A stage, or online and offline, as a filter: its count, and the URL that switches to it."""

    value: str
    label: str
    icon: str
    count: int
    url: str
    current: bool


@dataclass(frozen=True)
class Column:
    """A head of the table. `sorted` is "", "ascending" or "descending"."""

    name: str
    label: str
    url: str
    sorted: str


COLUMNS = (
    ("stage", "Stage"),
    ("mac", "MAC"),
    ("vendor", "Vendor"),
    ("model", "Model"),
    ("firmware", "Firmware"),
    ("address", "Address"),
    ("extension", "Extension"),
    ("seen", "Last seen"),
)


@dataclass(frozen=True)
class Page:
    """One page of phones and where it lies."""

    phones: list[Phone]
    number: int
    total: int
    heard_any: bool
    chips: list[Chip]
    reach_chips: list[Chip]
    columns: list[Column]
    query: ListQuery

    @property
    def first(self) -> int:
        return (self.number - 1) * PAGE_ROWS + 1 if self.total else 0

    @property
    def last(self) -> int:
        return (self.number - 1) * PAGE_ROWS + len(self.phones)

    @property
    def previous_url(self) -> str:
        return self.query.url(page=self.number - 1) if self.number > 1 else ""

    @property
    def next_url(self) -> str:
        return self.query.url(page=self.number + 1) if self.last < self.total else ""


def read_page(query: ListQuery) -> Page:
    """The phones that this URL shows; a page beyond the end is the last one."""
    counts = dict(Phone.objects.order_by().values_list("stage").annotate(Count("pk")))
    found = filtered(query)
    total = found.count()
    number = max(1, min(query.page, -(-total // PAGE_ROWS)))
    start = (number - 1) * PAGE_ROWS
    phones = list(ordered(found, query.sort).prefetch_related(SHOWN_ACCOUNTS)[start : start + PAGE_ROWS])
    shown = replace(query, page=number)
    chips, reach_chips = _chips(shown, counts), _reach_chips(shown)
    return Page(phones, number, total, bool(counts), chips, reach_chips, _columns(shown), shown)


def filtered(query: ListQuery) -> QuerySet[Phone]:
    """Phones by stage, reachability and search. Ignored and retired ones appear when asked for, or searched for."""
    phones = Phone.objects.all()
    if query.stage == ATTENTION:
        phones = phones.filter(needs_attention())
    elif query.stage:
        phones = phones.filter(stage=query.stage)
    elif not query.q:
        phones = phones.exclude(stage__in=OUT_OF_SIGHT)
    if query.reach:
        phones = phones.filter(REACHES[query.reach])
    return phones.filter(matches(query.q)) if query.q else phones


def needs_attention() -> Q:
    """An alarm, another device's MAC at its address, or stopped on the way."""
    another = Q(neighbour=Neighbour.MISMATCH) & ~Q(stage__in=OUT_OF_SIGHT)
    # Who waits to be plugged in says so, and needs nobody.
    stopped = Q(stage__in=WAY, first_seen_at__isnull=False) & ~Q(stage_reason="")
    return ~Q(alarm="") | another | stopped


def matches(text: str) -> Q:
    """MAC in any spelling, extension, caller name, model, vendor, firmware or address."""
    # SQLite compares letters outside ASCII exactly, so their other cases are asked for too.
    spellings = {text, text.lower(), text.upper(), text.title()} if not text.isascii() else {text}
    found = Q()
    for spelling in spellings:
        mine = Q(user_id__icontains=spelling) | Q(display_name__icontains=spelling)
        found |= Q(Exists(Account.objects.filter(mine, phone=OuterRef("pk"))))
        for field in ("model", "vendor", "firmware", "source_host"):
            found |= Q(**{f"{field}__icontains": spelling})
    digits = search_digits(text)
    return found | Q(mac__contains=digits) if digits else found


def ordered(phones: QuerySet[Phone], sort: str) -> QuerySet[Phone]:
    """In this order; equals by MAC, so that paging never shows a phone twice."""
    name = sort.removeprefix("-")
    if name == "extension":
        phones = phones.annotate(extension=Subquery(_FIRST_ACCOUNT.values("user_id")[:1]))
    if name in ("stage", "extension"):
        phones = phones.annotate(
            **{f"by_{at}": term for at, term in enumerate(SORTS[name]) if not isinstance(term, str)}
        )
    if name == "seen":  # who was never heard comes after all who were, in every database
        seen = F("last_seen_at")
        return phones.order_by(
            seen.desc(nulls_last=True) if sort.startswith("-") else seen.asc(nulls_first=True), "mac"
        )
    sign = "-" if sort.startswith("-") else ""
    terms = [f"{sign}{term}" if isinstance(term, str) else f"{sign}by_{at}" for at, term in enumerate(SORTS[name])]
    return phones.order_by(*terms, "mac")


def _chips(query: ListQuery, counts: Mapping[str, int]) -> list[Chip]:
    working = sum(count for stage, count in counts.items() if stage not in OUT_OF_SIGHT)
    attention = Phone.objects.filter(needs_attention()).count()
    entries = [("", "All", "deskphone", working), (ATTENTION, "Needs attention", "priority_high", attention)]
    entries += [(stage.value, stage.label, ICONS[stage], counts.get(stage.value, 0)) for stage in Stage]
    return [
        Chip(value, label, icon, count, query.url(stage=value), current=query.stage == value)
        for value, label, icon, count in entries
        if count or value == query.stage or value not in (ATTENTION, *OUT_OF_SIGHT)
    ]


def _reach_chips(query: ListQuery) -> list[Chip]:
    """Online and offline, once any phone was asked; pressed again, such a filter is gone."""
    counts = Phone.objects.aggregate(**{f"n_{reach}": Count("pk", filter=rule) for reach, rule in REACHES.items()})
    return [
        Chip(reach, REACH_LABELS[reach], "", counts[f"n_{reach}"], query.url(reach="" if current else reach), current)
        for reach in REACHES
        if (current := query.reach == reach) or any(counts.values())
    ]


def _columns(query: ListQuery) -> list[Column]:
    columns = []
    for name, label in COLUMNS:
        state = {name: "ascending", f"-{name}": "descending"}.get(query.sort, "")
        # Times begin with the newest, everything else at its beginning.
        first, second = (f"-{name}", name) if name == "seen" else (name, f"-{name}")
        columns.append(Column(name, label, query.url(sort=second if query.sort == first else first), state))
    return columns
