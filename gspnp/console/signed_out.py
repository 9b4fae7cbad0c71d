"""What is said to who has signed out: the sign-in page says it, where the next one begins."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.contrib.auth.signals import user_logged_out
from django.dispatch import receiver
from django.http import HttpRequest
from django.utils.translation import gettext as _


@receiver(user_logged_out, dispatch_uid="gspnp.signed_out")
def say_so(request: HttpRequest | None, **kwargs: Any) -> None:
    """A message for the next page; nobody is told where no browser asked."""
    if request is not None and hasattr(request, "_messages"):
        messages.success(request, _("You are signed out."))
