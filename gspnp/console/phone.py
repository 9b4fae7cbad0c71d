"""The page of one phone: facts, the way with its times, timeline, file, NOTIFYs, downloads. Never a secret."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_safe

from devices.choices import Stage
from devices.crypto import CannotDecrypt
from devices.mac import colons
from devices.models import LiveEvent, Phone
from gspnp.console.access import CHANGE, FORGET, VIEW, needs
from gspnp.console.listening import listening
from gspnp.console.rows import ICONS, SHOWN_ACCOUNTS, STEPS, row_of
from gspnp.console.shell import shell_context
from provisioning.gxp.document import DocumentError, masked
from provisioning.models import OPEN_STATES, ConfigFile, Download, Notify, NotifyState

EVENTS_SHOWN = 100
HISTORY_SHOWN = 25
SECRET_COLUMNS = ("content", "first_secret", "steady_secret")


@dataclass(frozen=True)
class Step:
    """One station of the way: reached at `at`, or not yet."""

    label: str
    icon: str
    words: str
    at: datetime | None
    done: bool
    current: bool


@require_safe
@needs(VIEW)
def page(request: HttpRequest, mac: str) -> HttpResponse:
    """The whole page; the file is opened here only, because it does not change by itself."""
    phone = get_object_or_404(Phone.objects.prefetch_related(SHOWN_ACCOUNTS), mac=mac)
    context = shell_context(request, colons(phone.mac)) | _context(request, phone)
    context["masked_file"] = masked_file(context["version"].pk if context["version"] else None)
    return render(request, "console/phone.html", context)


@require_safe
@needs(VIEW)
def live_part(request: HttpRequest, mac: str) -> HttpResponse:
    """Everything of the page that changes by itself."""
    phone = get_object_or_404(Phone.objects.prefetch_related(SHOWN_ACCOUNTS), mac=mac)
    return render(request, "console/_phone.html", _context(request, phone))


def _context(request: HttpRequest, phone: Phone) -> dict[str, Any]:
    version = ConfigFile.objects.filter(phone=phone).order_by("-number").defer(*SECRET_COLUMNS).first()
    notifies = list(Notify.objects.filter(phone=phone).defer("datagram")[:HISTORY_SHOWN])
    owed = next((notify for notify in notifies if notify.state in OPEN_STATES), None)
    heard = listening()
    of_version = [notify for notify in notifies if version is not None and notify.config_file_id == version.pk]
    return {
        "phone": phone,
        "row": row_of(phone, owed, heard),
        "listening": heard,
        "version": version,
        "way": way(phone, version, of_version),
        "events": LiveEvent.objects.filter(mac=phone.mac).order_by("-id")[:EVENTS_SHOWN],
        "notifies": notifies,
        "downloads": Download.objects.filter(phone=phone)[:HISTORY_SHOWN],
        "may_change": request.user.has_perm(CHANGE),
        "may_forget": request.user.has_perm(FORGET),
    }


def masked_file(version_id: int | None) -> str:
    """The file as the phone gets it, secrets masked; or why it cannot be shown."""
    if version_id is None:
        return ""
    try:
        found = ConfigFile.objects.only("content").filter(pk=version_id).first()
        return masked(bytes(found.content)).decode() if found is not None else ""
    except (CannotDecrypt, DocumentError):
        return "This file cannot be opened: the key that it was written with is not in GSPNP_FIELD_KEYS."


def way(phone: Phone, version: ConfigFile | None, notifies: list[Notify]) -> list[Step]:
    """The five stations with their times, for the present version of the configuration."""
    reached = STEPS.index(Stage(phone.stage)) if phone.stage in STEPS else 0
    answered = next((one.settled_at for one in notifies if one.state == NotifyState.DELIVERED), None)
    at: dict[Stage, datetime | None] = {Stage.SEEN: phone.first_seen_at}
    if version is not None:
        at |= {
            Stage.ASSIGNED: version.created_at,
            Stage.NOTIFIED: answered,
            Stage.FETCHED: version.fetched_at,
            Stage.APPLIED: version.applied_at,
        }
    words = {
        Stage.SEEN: "heard on the network",
        Stage.ASSIGNED: "configuration saved",
        Stage.NOTIFIED: "answered our NOTIFY",
        Stage.FETCHED: "took its file",
        Stage.APPLIED: "proved that it uses it",
    }
    return [
        Step(stage.label, ICONS[stage], words[stage], at.get(stage), index <= reached, index == reached)
        for index, stage in enumerate(STEPS)
    ]
