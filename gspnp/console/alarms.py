"""Alarms that belong to no phone: on the list and the overview while they stand; a page of their own, with decoys."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_POST, require_safe

from devices import alarms, decoys
from devices.choices import AlarmKind
from devices.mac import colons
from devices.models import Alarm, Decoy, Phone
from gspnp.console.access import CHANGE, VIEW, needs
from gspnp.console.refusal import nothing_done, refuse
from gspnp.console.shell import shell_context

SHOWN = 3  # above the list; the page has them all
OVER_SHOWN = 50


@dataclass(frozen=True)
class Shown:
    """An alarm with its words."""

    alarm: Alarm

    @property
    def words(self) -> str:
        return alarms.words(self.alarm)


def standing(most: int = SHOWN) -> dict[str, Any]:
    """What the list and the overview show: the gravest ones, and how many more there are. Of a silent listener they
    have words of their own, which do not wait for a worker."""
    found = [Shown(one) for one in alarms.open_alarms() if one.kind != AlarmKind.LISTENER]
    return {"strangers": found[:most], "more_strangers": max(0, len(found) - most), "strangers_total": len(found)}


@require_safe
@needs(VIEW)
def page(request: HttpRequest) -> HttpResponse:
    """Everything at once."""
    context = shell_context(request, _("Alarms")) | _context(request) | _decoys()
    return render(request, "console/alarms/page.html", context | {"most": decoys.MADE_AT_MOST})


@require_safe
@needs(VIEW)
def live_part(request: HttpRequest) -> HttpResponse:
    """What changes by itself, for the script that renews it."""
    return render(request, "console/alarms/_alarms.html", _context(request))


@require_POST
@needs(CHANGE)
def dismiss(request: HttpRequest, alarm_id: int) -> HttpResponse:
    """A person has seen it; words for them as JSON."""
    done = alarms.dismiss(alarm_id, request.user.get_username())
    if not done:
        nothing_done(request)
    return JsonResponse({"message": _("Alarm dismissed.") if done else _("This alarm is settled already.")})


@require_POST
@needs(CHANGE)
def dismiss_all(request: HttpRequest) -> HttpResponse:
    """A person has seen those that the page showed; one that came meanwhile stays."""
    shown = [int(one) for one in request.POST.getlist("alarm") if one.isascii() and one.isdigit() and len(one) < 16]
    count = alarms.dismiss_all(shown[: alarms.OPEN_AT_MOST * 2 * len(AlarmKind)], request.user.get_username())
    if not count:
        nothing_done(request)
    words = ngettext("%(count)d alarm dismissed.", "%(count)d alarms dismissed.", count)
    messages.success(request, words % {"count": count})
    return redirect("console:alarms")


@require_POST
@needs(CHANGE)
def add_decoy(request: HttpRequest) -> HttpResponse:
    """List a MAC that no phone has."""
    try:
        made = decoys.add(request.POST.get("mac", ""), request.user.get_username(), request.POST.get("note", ""))
    except decoys.CannotBeDecoy as refusal:
        refuse(request, str(refusal))
    else:
        messages.success(request, _("%(mac)s is a decoy now.") % {"mac": colons(made.mac)})
    return redirect("console:alarms")


@require_POST
@needs(CHANGE)
def make_decoys(request: HttpRequest) -> HttpResponse:
    """Make some near the MACs of real phones."""
    text = request.POST.get("count", "")
    count = int(text) if text.isascii() and text.isdigit() and len(text) < 5 else 0
    try:
        made = decoys.make(count, request.user.get_username())
    except decoys.CannotBeDecoy as refusal:
        refuse(request, str(refusal))
    else:
        words = ngettext("%(count)d decoy was made.", "%(count)d decoys were made.", len(made))
        messages.success(request, words % {"count": len(made)})
    return redirect("console:alarms")


@require_POST
@needs(CHANGE)
def remove_decoy(request: HttpRequest, mac: str) -> HttpResponse:
    """It is a decoy no more."""
    if decoys.remove([mac], by=request.user.get_username()):
        messages.success(request, _("%(mac)s is no decoy any more.") % {"mac": colons(mac)})
    else:
        nothing_done(request)
        messages.info(request, _("%(mac)s was no decoy.") % {"mac": colons(mac)})
    return redirect("console:alarms")


def _decoys() -> dict[str, Any]:
    """All of them; and which are phones by now, so that nobody relies on them."""
    found = list(Decoy.objects.all())
    phones = set(Phone.objects.filter(mac__in=[one.mac for one in found]).values_list("mac", flat=True))
    return {"decoys": [(one, one.mac in phones) for one in found]}


def _context(request: HttpRequest) -> dict[str, Any]:
    over = Alarm.objects.exclude(dismissed_at=None).order_by("-dismissed_at", "-pk")[:OVER_SHOWN]
    found = [Shown(one) for one in alarms.open_alarms()]
    return {
        "strangers": found,
        "over": [Shown(one) for one in over],
        "may_change": request.user.has_perm(CHANGE),
    }
