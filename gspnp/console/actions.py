"""What one click does to one phone: commands, ignore, forget, and the two answers to an alarm.

What sends something to an address comes with the address that the page showed: a person agrees to that one only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from ipaddress import ip_address

from django.db import transaction
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_POST

from devices import inventory
from devices.mac import colons
from devices.models import Phone
from gspnp.console import paths
from gspnp.console.access import CHANGE, FORGET, VIEW, needs
from gspnp.console.listening import listening
from gspnp.console.paths import Outcome
from gspnp.console.refusal import nothing_done
from provisioning import assignment, commands, outbox, starts
from provisioning.models import NotifyKind, NotifyState

ASKED = gettext_lazy("Asked. What the phone does is shown here.")
ASKED_ALREADY = gettext_lazy("It is being asked just now. What the phone does is shown here.")


def notify(phone: Phone, by: str, host: str | None) -> Outcome:
    """Owe it another NOTIFY of its present configuration, at the address that was seen."""
    try:
        notified = outbox.notify_again(phone.pk, by, host)
    except outbox.AddressMoved as moved:
        return False, str(moved)
    if notified is None and phone.is_assigned:
        waits = _("This phone has no file yet: it gets it as soon as it is plugged in.")
        return False, _("This phone has no file yet. Open it and save.") if phone.is_heard else waits
    if notified is None:
        return False, _("This phone has no configuration yet. Assign it first.")
    heard = listening()
    return True, str(ASKED) if heard.tells(phone) else heard.away_words(phone)


def tell(kind: NotifyKind) -> Callable[[Phone, str, str | None], Outcome]:
    """Send it this command, at the address that was seen. What comes of it is for the phone to show."""

    def run(phone: Phone, by: str, host: str | None) -> Outcome:
        try:
            notify = commands.send(phone.pk, kind, by, host)
        except (commands.CannotTell, outbox.AddressMoved) as refusal:
            return False, str(refusal)
        heard = listening()
        if not heard.tells(phone):
            return True, heard.away_words(phone)
        return True, str(ASKED_ALREADY if notify.state == NotifyState.SENDING else ASKED)

    return run


def ignore(phone: Phone, by: str, host: str | None) -> Outcome:
    """Out of the working list."""
    changed = inventory.ignore(phone.pk, by)
    if not changed:
        return None, _("This phone was ignored already.")
    return True, _("%(mac)s is ignored.") % {"mac": colons(phone.mac)}


def heed(phone: Phone, by: str, host: str | None) -> Outcome:
    """Back into the working list."""
    if not assignment.heed(phone.pk, by):
        return False, _("This phone is not ignored.")
    return True, _("%(mac)s is back in the list.") % {"mac": colons(phone.mac)}


def bring_back(phone: Phone, by: str, host: str | None) -> Outcome:
    """A retired phone back into service, unless another one has its extension by now."""
    try:
        brought = assignment.bring_back(phone.pk, by)
    except assignment.AssignmentError as refusal:
        return False, str(refusal)
    if not brought:
        return False, _("This phone is not retired.")
    return True, _("%(mac)s is in service again.") % {"mac": colons(phone.mac)}


def forget(phone: Phone, by: str, host: str | None) -> Outcome:
    """Delete it with everything that belongs to it."""
    inventory.forget(phone.pk, by)
    words = _("%(mac)s is forgotten. It appears anew when it is next heard.")
    return True, words % {"mac": colons(phone.mac)}


def accept(phone: Phone, by: str, host: str | None) -> Outcome:
    """It is that phone: use the address that was seen, and owe it what it needs there."""
    with transaction.atomic():
        accepted = host is not None and inventory.accept_claim(phone.pk, host, by=by)
        there = Phone.objects.filter(pk=phone.pk).first()
        if there is None:
            return False, str(outbox.Forgotten())
        phone = there
        if accepted:
            starts.owe_after_start(phone.pk, phone.subscribed_at)  # it started up when its claim was heard
    if accepted:
        words = _("%(mac)s is at %(host)s now.")
        return True, words % {"mac": colons(phone.mac), "host": phone.source_host}
    if phone.claimed_host:
        words = _("Now %(host)s claims to be this phone. Look again.")
        return False, words % {"host": phone.claimed_host}
    return False, _("This claim is settled already.")


def dismiss(phone: Phone, by: str, host: str | None) -> Outcome:
    """It is not that phone, or it does not matter: the address stays."""
    changed = inventory.dismiss_alarm(phone.pk, by)
    return (True, _("Alarm dismissed.")) if changed else (None, _("This alarm is settled already."))


@dataclass(frozen=True)
class Action:
    """One thing to do to a phone, by whom, with its address as it was seen; and the permission that it needs."""

    run: Callable[[Phone, str, str | None], Outcome]
    permission: str


ACTIONS: Mapping[str, Action] = {
    "notify": Action(notify, CHANGE),
    "check": Action(tell(NotifyKind.CHECK_SYNC), CHANGE),
    "resync": Action(tell(NotifyKind.RESYNC), CHANGE),
    "reboot": Action(tell(NotifyKind.REBOOT), CHANGE),
    "ignore": Action(ignore, CHANGE),
    "heed": Action(heed, CHANGE),
    "bring-back": Action(bring_back, CHANGE),
    "forget": Action(forget, FORGET),
    "accept": Action(accept, CHANGE),
    "dismiss": Action(dismiss, CHANGE),
    "close-release": Action(paths.close, CHANGE),
    "new-paths": Action(paths.new_paths, CHANGE),
    "replace-paths": Action(paths.replace_paths, CHANGE),
    "revoke-paths": Action(paths.revoke_paths, CHANGE),
    "key-again": Action(paths.key_again, CHANGE),
}


@require_POST
@needs(VIEW)
def act(request: HttpRequest, mac: str, action: str) -> HttpResponse:
    """Do it; the answer is JSON with words for the person. 409 if it could not be done as things stand."""
    found = ACTIONS.get(action)
    if found is None:
        return JsonResponse({"message": _("There is no such action.")}, status=404)
    return needs(found.permission)(_run)(request, mac, found)


def _run(request: HttpRequest, mac: str, action: Action) -> HttpResponse:
    phone = get_object_or_404(Phone, mac=mac)
    done, message = action.run(phone, request.user.get_username(), _host(request.POST.get("host", "")))
    if done is None:
        nothing_done(request)
    return JsonResponse({"message": message, "mac": mac}, status=409 if done is False else 200)


def _host(text: str) -> str | None:
    """An address as the page showed it; none if it showed none, or if this is no address."""
    try:
        return str(ip_address(text))
    except ValueError:
        return None
