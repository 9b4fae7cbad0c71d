"""Wrong passwords: what django-axes is told of who tries, and what somebody who is locked out reads.

A name and the address that it is tried from are locked together, so nobody can lock a colleague out from elsewhere.
A name that no user has is treated alike, but only its digest is kept: people type passwords into the wrong field.
"""

from __future__ import annotations

import hashlib
import hmac
import math
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

from axes.backends import AxesStandaloneBackend
from axes.handlers.database import AxesDatabaseHandler
from axes.handlers.proxy import AxesProxyHandler
from axes.models import AccessAttempt
from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.auth.signals import user_login_failed
from django.core.exceptions import ValidationError
from django.db.models import Max, Q, QuerySet, Sum
from django.db.models.signals import pre_save
from django.dispatch import receiver
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.forms import AuthenticationForm

from devices import networks

UNKNOWN = "unknown name "
TURNS, TURN_SECONDS = 64, 10.0
_turns = tuple(threading.Lock() for _ in range(TURNS))
NAME_CHARS = 150  # what a user name may have


class Backend(AxesStandaloneBackend):
    """django-axes's, which lets nobody in and keeps out who is locked. Without a request (a command of ours) nobody
    tries from anywhere."""

    def authenticate(self, request: HttpRequest | None = None, *args: Any, **credentials: Any) -> None:
        if request is not None:
            super().authenticate(request, *args, **credentials)


@receiver(pre_save, sender=AccessAttempt, dispatch_uid="gspnp.lockout.nothing_typed")
def keep_nothing_typed(instance: AccessAttempt, **_: object) -> None:
    """django-axes would keep the fields of the form, but for those whose names it knows: any may hold a password."""
    instance.get_data = instance.post_data = ""


def within_a_lock(name: str) -> Q:
    """Rows whose time in that column is no longer ago than a lock lasts. One further in time to come was stored before
    the clock was set back: it would lock for as long as the clock was wrong, and counts no more. One that is not may be
    another console's, whose clock is ahead: who tries there is not forgiven here."""
    now, lock = timezone.now(), timedelta(minutes=settings.GSPNP_LOGIN_LOCK_MINUTES)
    return Q(**{f"{name}__range": (now - lock, now + lock)})


class Handler(AxesDatabaseHandler):
    """django-axes's, which is told what a clock may do."""

    def get_user_attempts(self, request: HttpRequest, credentials: dict[str, Any] | None = None) -> list[QuerySet[Any]]:
        """Those that count."""
        return [rows.filter(within_a_lock("attempt_time")) for rows in super().get_user_attempts(request, credentials)]

    def clean_expired_user_attempts(
        self, request: HttpRequest | None = None, credentials: dict[str, Any] | None = None
    ) -> int:
        """Also those too far in time to come: the next wrong password would be counted on in their row."""
        later = timezone.now() + timedelta(minutes=settings.GSPNP_LOGIN_LOCK_MINUTES)
        gone, _rows = AccessAttempt.objects.filter(attempt_time__gt=later).delete()
        return gone + super().clean_expired_user_attempts(request, credentials)


class SignInForm(AuthenticationForm):
    """The shell's form. Tries for one name from one address are looked at one after the other: a hundred at the same
    moment are no more tries than five."""

    error_messages = AuthenticationForm.error_messages | {
        "invalid_login": gettext_lazy(
            "The name or the password is wrong, or this person may not sign in here. Capital and small letters count."
        )
    }

    def clean(self) -> dict[str, Any]:
        """Raises ValidationError."""
        with _turn(self.request, self.cleaned_data):
            return super().clean()


class CountOldPasswords:
    """Middleware, behind authentication: the form that sets one's own password asks for the old one, so whoever has
    come by a session might try there without end. Such a try counts like one at the sign-in."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        who = _whose_old_password(request)
        if who is None:
            return self.get_response(request)
        try:
            with _turn(request, who):
                if not AxesProxyHandler.is_allowed(request, who):
                    return answer(request, None, who)
                return self.get_response(request)
        except ValidationError:  # too many at this moment
            return answer(request, None, who)

    def process_template_response(self, request: HttpRequest, response: Any) -> Any:
        """The form has looked at the password; what it says of that stands in its errors."""
        who = _whose_old_password(request)
        form = (response.context_data or {}).get("form")
        if who is not None and form is not None and form.has_error("old_password", "password_incorrect"):
            user_login_failed.send(sender=__name__, credentials=who, request=request)
        return response


def _whose_old_password(request: HttpRequest) -> dict[str, str] | None:
    """The credentials, without the password, if this request tries one for its own user."""
    if (
        request.method != "POST"
        or request.path != reverse("admin:password_change")
        or not request.user.is_authenticated
    ):
        return None
    return {"username": request.user.get_username()}


@contextmanager
def _turn(request: HttpRequest, credentials: Mapping[str, Any]) -> Iterator[None]:
    who = f"{host(request)} {name(request, credentials)}"
    turn = _turns[int.from_bytes(hashlib.sha256(who.encode("utf-8", "replace")).digest()[:2]) % TURNS]
    if not turn.acquire(timeout=TURN_SECONDS):
        raise ValidationError(_("Too many are signing in at this moment. Try again in a few seconds."))
    try:
        yield
    finally:
        turn.release()


def host(request: HttpRequest) -> str | None:
    """Who asks: the peer or, if that is a trusted proxy, the last address that the proxy vouches for. None if that is
    no address, as behind a unix socket."""
    forwarded = request.META.get("HTTP_X_FORWARDED_FOR", "")
    found = networks.asker(request.META.get("REMOTE_ADDR") or "", forwarded, settings.GSPNP_TRUSTED_PROXIES)
    return found if networks.parse_address(found) else None


def name(request: HttpRequest, credentials: Mapping[str, Any] | None = None) -> str:
    """The name under which tries are counted: the user's, or a digest of what was typed."""
    typed = str((credentials or request.POST).get("username") or "")
    if "\0" not in typed and get_user_model()._default_manager.filter(username=typed[:NAME_CHARS]).exists():
        return typed[:NAME_CHARS]
    digest = hmac.new(settings.SECRET_KEY.encode(), typed.encode("utf-8", "replace"), hashlib.sha256)
    return UNKNOWN + digest.hexdigest()[:16]


def words_of(username: str, ip_address: str | None, *_others: object) -> str:
    """Who tried, for the log: what `name` and `host` say."""
    return f"{username} from {ip_address}"


def answer(request: HttpRequest, _original: HttpResponse | None = None, _credentials: Any = None) -> HttpResponse:
    """429 with words: how long it lasts, and who can end it sooner."""
    began = (
        _tries()
        .filter(username=name(request, _credentials), ip_address=host(request))
        .aggregate(at=Max("attempt_time"))["at"]
    )
    seconds = max(1, math.ceil((until(began or timezone.now()) - timezone.now()).total_seconds()))
    context = {"minutes": math.ceil(seconds / 60)}
    response = render(request, "errors/locked_out.html", context, status=429)
    response["Retry-After"] = str(seconds)
    response["Cache-Control"] = "no-store"
    return response


def until(last_try: datetime) -> datetime:
    """When a lock ends whose last counted try was then."""
    return last_try + timedelta(minutes=settings.GSPNP_LOGIN_LOCK_MINUTES)


def _tries() -> QuerySet[AccessAttempt]:
    """Those that still count."""
    return AccessAttempt.objects.filter(within_a_lock("attempt_time"))


def locked() -> list[dict[str, Any]]:
    """Who is locked out now: name, address, tries and until when; newest first, at most a hundred."""
    rows = (
        _tries()
        .values("username", "ip_address")
        .annotate(tries=Sum("failures_since_start"), last=Max("attempt_time"))
        .filter(tries__gte=settings.GSPNP_LOGIN_TRIES)
        .order_by("-last")[:100]
    )
    return [
        {
            "name": "" if row["username"].startswith(UNKNOWN) else row["username"],
            "key": row["username"],
            "host": row["ip_address"],
            "tries": row["tries"],
            "until": until(row["last"]),
        }
        for row in rows
    ]


def unlock(name_tried: str, address: str = "") -> int:
    """Forget the tries of a name, from one address or from all; how many rows went."""
    rows = AccessAttempt.objects.filter(username=name_tried)
    if address:
        rows = rows.filter(ip_address=address)
    return rows.delete()[0]
