"""Marks for constant sentences of the pure parts, which speak English and know no language.

Pure: must never import Django, asyncio or socket. Whoever shows such a sentence translates it there, see
docs/translating.md; `make messages` finds it by the name of this function, which is Django's and gettext's own.
"""

from __future__ import annotations


def gettext_noop(text: str) -> str:
    """The same text; marked for translators."""
    return text
