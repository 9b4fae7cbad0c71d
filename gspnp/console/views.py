"""The list of phones: the page, the part of it that is fetched again when something changes, and the same as JSON."""

from __future__ import annotations

from typing import Any, NamedTuple

from django.contrib import messages
from django.db import DatabaseError, connection
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.template.loader import render_to_string
from django.utils import timezone
from django.utils.translation import get_language
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_safe

from devices.models import Phone
from gspnp.console import alarms, columns, filters, paths
from gspnp.console.access import CHANGE, FORGET, VIEW, needs
from gspnp.console.listening import listening
from gspnp.console.phone_json import as_json
from gspnp.console.rows import rows_of
from gspnp.console.sharing import Sharing
from gspnp.console.shell import shell_context
from gspnp.console.tables import ListQuery, read_page


@require_safe
@needs(VIEW)
def phones(request: HttpRequest) -> HttpResponse:
    """The console's first page."""
    return render(request, "console/list.html", shell_context(request, _("Phones")) | _list_context(request))


@require_safe
@needs(VIEW)
def rows(request: HttpRequest) -> HttpResponse:
    """Everything of the list that changes by itself, for the same parameters; whoever sees the same may share it."""
    asked = _asked(request)
    reader = (get_language(), timezone.get_current_timezone_name())
    text = _rows.get((asked, reader), lambda: render_to_string("console/_rows.html", _context(asked)))
    return HttpResponse(text)


class _Asked(NamedTuple):
    """All that the list of a person depends on, but for language and zone: nothing else of the request is looked at."""

    query: ListQuery
    columns: tuple[str, ...]
    may_change: bool
    may_forget: bool


_rows: Sharing[str] = Sharing()


def _asked(request: HttpRequest) -> _Asked:
    user = request.user
    query, chosen = ListQuery.read(request.GET), columns.chosen(user)
    return _Asked(query, chosen, user.has_perm(CHANGE), user.has_perm(FORGET))


def _list_context(request: HttpRequest) -> dict[str, Any]:
    return _context(_asked(request))


def _context(asked: _Asked) -> dict[str, Any]:
    page, heard = read_page(asked.query, asked.columns), listening()
    return {
        "page": page,
        "listening": heard,
        "rows": rows_of(page.phones, heard),
        "released": paths.open_ones(),
        "alarms": Phone.objects.exclude(alarm="").order_by("-alarm_at")[:5],
        **alarms.standing(),
        "may_change": asked.may_change,
        "may_forget": asked.may_forget,
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
        columns.choose(request.user, request.POST.getlist("column") or columns.DEFAULT)
    return render(request, "console/_columns.html", {"choices": columns.choices(columns.chosen(request.user))})


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
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except DatabaseError:
        return HttpResponse("no database", status=503, content_type="text/plain")
    return HttpResponse("ok", content_type="text/plain")
