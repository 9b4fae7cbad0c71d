"""Who may open which page: sign-in first, then a permission; a script gets a status and words, not a redirect."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render, resolve_url
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache

from gspnp.console import roles
from gspnp.console.shell import shell_context

VIEW = "devices.view_phone"
CHANGE = "devices.change_phone"
FORGET = "devices.delete_phone"
REVEAL = "devices.reveal_secret"
VIEW_USERS = "auth.view_user"
CHANGE_USERS = "auth.change_user"
VIEW_CHANGES = "console.view_change"

View = Callable[..., HttpResponse]


def is_fetch(request: HttpRequest) -> bool:
    """Whether one of our scripts asks, which shows the answer inside the page that it has."""
    return request.headers.get("X-Requested-With") == "fetch"


def needs(permission: str) -> Callable[[View], View]:
    """Decorator: a signed-in user who may use the console and has this permission, or a clear answer that says what to
    do."""

    def decorate(view: View) -> View:
        @wraps(view)
        @never_cache
        def guarded(request: HttpRequest, *args: object, **kwargs: object) -> HttpResponse:
            if not request.user.is_authenticated:
                return _sign_in(request)
            if not request.user.is_staff:
                return _refuse(request, "")
            if not request.user.has_perm(permission):
                return _refuse(request, roles.smallest_with(permission))
            return view(request, *args, **kwargs)

        return guarded

    return decorate


def may_compare(request: HttpRequest) -> bool:
    """Whether this person may learn if a password that was typed is the stored one. To everybody else what is said and
    shown must be the same for a right and a wrong one, or passwords can be tried."""
    return request.user.has_perm(REVEAL)


def wants_json(request: HttpRequest) -> bool:
    """Whether the answer is read by a program."""
    return is_fetch(request) or request.path.endswith(".json")


def _sign_in(request: HttpRequest) -> HttpResponse:
    if wants_json(request):
        return JsonResponse({"message": _("Your session has ended. Sign in again.")}, status=401)
    return redirect_to_login(request.get_full_path(), resolve_url("admin:login"))


def may(user: Any, permission: str) -> bool:
    """Whether this user may use the console, and has the permission. Nobody else can sign in, but staff status may be
    withdrawn from somebody who is signed in."""
    return bool(user.is_staff and user.has_perm(permission))


def _refuse(request: HttpRequest, group: str) -> HttpResponse:
    """`group` is the ready-made one that suffices; empty if the account may not sign in, or if none has it any more."""
    if group:
        words = _("Your account may not do this: it needs the group %(group)s (or more). Ask an administrator.")
        words %= {"group": group}
    else:
        words = _("Your account may not do this. Ask an administrator for the permission.")
    if wants_json(request):
        return JsonResponse({"message": words}, status=403)
    context = shell_context(request, _("No permission"), group=group)
    return render(request, "console/forbidden.html", context, status=403)
