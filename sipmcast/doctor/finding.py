"""What the doctor says: findings, in sections. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sipmcast.doctor.dhcp import Recipe


class State(StrEnum):
    """How a finding stands; in the order of how much it asks for."""

    OK = "ok"
    UNKNOWN = "unknown"
    WARNING = "warning"
    WRONG = "wrong"


ORDER = tuple(State)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    state: State
    title: str
    """What was looked at, in a few words."""
    words: str
    """What was found, in plain words."""
    remedy: str = ""
    """What to do; empty if nothing."""
    command: str = ""
    """A line to paste into a shell; empty if there is none."""


def ok(title: str, words: str) -> Finding:
    return Finding(State.OK, title, words)


def unknown(title: str, words: str, remedy: str = "", command: str = "") -> Finding:
    return Finding(State.UNKNOWN, title, words, remedy, command)


def warning(title: str, words: str, remedy: str, command: str = "") -> Finding:
    return Finding(State.WARNING, title, words, remedy, command)


def wrong(title: str, words: str, remedy: str, command: str = "") -> Finding:
    return Finding(State.WRONG, title, words, remedy, command)


@dataclass(frozen=True, slots=True)
class Section:
    """Findings that belong together."""

    key: str
    title: str
    findings: tuple[Finding, ...]

    @property
    def worst(self) -> State:
        """The state that asks for most."""
        return worst(self.findings)


@dataclass(frozen=True, slots=True)
class Report:
    """All that one look has found on one machine."""

    machine: str
    at: datetime
    probed: bool
    """Were packets sent, or was this machine only read?"""
    sections: tuple[Section, ...]
    recipes: tuple[Recipe, ...]

    @property
    def findings(self) -> tuple[Finding, ...]:
        return tuple(finding for section in self.sections for finding in section.findings)

    @property
    def worst(self) -> State:
        return worst(self.findings)

    @property
    def counts(self) -> dict[str, int]:
        """How many findings have which state."""
        found = Counter(finding.state for finding in self.findings)
        return {state.value: found[state] for state in ORDER}

    def as_json(self) -> dict[str, Any]:
        """For programs; the names are a contract."""
        return {
            "machine": self.machine,
            "at": self.at.isoformat(timespec="seconds"),
            "probed": self.probed,
            "worst": self.worst.value,
            "counts": self.counts,
            "sections": [
                {
                    "key": section.key,
                    "title": section.title,
                    "worst": section.worst.value,
                    "findings": [{**asdict(one), "state": one.state.value} for one in section.findings],
                }
                for section in self.sections
            ],
            "dhcp": [asdict(recipe) for recipe in self.recipes],
        }


def worst(findings: Iterable[Finding]) -> State:
    """The state that asks for most; ok if there is nothing."""
    return max((finding.state for finding in findings), key=ORDER.index, default=State.OK)
