"""Says of a request that it did nothing, so that the list of changes (gspnp/console/audit.py) has no entry of it.

A status of 400 to 499 says so by itself. This is for the answers that do not: back to the page with the reason, a
question that comes first, and what was so already.
"""

from __future__ import annotations

from typing import Any, cast

from django.contrib import messages
from django.http import HttpRequest
from django.utils.functional import Promise


def nothing_done(request: HttpRequest) -> None:
    """This request changed nothing, whatever it is answered with."""
    cast(Any, request).gspnp_change = None


def refuse(request: HttpRequest, words: str | Promise) -> None:
    """Tell why on the page that is shown next; the request changed nothing."""
    messages.error(request, str(words))
    nothing_done(request)
