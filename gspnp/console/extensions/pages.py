"""The pages of the directory: the list, and one extension to add, change or delete.

A change that phones would follow is shown with them before it is stored; what was typed waits in the page, encrypted.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from django.contrib import messages
from django.db import transaction
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from devices import directory, holders
from devices.directory import Entry, Taken, VersionConflict
from devices.models import Extension
from gspnp.console import drafts
from gspnp.console.access import CHANGE, REVEAL, VIEW, is_fetch, needs
from gspnp.console.extensions import trail
from gspnp.console.extensions.forms import ExtensionForm, entry_of, values_of
from gspnp.console.extensions.table import DirectoryQuery, read_page, sites
from gspnp.console.forms import posted_int, recent_servers
from gspnp.console.refusal import nothing_done
from gspnp.console.shell import shell_context
from provisioning.extensions import following, job
from provisioning.extensions.following import Change, Follower, Keeper
from provisioning.jobs import runner
from provisioning.jobs.pace import TOLD
from provisioning.models import Job

SHOWN_FOLLOWERS = 500
DAMAGED = gettext_lazy("This form is damaged. Open the extension again.")


@require_safe
@needs(VIEW)
def page(request: HttpRequest) -> HttpResponse:
    """The directory; for our script only the part that changes."""
    context = {"page": read_page(DirectoryQuery.read(request.GET)), "may_change": request.user.has_perm(CHANGE)}
    if is_fetch(request):
        return render(request, "console/extensions/_list.html", context)
    context["may_reveal"] = request.user.has_perm(REVEAL)
    return render(request, "console/extensions/list.html", shell_context(request, _("Extensions")) | context)


@require_http_methods(["GET", "HEAD", "POST"])
@sensitive_post_parameters()
@needs(CHANGE)
def add(request: HttpRequest) -> HttpResponse:
    """A new extension."""
    if request.method != "POST":
        return _form(request, ExtensionForm(None, initial={"site": request.GET.get("site", "")[:40]}))
    form = ExtensionForm(None, request.POST)
    if form.is_valid():
        entry = form.entry()
        try:
            pk = directory.add(entry)
        except Taken as taken:
            form.add_error("number", str(taken))
        else:
            trail.added(request, pk, entry)
            return _done(request, _("Extension {number} is in the directory.").format(number=entry.number))
    return _form(request, form)


@require_http_methods(["GET", "HEAD", "POST"])
@sensitive_post_parameters()
@needs(CHANGE)
def extension(request: HttpRequest, pk: int) -> HttpResponse:
    """GET: the form of one extension. POST: store it, after a question if phones would follow."""
    stored = get_object_or_404(directory.readable(), pk=pk)
    if request.method != "POST":
        return _form(request, ExtensionForm(stored))
    try:
        version = posted_int(request.POST, "version", lambda: VersionConflict(DAMAGED))
        if version != stored.version:
            raise VersionConflict(directory.CHANGED_MEANWHILE)
        typed = drafts.unseal(request.POST.get("typed", ""), request.user.pk, _place(stored))
        if typed is not None:
            return _followed(request, stored, version, entry_of(typed), request.POST["typed"])
        return _typed(request, stored, version)
    except VersionConflict as conflict:
        return _form(request, ExtensionForm(stored), problem=str(conflict), conflict=True)


def _typed(request: HttpRequest, stored: Extension, version: int) -> HttpResponse:
    form = ExtensionForm(stored, request.POST)
    if not form.is_valid():
        return _form(request, form, version=version)
    entry = form.entry()
    change = change_of(stored, entry)
    found, keeping = following.followers(change), following.keepers(change)
    if found or keeping:
        sealed = drafts.seal(request.user.pk, _place(stored), values_of(entry))
        return _ask(request, stored, entry, sealed, found, keeping)
    try:
        directory.change(stored.pk, version, entry)
    except Taken as taken:
        form.add_error("number", str(taken))
        return _form(request, form, version=version)
    trail.changed(request, stored, entry)
    return _done(request, _("Extension {number} is stored.").format(number=entry.number))


def _followed(request: HttpRequest, stored: Extension, version: int, entry: Entry, sealed: str) -> HttpResponse:
    """Store it, and order the job for the phones that were ticked; both or nothing."""
    if request.POST.get("do") == "back":
        return _form(request, ExtensionForm(stored, initial=values_of(entry) | {"secret": ""}))
    change = change_of(stored, entry)
    found, keeping = following.followers(change), following.keepers(change)
    own = {str(one.phone_id): one.names for one in keeping if str(one.phone_id) in request.POST.getlist("own")}
    ids = _ticked(request, found)
    ids += [one.phone_id for one in keeping if str(one.phone_id) in own and one.phone_id not in ids]
    ordered: Job | None = None
    try:
        with transaction.atomic():
            directory.change(stored.pk, version, entry)
            if ids:
                by = request.user.get_username()
                pace = TOLD.read(request.POST.get("pace"))
                ordered = job.start(replace(change, own=own), ids, by=by, pace_per_minute=pace)
    except runner.JobError as error:
        return _ask(request, stored, entry, sealed, found, keeping, problem=str(error))
    except Taken as taken:
        return _form(request, ExtensionForm(stored), problem=str(taken))
    trail.changed(request, stored, entry)
    words = [_("Extension {number} is stored.").format(number=entry.number)]
    if ordered is not None:
        words.append(ngettext("{count} phone follows.", "{count} phones follow.", len(ids)).format(count=len(ids)))
    if kept := len(keeping) - len(own):
        said = ngettext("{count} phone keeps a name of its own.", "{count} phones keep names of their own.", kept)
        words.append(said.format(count=kept))
    return _done(request, " ".join(words), ordered)


def _ticked(request: HttpRequest, found: list[Follower]) -> list[int]:
    """The phones that are to follow: of those that were listed the ticked ones, and the rest if that was."""
    ticked = set(request.POST.getlist("follow"))
    ids = [one.phone_id for one in found[:SHOWN_FOLLOWERS] if str(one.phone_id) in ticked]
    return ids + [one.phone_id for one in (found[SHOWN_FOLLOWERS:] if request.POST.get("rest") else [])]


def change_of(stored: Extension, entry: Entry) -> Change:
    """What of the change phones could follow. Those of another number or place are other extensions."""
    is_same = (stored.number, stored.site) == (entry.number, entry.site)
    name, secret = entry.name if is_same else stored.name, is_same and bool(entry.secret)
    server = stored.sip_server
    return Change(stored.pk, stored.number, stored.site, server, stored.name, name, secret, entry.sip_server)


@require_POST
@needs(CHANGE)
def delete(request: HttpRequest, pk: int) -> HttpResponse:
    """Delete an extension, after a question."""
    stored = get_object_or_404(directory.readable(), pk=pk)
    if request.POST.get("sure") != "1":
        nothing_done(request)
        return _form(request, ExtensionForm(stored), deleting=True)
    try:
        directory.remove(pk, posted_int(request.POST, "version", lambda: VersionConflict(DAMAGED)))
    except VersionConflict as conflict:
        return _form(request, ExtensionForm(stored), problem=str(conflict), conflict=True)
    trail.deleted(request, stored)
    return _done(request, _("Extension {number} is deleted. Phones that have it keep it.").format(number=stored.number))


def _place(stored: Extension) -> str:
    """Where a draft belongs: this extension as it was read."""
    return f"extension {stored.pk} {stored.version}"


def _done(request: HttpRequest, words: str, ordered: Job | None = None) -> HttpResponse:
    url = reverse("console:job", args=[ordered.pk]) if ordered is not None else ""
    if is_fetch(request):
        return JsonResponse({"message": words, "url": url})
    messages.success(request, words)
    return redirect(url or "console:extensions")


def _form(
    request: HttpRequest,
    form: ExtensionForm,
    *,
    version: int | None = None,
    problem: str = "",
    conflict: bool = False,
    deleting: bool = False,
) -> HttpResponse:
    stored = form.stored
    held = holders.of_extensions([stored])[stored.pk] if stored is not None else []
    context: dict[str, Any] = {
        "form": form,
        "extension": stored,
        "version": version if version is not None else stored.version if stored else 0,
        "problem": problem,
        "conflict": conflict,
        "deleting": deleting,
        "held": held,
        "sites": sites(),
        "servers": recent_servers(),
    }
    status = 422 if form.is_bound else 409 if problem else 200
    return _render(request, "form", str(stored) if stored else _("New extension"), context, status)


def _ask(
    request: HttpRequest,
    stored: Extension,
    entry: Entry,
    sealed: str,
    found: list[Follower],
    keeping: list[Keeper],
    problem: str = "",
) -> HttpResponse:
    context = {
        "extension": stored,
        "entry": entry,
        "change": change_of(stored, entry),
        "typed": sealed,
        "followers": found[:SHOWN_FOLLOWERS],
        "more": max(0, len(found) - SHOWN_FOLLOWERS),
        "total": len(found),
        "keepers": keeping[:SHOWN_FOLLOWERS],
        "more_keep": max(0, len(keeping) - SHOWN_FOLLOWERS),
        "keeping": len(keeping),
        "pace": TOLD,
        "typed_pace": request.POST.get("pace", TOLD.offered),
        "problem": problem,
    }
    return _render(request, "follow", str(stored), context, 422 if problem else 200)


def _render(request: HttpRequest, part: str, title: str, context: dict[str, Any], status: int) -> HttpResponse:
    """The form alone for our script, which shows it in the drawer; else a page of its own."""
    if is_fetch(request):
        return render(request, f"console/extensions/_{part}.html", context, status=status)
    context |= {"part": f"console/extensions/_{part}.html"}
    return render(request, "console/extensions/one.html", shell_context(request, title) | context, status=status)
