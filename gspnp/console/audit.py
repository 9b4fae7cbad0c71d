"""The list of changes: everything that a person does through the console or the admin, with who, when and from where.

It stands around the views and not inside them, so that a page which is new is on record too: each request that may
change something, and was not refused (gspnp/console/refusal.py), makes an entry. What the address names (a phone, an
extension, a layer, a row of the admin) is looked at before and after, and what differs is kept, without secrets
(gspnp/console/snapshots.py).
A form that only showed what it would do, or changed nothing of the thing that it edits, is no entry.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from axes.signals import user_locked_out
from django.apps import apps
from django.contrib.admin.utils import unquote
from django.contrib.auth import get_user_model
from django.contrib.auth.signals import user_logged_in, user_logged_out
from django.db import DatabaseError, transaction
from django.db.models import Model
from django.http import HttpRequest, HttpResponse
from django.urls import ResolverMatch
from django.utils import timezone

from devices.mac import MacError, colons, parse_mac
from devices.models import Decoy, Extension, Phone
from devices.wording import in_english
from gspnp.console import admin_rows, lockout, snapshots
from gspnp.console.models import Change
from provisioning.layers.store import spelled
from provisioning.models import SettingsLayer

log = logging.getLogger(__name__)

SAFE = ("GET", "HEAD", "OPTIONS", "TRACE")

# Nobody changes anything of others' with these.
PASSED_OVER = frozenset({"console:columns", "console:doctor", "admin:login", "admin:logout", "console:assign_news"})
# Such a page is a form with several steps: only a step that changed the thing is a change.
EDITORS = frozenset(
    {"console:assign", "console:layer", "console:opinions", "console:phone_settings", "console:firmware_pin",
     "console:extension"}
)  # fmt: skip
# What a form says that is worth keeping and never secret. Anything else of a form is not kept.
TOLD_UNLESS_SAID = (
    "site", "on", "do", "action", "kind", "version", "minutes", "host", "enabled", "secrets", "with_key",
)  # fmt: skip
TOLD_OF = {
    "console:reveal": ("name",),
    "console:unlock": ("name", "host"),
    "console:listener_forget": ("name",),
    "console:add_phone": ("mac", "model", "site"),
    "console:extension_add": ("extension-number", "extension-name", "extension-site"),
    "console:handout": ("site", "on", "first", "last", "sip_server"),
    "console:firmware_pin": ("path",),
    "console:phonebook_switch": ("site", "on"),
    "admin:devices_phone_changelist": ("action", "value"),
}
ALSO_TOLD = {"console:swap": ("new", "model")}  # beside what differs
TOLD_CHARS = 100
IN_ADDRESSES = ("job_id", "import_id", "alarm_id", "version")


@dataclass
class Target:
    """What an address names: how it is at this moment, and how it was before."""

    kind: str
    snapshot: Callable[[], snapshots.Snapshot]
    what: str = ""
    mac: str = ""
    before: snapshots.Snapshot | None = None


class RecordChanges:
    """Middleware, behind authentication."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        seen = getattr(request, "gspnp_change", None)
        if seen is not None and not 400 <= response.status_code < 500:
            try:
                _record(request, response, *seen)
            except DatabaseError:
                log.exception("a change by %s is not on record", seen[0])
        return response

    def process_view(self, request: HttpRequest, *_: object) -> None:
        """Look at what is going to be changed."""
        match = request.resolver_match
        if request.method in SAFE or match is None or match.view_name in PASSED_OVER:
            return
        if not request.user.is_authenticated:
            return
        target = _target(request, match)
        if target is not None:
            target.before = target.snapshot()
        # The name now: whoever forgets a user, or changes the own name, did it under this one.
        seen = (request.user.get_username(), target, admin_rows.chosen(request, match) if target is None else {})
        request.gspnp_change = seen  # type: ignore[attr-defined]


def write(who: str, deed: str, *, host: str | None = "", **said: Any) -> Change:
    """An entry; `said` are columns of Change."""
    said = {name: _storable(value[:200] if isinstance(value, str) else value) for name, value in said.items()}
    return Change.objects.create(at=timezone.now(), who=who[:150], host=host or "", deed=_storable(deed[:40]), **said)


def _storable(value: Any) -> Any:
    """PostgreSQL stores no NUL: whoever adds one to a form must not keep the whole entry out with it."""
    if isinstance(value, dict):
        return {_storable(name): _storable(text) for name, text in value.items()}
    return value.replace("\0", "\N{REPLACEMENT CHARACTER}") if isinstance(value, str) else value


def _record(
    request: HttpRequest, response: HttpResponse, who: str, target: Target | None, chosen: dict[str, str]
) -> None:
    match = request.resolver_match
    assert match is not None
    in_admin = match.app_names[:1] == ["admin"]
    is_broken = response.status_code >= 500  # it may have done what it was asked before that
    if in_admin and not is_broken and response.status_code not in (301, 302, 303):
        return  # a form with errors, or a page that asks whether it is meant
    before: dict[str, str] = {}
    after: dict[str, str] = {}
    said: dict[str, Any] = {}
    if target is not None:
        before, after = snapshots.diff(target.before or {}, target.snapshot())
        said = {"kind": target.kind, "what": target.what, "mac": target.mac}
    elif in_admin and not is_broken:
        said, after = admin_rows.added(request, match)
    if "chosen" in chosen and not chosen["chosen"]:
        return  # an action on nothing
    if not before and not after:
        if match.view_name in EDITORS or target is not None and (in_admin or is_broken):
            return
        after = _told(request, TOLD_OF.get(match.view_name, TOLD_UNLESS_SAID)) | chosen
    after = _told(request, ALSO_TOLD.get(match.view_name, ())) | after
    if "what" not in said:
        mac = _mac(after.get("mac", ""))
        said |= {"what": colons(mac) if mac else _named(match), "mac": mac}
    write(who, deed_of(match), host=lockout.host(request), before=before, after=after, **said)


def deed_of(match: ResolverMatch) -> str:
    """What is stored of what was done; gspnp/console/deeds.py has the words for each."""
    deed = match.url_name or match.view_name or ""
    if match.view_name == "console:act":
        return str(match.kwargs.get("action", ""))
    if "button" in match.kwargs or match.view_name == "console:order":
        return f"{deed} {match.kwargs.get('button') or match.kwargs.get('kind')}"
    if match.app_names[:1] == ["admin"]:
        return "password" if deed.endswith("password_change") else deed.rsplit("_", 1)[-1]
    return deed


def _named(match: ResolverMatch) -> str:
    """The number or the name in the address, after the words of the deed; or the table of the administration."""
    if match.app_names[:1] == ["admin"]:
        model = admin_rows.table_of(match)
        return "" if model is None else in_english(model._meta.verbose_name_plural)
    return next((str(match.kwargs[name]) for name in IN_ADDRESSES if name in match.kwargs), "")


def _mac(typed: str) -> str:
    """Of a phone that was added: the list finds its entry by it."""
    try:
        return parse_mac(typed)
    except MacError:
        return ""


def _told(request: HttpRequest, names: Iterable[str]) -> dict[str, str]:
    said = {name: request.POST[name][:TOLD_CHARS] for name in names if request.POST.get(name)}
    return {name.removeprefix("extension-"): text for name, text in said.items()}


def _target(request: HttpRequest, match: ResolverMatch) -> Target | None:
    """What the address names, if it names one thing that there is."""
    given = match.kwargs
    if match.view_name in ("console:decoy_add", "console:decoy_remove"):
        return _of_decoy(_mac(request.POST.get("mac", "")) if match.view_name == "console:decoy_add" else given["mac"])
    if "mac" in given:
        return _of_row("devices.phone", lambda: Phone.objects.filter(mac=given["mac"]).first(), given["mac"])
    if match.view_name in ("console:extension", "console:extension_delete"):
        return _of_row("devices.extension", lambda: Extension.objects.defer("secret").filter(pk=given["pk"]).first())
    if match.view_name == "console:firmware_pin":
        model = given["model"].strip().upper()  # as it is stored
        return Target("provisioning.firmwarestep", lambda: snapshots.firmware_path(model), model)
    if match.view_name in ("console:layer", "console:opinions"):
        level, name = request.GET.get("level", ""), request.GET.get("name", "")
        if match.view_name == "console:opinions":
            level, name = "site", request.GET.get("site", "")
        name = spelled(level, name)[:40]
        rows = SettingsLayer.objects.defer("sealed").filter(level=level, name=name, phone=None)
        return _of_row("provisioning.settingslayer", rows.first, what=f"{level} {name}" if name else "default site")
    if match.view_name == "admin:password_change":
        users = get_user_model()._default_manager.filter(username=request.user.get_username())
        return _of_row("auth.user", users.first)
    if match.app_names[:1] == ["admin"]:
        return _of_admin_row(match)
    return None


def _of_decoy(mac: str) -> Target:
    """No phone has this MAC, so nothing leads to the page of one."""

    def snapshot() -> snapshots.Snapshot:
        found = Decoy.objects.filter(mac=mac).first() if mac else None
        return {} if found is None else {"decoy": colons(mac), "note": found.note}

    return Target("devices.decoy", snapshot, colons(mac) if mac else "")


def _of_admin_row(match: ResolverMatch) -> Target | None:
    pk = unquote(match.kwargs.get("object_id") or match.kwargs.get("id") or "")  # as the admin reads it
    parts = (match.url_name or "").split("_")
    if not pk or len(parts) < 3:
        return None
    try:
        model = apps.get_model(parts[0], parts[1])
    except LookupError:
        return None
    key = admin_rows.key_of(model, pk)
    if key is None:
        return None
    rows = admin_rows.rows_of(model).filter(pk=key)
    return _of_row(f"{parts[0]}.{parts[1]}", rows.first)


def _of_row(kind: str, find: Callable[[], Model | None], mac: str = "", what: str = "") -> Target:
    row = find()
    if isinstance(row, Phone):
        mac = row.mac
    what = what or (snapshots.title(row) if row is not None else mac)

    def snapshot() -> snapshots.Snapshot:
        found = find()
        return {} if found is None else snapshots.of(found)

    return Target(kind, snapshot, what, mac)


def watch() -> None:
    """Connect what happens outside of the pages: sign-ins, sign-outs, locks."""
    user_logged_in.connect(_signed_in, dispatch_uid="gspnp.audit.in")
    user_logged_out.connect(_signed_out, dispatch_uid="gspnp.audit.out")
    user_locked_out.connect(_locked_out, dispatch_uid="gspnp.audit.locked")


def _signed_in(request: HttpRequest | None, user: Any, **_: object) -> None:
    if request is not None:
        write(user.get_username(), "signed in", host=lockout.host(request))


def _signed_out(request: HttpRequest | None, user: Any, **_: object) -> None:
    if request is not None and user is not None:
        write(user.get_username(), "signed out", host=lockout.host(request))


def _locked_out(request: HttpRequest, username: str, ip_address: str | None, **_: object) -> None:
    """Once for each lock, however often it is tried again."""
    said = {"deed": "locked out", "what": username[:200], "host": ip_address or ""}
    with transaction.atomic():
        if not Change.objects.filter(lockout.within_a_lock("at"), **said).exists():
            Change.objects.create(at=timezone.now(), **said)
