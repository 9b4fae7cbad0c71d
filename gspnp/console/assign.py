"""The assignment drawer: its form, and the save, which is `provisioning.assignment.save` and nothing else."""

from __future__ import annotations

import logging

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from devices import live, trust
from devices.crypto import CannotDecrypt
from devices.inventory import VersionConflict
from devices.mac import colons
from devices.models import Phone
from devices.trust import Verdict
from gspnp.console import meanwhile, taken_back
from gspnp.console.access import CHANGE, REVEAL, may_compare, needs
from gspnp.console.extensions.conflicts import also_on
from gspnp.console.faces import face_of
from gspnp.console.forms import AssignForm, posted_int
from gspnp.console.listening import listening
from provisioning.assignment import AssignmentError, ConfigError, Saved, save
from provisioning.models import Notify
from provisioning.plan import Draft
from sipmcast import neighbours
from sipmcast.endings import standing

log = logging.getLogger(__name__)

UNREADABLE = gettext_lazy(
    "The stored passwords of this phone cannot be opened: the key that they were written with is not in "
    "GSPNP_FIELD_KEYS. Put that key back, or forget the phone and assign it anew."
)


@require_http_methods(["GET", "HEAD", "POST"])
@sensitive_post_parameters()
@needs(CHANGE)
def drawer(request: HttpRequest, mac: str) -> HttpResponse:
    """GET: the form. POST: JSON with what happens next, or the form again with each problem beside its field (422)."""
    phone = get_object_or_404(Phone, mac=mac)
    if phone.known_model is None:
        return render(request, "console/_drawer.html", {"phone": phone, "problems": []})
    try:
        typed = request.POST if request.method == "POST" else None
        form = AssignForm(phone, phone.known_model, typed, may_reveal=request.user.has_perm(REVEAL))
    except CannotDecrypt:
        log.error("%s: stored passwords cannot be decrypted", phone)
        return render(request, "console/_drawer.html", {"phone": phone, "problems": [UNREADABLE]})
    if request.method != "POST":
        return _show(request, phone, form, phone.version)
    try:
        version = posted_int(request.POST, "version", lambda: VersionConflict(_("This form is damaged. Reload it.")))
        return _save(request, phone, form, version)
    except VersionConflict as conflict:
        form.problems.append(str(conflict))
        return _show(request, phone, form, request.POST.get("version", ""), conflict=True)


def _save(request: HttpRequest, phone: Phone, form: AssignForm, version: int) -> HttpResponse:
    shown_version, phone.version = phone.version, version
    if shown_version != version:
        raise VersionConflict(_("This phone was saved by somebody else in the meantime. Reload it and try again."))
    if form.is_valid():
        seen_host = request.POST.get("seen_host") or None
        try:
            draft = form.draft()
            by = request.user.get_username()
            # Who was retired or ignored had no assignment that it could simply have again: its successor may have it.
            before = form.stored if phone.is_assigned else None
            anew = form.replaces_password and not may_compare(request)
            saved = save(phone, draft, by=by, seen_host=seen_host, given=form.given, kept=form.kept, anew=anew)
            words = " ".join([_of(phone, saved_words(saved)), *also_on(phone, draft.accounts)])
            return _saved(request, phone, before, saved, words, anew)
        except ConfigError as error:
            form.place(error.problems)
        except AssignmentError as error:
            form.problems.append(str(error))
        except CannotDecrypt:
            form.problems.append(str(UNREADABLE))
    return _show(request, phone, form, version)


def _saved(
    request: HttpRequest, phone: Phone, before: Draft | None, saved: Saved, words: str, anew: bool
) -> HttpResponse:
    """What happens next; whether it can be taken back; and the next new phone, if the person asked for it."""
    said: dict[str, object] = {"message": words, "mac": phone.mac}
    said["undo"] = saved.changed and taken_back.remember(request, phone, before, anew)
    if request.POST.get("then") == "next":
        new = meanwhile.next_new(phone)
        said["next"] = new and {"mac": new.mac, "url": reverse("console:assign", args=[new.mac])}
    return JsonResponse(said)


@require_safe
@needs(CHANGE)
def news(request: HttpRequest, mac: str) -> HttpResponse:
    """Whether somebody saved the phone since a form was made of it; JSON with `changed`, and who, if it is known,
    and the `stage` that the phone has now."""
    phone = get_object_or_404(Phone, mac=mac)

    def damaged() -> Exception:
        return VersionConflict(_("This form is damaged. Reload it."))

    try:
        version, after = posted_int(request.GET, "version", damaged), posted_int(request.GET, "after", damaged)
    except VersionConflict as conflict:
        return JsonResponse({"message": str(conflict)}, status=400)
    if phone.version == version:
        return JsonResponse({"changed": False, "stage": phone.stage})
    return JsonResponse({"changed": True, "by": meanwhile.saved_by(phone, after), "stage": phone.stage})


@require_POST
@needs(CHANGE)
def undo(request: HttpRequest, mac: str) -> HttpResponse:
    """Take back this person's last save of the phone; JSON with words, 409 if that cannot be done as things stand."""
    phone = get_object_or_404(Phone, mac=mac)
    try:
        saved = taken_back.take_back(request, phone)
        words = _of(phone, saved_words(saved, _("Taken back.")))
        return JsonResponse({"message": words, "mac": phone.mac})
    except ConfigError as error:
        words = " ".join(problem.message for problem in error.problems)
    except (taken_back.NothingToTakeBack, AssignmentError, VersionConflict) as error:
        words = str(error)
    except CannotDecrypt:
        words = str(UNREADABLE)
    return JsonResponse({"message": words}, status=409)


def _show(
    request: HttpRequest, phone: Phone, form: AssignForm, version: object, conflict: bool = False
) -> HttpResponse:
    """The form with the phone's present address: whoever saves now has seen it, and what speaks against it."""
    face = face_of(form.model)
    keys = {key.slot: key for key in form.keys}
    mismatch = neighbours.shows_another(phone)
    context = {
        "phone": phone,
        "form": form,
        "face": face,
        "caps": [(cap, keys[cap.slot]) for cap in face.caps],
        "events": live.newest_id(),
        "password_marks": meanwhile.password_marks(phone, form.stored),
        "version": version,
        "problems": form.problems,
        "conflict": conflict,
        "seen_host": phone.source_host or "",
        "mismatch": mismatch,
        "table_knows": mismatch and neighbours.knows_phones(phone.interface),
    }
    return render(request, "console/_drawer.html", context, status=422 if form.is_bound else 200)


def _of(phone: Phone, words: str) -> str:
    """The words with the phone that they are about: its first extension, and the end of its MAC as on the label."""
    user_id = phone.accounts.order_by("number").values_list("user_id", flat=True).first()
    mac = f"…{colons(phone.mac)[-5:]}"
    return _("%(phone)s: %(what)s") % {"phone": f"{user_id} · {mac}" if user_id else mac, "what": words}


def saved_words(saved: Saved, done: str = "") -> str:
    """What happens next, for the person who saved; `done` says what that was, if it was something else.

    That nothing has changed may tell that a typed password is the stored one: to whom that must not be told, for him
    everything is saved `anew` (assignment.save), and it is never said.
    """
    done = done or _("Saved.")
    if saved.config_file is None:
        words = _("%(done)s This phone was not heard yet: it gets its file as soon as it is plugged in.")
        return words % {"done": done}
    if saved.notify is None:
        return _("Nothing has changed: the phone already has this configuration.")
    heard = listening()
    if not heard.tells(saved.notify.phone):
        return f"{done} {heard.away_words(saved.notify.phone)}"
    if not saved.changed:
        return _("Nothing has changed. The phone had not fetched it yet and is notified again.")
    return _sent_words(saved.notify, done)


def _sent_words(notify: Notify, done: str) -> str:
    """What the listener will do with it, as far as can be known before it looks at the phone's address itself."""
    phone = notify.phone
    verdict = neighbours.verify(phone.source_host or "", phone.mac, phone.interface)
    objection = trust.objection(standing(notify, phone, timezone.now(), verdict), verdict)
    if objection is None:
        return _("%(done)s The phone gets its NOTIFY now, fetches its file and restarts.") % {"done": done}
    if verdict is Verdict.UNKNOWN:
        words = _(
            "%(done)s It is a while since this phone was heard: it gets its NOTIFY if it is found at its address."
        )
        return words % {"done": done}
    return _("%(done)s It is not sent: %(why)s") % {"done": done, "why": objection}
