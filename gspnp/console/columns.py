"""The columns of the list: which there are, and which of them a person has chosen, in which order."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from gspnp.console.models import ListColumns
from sipmcast.models import ListenerStatus

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


def usual() -> tuple[str, ...]:
    """The columns of whoever has not chosen: where a phone is, as soon as there are listeners at several sites."""
    sites = ListenerStatus.objects.order_by().values("site").distinct()[:2]
    return WITH_SITE if len(sites) > 1 else DEFAULT


def chosen(user: Any) -> tuple[str, ...]:
    """The columns that this person sees, in order."""
    own = chosen_by([user.pk]).get(user.pk)
    return usual() if own is None else own


def chosen_by(user_ids: Iterable[int]) -> dict[int, tuple[str, ...]]:
    """The same of each of these who has chosen."""
    rows = ListColumns.objects.filter(user__in=user_ids).values_list("user_id", "names")
    return {user_id: sensible(names) for user_id, names in rows if names}


def sensible(names: Iterable[str]) -> tuple[str, ...]:
    """Columns that exist, each once; the MAC is among them."""
    found = tuple(dict.fromkeys(name for name in names if isinstance(name, str) and name in LABELS))
    return found if ALWAYS in found else (ALWAYS, *found)


def choose(user: Any, names: Iterable[str]) -> tuple[str, ...]:
    """Keep this person's choice; what is chosen now. The usual ones are no choice: they may change with the product."""
    now = sensible(names)
    if now == usual():
        ListColumns.objects.filter(user=user).delete()
    else:
        ListColumns.objects.update_or_create(user=user, defaults={"names": list(now)})
    return now


def choices(names: Iterable[str]) -> list[Choice]:
    """Every column: the shown ones in their order, then the others."""
    shown = tuple(names)
    rest = [name for name in LABELS if name not in shown]
    return [Choice(name, LABELS[name], name in shown, name == ALWAYS) for name in (*shown, *rest)]
