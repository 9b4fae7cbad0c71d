"""Versions of firmware: which is newer, which step comes next, which has a known hole, what lets an upgrade run.

Pure: must never import Django, asyncio or socket. Holes are data: data/vulnerabilities.csv.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

DATA = Path(__file__).parent / "data" / "vulnerabilities.csv"
_VERSION = re.compile(r"[0-9]{1,5}(?:\.[0-9]{1,5}){1,5}", re.ASCII)


@dataclass(frozen=True)
class Hole:
    """A known vulnerability, and the first version without it."""

    name: str
    fixed_in: str
    what: str


def version_fault(text: str) -> str | None:
    """None, or what is wrong with a version number."""
    return None if _VERSION.fullmatch(text) else "is no version; write it as the phone shows it, such as 1.0.7.81"


def order(text: str) -> tuple[int, ...]:
    """For comparing: 1.0.7.81 is above 1.0.7.9, and 1.0.7 is 1.0.7.0. ValueError for what is no version."""
    if version_fault(text):
        raise ValueError(f"{text!r} is no version")
    numbers = [int(number) for number in text.split(".")]
    while numbers and not numbers[-1]:
        numbers.pop()
    return tuple(numbers)


def next_step(runs: str, path: Sequence[str]) -> str | None:
    """The step of a path (versions in their order) that a phone takes next; None if it is there, or beyond.

    A phone that does not tell its version, or tells none that can be compared, takes no step.
    """
    if version_fault(runs):
        return None
    return next((step for step in path if order(step) > order(runs)), None)


def is_there(runs: str, version: str) -> bool:
    """Whether a phone that tells this runs that version, or one above; what tells nothing that can be compared does
    not."""
    return not version_fault(runs) and order(runs) >= order(version)


def path_fault(path: Sequence[str]) -> str | None:
    """None, or what is wrong with a path: each step must be above the one before."""
    for before, after in zip(path, path[1:], strict=False):
        if order(after) <= order(before):
            return f"has {after} after {before}; put the older version first"
    return None


def holes(model: str, runs: str) -> list[Hole]:
    """What is known of this version on this model; nothing for a version that cannot be compared."""
    if version_fault(runs):
        return []
    return [hole for models, hole in _holes() if model.upper() in models and order(runs) < order(hole.fixed_in)]


def all_holes() -> list[Hole]:
    """Everything that is known, whatever the model."""
    return list(dict.fromkeys(hole for _, hole in _holes()))


def upgrade_settings(place: str, version: str) -> Mapping[str, str]:
    """What lets a phone fetch this version by itself; `place` is host[:port][/path] of the phones' door.

    Protocol, prefix and postfix are written by our opinions. Source: pvalues.csv, the rows of these names.
    """
    return {
        "firmware_server_path": f"{place}/firmware/{version}",
        "firmware_check_policy": "0",  # always: a phone that looks only at prefixes would never ask
        "firmware_upgrade_confirmation": "0",  # else it waits for somebody to press a key
    }


@cache
def _holes() -> tuple[tuple[frozenset[str], Hole], ...]:
    with DATA.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return tuple((frozenset(row["models"].split(";")), Hole(row["name"], row["fixed_in"], row["what"])) for row in rows)
