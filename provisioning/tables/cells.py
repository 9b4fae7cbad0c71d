"""Cells that a spreadsheet would take for formulas, made harmless in a way that can be taken back.

An apostrophe in front is what spreadsheets themselves use for "this is text". A text that has apostrophes in front of
a formula already gets one more, so that taking one away always gives what was there.
Source: OWASP, "CSV Injection" (= + - @ tab CR, and their full-width forms), also after blanks.
"""

from __future__ import annotations

import re

# A tab or CR leads by itself; the others also after blanks and control characters.
_GUARDED = re.compile(r"'*(?:[\t\r\n]|[\s\x00-\x20\ufeff]*[=+\-@\uff1d\uff0b\uff0d\uff20])")


def guard(text: str) -> str:
    """The text as it may stand in a cell."""
    return f"'{text}" if _GUARDED.match(text) else text


def unguard(text: str) -> str:
    """What `guard` was given; a text that a person typed without an apostrophe stays as it is."""
    return text[1:] if text.startswith("'") and _GUARDED.match(text) else text
