"""Texts as they are compared in a search: without case and accents, because people type names as their keyboard allows.

Stored names are folded where they are compared, by the database: `gspnp_fold` in SQLite, and the same steps in SQL on
PostgreSQL (gspnp/console/search.py). Pure: imports no Django.
"""

import re
import unicodedata

# Combining diacritical marks, which NFKD takes off their letters. Source: Unicode block U+0300 to U+036F.
MARKS = "[\u0300-\u036f]"
_MARKS = re.compile(MARKS)


def fold(text: str | None) -> str | None:
    """ "Zoë Müßig" as "zoe mussig"; None, which is NULL, stays."""
    if text is None:
        return None
    bare = text if text.isascii() else _MARKS.sub("", unicodedata.normalize("NFKD", text))
    return bare.lower().replace("ß", "ss")
