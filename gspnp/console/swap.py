"""The page "Swap": choose the phone that replaces this one, look at what it takes over, and agree."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from devices.catalog import MODELS
from devices.choices import Stage
from devices.crypto import CannotDecrypt
from devices.inventory import CannotList, VersionConflict
from devices.mac import colons
from devices.models import Phone
from gspnp.console.access import CHANGE, needs
from gspnp.console.assign import UNREADABLE, saved_words
from gspnp.console.paging import QUERY_CHARS
from gspnp.console.shell import shell_context
from gspnp.console.tables import matches
from provisioning import swapping
from provisioning.assignment import AssignmentError
from provisioning.gxp.config import ConfigError
from sipmcast import neighbours

CANDIDATES = 20


@require_http_methods(["GET", "HEAD", "POST"])
@needs(CHANGE)
def page(request: HttpRequest, mac: str) -> HttpResponse:
    """GET: phones to choose from and, with `new` in the address, what would happen. POST: do that, and go to the new
    phone; or the page again with the reason why not (409)."""
    phone = get_object_or_404(Phone, mac=mac)
    asked = request.POST if request.method == "POST" else request.GET
    typed, model = asked.get("new", "").strip()[:60], asked.get("model", "")[:40]
    seen, problem, field = None, "", ""
    try:
        if typed:
            seen = swapping.preview(phone, swapping.successor(typed, model, phone))
            if request.method == "POST":
                return _swap(request, seen)
    except CannotList as refusal:
        problem, field = str(refusal), refusal.field
    except ConfigError as error:
        problem = " ".join(one.message for one in error.problems)
    except CannotDecrypt:
        problem = str(UNREADABLE)
    except (swapping.SwapError, AssignmentError, VersionConflict) as refusal:
        problem = str(refusal)
    refused = request.method == "POST"
    mismatch = seen is not None and neighbours.shows_another(seen.new)
    context = shell_context(
        request, _("Swap %(phone)s") % {"phone": phone}, phone=phone, seen=None if problem and not refused else seen,
        problem=problem, field=field, typed=typed,
        mismatch=mismatch,
        table_knows=mismatch and seen is not None and neighbours.knows_phones(seen.new.interface),
        **_choice(phone, request.GET.get("q", ""), model),
    )  # fmt: skip
    return render(request, "console/swap.html", context, status=409 if refused else 422 if problem else 200)


def _choice(phone: Phone, query: str, model: str) -> dict[str, Any]:
    """Phones that nobody has assigned, the newest first; retired ones too if they are looked for."""
    query = query.replace("\0", "").strip()[:QUERY_CHARS]
    stages = [Stage.SEEN, Stage.RETIRED] if query else [Stage.SEEN]
    free = Phone.objects.filter(stage__in=stages, model__in=MODELS).exclude(pk=phone.pk)
    found = free.filter(matches(query)) if query else free
    return {
        "query": query,
        "candidates": found.order_by("-listed_at", "mac")[:CANDIDATES],
        "models": list(MODELS),
        "model": model or phone.model,
        "account": phone.accounts.defer("password").first(),
    }


def _swap(request: HttpRequest, seen: swapping.Preview) -> HttpResponse:
    """Both phones as the page showed them."""
    old, new = seen.old, seen.new
    shown = (request.POST.get("old_version", ""), request.POST.get("new_version", ""))
    if shown != (str(old.version), str(new.version if new.pk else "")):
        raise VersionConflict(swapping.CHANGED_MEANWHILE)
    by, seen_host = request.user.get_username(), request.POST.get("seen_host") or None
    done = swapping.swap(old, new, by=by, seen_host=seen_host)
    words = _("%(new)s takes over from %(old)s, which is retired.") % {"new": done.new, "old": colons(done.old.mac)}
    messages.success(request, f"{words} {saved_words(done.saved)}")
    return HttpResponseRedirect(reverse("console:phone", args=[done.new.mac]))
