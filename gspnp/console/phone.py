"""The page of one phone: facts, its way, what it has, its last command, SIP, timeline, file, NOTIFYs, downloads.

Never a secret.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Exists, OuterRef, Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.utils import timezone
from django.utils.translation import gettext, gettext_lazy
from django.views.decorators.http import require_safe

from devices.choices import Neighbour, Stage
from devices.crypto import CannotDecrypt
from devices.mac import colons
from devices.models import Phone
from gspnp.console.access import CHANGE, FORGET, VIEW, may_compare, needs
from gspnp.console.holding import format_words, holding, summary
from gspnp.console.listening import Listening, listening
from gspnp.console.paths import ways
from gspnp.console.rows import CHALLENGED, SHOWN_ACCOUNTS, rows_of
from gspnp.console.shell import shell_context
from gspnp.console.templatetags.console import notify_state
from gspnp.console.timeline import timeline
from gspnp.console.transcript import exchanges
from gspnp.console.way import offline_words, way
from provisioning import commands
from provisioning.gxp.document import DocumentError, masked
from provisioning.models import (
    Attempt,
    AttemptKind,
    ConfigFile,
    Download,
    Notify,
    NotifyKind,
    NotifyOrigin,
    NotifyState,
)
from provisioning.outbox import SEALED

HISTORY_SHOWN = 25
FOLLOWED_MINUTES = 15  # a phone may take 6 minutes to fetch and some to restart; what is missing then was not seen
NEIGHBOUR_WORDS = {
    Neighbour.MATCH: (gettext_lazy("MAC verified"), gettext_lazy("the neighbour table shows it at this address")),
    Neighbour.MISMATCH: (
        gettext_lazy("another device's MAC"),
        gettext_lazy("the neighbour table shows another one at this address"),
    ),
    Neighbour.UNKNOWN: (
        gettext_lazy("not known"),
        gettext_lazy("the phone is behind a router, or was not looked up yet"),
    ),
}
TOLD_WORDS = {NotifyState.DELIVERED: gettext_lazy("The phone agreed.")}
NOT_CARRIED_OUT = gettext_lazy("Not carried out: it asked for a password.")
# Of `commands.progress`, which names its steps for programs.
STEP_LABELS = {
    "sent": gettext_lazy("Sent"),
    "challenged": gettext_lazy("Challenged"),
    "answered": gettext_lazy("Answered"),
    "started up": gettext_lazy("Started up"),
    "fetched": gettext_lazy("Fetched"),
    "applied": gettext_lazy("Applied"),
}
CLOSED = (NotifyState.SUPERSEDED, NotifyState.NOT_NEEDED)


@dataclass(frozen=True)
class Told:
    """What a person last told the phone, and what was really seen of it: steps with their labels. `missing` stands for
    what was not."""

    label: str
    state: str
    words: str
    note: str
    failed: bool
    asked_at: datetime
    steps: list[tuple[str, commands.Step]]
    missing: str


@require_safe
@needs(VIEW)
def page(request: HttpRequest, mac: str) -> HttpResponse:
    """The whole page; the file is opened here only, because it does not change by itself."""
    phone = get_object_or_404(Phone.objects.prefetch_related(SHOWN_ACCOUNTS), mac=mac)
    context = shell_context(request, colons(phone.mac)) | _context(request, phone)
    context["format_words"] = format_words(context["version"]) if context["version"] else ""
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
    row = rows_of([phone], heard)[0]
    return {
        "phone": phone,
        "row": row,
        "listening": heard,
        "version": version,
        "way": way(phone, version, row),
        "has_key": phone.stage == Stage.NOTIFIED and version is not None and version.bootstrap_at is not None,
        "offline_words": offline_words(phone, row),
        "holding": holding(phone, version, may_compare(request)),
        "hides": not may_compare(request),
        "summary": summary(phone),
        "exchanges": exchanges(phone),
        "ways": ways(phone) if phone.is_assigned and version is not None else None,
        "told": last_told(phone, heard),
        "neighbour": NEIGHBOUR_WORDS[Neighbour(phone.neighbour)],
        "timeline": timeline(phone, request),
        "notifies": Notify.objects.filter(phone=phone)
        .select_related("job")
        .defer("datagram", "job__scope")[:HISTORY_SHOWN],
        "attempts": _in_vain(phone),
        "downloads": Download.objects.filter(phone=phone)[:HISTORY_SHOWN],
        "may_change": request.user.has_perm(CHANGE),
        "may_forget": request.user.has_perm(FORGET),
    }


def _in_vain(phone: Phone) -> QuerySet[Attempt]:
    """What it asked for in vain; not the name that each phone tries before the one that its file has."""
    fetched_since = Download.objects.filter(phone=phone, at__gte=OuterRef("at"))
    return Attempt.objects.filter(phone=phone).exclude(Q(Exists(fetched_since), kind=AttemptKind.NAME))


def masked_file(version_id: int | None) -> str:
    """The file as the phone gets it, secrets masked; or why it cannot be shown."""
    if version_id is None:
        return ""
    try:
        found = ConfigFile.objects.only("content").filter(pk=version_id).first()
        return masked(bytes(found.content)).decode() if found is not None else ""
    except (CannotDecrypt, DocumentError):
        return gettext("This file cannot be opened: the key that it was written with is not in GSPNP_FIELD_KEYS.")


def last_told(phone: Phone, heard: Listening) -> Told | None:
    """The last command of a person, "Notify again" among them; a save is told by the way itself."""
    by_person = ~Q(kind=NotifyKind.PROFILE) | Q(origin=NotifyOrigin.PERSON)
    notify = Notify.objects.filter(by_person, phone=phone).defer("datagram").order_by("-id").first()
    if notify is None:
        return None
    failed = notify.state in (NotifyState.REFUSED, NotifyState.UNANSWERED, NotifyState.WITHHELD)
    away = notify.state in (NotifyState.WAITING, NotifyState.SENDING) and not heard.tells(phone)
    sent_at = notify.first_sent_at or timezone.now()
    over = failed or notify.state in CLOSED or timezone.now() - sent_at > timedelta(minutes=FOLLOWED_MINUTES)
    return Told(
        label=gettext("Notify again") if notify.kind == NotifyKind.PROFILE else notify.get_kind_display(),
        state=notify.state,
        words=heard.away_words(phone) if away else _told_words(notify),
        note=notify.note,
        failed=away or failed,
        asked_at=notify.created_at,
        steps=[(str(STEP_LABELS[step.name]), step) for step in commands.progress(notify)],
        missing=gettext("not seen") if over else gettext("not yet"),
    )


def _told_words(notify: Notify) -> str:
    if notify.state == NotifyState.REFUSED and notify.status in CHALLENGED:
        return str(NOT_CARRIED_OUT)  # whether we did not know it or did not tell it stands in the note
    return str(TOLD_WORDS.get(NotifyState(notify.state), notify_state(notify)))
