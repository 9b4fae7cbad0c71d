"""The timeline of one phone: newest first, as much of it as is asked for, of the kinds that are asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from devices.choices import EventKind
from devices.models import LiveEvent, Phone

FIRST_SHOWN = 40
MORE = 80
MOST_SHOWN = 2_000

GROUPS: Mapping[str, tuple[str | Promise, tuple[EventKind, ...]]] = {
    "": (_("Everything"), tuple(EventKind)),
    "way": (_("Way"), (EventKind.STAGE, EventKind.REASON)),
    "starts": (_("Starts"), (EventKind.SEEN, EventKind.CHANGED, EventKind.REACH)),
    "notify": (_("NOTIFYs"), (EventKind.NOTIFY,)),
    "files": (_("Files"), (EventKind.DOWNLOAD, EventKind.RELEASE)),
    "trouble": (_("Trouble"), (EventKind.ALARM, EventKind.REASON)),
    "looked": (_("Secrets looked at"), (EventKind.LOOKED,)),
}


@dataclass(frozen=True)
class Timeline:
    """What is shown; `more` is how many to ask for to see more, 0 if there is no more."""

    events: list[LiveEvent]
    kind: str
    shown: int
    more: int

    @property
    def groups(self) -> list[tuple[str, str | Promise, bool]]:
        """The filters: name, label, and whether it is the one in use."""
        return [(name, label, name == self.kind) for name, (label, _kinds) in GROUPS.items()]


def timeline(phone: Phone, request: HttpRequest) -> Timeline:
    """By the address of the page: `kind`, and how many `events`. What is neither is passed over."""
    kind = request.GET.get("kind", "")
    kind = kind if kind in GROUPS else ""
    shown = _number(request.GET.get("events", ""))
    found = LiveEvent.objects.filter(mac=phone.mac).order_by("-id")
    if kind:
        found = found.filter(kind__in=GROUPS[kind][1])
    events: list[Any] = list(found[: shown + 1])
    has_more = len(events) > shown and shown < MOST_SHOWN
    return Timeline(events[:shown], kind, shown, min(shown + MORE, MOST_SHOWN) if has_more else 0)


def _number(text: str) -> int:
    wanted = int(text) if text.isascii() and text.isdigit() and len(text) <= 6 else FIRST_SHOWN
    return min(max(wanted, FIRST_SHOWN), MOST_SHOWN)
