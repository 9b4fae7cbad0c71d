"""The columns of the list: which there are, and which of them a person has chosen, in which order."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from gspnp.console.models import ListColumns

ALWAYS = "mac"  # a row is its MAC; the box to select it and its buttons stand at the edges and are no columns
LABELS: dict[str, Promise] = {
    "stage": _("Stage"),
    "mac": _("MAC"),
    "vendor": _("Vendor"),
    "model": _("Model"),
    "firmware": _("Firmware"),
    "address": _("Address"),
    "extension": _("Extension"),
    "name": _("Caller name"),
    "others": _("More accounts"),
    "site": _("Site"),
    "reach": _("Online"),
    "seen": _("Last seen"),
    "new": _("First seen"),
}
DEFAULT = ("stage", "mac", "vendor", "model", "firmware", "address", "extension", "seen")
WITH_SITE = ("stage", "mac", "vendor", "model", "firmware", "address", "site", "extension", "seen")
UNSORTED = frozenset({"others"})
NEWEST_FIRST = frozenset({"seen", "new"})


@dataclass(frozen=True)
class Choice:
    """A column in the dialog."""

    name: str
    label: Promise
    shown: bool
    always: bool


def usual(several_sites: bool) -> tuple[str, ...]:
    """The columns of whoever has not chosen: where a phone is, as soon as there are listeners at several sites."""
    return WITH_SITE if several_sites else DEFAULT


def own(user: Any) -> tuple[str, ...] | None:
    """The columns that this person has chosen, in order; None: they may change with the sites and with the product."""
    return own_of([user.pk]).get(user.pk)


def own_of(user_ids: Iterable[int]) -> dict[int, tuple[str, ...]]:
    """The same of each of these who has chosen."""
    rows = ListColumns.objects.filter(user__in=user_ids).values_list("user_id", "names")
    return {user_id: sensible(names) for user_id, names in rows if names}


def sensible(names: Iterable[str]) -> tuple[str, ...]:
    """Columns that exist, each once; the MAC is among them."""
    found = tuple(dict.fromkeys(name for name in names if isinstance(name, str) and name in LABELS))
    return found if ALWAYS in found else (ALWAYS, *found)


def choose(user: Any, names: Iterable[str]) -> tuple[str, ...] | None:
    """Keep this person's choice, also of what is usual just now; without names there is none any more. What is chosen
    now."""
    chosen = tuple(names)
    if not chosen:
        ListColumns.objects.filter(user=user).delete()
        return None
    ListColumns.objects.update_or_create(user=user, defaults={"names": list(sensible(chosen))})
    return sensible(chosen)


def choices(names: Iterable[str]) -> list[Choice]:
    """Every column: the shown ones in their order, then the others."""
    shown = tuple(names)
    rest = [name for name in LABELS if name not in shown]
    return [Choice(name, LABELS[name], name in shown, name == ALWAYS) for name in (*shown, *rest)]
