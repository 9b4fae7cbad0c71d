"""Times in the reader's zone, wherever the server writes them: static/console/zone.js says in a cookie which that is.

The cookie is anybody's text: it is one of the zones that this machine knows, or it is not looked at.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from urllib.parse import unquote
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from django.http import HttpRequest, HttpResponse
from django.utils import timezone

COOKIE = "gspnp_zone"
ZONE_CHARS = 64


class ReadersZone:
    """Middleware: the zone of the browser for as long as its request is answered; without one, the server's."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        zone = zone_of(request.COOKIES.get(COOKIE, ""))
        if zone is None:
            return self.get_response(request)
        with timezone.override(zone):
            return self.get_response(request)


def zone_of(text: str) -> ZoneInfo | None:
    """The zone that a browser names, None if there is no such zone here."""
    name = unquote(text) if len(text) <= 3 * ZONE_CHARS else ""
    if name not in _known():
        return None
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None  # named by the machine's table, and no zone: such as a directory


@cache
def _known() -> frozenset[str]:
    """Read once: it looks at every file of the machine's zones."""
    return frozenset(available_timezones())
