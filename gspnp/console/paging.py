"""A list that is described by its URL and shown page by page: what every such list has in common."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any
from urllib.parse import urlencode

PAGE_ROWS = 50
QUERY_CHARS = 100
MAX_PAGE = 1_000_000


@dataclass(frozen=True)
class UrlQuery:
    """For a frozen dataclass whose fields are the parameters of the URL, each with its default, `page` among them."""

    def url(self, **changes: Any) -> str:
        """The query string of this list with changes; another search, filter or order begins at the first page."""
        kept = self.parameters(**changes)
        return f"?{urlencode(kept)}" if kept else "?"

    def parameters(self, **changes: Any) -> dict[str, Any]:
        """The same as names and values: what is not its default."""
        asked = replace(self, **({"page": 1} | changes))
        default = asdict(type(self)())
        return {name: value for name, value in asdict(asked).items() if value != default[name]}


class Paged:
    """For a page with `shown` rows: where it lies among all, and where the pages beside it are."""

    number: int
    total: int
    query: UrlQuery

    @property
    def shown(self) -> int:
        raise NotImplementedError

    @property
    def first(self) -> int:
        return (self.number - 1) * PAGE_ROWS + 1 if self.total else 0

    @property
    def last(self) -> int:
        return (self.number - 1) * PAGE_ROWS + self.shown

    @property
    def pages(self) -> int:
        return page_within(MAX_PAGE, self.total)

    @property
    def along(self) -> list[tuple[str, Any]]:
        """What goes along with the number of a page that is typed."""
        return list(self.query.parameters().items())

    @property
    def first_url(self) -> str:
        return self.query.url() if self.number > 1 else ""

    @property
    def last_url(self) -> str:
        return self.query.url(page=self.pages) if self.number < self.pages else ""

    @property
    def previous_url(self) -> str:
        return self.query.url(page=self.number - 1) if self.number > 1 else ""

    @property
    def next_url(self) -> str:
        return self.query.url(page=self.number + 1) if self.last < self.total else ""


def page_within(wanted: int, total: int) -> int:
    """The page that is wanted, or the last one if that lies beyond the end."""
    return max(1, min(wanted, -(-total // PAGE_ROWS)))
