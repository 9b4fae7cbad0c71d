"""The page of one phone: facts, the way with its times, its last command, timeline, file, NOTIFYs, downloads.

Never a secret.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from devices.choices import Neighbour, Stage
from devices.crypto import CannotDecrypt
from devices.mac import colons
from devices.models import LiveEvent, Phone
from gspnp.console.access import CHANGE, FORGET, VIEW, needs
from gspnp.console.listening import listening
from gspnp.console.rows import CHALLENGED, ICONS, LISTENER_AWAY, SHOWN_ACCOUNTS, STEPS, rows_of
from gspnp.console.shell import shell_context
from provisioning import commands
from provisioning.gxp.document import DocumentError, masked
from provisioning.models import ConfigFile, Download, Notify, NotifyKind, NotifyOrigin, NotifyState
from provisioning.outbox import SEALED

EVENTS_SHOWN = 100
HISTORY_SHOWN = 25
FOLLOWED_MINUTES = 15  # a phone may take 6 minutes to fetch and some to restart; what is missing then was not seen
NEIGHBOUR_WORDS = {
    Neighbour.MATCH: ("MAC verified", "the neighbour table shows it at this address"),
    Neighbour.MISMATCH: ("another device's MAC", "the neighbour table shows another one at this address"),
    Neighbour.UNKNOWN: ("not known", "the phone is behind a router, or was not looked up yet"),
}
TOLD_WORDS = {NotifyState.DELIVERED: "The phone agreed."}
NOT_CARRIED_OUT = "Not carried out: it asked for a password."
CLOSED = (NotifyState.SUPERSEDED, NotifyState.NOT_NEEDED)


@dataclass(frozen=True)
class Step:
    """One station of the way: reached at `at`, or not yet."""

    label: str
    icon: str
    words: str
    at: datetime | None
    done: bool
    current: bool


@dataclass(frozen=True)
class Told:
    """What a person last told the phone, and what was really seen of it. `missing` stands for what was not."""

    label: str
    state: str
    words: str
    note: str
    failed: bool
    asked_at: datetime
    steps: list[commands.Step]
    missing: str


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
    version = ConfigFile.objects.filter(phone=phone).order_by("-number").defer(*SEALED).first()
    heard = listening()
    return {
        "phone": phone,
        "row": rows_of([phone], heard)[0],
        "listening": heard,
        "version": version,
        "way": way(phone, version),
        "told": last_told(phone, heard.running),
        "neighbour": NEIGHBOUR_WORDS[Neighbour(phone.neighbour)],
        "events": LiveEvent.objects.filter(mac=phone.mac).order_by("-id")[:EVENTS_SHOWN],
        "notifies": Notify.objects.filter(phone=phone).defer("datagram")[:HISTORY_SHOWN],
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


def last_told(phone: Phone, listener_runs: bool) -> Told | None:
    """The last command of a person, "Notify again" among them; a save is told by the way itself."""
    by_person = ~Q(kind=NotifyKind.PROFILE) | Q(origin=NotifyOrigin.PERSON)
    notify = Notify.objects.filter(by_person, phone=phone).defer("datagram").order_by("-id").first()
    if notify is None:
        return None
    failed = notify.state in (NotifyState.REFUSED, NotifyState.UNANSWERED, NotifyState.WITHHELD)
    away = notify.state in (NotifyState.WAITING, NotifyState.SENDING) and not listener_runs
    sent_at = notify.first_sent_at or timezone.now()
    over = failed or notify.state in CLOSED or timezone.now() - sent_at > timedelta(minutes=FOLLOWED_MINUTES)
    return Told(
        label="Notify again" if notify.kind == NotifyKind.PROFILE else notify.get_kind_display(),
        state=notify.state,
        words=LISTENER_AWAY if away else _told_words(notify),
        note=notify.note,
        failed=away or failed,
        asked_at=notify.created_at,
        steps=commands.progress(notify),
        missing="not seen" if over else "not yet",
    )


def _told_words(notify: Notify) -> str:
    if notify.state == NotifyState.REFUSED and notify.status in CHALLENGED:
        return NOT_CARRIED_OUT  # whether we did not know it or did not tell it stands in the note
    return TOLD_WORDS.get(NotifyState(notify.state), notify.get_state_display())


def way(phone: Phone, version: ConfigFile | None) -> list[Step]:
    """The five stations with their times, for the present version of the configuration."""
    reached = STEPS.index(Stage(phone.stage)) if phone.stage in STEPS else 0
    at: dict[Stage, datetime | None] = {Stage.SEEN: phone.first_seen_at}
    if version is None and phone.is_assigned:
        at[Stage.ASSIGNED] = phone.stage_at
    if version is not None:
        at |= {
            Stage.ASSIGNED: version.created_at,
            Stage.NOTIFIED: _answered_at(version),
            Stage.FETCHED: version.fetched_at,
            Stage.APPLIED: version.applied_at,
        }
    words = {
        Stage.SEEN: "heard on the network" if phone.is_heard else _("listed, not heard yet"),
        Stage.ASSIGNED: "configuration saved",
        Stage.NOTIFIED: "answered our NOTIFY",
        Stage.FETCHED: "took its file",
        Stage.APPLIED: "proved that it uses it",
    }
    return [
        Step(
            str(stage.label),
            ICONS[stage],
            words[stage],
            at.get(stage),
            done=index <= reached and (stage is not Stage.SEEN or phone.is_heard or reached == 0),
            current=index == reached,
        )
        for index, stage in enumerate(STEPS)
    ]


def _answered_at(version: ConfigFile) -> datetime | None:
    """When the phone last agreed to a NOTIFY of this version; its agreement to a command says nothing of that."""
    agreed = Notify.objects.filter(config_file=version, kind=NotifyKind.PROFILE, state=NotifyState.DELIVERED)
    return agreed.order_by("-id").values_list("settled_at", flat=True).first()
