"""A language that is no language: every text that goes through translation is marked, so that what does not is seen."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import lxml.html
import pytest
from django.utils import translation

OPEN, CLOSE = "⟦", "⟧"
# What a person does not read as words, and what names a thing in every language (commands, files, settings).
SKIPPED_TAGS = {"script", "style", "code", "kbd", "pre", "time", "svg", "template", "textarea"}
SKIPPED_CLASS = "material-symbols-outlined"
SPOKEN = ("title", "aria-label", "placeholder", "alt", "aria-valuetext", "data-label", "data-what")
_MARKED = re.compile(f"{OPEN}[^{OPEN}{CLOSE}]*{CLOSE}")
_WORD = re.compile(r"[^\W\d_]{2,}")


def mark_translations(monkeypatch: pytest.MonkeyPatch) -> None:
    """Until the test is over, whatever is translated stands between the marks."""

    def marked(text: str) -> str:
        return f"{OPEN}{text}{CLOSE}" if text else text

    monkeypatch.setattr(translation._trans, "gettext", marked)
    monkeypatch.setattr(translation._trans, "pgettext", lambda context, text: marked(text))
    monkeypatch.setattr(translation._trans, "ngettext", lambda one, many, n: marked(one if n == 1 else many))
    monkeypatch.setattr(translation._trans, "npgettext", lambda context, one, many, n: marked(one if n == 1 else many))


def unmarked(html: str, data: Iterable[str] = (), inside: str = "//body") -> list[str]:
    """Words of a page outside the marks: texts in the order of the page, then attributes. `data` are regular
    expressions for what was filled in: names, addresses and numbers."""
    known = re.compile("|".join(data), re.MULTILINE) if data else None
    found = []
    for root in lxml.html.document_fromstring(html).xpath(inside):
        text = "\n".join(_texts(root))
        found += [_left(text, known), *(_left(value, known) for value in _attributes(root))]
    return [line.strip() for text in found for line in text.splitlines() if _WORD.search(line)]


def _left(text: str, known: re.Pattern[str] | None) -> str:
    """Without what stands between marks, however deep they are, and without what was filled in."""
    shorter = None
    while shorter != text:
        shorter, text = text, _MARKED.sub(" ", text)
    return known.sub(" ", text) if known else text


def _is_skipped(element: lxml.html.HtmlElement) -> bool:
    return (
        not isinstance(element.tag, str)
        or element.tag in SKIPPED_TAGS
        or "data-untranslated" in element.attrib
        or SKIPPED_CLASS in element.get("class", "").split()
    )


def _texts(element: lxml.html.HtmlElement) -> Iterator[str]:
    if not _is_skipped(element):
        yield " ".join((element.text or "").split())
        for child in element:
            yield from _texts(child)
            yield " ".join((child.tail or "").split())


def _attributes(element: lxml.html.HtmlElement) -> Iterator[str]:
    """Of what is skipped too, if only its content is data."""
    if not isinstance(element.tag, str) or "data-untranslated" in element.attrib:
        return
    if element.tag != "time":
        yield from (element.attrib[name] for name in SPOKEN if name in element.attrib)
    for child in element:
        yield from _attributes(child)


def write_catalogue(folder: Path, language: str, domain: str, texts: Mapping[str, str]) -> None:
    """A compiled catalogue (.mo); a text with a plural is written as `one\\0many`, its translation likewise."""
    head = "Content-Type: text/plain; charset=UTF-8\nPlural-Forms: nplurals=2; plural=(n != 1);\n"
    pairs = sorted((key.encode(), text.encode()) for key, text in ({"": head} | dict(texts)).items())
    start, tables = 28 + 16 * len(pairs), []
    blob = b""
    for column in (0, 1):
        for pair in pairs:
            tables += [len(pair[column]), start + len(blob)]
            blob += pair[column] + b"\0"
    header = (0x950412DE, 0, len(pairs), 28, 28 + 8 * len(pairs), 0, 0)
    target = folder / language / "LC_MESSAGES" / f"{domain}.mo"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(struct.pack(f"<{7 + len(tables)}I", *header, *tables) + blob)
