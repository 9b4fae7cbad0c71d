"""A table as text: headers with one spelling, rows that know where they stood, and words for what is wrong."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches


class TableError(ValueError):
    """The file cannot be read as a table; the text says what to do, and quotes headers only."""


@dataclass(frozen=True)
class Row:
    """One row: its number as the spreadsheet shows it (the header is row 1), and its text by header."""

    number: int
    cells: dict[str, str] = field(repr=False)  # some are passwords


@dataclass(frozen=True)
class Table:
    """Headers in their order (`canonical`), and the rows that are not empty."""

    headers: list[str]
    rows: list[Row] = field(repr=False)

    def need(self, is_known: Callable[[str], bool], known: Sequence[str]) -> None:
        """Refuse headers that are not known, with those that are meant perhaps. Raises TableError."""
        unknown = [header for header in self.headers if not is_known(header)]
        if not unknown:
            return
        named = [f"“{header[:40]}”{_meant(header, known)}" for header in unknown[:8]]
        more = f" and {len(unknown) - 8} more" if len(unknown) > 8 else ""
        columns = "column" if len(unknown) == 1 else "columns"
        raise TableError(
            f"Unknown {columns}: {', '.join(named)}{more}. Rename or remove it. Known are: {', '.join(known)}."
        )


def canonical(header: str) -> str:
    """A header in its one spelling: lower case, words joined by `_`."""
    return re.sub(r"[\s\-_]+", "_", header.strip()).strip("_").lower()


def _meant(header: str, known: Sequence[str]) -> str:
    close = get_close_matches(header, known, n=1)
    return f" (meant “{close[0]}”?)" if close else ""
