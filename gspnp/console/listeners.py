"""The page of listeners: by site which ones there are, whether they are heard of, where they listen, what they count.

One that is gone for good is forgotten here, so that its alarm does not stand for ever.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_POST, require_safe

from gspnp.console.access import CHANGE, VIEW, needs
from gspnp.console.admin.listeners import COUNTERS
from gspnp.console.refusal import refuse
from gspnp.console.shell import shell_context
from sipmcast import silence
from sipmcast.models import ListenerStatus

LISTENS, WARNED, TROUBLE, SILENT, STOPPED = "well", "warned", "trouble", "away", "stopped"
STATE_WORDS: dict[str, str | Promise] = {
    LISTENS: gettext_lazy("Listens"),
    WARNED: gettext_lazy("Listens, and warns"),
    TROUBLE: gettext_lazy("Says what hinders it"),
    SILENT: gettext_lazy("Silent"),
    STOPPED: gettext_lazy("Stopped"),
}
AT_A_GLANCE = ("sighted", "answered", "notify_sent", "notify_timed_out", "kernel_drops")


@dataclass(frozen=True)
class Shown:
    """A listener, and what its numbers say."""

    status: ListenerStatus

    @property
    def state(self) -> str:
        if not self.status.is_fresh:
            return STOPPED if self.status.stopped_at is not None else SILENT
        if self.status.trouble or not self.status.interfaces:
            return TROUBLE
        return WARNED if self.status.warnings else LISTENS

    @property
    def state_words(self) -> str:
        return str(STATE_WORDS[self.state])

    @property
    def heard(self) -> list[tuple[str, datetime | None]]:
        """Where a SUBSCRIBE was heard last, and when."""
        return [(name, _moment(at)) for name, at in sorted(self.status.heard_at.items())]

    @property
    def glance(self) -> list[tuple[str, int]]:
        """What a person looks at first."""
        return [(str(COUNTERS[name]), self.status.counters.get(name, 0)) for name in AT_A_GLANCE]

    @property
    def counts(self) -> list[tuple[str, int]]:
        """All else that is not nought."""
        told = self.status.counters
        known = [(str(words), told.get(name, 0)) for name, words in COUNTERS.items() if name not in AT_A_GLANCE]
        others = [(name.replace("_", " "), count) for name, count in sorted(told.items()) if name not in COUNTERS]
        return [(words, count) for words, count in [*known, *others] if count]


@require_safe
@needs(VIEW)
def page(request: HttpRequest) -> HttpResponse:
    """Everything at once."""
    context = shell_context(request, _("Listeners")) | _context(request)
    return render(request, "console/listeners/page.html", context)


@require_safe
@needs(VIEW)
def live_part(request: HttpRequest) -> HttpResponse:
    """The same, for the script that renews it."""
    return render(request, "console/listeners/_listeners.html", _context(request))


@require_POST
@needs(CHANGE)
def forget(request: HttpRequest) -> HttpResponse:
    """One that is gone for good; one that lives would be there again in five seconds, and is not forgotten."""
    name = request.POST.get("name", "")
    if silence.forget(name, request.user.get_username()):
        messages.success(request, _("The listener %(name)s is forgotten.") % {"name": name})
    else:
        refuse(request, _("It is not there any more, or it is heard of again: then stop it first."))
    return redirect("console:listeners")


def _context(request: HttpRequest) -> dict[str, Any]:
    rows = ListenerStatus.objects.order_by("site", "name")
    sites = [(site, [Shown(row) for row in some]) for site, some in groupby(rows, key=lambda row: row.site)]
    return {"sites": sites, "may_change": request.user.has_perm(CHANGE)}


def _moment(text: Any) -> datetime | None:
    """A time as the listener wrote it; None if it is none."""
    try:
        return datetime.fromisoformat(text)
    except (TypeError, ValueError):
        return None
