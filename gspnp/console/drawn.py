"""Rows of the list as HTML, kept while what they show stays the same: of fifty that are asked for again because one
phone changed, one is made.

A row is made of nothing but what is named here, and kept under all of it.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Sequence
from typing import Any

from django.db.models import Model
from django.template.loader import get_template
from django.utils import timezone
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import get_language

from gspnp.console.rows import Row

MAX_KEPT = 2_000  # some 3 KB each; a page has 50. Our choice.

_kept: dict[bytes, SafeString] = {}
_lock = threading.Lock()


def row_html(row: Row, columns: Sequence[Any], may_change: bool) -> SafeString:
    """This phone's row with these columns, in the language and zone of the reader. Beside a row, its accounts and the
    columns' labels the template is given nothing."""
    key = _key(row, [column.name for column in columns], may_change)
    with _lock:
        made = _kept.pop(key, None)
    if made is None:
        context = {"row": row, "columns": columns, "may_change": may_change}
        made = mark_safe(get_template("console/_row.html").render(context))  # it has escaped what it shows
    with _lock:
        _kept[key] = made  # the newest stands last
        while len(_kept) > MAX_KEPT:
            del _kept[next(iter(_kept))]
    return made


def _key(row: Row, columns: list[str], may_change: bool) -> bytes:
    """Of all that its HTML depends on. A digest: nothing of a phone stays in memory by it."""
    models = [row.phone, *([row.account] if row.account else []), *row.others]
    rest = (row.step, row.icon, row.words, row.stuck, row.reach, row.command, row.again_at)
    reader = (get_language(), timezone.get_current_timezone_name(), columns, may_change)
    text = repr((reader, rest, [_read_fields(one) for one in models]))
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def _read_fields(one: Model) -> list[Any]:
    """What was read of it, with the names: a field that was left out is not looked for."""
    return [(name, value) for name, value in one.__dict__.items() if not name.startswith("_")]
