"""Whoever signed in with the password that the set-up made chooses another one before anything else."""

from __future__ import annotations

from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse

from gspnp.console import first_password  # noqa: F401  (connects its receivers)
from gspnp.console.models import TemporaryPassword

CHANGE = "admin:password_change"
ALLOWED = (CHANGE, "admin:logout", "admin:jsi18n")


class ChangeTemporaryPassword:
    """Middleware, behind authentication: such a user sees the password form, which says why, and the way out."""

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
