"""What is looked at before a page: a first password that has to be changed, and what Django's admin breaks on."""

from __future__ import annotations

from collections.abc import Callable

from django.conf import settings
from django.contrib.admin.options import TO_FIELD_VAR
from django.core.exceptions import SuspiciousOperation
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse

from gspnp.console import first_password  # noqa: F401  (connects its receivers)
from gspnp.console.models import TemporaryPassword

CHANGE = "admin:password_change"
ALLOWED = (CHANGE, "admin:logout", "admin:jsi18n")


class ChangeTemporaryPassword:
    """Middleware, behind authentication: whoever signed in with the password that the set-up made sees the password
    form, which says why, and the way out."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if self._must_change(request):
            return redirect(CHANGE)
        return self.get_response(request)

    def _must_change(self, request: HttpRequest) -> bool:
        # The path first: static files and the form itself need neither session nor database.
        if request.path.startswith(_static_prefix()) or request.path in {reverse(name) for name in ALLOWED}:
            return False
        user = request.user
        return user.is_authenticated and TemporaryPassword.objects.filter(user_id=user.pk).exists()


def _static_prefix() -> str:
    return settings.STATIC_URL


class NoEmptyField:
    """Middleware: a form of the admin that looks its row up by a field without a name is answered 400. The admin
    itself asks for each name whether it may be looked at, but for none, and fails."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_view(self, request: HttpRequest, *_: object) -> None:
        """Raises SuspiciousOperation."""
        match = request.resolver_match
        if match is None or match.app_name != "admin":
            return
        if "" in request.GET.getlist(TO_FIELD_VAR) or "" in request.POST.getlist(TO_FIELD_VAR):
            raise SuspiciousOperation("no field is named")
