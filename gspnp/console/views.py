"""The list of phones: the page, the part of it that is fetched again when something changes, and the same as JSON."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.template.loader import render_to_string
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_safe

from devices.models import Phone
from gspnp.console import alarms, columns, filters, paths, sharing
from gspnp.console.access import CHANGE, FORGET, VIEW, needs
from gspnp.console.listening import Listening, listening
from gspnp.console.phone_json import as_json
from gspnp.console.rows import rows_of
from gspnp.console.sharing import Reader
from gspnp.console.shell import shell_context
from gspnp.console.tables import ListQuery, read_page
from provisioning import readiness


@require_safe
@needs(VIEW)
def phones(request: HttpRequest) -> HttpResponse:
    """The console's first page."""
    shell = shell_context(request, _("Phones"))
    context = _context(ListQuery.read(request.GET), _reader(request), shell["listening"])
    return render(request, "console/list.html", shell | context)


@require_safe
@needs(VIEW)
def rows(request: HttpRequest) -> HttpResponse:
    """Everything of the list that changes by itself, for the same parameters. Whoever sees the same may share it: it
    depends on nothing else of the request than `Reader`, language and zone."""
    reader = _reader(request)
    text = render_to_string("console/_rows.html", _context(ListQuery.read(request.GET), reader, listening()))
    sharing.made_for(request, reader)
    return HttpResponse(text)


def _reader(request: HttpRequest) -> Reader:
    user = request.user
    return Reader(user.has_perm(CHANGE), user.has_perm(FORGET), columns.own(user))


def _context(query: ListQuery, reader: Reader, heard: Listening) -> dict[str, Any]:
    page = read_page(query, reader.columns, columns.usual(heard.at_several_sites))
    return {
        "page": page,
        "listening": heard,
        "rows": rows_of(page.phones, heard),
        "released": paths.open_ones(),
        "alarms": Phone.objects.exclude(alarm="").order_by("-alarm_at")[:5],
        **alarms.standing(),
        "may_change": reader.may_change,
        "may_forget": reader.may_forget,
    }


@require_safe
@needs(VIEW)
def offered_filters(request: HttpRequest) -> HttpResponse:
    """What the list can be filtered by besides: models, firmware and sites that some phone has."""
    kinds = filters.offered(ListQuery.read(request.GET))
    return render(request, "console/_filters.html", {"kinds": kinds})


@require_http_methods(["GET", "POST"])
@needs(VIEW)
def list_columns(request: HttpRequest) -> HttpResponse:
    """The reader's own columns: which there are, and the choice that is kept."""
    if request.method == "POST":
        shown = columns.choose(request.user, request.POST.getlist("column"))
    else:
        shown = columns.own(request.user)
    shown = shown or columns.usual(listening().at_several_sites)
    return render(request, "console/_columns.html", {"choices": columns.choices(shown)})


@require_safe
@needs(VIEW)
def signed_in(_request: HttpRequest) -> HttpResponse:
    """Whether somebody is: asked before a form is sent that would be lost otherwise."""
    return HttpResponse(status=204)


@require_safe
@needs(VIEW)
def phones_json(request: HttpRequest) -> JsonResponse:
    """Every phone, in the field names of the contract."""
    return JsonResponse([as_json(phone) for phone in Phone.objects.all()], safe=False)


@require_safe
def password_changed(request: HttpRequest) -> HttpResponse:
    """Whoever has chosen a password goes on to the phones."""
    messages.success(request, _("Your password was changed."))
    return redirect("console:phones")


@require_safe
def healthz(request: HttpRequest) -> HttpResponse:
    """Whether this door can do its work: it answers, and its database does."""
    if not readiness.answers():
        return HttpResponse("no database", status=503, content_type="text/plain")
    return HttpResponse("ok", content_type="text/plain")
