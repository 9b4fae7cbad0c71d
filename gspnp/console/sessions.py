"""How long somebody stays signed in: so long after the last thing done, and never longer than so long altogether.

A page that renews itself does nothing for its reader: such requests keep no session alive. Times stand in the session
as seconds since 1970. What has no such times (a session from before an upgrade) is given them at its next request.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from django.conf import settings
from django.contrib.auth import logout
from django.contrib.auth.signals import user_logged_in
from django.dispatch import receiver
from django.http import HttpRequest, HttpResponse
from django.utils import timezone

BEGAN, DONE = "gspnp_began", "gspnp_done"
NOTE_SECONDS = 60  # how exactly the last thing done is remembered: a write of the session each time
BY_ITSELF = frozenset(
    f"console:{name}"
    for name in (
        "rows",
        "overview_live",
        "alarms_live",
        "job_live",
        "phone_live",
        "assign_news",
        "filters",
        "signed_in",
    )
)
"""Routes that pages ask by themselves."""


def now_seconds() -> int:
    """The clock of this module."""
    return int(timezone.now().timestamp())


def is_over(session: Mapping[str, Any], now: int) -> bool:
    """Whether this session's time has passed. A time in the future is none: somebody has set the clock back."""
    began, done = session.get(BEGAN), session.get(DONE)
    if not isinstance(began, int) or not isinstance(done, int):
        return False
    return now - began >= settings.GSPNP_SESSION_HOURS * 3600 or now - done >= settings.GSPNP_SESSION_IDLE_MINUTES * 60


@receiver(user_logged_in, dispatch_uid="gspnp.sessions.begin")
def begin(request: HttpRequest | None, **_: object) -> None:
    """Django has given the session a new key; its time begins."""
    if request is not None:
        request.session[BEGAN] = request.session[DONE] = now_seconds()


class EndOldSessions:
    """Middleware, behind authentication."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_view(self, request: HttpRequest, *_: object) -> None:
        """Here the route is known."""
        if settings.SESSION_COOKIE_NAME not in request.COOKIES or not request.user.is_authenticated:
            return
        session, now = request.session, now_seconds()
        if is_over(session, now):
            logout(request)
            return
        match = request.resolver_match
        if match is not None and match.view_name in BY_ITSELF and BEGAN in session:
            return
        session.setdefault(BEGAN, now)
        if not 0 <= now - session.get(DONE, 0) < NOTE_SECONDS:
            session[DONE] = now
