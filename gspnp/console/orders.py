"""What is done to a selection of phones: first what it would mean, then the order, which a job carries out."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from django.views.decorators.http import require_POST

from devices.choices import WAY, Stage
from gspnp.console import confirming, selection
from gspnp.console.access import CHANGE, FORGET, VIEW, needs
from gspnp.console.refusal import nothing_done
from gspnp.console.selection import Found
from provisioning.jobs import kinds, orders, runner
from provisioning.jobs.models import Job
from provisioning.jobs.pace import ASKED


@dataclass(frozen=True)
class Deed:
    """An order as a person is asked about it."""

    title: str | Promise
    icon: str
    warning: str | Promise
    yes: str | Promise
    nobody: str | Promise
    """What is said of phones that it does not concern."""
    permission: str = CHANGE


WITHOUT_FILE = gettext_lazy("without a configuration of ours: left out. Assign them first.")
DEEDS: Mapping[str, Deed] = {
    "notify": Deed(
        gettext_lazy("Notify at known addresses"),
        "notifications_active",
        gettext_lazy(
            "Each is told where its configuration is. This confirms no address: who is not known to be where the list "
            "shows it, is held back and says so in the list. For those choose “Confirm and notify…”, which shows you "
            "their addresses first."
        ),
        gettext_lazy("Notify"),
        WITHOUT_FILE,
    ),
    "confirm": Deed(
        gettext_lazy("Confirm addresses and notify"),
        "fact_check",
        gettext_lazy(
            "Each is told where its configuration with its passwords is, at the address below. By confirming you say "
            "that you have looked, and that each of these phones is yours and at this address. It counts for 15 "
            "minutes, and only while the phone is still there."
        ),
        gettext_lazy("Confirm and notify"),
        WITHOUT_FILE,
    ),
    "check": Deed(
        gettext_lazy("Check for a new configuration"),
        "sync",
        gettext_lazy("Each is asked to look whether its configuration has changed."),
        gettext_lazy("Ask them"),
        WITHOUT_FILE,
    ),
    "resync": Deed(
        gettext_lazy("Load the configuration again"),
        "download",
        gettext_lazy("Each loads its configuration again; some restart for that, and a call may be cut off."),
        gettext_lazy("Ask them"),
        WITHOUT_FILE,
    ),
    "reboot": Deed(
        gettext_lazy("Restart"),
        "restart_alt",
        gettext_lazy(
            "Each is away for a minute or so, and a call on it may be cut off. Who restarted in the last 10 minutes by "
            "our order is left out."
        ),
        gettext_lazy("Restart"),
        WITHOUT_FILE,
    ),
    "ignore": Deed(
        gettext_lazy("Ignore"),
        "visibility_off",
        gettext_lazy("They leave the working list, and nothing is sent to them."),
        gettext_lazy("Ignore"),
        gettext_lazy("ignored already."),
    ),
    "heed": Deed(
        gettext_lazy("Stop ignoring"),
        "visibility",
        gettext_lazy("They come back into the working list, and go on where they had come to."),
        gettext_lazy("Stop ignoring"),
        gettext_lazy("not ignored."),
    ),
    "forget": Deed(
        gettext_lazy("Forget"),
        "delete",
        gettext_lazy(
            "Their assignments, stored passwords, files and history are deleted, and their paths lead nowhere. The "
            "phones keep what they have, and appear anew when they are next heard. This cannot be undone."
        ),
        gettext_lazy("Forget"),
        "",
        FORGET,
    ),
}


@require_POST
@needs(VIEW)
def order(request: HttpRequest, kind: str) -> HttpResponse:
    """Without `go` the questions that come first; with the digest of their phones in it, the order itself, in JSON."""
    deed = DEEDS.get(kind)
    if deed is None:
        raise Http404
    return needs(deed.permission)(_order)(request, kind, deed)


def _order(request: HttpRequest, kind: str, deed: Deed) -> HttpResponse:
    try:
        chosen = selection.read(request.POST)
    except selection.SelectionError as error:
        return JsonResponse({"message": str(error)}, status=400)
    found = chosen.found()
    fit = [one for one in found if concerns(kind, one)]
    if kinds.ORDERS[kind].confirms:
        return _confirm(request, kind, deed, found, [replace(one, host=one.now_at) for one in fit])
    if "go" not in request.POST:
        nothing_done(request)
        return render(request, "console/_order.html", _context(kind, deed, found, fit))
    return _agreed(request, kind, fit)


def _confirm(request: HttpRequest, kind: str, deed: Deed, found: list[Found], fit: list[Found]) -> HttpResponse:
    """The question shows each phone with its address of now, and it is these pairs that are agreed to."""
    named = confirming.left_out(fit)
    wanted = [one for one in fit if one.pk not in named]
    if "go" in request.POST:
        return _agreed(request, kind, wanted)
    nothing_done(request)
    context = _context(kind, deed, found, wanted) | {
        "named": list(named.values()),
        "typed_pace": min(ASKED.most, orders.confirming_pace(len(wanted))),
        "left_words": _not_confirmed(found, bool(wanted)),
    }
    if len(wanted) > orders.MOST_CONFIRMED:
        context["too_many"] = orders.MOST_CONFIRMED
    else:
        context["shown"] = confirming.shown(wanted)
        context["old"] = sum(1 for one in context["shown"] if one.too_long_ago)
    return render(request, "console/_order.html", context)


def _agreed(request: HttpRequest, kind: str, fit: list[Found]) -> HttpResponse:
    """The order, if it is of the phones that the question was about."""
    if request.POST["go"] != digest(kind, fit):
        return JsonResponse({"message": _differs(len(fit)), "again": True}, status=409)
    try:
        job = orders.start(
            kind,
            [(one.pk, one.host) for one in fit],
            by=request.user.get_username(),
            pace_per_minute=ASKED.read(request.POST.get("pace")),
        )
    except runner.JobError as error:
        return JsonResponse({"message": str(error)}, status=409)
    return JsonResponse(
        {"message": ordered_words(job), "url": reverse("console:job", args=[job.pk]), "link": _("Open the job")}
    )


def ordered_words(job: Job) -> str:
    """What is said of an order that was just given."""
    return _("%(title)s. Job %(number)d shows how far it has come.") % {"title": job.title, "number": job.pk}


def concerns(kind: str, one: Found) -> bool:
    """Whether this phone can be meant by the order, as far as it is known now."""
    if kinds.ORDERS[kind].confirms:
        return one.stage in WAY and one.now_at is not None
    if kinds.ORDERS[kind].tells:
        return one.stage in WAY
    return kind == "forget" or (one.stage == Stage.IGNORED) == (kind == "heed")


def digest(kind: str, fit: Iterable[Found]) -> str:
    """Which phones a question is about, and at which addresses if these are confirmed: as many others are not what was
    agreed to."""
    pairs = kinds.ORDERS[kind].confirms
    parts = sorted(f"{one.mac}@{one.host}" if pairs else one.mac for one in fit)
    return hashlib.sha256(" ".join(parts).encode()).hexdigest()


def _left_words(deed: Deed, count: int, others: bool) -> str:
    """How many are left out, and why; `others` are not."""
    if others:
        words = ngettext("%(count)d more is %(why)s", "%(count)d more are %(why)s", count)
    else:
        words = ngettext("%(count)d is %(why)s", "%(count)d are %(why)s", count)
    return words % {"count": count, "why": deed.nobody}


def _not_confirmed(found: list[Found], others: bool) -> list[str]:
    """Of which phones no address can be confirmed, and what helps."""
    without_file = sum(1 for one in found if one.stage not in WAY)
    unheard = sum(1 for one in found if one.stage in WAY and one.now_at is None)
    said = []
    if without_file:
        said.append(_left_words(DEEDS["confirm"], without_file, others))
    if unheard:
        words = ngettext(
            "%(count)d has not been heard yet, so that it has no address to confirm: left out. Plug it in, or switch "
            "it off and on; it is told when it is heard.",
            "%(count)d have not been heard yet, so that they have no address to confirm: left out. Plug them in, or "
            "switch them off and on; they are told when they are heard.",
            unheard,
        )
        said.append(words % {"count": unheard})
    return said


def _context(kind: str, deed: Deed, found: list[Found], fit: list[Found]) -> dict[str, Any]:
    tells, left_out = kinds.ORDERS[kind].tells is not None, len(found) - len(fit)
    least = orders.least_pace(kind, len(fit))
    return {
        "kind": kind,
        "deed": deed,
        "count": len(fit),
        "digest": digest(kind, fit),
        "left_words": [_left_words(deed, left_out, bool(fit))] if left_out else [],
        "moved": sum(1 for one in fit if one.now_at is not None and one.host != one.now_at) if tells else 0,
        "tells": tells,
        "pace": ASKED,
        "least_pace": least,
        "typed_pace": max(ASKED.offered, least),
    }


def _differs(count: int) -> str:
    return ngettext(
        "Nothing was done: meanwhile it is another selection, of %(count)d phone. Look at it and agree again.",
        "Nothing was done: meanwhile it is another selection, of %(count)d phones. Look at it and agree again.",
        count,
    ) % {"count": count}
