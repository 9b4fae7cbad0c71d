"""A phone's page, tab "History": its versions, what differs between two of them, and the way back to one."""

from __future__ import annotations

from collections.abc import Iterable

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_POST, require_safe

from devices.crypto import CannotDecrypt
from devices.inventory import VersionConflict
from devices.mac import colons
from devices.models import Phone
from gspnp.console.access import CHANGE, VIEW, may_compare, needs
from gspnp.console.assign import UNREADABLE, saved_words
from gspnp.console.refusal import nothing_done, refuse
from gspnp.console.shell import shell_context
from provisioning import versions
from provisioning.assignment import AssignmentError
from provisioning.gxp.config import ConfigError
from provisioning.gxp.reading import Change

NOT_SAID = gettext_lazy("not said")


@require_safe
@needs(VIEW)
def page(request: HttpRequest, mac: str) -> HttpResponse:
    """The versions that are kept; with `before` and `after` in the address, what differs between these two."""
    phone = get_object_or_404(Phone, mac=mac)
    entries = versions.history(phone)
    before, after = (_number(request.GET.get(name, "")) for name in ("before", "after"))
    changes, problem = None, ""
    if before is not None and after is not None:
        try:
            changes = told(versions.compare(phone, before, after), may_compare(request))
        except versions.RollbackError as error:
            problem = str(error)
    newest = [entry.number for entry in entries[:2]]
    context = shell_context(
        request, colons(phone.mac), phone=phone, account=phone.accounts.defer("password").first(), tab="history",
        entries=entries, changes=changes, problem=problem,
        hides=not may_compare(request),
        before=before if before is not None else newest[-1] if newest else None,
        after=after if after is not None else newest[0] if newest else None,
        may_change=request.user.has_perm(CHANGE),
    )  # fmt: skip
    return render(request, "console/phone_history.html", context, status=422 if problem else 200)


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 9 else None


def told(changes: Iterable[Change], may_compare: bool) -> list[Change]:
    """What differs, in words. A secret that both have shows as the mask twice; that it is another one is only for who
    `may_compare`, or a guess is saved and the history asked whether it was right."""
    return [in_words(one) for one in changes if may_compare or one.before != one.after]


def in_words(change: Change) -> Change:
    """A difference as people read it: what a file does not say, and what it says is empty, has words."""
    before, after = (str(NOT_SAID) if text is None else text or _("empty") for text in (change.before, change.after))
    return Change(change.name, before, after)


@require_POST
@needs(CHANGE)
def back(request: HttpRequest, mac: str, number: int) -> HttpResponse:
    """Make the settings of an old version a new one, if the person is `sure`; else a page that asks. The history says
    afterwards what happened."""
    phone = get_object_or_404(Phone, mac=mac)
    if request.POST.get("sure") != "yes":
        nothing_done(request)
        return render(request, "console/roll_back.html", shell_context(
            request, colons(phone.mac), phone=phone, account=phone.accounts.defer("password").first(), number=number,
            tab="history", version=request.POST.get("version", ""), seen_host=request.POST.get("seen_host", ""),
        ))  # fmt: skip
    try:
        if request.POST.get("version", "") != str(phone.version):
            raise VersionConflict(
                _("This phone was saved by somebody else in the meantime. Look at its history again.")
            )
        seen_host = request.POST.get("seen_host") or None
        by, anew = request.user.get_username(), not may_compare(request)
        saved = versions.roll_back(phone, number, by=by, seen_host=seen_host, anew=anew)
    except (versions.RollbackError, AssignmentError, VersionConflict) as error:
        refuse(request, str(error))
    except ConfigError as error:
        words = " ".join(problem.message for problem in error.problems)
        refusal = _("Version %(number)d cannot be made again: %(why)s") % {"number": number, "why": words}
        refuse(request, refusal)
    except CannotDecrypt:
        refuse(request, str(UNREADABLE))
    else:
        words = saved_words(saved)
        if saved.changed and saved.config_file is not None:
            made = _("Version %(new)d says what version %(old)d said.")
            words = f"{made % {'new': saved.config_file.number, 'old': number}} {words}"
        messages.success(request, words)
    return HttpResponseRedirect(reverse("console:phone_history", args=[phone.mac]))
