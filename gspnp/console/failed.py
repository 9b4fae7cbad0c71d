"""What is answered when a page fails: by its own fault, or because the database is away or has no room."""

from __future__ import annotations

import sys

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.template import loader
from django.utils.translation import gettext as _
from django.views.defaults import ERROR_500_TEMPLATE_NAME

from gspnp.full import is_away, is_full

RETRY_SECONDS = 10


def failed(request: HttpRequest) -> HttpResponse:
    """The handler of status 500, called while the exception is handled; 503 where the database is the reason.

    It reads nothing of the request's form, which may be what failed, and needs no database.
    """
    error = sys.exc_info()[1]
    if error is None or not is_away(error):
        return HttpResponse(loader.get_template(ERROR_500_TEMPLATE_NAME).render(), status=500)
    looks = request.method in ("GET", "HEAD")  # nobody wanted to store anything
    disk_is_full = is_full(error)
    words = _words(disk_is_full, looks)
    headers = {"Retry-After": str(RETRY_SECONDS)}
    if "text/html" not in request.headers.get("Accept", ""):  # a script of ours, which shows the words
        said = {"message": words, "away": not disk_is_full}
        return JsonResponse(said, status=503, headers=headers)
    context = {"words": words, "looks": looks, "returns": looks and not disk_is_full}
    page = loader.get_template("503.html").render(context)
    return HttpResponse(page, status=503, headers=headers)


def _words(full: bool, looks: bool) -> str:
    if full and looks:
        return _("The disk of the database is full. Make room on it and try again.")
    if full:
        return _("The disk of the database is full. Make room on it and try again: nothing of this was stored.")
    if looks:
        return _("The database is away. Try it again in a moment.")
    return _("The database is away. Nothing of this was stored; try it again in a moment.")
