"""The entries of the console's menu: each is shown to those who may open its page."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.http import HttpRequest
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

Entry = dict[str, Any]


def _console(title: Promise, icon: str, link: str, active: str = "", permission: str = "devices.view_phone") -> Entry:
    """A page of the console; `active` names the function of gspnp/console/shell.py that says whether it is the present
    one, where the address alone does not."""
    entry = {"title": title, "icon": icon, "link": link, "permission": _may(permission)}
    return entry | ({"active": f"gspnp.console.shell.{active}"} if active else {})


def _admin(title: Promise, icon: str, model: str) -> Entry:
    """A table of the admin: for its staff, with the permission to look at it or to change it."""
    app, _dot, name = model.partition(".")
    seen_by = _may(f"{app}.view_{name}", f"{app}.change_{name}")

    def is_shown(request: HttpRequest) -> bool:
        return request.user.is_staff and seen_by(request)

    return {"title": title, "icon": icon, "link": f"/admin/{app}/{name}/", "permission": is_shown}


def _may(*permissions: str) -> Callable[[HttpRequest], bool]:
    """Whether the user has any of these."""
    return lambda request: any(request.user.has_perm(one) for one in permissions)


NAVIGATION = [
    {
        "title": _("Console"),
        "items": [
            _console(_("Overview"), "monitoring", "/overview/"),
            _console(_("Phones"), "deskphone", "/", "is_console"),
            _console(_("Extensions"), "dialpad", "/extensions/", "is_extensions"),
            _console(_("Import & export"), "upload_file", "/phones/import/", "is_import"),
            _console(_("Settings"), "tune", "/settings/", "is_settings"),
            _console(_("Jobs"), "pending_actions", "/jobs/", "is_jobs"),
            _console(_("Firmware"), "memory", "/firmware/"),
            _console(_("Phonebook"), "contacts", "/phonebook/"),
            _console(_("Alarms"), "gpp_maybe", "/alarms/"),
            _console(_("Listeners"), "hearing", "/listeners/"),
            _console(_("Doctor"), "stethoscope", "/doctor/"),
            _console(_("People"), "group", "/people/", permission="auth.view_user"),
            _console(_("Changes"), "history", "/changes/", permission="console.view_change"),
        ],
    },
    {
        "title": _("Administration"),
        "separator": True,
        "items": [
            _admin(_("Phones (bulk)"), "edit_note", "devices.phone"),
            _admin(_("Accounts"), "badge", "devices.account"),
            _admin(_("Keys"), "apps", "devices.key"),
            _admin(_("Extensions (bulk)"), "dialpad", "devices.extension"),
            _admin(_("Contacts"), "contact_phone", "provisioning.contact"),
            _admin(_("NOTIFYs"), "outbox", "provisioning.notify"),
            _admin(_("Files"), "description", "provisioning.configfile"),
            _admin(_("Downloads"), "download", "provisioning.download"),
            _admin(_("Events"), "timeline", "devices.liveevent"),
            _admin(_("Users"), "manage_accounts", "auth.user"),
        ],
    },
]
