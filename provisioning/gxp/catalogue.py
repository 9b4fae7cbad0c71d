"""Every setting of the phones: its number, name, models, what it may hold, and how sure that is.

Pure: must never import Django, asyncio or socket. The data is data/settings.csv, read once; docs/catalogue.md tells
how it grows. Its order is the order of the settings in a phone's file. No P number stands anywhere else.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TypeVar

from devices.catalog import MODELS
from provisioning.gxp.setting import Confidence, Kind, Setting, fault

__all__ = ["COLUMNS", "DATA", "SETTINGS", "CatalogueError", "Confidence", "Kind", "Setting", "by_element", "fault",
           "read_settings", "setting"]  # fmt: skip

DATA = Path(__file__).parent / "data" / "settings.csv"

COLUMNS = (
    "code", "name", "group", "models", "kind", "choices", "least", "most", "pattern", "default", "unit", "secret",
    "source", "confidence", "note",
)  # fmt: skip
_REQUIRED = ("code", "name", "group", "models", "kind", "source", "confidence")
_WITH_CHOICES = frozenset({Kind.CHOICE, Kind.LIST})
_WITHOUT_LENGTH = frozenset({Kind.NUMBER, Kind.CHOICE, Kind.LIST, Kind.IPV4, Kind.IPV6, Kind.ENDPOINT})

_T = TypeVar("_T")


class CatalogueError(ValueError):
    """The data file is wrong; the message names the row. Correct the file: nothing can be rendered without it."""


def read_settings(text: str) -> Mapping[str, Setting]:
    """The settings of a data file by name, in its order. Raises CatalogueError at the first row that is wrong."""
    rows = csv.reader(io.StringIO(text), strict=True)
    found: dict[str, Setting] = {}
    codes: dict[int, str] = {}
    try:
        if tuple(next(rows, ())) != COLUMNS:
            raise ValueError(f"the first line is not {','.join(COLUMNS)}")
        for row in rows:
            one = _setting(row)
            if one.name in found:
                raise ValueError(f"{one.name}: the name stands in an earlier row too")
            if one.code in codes:
                raise ValueError(f"{one.name}: code {one.code} belongs to {codes[one.code]} already")
            found[one.name], codes[one.code] = one, one.name
    except (ValueError, csv.Error) as error:
        raise CatalogueError(f"{DATA.name}, line {rows.line_num}: {error}") from None
    return MappingProxyType(found)


def _setting(row: list[str]) -> Setting:
    """One row as a setting; ValueError says what is wrong, beginning with its name."""
    name = row[COLUMNS.index("name")] if len(row) > 1 else ""
    try:
        if len(row) != len(COLUMNS):
            raise ValueError(f"has {len(row)} columns instead of {len(COLUMNS)}")
        one = _parsed(dict(zip(COLUMNS, row, strict=True)))
        for wrong in _inconsistencies(one):
            raise ValueError(wrong)
    except ValueError as error:
        raise ValueError(f"{name or 'a row without a name'}: {error}") from None
    return one


def _parsed(row: Mapping[str, str]) -> Setting:
    for column in _REQUIRED:
        if not row[column]:
            raise ValueError(f"{column} is empty")
    for column, text in row.items():
        if text != text.strip():
            raise ValueError(f"{column} begins or ends with a blank")
    if not re.fullmatch(r"[a-z][a-z0-9_]*", row["name"]):
        raise ValueError("the name is not of small letters, digits and _")
    return Setting(
        code=_number(row["code"], "code"),
        name=row["name"],
        group=row["group"],
        models=_models(row["models"]),
        kind=_one_of(Kind, row["kind"], "kind"),
        choices=_choices(row["choices"]),
        least=_number(row["least"], "least") if row["least"] else None,
        most=_number(row["most"], "most") if row["most"] else None,
        pattern=_pattern(row["pattern"]),
        default=row["default"],
        unit=row["unit"],
        secret=_one_of({"": False, "yes": True}.__getitem__, row["secret"], "secret"),
        source=row["source"],
        confidence=_one_of(Confidence, row["confidence"], "confidence"),
        note=row["note"],
    )


def _number(text: str, column: str) -> int:
    if not re.fullmatch(r"0|[1-9][0-9]{0,11}", text, re.ASCII):
        raise ValueError(f"{column} is not a number: {text}")
    return int(text)


def _one_of(known: Callable[[str], _T], text: str, column: str) -> _T:
    try:
        return known(text)
    except (KeyError, ValueError):
        raise ValueError(f"{column} is not known: {text}") from None


def _models(text: str) -> frozenset[str]:
    if text == "all":
        return frozenset(MODELS)
    names = text.split(";")
    for name in names:
        if name not in MODELS:
            raise ValueError(f"there is no model {name}")
    return frozenset(names)


def _choices(text: str) -> Mapping[str, str]:
    """`0=no;1=yes` as a mapping in that order; a label may hold a further equals sign."""
    found: dict[str, str] = {}
    for part in filter(None, text.split(";")):
        value, equals, label = part.partition("=")
        if not (value and equals and label) or value in found:
            raise ValueError(f"choices has a part that is no value=label of its own: {part}")
        found[value] = label
    return MappingProxyType(found)


def _pattern(text: str) -> re.Pattern[str] | None:
    try:
        return re.compile(text, re.ASCII) if text else None
    except re.error as error:
        raise ValueError(f"pattern is not a regular expression: {error}") from None


def _inconsistencies(one: Setting) -> Iterator[str]:
    """What does not fit together within one row."""
    if one.kind in _WITH_CHOICES and not one.choices:
        yield f"a {one.kind} needs choices"
    if one.choices and one.kind not in _WITH_CHOICES | {Kind.NUMBER}:
        yield f"a {one.kind} takes no choices"
    if one.kind is Kind.NUMBER and (one.least is None or one.most is None):
        yield "a number needs least and most"
    if one.kind not in _WITHOUT_LENGTH and one.most is None:
        yield f"a {one.kind} needs most, its number of characters"
    if one.kind in _WITHOUT_LENGTH - {Kind.NUMBER} and (one.least, one.most) != (None, None):
        yield f"a {one.kind} takes no least and no most"
    if one.least is not None and one.most is not None and one.least > one.most:
        yield "least is above most"
    if one.pattern is not None and not one.note:
        yield "a pattern needs a note that says it in words"
    if one.confidence is Confidence.CONFLICT and "CONFLICT" not in one.note:
        yield "a conflict needs a note that begins it with CONFLICT"
    if one.default and (wrong := fault(one, one.default)):
        yield f"its default {wrong}"


def _load() -> Mapping[str, Setting]:
    try:
        text = DATA.read_text(encoding="utf-8")
    except (OSError, UnicodeError) as error:
        raise CatalogueError(f"{DATA} cannot be read: {error}") from None
    return read_settings(text)


SETTINGS: Mapping[str, Setting] = _load()
_BY_ELEMENT: Mapping[str, Setting] = MappingProxyType({one.element: one for one in SETTINGS.values()})


def setting(name: str) -> Setting:
    """The setting of this name; KeyError if there is none."""
    return SETTINGS[name]


def by_element(element: str) -> Setting | None:
    """The setting behind an element name of the file; None if the catalogue does not know it."""
    return _BY_ELEMENT.get(element)
