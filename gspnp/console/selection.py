"""Which phones a person has selected in the list: some by their MACs, or all that the list's query finds.

A selection arrives as `phones`, JSON of [MAC, address as it was shown], or as `query`, the query string of the list,
with `except`, JSON of MACs that were taken out again. Whoever does something to a selection reads it with `read`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address

from django.db.models import QuerySet
from django.http import QueryDict
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from devices import batch
from devices.mac import MacError, parse_mac
from devices.models import Phone
from gspnp.console.tables import ListQuery, filtered

MOST_BY_HAND = 20_000  # whoever wants more selects all that the list finds
READ_AT_ONCE = 500


class SelectionError(ValueError):
    """This is no selection; the text says what to do."""


@dataclass(frozen=True)
class Found:
    """A selected phone as it is now; `host` is the address that the person saw."""

    pk: int
    mac: str
    stage: str
    host: str | None
    now_at: str | None


@dataclass(frozen=True)
class Selection:
    """What was selected. `shown` is the addresses by MAC; with a query it is the server that looks."""

    shown: Mapping[str, str | None] = field(default_factory=dict)
    query: ListQuery | None = None
    without: frozenset[str] = frozenset()

    def phones(self) -> QuerySet[Phone]:
        """The phones, for those to whom no address matters. By hand at most a few thousand."""
        if self.query is not None:
            return filtered(self.query).exclude(mac__in=self.without)
        return Phone.objects.filter(mac__in=self.shown)

    def found(self) -> list[Found]:
        """Each phone that is still there, once."""
        names = ("pk", "mac", "stage", "source_host")
        if self.query is not None:
            rows = filtered(self.query).order_by().values_list(*names)
            return [Found(pk, mac, stage, at, at) for pk, mac, stage, at in rows if mac not in self.without]
        found = []
        for bite in batch.bites(self.shown, READ_AT_ONCE):
            for pk, mac, stage, now_at in Phone.objects.filter(mac__in=bite).order_by().values_list(*names):
                found.append(Found(pk, mac, stage, self.shown[mac], now_at))
        return found


def read(posted: Mapping[str, str]) -> Selection:
    """The selection in a form. Raises SelectionError."""
    if "query" in posted:
        without = frozenset(_macs(_list(posted.get("except", "[]"))))
        return Selection(query=ListQuery.read(QueryDict(posted["query"].removeprefix("?"))), without=without)
    rows = _list(posted.get("phones", "[]"))
    if len(rows) > MOST_BY_HAND:
        words = _("These are more than %(most)d phones; select all that the list finds instead.")
        raise SelectionError(words % {"most": MOST_BY_HAND})
    if not all(isinstance(row, list) and len(row) == 2 for row in rows):
        raise SelectionError(UNREADABLE)
    macs = _macs(row[0] for row in rows)
    return Selection({mac: _host(host) for mac, (_said, host) in zip(macs, rows, strict=True)})


UNREADABLE = gettext_lazy("The selection cannot be read. Reload the page and select again.")


def _list(text: str) -> list:
    try:
        rows = json.loads(text)
    except (ValueError, RecursionError):
        raise SelectionError(UNREADABLE) from None
    if not isinstance(rows, list):
        raise SelectionError(UNREADABLE)
    return rows


def _macs(texts: Iterable[object]) -> list[str]:
    try:
        return [parse_mac(str(text)) for text in texts]
    except MacError:
        raise SelectionError(UNREADABLE) from None


def _host(text: object) -> str | None:
    try:
        return str(ip_address(str(text)))
    except ValueError:
        return None
