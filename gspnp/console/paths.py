"""The ways to a phone's file: let it out by its plain name for minutes, make its paths anew, end the earlier ones."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_POST

from devices import networks
from devices.choices import Neighbour
from devices.inventory import VersionConflict
from devices.mac import colons
from devices.models import Phone
from devices.trust import Verdict
from gspnp.console.access import CHANGE, needs
from provisioning import assignment, file_key, outbox, rotation
from provisioning.models import Attempt, AttemptKind, Release
from provisioning.release import windows
from provisioning.release.windows import CannotRelease
from sipmcast import neighbours

ASKED_WITHIN = timedelta(hours=1)  # a request by the plain name that is older tells nothing of now
SHOWN_AT_MOST = 5

Outcome = tuple[bool | None, str]  # done, refused, or None: it was so already


@dataclass(frozen=True)
class Ways:
    """What the phone's page shows: what is open, what else leads to its file, and what the form proposes."""

    release: Release | None
    earlier: int
    proposed: str
    asked: Attempt | None
    elsewhere: bool
    doubtful: bool
    minutes: int = windows.MINUTES
    most_minutes: int = windows.MOST_MINUTES


def ways(phone: Phone) -> Ways:
    """Of an assigned phone. Anybody can ask for its plain name: the address that did so is proposed only if the phone
    was heard nowhere else, or if the neighbour table shows the phone's MAC there."""
    since = timezone.now() - ASKED_WITHIN
    asked = Attempt.objects.filter(phone=phone, kind=AttemptKind.PLAIN, at__gte=since).first()
    if asked is not None and phone.downloads.filter(at__gt=asked.at, counts=True).exists():
        asked = None  # it has got what it asked for
    heard_at = networks.plain_host(phone.source_host or "")
    asked_from = networks.plain_host(asked.source_host) if asked is not None else ""
    is_there = asked_from not in ("", heard_at) and neighbours.verify(asked_from, phone.mac) is Verdict.MATCH
    proposed = asked_from if is_there or not heard_at else heard_at
    doubtful = phone.neighbour == Neighbour.MISMATCH if proposed == heard_at else not is_there
    return Ways(
        release=windows.open_one(phone.pk),
        earlier=rotation.earlier_paths(phone.pk),
        proposed=proposed,
        asked=asked,
        elsewhere=asked_from not in ("", proposed),
        doubtful=bool(phone.alarm) or doubtful,
    )


def open_ones() -> list[Release]:
    """What is open now, for the list; the soonest to end first."""
    rows = Release.objects.filter(windows.is_open(timezone.now())).select_related("phone").order_by("until")
    return list(rows[:SHOWN_AT_MOST])


@require_POST
@needs(CHANGE)
def release(request: HttpRequest, mac: str) -> HttpResponse:
    """Open it for the address and the minutes that were typed, with the key of an encrypted file if that was ticked.

    The answer is JSON with words for the person."""
    phone = get_object_or_404(Phone, mac=mac)
    by = request.user.get_username()
    try:
        minutes = windows.minutes_of(request.POST.get("minutes", ""))
        with_key = request.POST.get("with_key") == "yes"
        host = request.POST.get("host", "")
        made = windows.open_release(phone.pk, host, by=by, minutes=minutes, with_key=with_key)
    except CannotRelease as refusal:
        return JsonResponse({"message": str(refusal), "mac": mac}, status=409)
    words = ngettext(
        "%(mac)s may fetch its file once, from %(host)s, for %(n)d minute. Now switch the phone off and on.",
        "%(mac)s may fetch its file once, from %(host)s, for %(n)d minutes. Now switch the phone off and on.",
        minutes,
    )
    return JsonResponse({"message": words % {"mac": colons(mac), "host": made.host, "n": minutes}, "mac": mac})


def close(phone: Phone, by: str, host: str | None) -> Outcome:
    """End what is open for it."""
    if not windows.close(phone.pk, by=by):
        return None, _("Nothing is released for this phone any more.")
    return True, _("Closed: its plain name leads nowhere.")


def new_paths(phone: Phone, by: str, host: str | None) -> Outcome:
    """The same file under new paths; the old ones lead to it until the phone has come by the new one."""
    return _new_paths(phone, by, host, revoke_old=False)


def replace_paths(phone: Phone, by: str, host: str | None) -> Outcome:
    """New paths, and the old ones lead nowhere from now on."""
    return _new_paths(phone, by, host, revoke_old=True)


def _new_paths(phone: Phone, by: str, host: str | None, *, revoke_old: bool) -> Outcome:
    try:
        rotation.new_paths(phone, by=by, seen_host=host, revoke_old=revoke_old)
    except (rotation.CannotRotate, assignment.AssignmentError, VersionConflict) as refusal:
        return False, str(refusal)
    except assignment.ConfigError as error:
        return False, _("Nothing was changed: %(why)s") % {"why": " ".join(error.lines)}
    if revoke_old:
        return True, _("It has new paths and is notified of them. The old ones lead nowhere.")
    return True, _("It has new paths and is notified of them. The old one works until it has come by the new one.")


def key_again(phone: Phone, by: str, host: str | None) -> Outcome:
    """It was reset: the key of its encrypted file once more, at the address that was seen."""
    try:
        file_key.give_again(phone.pk, by=by, seen_host=host)
    except (file_key.CannotGive, outbox.AddressMoved) as refusal:
        return False, str(refusal)
    return True, _("It is notified, and gets the key once more: until it has shown that it has it.")


def revoke_paths(phone: Phone, by: str, host: str | None) -> Outcome:
    """End the paths of earlier versions."""
    try:
        led = rotation.revoke(phone.pk, by=by)
    except rotation.CannotRotate as refusal:
        return False, str(refusal)
    if not led:
        return None, _("No earlier path of this phone leads anywhere.")
    return True, _("Revoked: only the paths of its present file lead anywhere.")
