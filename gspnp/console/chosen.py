"""Which phones a page is about: chosen ones, those of a list's search and filter, or all."""

from __future__ import annotations

import re

from django.db.models import QuerySet
from django.http import QueryDict

from devices.choices import Stage
from devices.mac import MacError, parse_mac
from devices.models import Phone
from gspnp.console import selection
from gspnp.console.tables import ListQuery, filtered


def chosen(asked: QueryDict) -> QuerySet[Phone]:
    """`mac` (again for each) or `macs` (separated by blanks or commas) name phones; `phones`, or `query` with `except`,
    is what was selected in the list (selection.py, raises SelectionError); `query` alone is a list's query string, and
    its parameters may stand by themselves; `all` means every phone, ignored ones too."""
    macs = [*asked.getlist("mac"), *filter(None, re.split(r"[\s,;]+", asked.get("macs", "")))]
    if macs or "macs" in asked:  # a form that names nobody means nobody, and not all
        return Phone.objects.filter(mac__in={digits for text in macs if (digits := _digits(text))})
    if "phones" in asked or "except" in asked:
        return selection.read(asked).phones()
    if asked.get("all"):
        return Phone.objects.all()
    return filtered(_query(asked))


def to_export(asked: QueryDict) -> QuerySet[Phone]:
    """The same, without retired phones that nobody asked for: what they had is somebody else's by now. Raises
    SelectionError."""
    phones = chosen(asked)
    is_named = "mac" in asked or "macs" in asked or ("phones" in asked and "query" not in asked)
    if is_named or asked.get("all") or _query(asked).stage == Stage.RETIRED:
        return phones
    return phones.exclude(stage=Stage.RETIRED)


def _query(asked: QueryDict) -> ListQuery:
    query = asked.get("query")
    return ListQuery.read(asked if query is None else QueryDict(str(query)[:2000].removeprefix("?")))


def _digits(text: str) -> str:
    try:
        return parse_mac(text)
    except MacError:
        return ""
