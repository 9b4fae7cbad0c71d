"""What the benchmark says: tables on the screen as they come, and all of them in docs/benchmarks.md at the end."""

import os
import platform
import shutil
import statistics
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path

from tests.support.site import ROOT

DOCUMENT = ROOT / "docs" / "benchmarks.md"
PACKAGES = (
    "Django",
    "channels",
    "daphne",
    "httptools",
    "uvicorn",
    "cryptography",
    "lxml",
    "psycopg",
    "sipmessage",
    "uvloop",
)
PROGRAMS = (("kamailio", "-v"), ("postgres", "--version"), ("cc", "--version"))
PROGRAM_PLACES = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/usr/lib/postgresql/15/bin"))
COMMAND_SECONDS = 10
INTRODUCTION = """\
# Benchmarks

Written by `make bench`; nothing here was typed. What is compared was measured side by side, in turns, in one run on
one machine; each figure is the median of the repeats, and its spread stands beside it. A shared machine varies by 20
to 30 %, so look at ratios. Load generator and server share the cores, as they would on a small PBX; the datagrams
are real multicast over a cable between two network namespaces. Nothing here is a test, and nothing fails when it is
slow.
"""


@dataclass
class Table:
    """Rows of text below a heading."""

    title: str
    columns: Sequence[str]
    rows: list[list[str]] = field(default_factory=list)

    def add(self, *cells: object) -> None:
        self.rows.append([str(cell) for cell in cells])

    def markdown(self) -> str:
        """As Markdown that can be read in a terminal too: columns are aligned, figures to the right."""
        wide = [max(len(row[place]) for row in (self.columns, *self.rows)) for place in range(len(self.columns))]
        head = _line(self.columns, wide)
        rule = "|" + "|".join("-" * (wide[0] + 2) if not n else "-" * (w + 1) + ":" for n, w in enumerate(wide)) + "|"
        return "\n".join([f"**{self.title}**", "", head, rule, *(_line(row, wide) for row in self.rows)]) + "\n"


def _line(cells: Iterable[str], wide: Sequence[int]) -> str:
    first, *others = zip(cells, wide, strict=True)
    padded = [first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in others)]
    return "| " + " | ".join(padded) + " |"


@dataclass
class Part:
    """One part of the benchmark: how it was measured, and what came out. It is printed as it grows."""

    name: str
    title: str
    method: str
    pieces: list[str] = field(default_factory=list)
    failed: bool = False
    """What stopped it stands in `method`."""

    def __post_init__(self) -> None:
        print(f"\n## {self.title}\n\n{self.method.strip()}\n", flush=True)

    def add(self, table: Table) -> None:
        self.pieces.append(table.markdown())
        print(self.pieces[-1], flush=True)

    def say(self, line: str) -> None:
        self.pieces.append(line + "\n")
        print(line + "\n", flush=True)

    def markdown(self) -> str:
        return f"## {self.title}\n\n{self.method.strip()}\n\n" + "\n".join(self.pieces)


def whole(number: float) -> str:
    """1234.5 as 1,234 (a rate, a count)."""
    return f"{number:,.0f}"


def median_of(figures: Sequence[float], digits: int = 0) -> str:
    """The median, and of several figures the smallest and largest beside it."""
    if not figures:
        return "–"
    if len(figures) == 1:
        return f"{figures[0]:,.{digits}f}"
    low, middle, high = min(figures), statistics.median(figures), max(figures)
    return f"{middle:,.{digits}f} ({low:,.{digits}f} … {high:,.{digits}f})"


def ratio(figures: Sequence[float], others: Sequence[float]) -> str:
    """The quotient of two medians."""
    return f"{statistics.median(figures) / statistics.median(others):.3f}" if figures and others else "–"


def percentile(figures: Sequence[float], percent: float) -> float:
    """The figure below which so many percent lie; 0 if there is none."""
    ranked = sorted(figures)
    return ranked[min(len(ranked) - 1, int(len(ranked) * percent / 100))] if ranked else 0.0


def machine() -> list[str]:
    """What was measured on: shape and versions, never a name or a place."""
    memory = Path("/proc/meminfo").read_text(encoding="ascii").split()[1]
    lines = [
        f"- {os.cpu_count()} cores, {int(memory) / 1e6:.0f} GB of memory, {platform.system()} {platform.release()}",
        f"- Python {platform.python_version()}, " + ", ".join(filter(None, map(_package, PACKAGES))),
    ]
    found = [said for name, flag in PROGRAMS if (said := _program(name, flag))]
    return [*lines, "- " + "; ".join(found)] if found else lines


def _package(name: str) -> str:
    try:
        return f"{name} {metadata.version(name)}"
    except metadata.PackageNotFoundError:
        return ""


def _program(name: str, flag: str) -> str:
    path = shutil.which(name, path=PROGRAM_PLACES)
    if path is None:
        return ""
    done = subprocess.run([path, flag], capture_output=True, text=True, timeout=COMMAND_SECONDS, check=False)
    return done.stdout.partition("\n")[0].removeprefix("version: ").strip()


def renew(parts: Sequence[Part], document: Path = DOCUMENT) -> None:
    """Only these parts of a page that a whole run has written, for the machine that wrote it.

    A part that failed takes the place of nothing.
    """
    parts = [part for part in parts if not part.failed]
    pieces = document.read_text(encoding="utf-8").split("\n## ")
    places = {piece.partition("\n")[0]: place for place, piece in enumerate(pieces)}
    for part in parts:
        text = part.markdown().removeprefix("## ").rstrip("\n") + "\n"
        place = places.get(part.title)
        if place is None:
            pieces.append(text)
        else:
            pieces[place] = text
    document.write_text("\n## ".join(pieces), encoding="utf-8")
    print(f"renewed: {', '.join(part.title for part in parts) or 'nothing'}")


def write(parts: Sequence[Part], document: Path = DOCUMENT) -> None:
    """The whole run as one page."""
    pieces = [INTRODUCTION, "## The machine\n\n" + "\n".join(machine()) + "\n", *(part.markdown() for part in parts)]
    document.write_text("\n".join(pieces), encoding="utf-8")
    print(f"written to {document.relative_to(ROOT) if document.is_relative_to(ROOT) else document}")
