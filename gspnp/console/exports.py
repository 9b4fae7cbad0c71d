"""Phones as a file that import reads: all, those of a list's search and filter, or chosen ones.

Passwords leave only with the permission to look at them, a tick of their own, and never over plain HTTP beyond
loopback. Retired phones leave only if they are asked for (chosen.py). Who exported by a button stands in the
administration's history, who followed a link nowhere; a look at a password stands in each phone's timeline.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from itertools import islice
from typing import Any

from asgiref.sync import sync_to_async
from django.contrib.admin.models import CHANGE as CHANGED
from django.contrib.admin.models import LogEntry
from django.contrib.contenttypes.models import ContentType
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_http_methods

from devices.models import Phone
from gspnp.console.access import REVEAL, VIEW, needs
from gspnp.console.chosen import to_export
from gspnp.console.refusal import refuse
from gspnp.console.reveal import TOO_PLAIN
from gspnp.console.selection import SelectionError
from gspnp.console.shell import is_plain_beyond_loopback
from provisioning.importing import exporting
from provisioning.tables.table import TableError
from provisioning.tables.writing import CONTENT_TYPES, CSV, XLSX, csv_pieces, write_table

ROWS_AT_ONCE = 500


@require_http_methods(["GET", "HEAD", "POST"])
@needs(VIEW)
def export(request: HttpRequest) -> HttpResponse:
    """The file; a GET never has a password in it, so that no link can fetch one."""
    asked = request.POST if request.method == "POST" else request.GET
    secrets = request.method == "POST" and asked.get("secrets") == "yes"
    try:
        phones = to_export(asked)
    except SelectionError as error:
        refuse(request, str(error))
        return redirect("console:imports")
    return answer(request, phones, asked.get("kind", CSV), secrets=secrets)


def answer(request: HttpRequest, phones: QuerySet[Phone], kind: str = CSV, *, secrets: bool = False) -> HttpResponse:
    """The file of these phones, or back to the page with words."""
    refusal = _refusal(request, secrets)
    if refusal or kind not in CONTENT_TYPES:
        refuse(request, refusal or _("Choose CSV or XLSX."))
        return redirect("console:imports")
    by = request.user.get_username()
    response: Any  # streamed or not
    try:
        names = exporting.headers(phones, secrets=secrets)
        rows = exporting.rows(phones, names, secrets=secrets, by=by)
        # A GET changes nothing and has no password in it: whoever follows a link writes no history.
        if request.method == "POST":
            _remember(request, phones, secrets)
        if kind == XLSX:
            response = HttpResponse(write_table(XLSX, names, rows), content_type=CONTENT_TYPES[XLSX])
        else:
            pieces = csv_pieces(names, rows)
            first = _bite(pieces)  # before the answer begins: most of what goes wrong can be said then
            response = StreamingHttpResponse(_stream(first, pieces), content_type=CONTENT_TYPES[CSV])
    except TableError as error:
        refuse(request, str(error))
        return redirect("console:imports")
    response["Content-Disposition"] = f'attachment; filename="phones.{kind}"'
    made: HttpResponse = response
    return made


def _refusal(request: HttpRequest, secrets: bool) -> str:
    if not secrets:
        return ""
    if not request.user.has_perm(REVEAL):
        return _("Your account may not export passwords. Ask an administrator for the permission.")
    return str(TOO_PLAIN) if is_plain_beyond_loopback(request) else ""


def _remember(request: HttpRequest, phones: QuerySet[Phone], secrets: bool) -> None:
    """In the history of the administration, before anything leaves."""
    count = phones.count()
    words = ngettext("%(count)d phone exported", "%(count)d phones exported", count) % {"count": count}
    LogEntry.objects.create(
        user_id=request.user.pk or 0,
        content_type=ContentType.objects.get_for_model(Phone),
        object_repr=words[:200],
        action_flag=CHANGED,
        change_message=_("With SIP passwords.") if secrets else _("Without passwords."),
    )


async def _stream(text: str, pieces: Iterator[str]) -> AsyncIterator[bytes]:
    """In bites: a hundred thousand phones never stand in memory, and no other request waits for them."""
    while text:
        yield text.encode("utf-8")
        text = await sync_to_async(_bite)(pieces)


def _bite(pieces: Iterator[str]) -> str:
    return "".join(islice(pieces, ROWS_AT_ONCE))
