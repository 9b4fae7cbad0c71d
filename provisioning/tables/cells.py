"""Cells that a spreadsheet would take for formulas, made harmless in a way that can be taken back.

An apostrophe in front is what spreadsheets themselves use for "this is text". A text that has apostrophes in front of
a formula already gets one more, so that taking one away always gives what was there. A spreadsheet that splits at
another character than ours makes a cell of what stands behind one, and quotes are no help: there the same is done.
Source: OWASP, "CSV Injection" (= + - @ tab CR, and their full-width forms), also after blanks.
"""

from __future__ import annotations

import re

_BLANKS = r"[\s\x00-\x20\ufeff]*"
_SIGNS = r"[=+\-@\uff1d\uff0b\uff0d\uff20]"
# A tab or CR leads by itself; the others also after blanks and control characters.
_GUARDED = re.compile(rf"'*(?:[\t\r\n]|{_BLANKS}{_SIGNS})")
# Blanks, quotes and what another spreadsheet may split at, up to a sign. It matches wherever it begins, so that no text
# takes longer than its length; an apostrophe in it changes nothing about what it is.
_INSIDE = re.compile(rf"[\s\x00-\x20\ufeff;,|\"']+(?P<sign>{_SIGNS})?")
_SPLITS = re.compile(r"([;,|\t\r\n])")
_SPLITS_GUARDED = re.compile(r"([;,|\t\r\n])'")


def guard(text: str) -> str:
    """The text as it may stand in a cell."""
    text = _INSIDE.sub(lambda found: _SPLITS.sub(r"\1'", found[0]) if found["sign"] else found[0], text)
    return f"'{text}" if _GUARDED.match(text) else text


def unguard(text: str) -> str:
    """What `guard` was given; a text that a person typed without an apostrophe stays as it is."""
    text = text[1:] if text.startswith("'") and _GUARDED.match(text) else text
    return _INSIDE.sub(lambda found: _SPLITS_GUARDED.sub(r"\1", found[0]) if found["sign"] else found[0], text)
