"""The pages of the layers: which there are, what each says, and what a change of it would do before it is saved.

Without JavaScript every button posts the one form, and the page comes back with everything that was typed.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.db.models import ProtectedError
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_safe

from devices.crypto import CannotDecrypt
from devices.inventory import VersionConflict
from devices.mac import colons
from devices.models import Phone
from gspnp.console import drafts, layer_list
from gspnp.console.access import CHANGE, VIEW, may_compare, needs
from gspnp.console.rows import SHOWN_ACCOUNTS
from gspnp.console.settings_form import NoSuchSetting, SettingsForm, new_row
from gspnp.console.shell import shell_context
from provisioning.changing import change, preview
from provisioning.gxp.config import ConfigError
from provisioning.gxp.entries import search
from provisioning.gxp.layers import Values
from provisioning.jobs import runner
from provisioning.jobs.pace import TOLD
from provisioning.layers import scope, store
from provisioning.models import LayerLevel, PhoneTemplate, SettingsLayer

SHOWN_PHONES = 20
SHOWN_USERS = 10  # phones that are named when a template cannot be deleted
UNREADABLE = gettext_lazy(
    "A layer cannot be opened: the key that it was written with is not in GSPNP_FIELD_KEYS. Put it back."
)
OVERTAKEN = gettext_lazy(
    "%(who)s changed this layer in the meantime. What you typed is kept below; the preview shows how it differs from "
    "what is stored now. Look at it before you save."
)
TITLES = {
    LayerLevel.SITE: gettext_lazy("Site %(name)s"),
    LayerLevel.MODEL: gettext_lazy("Model %(name)s"),
    LayerLevel.TEMPLATE: gettext_lazy("Template %(name)s"),
    LayerLevel.PHONE: gettext_lazy("Phone %(name)s"),
}


def url_of(layer: SettingsLayer) -> str:
    """The address of a layer's page."""
    return f"{reverse('console:layer')}?{urlencode({'level': layer.level, 'name': layer.name})}"


def title_of(layer: SettingsLayer) -> str:
    """How people call it."""
    if layer.level == LayerLevel.SITE and not layer.name:
        return _("Default site")
    return TITLES[LayerLevel(layer.level)] % {"name": layer.name}


@require_safe
@needs(VIEW)
def overview(request: HttpRequest) -> HttpResponse:
    """All layers by level."""
    context = shell_context(
        request, _("Settings"), levels=layer_list.levels(), may_change=request.user.has_perm(CHANGE)
    )
    return render(request, "console/settings/list.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
@sensitive_post_parameters()
@needs(VIEW)
def layer(request: HttpRequest) -> HttpResponse:
    """GET: the form of one layer. POST: what the pressed button asks for."""
    level, name = request.GET.get("level", ""), request.GET.get("name", "")
    if level not in (LayerLevel.SITE, LayerLevel.MODEL, LayerLevel.TEMPLATE):
        return overview_with(request, _("There is no such level of settings; choose one here."))
    try:
        found = store.find(level, name)
        if request.method != "POST":
            return _show(request, found, SettingsForm(found.values), status=200)
        return needs(CHANGE)(_post)(request, found)
    except ConfigError as error:
        return overview_with(request, " ".join(problem.message for problem in error.problems))
    except CannotDecrypt:
        return overview_with(request, str(UNREADABLE), status=409 if request.method == "POST" else 200)


def overview_with(request: HttpRequest, problem: str, status: int = 422) -> HttpResponse:
    context = shell_context(
        request, _("Settings"), levels=layer_list.levels(), may_change=request.user.has_perm(CHANGE)
    )
    return render(request, "console/settings/list.html", context | {"problem": problem}, status=status)


def _post(request: HttpRequest, found: SettingsLayer) -> HttpResponse:
    do = request.POST.get("do", "")
    if do == "delete":
        return _delete(request, found)
    draft = drafts.opened(request.POST.get("draft", ""), request.user.pk, url_of(found))
    base, typed = (draft.values, draft.typed) if draft is not None else (found.values, frozenset())
    overtaken = request.POST.get("version", "") != str(found.version)
    if do in ("save", "back"):
        if draft is None or overtaken or do == "back":
            form = SettingsForm(base, typed=typed)
            return _show(request, found, form, status=409 if overtaken else 200, overtaken=overtaken)
        return _save(request, found, draft)
    form = SettingsForm(base, request.POST, typed)
    if form.act(do):
        return _show(request, found, form, status=422 if form.problems else 200)
    if overtaken:
        return _show(request, found, form, status=409, overtaken=True)
    if form.is_valid():
        try:
            return show_preview(request, found, form.values(), form.typed, request.POST.get("note", ""))
        except ConfigError as error:
            form.place(error.problems)
        except CannotDecrypt:
            form.problems.append(str(UNREADABLE))
    return _show(request, found, form, status=422)


def _save(request: HttpRequest, found: SettingsLayer, draft: drafts.Draft) -> HttpResponse:
    note, pace = request.POST.get("note", ""), request.POST.get("pace")
    by = request.user.get_username()
    try:
        saved, job = change(found, draft.values, by=by, note=note, pace_per_minute=TOLD.read(pace))
    except runner.JobError as error:
        return show_preview(request, found, draft.values, draft.typed, note, pace, str(error))
    except ConfigError as error:
        form = SettingsForm(draft.values, typed=draft.typed)
        form.place(error.problems)
        return _show(request, found, form, status=422)
    except VersionConflict:
        form = SettingsForm(draft.values, typed=draft.typed)
        return _show(request, store.find(found.level, found.name), form, status=409, overtaken=True)
    if job is None:
        messages.success(request, _("%(layer)s is saved. It reaches no phone yet.") % {"layer": title_of(saved)})
        return HttpResponseRedirect(url_of(saved))
    return HttpResponseRedirect(reverse("console:job", args=[job.pk]))


def _delete(request: HttpRequest, found: SettingsLayer) -> HttpResponse:
    """A template that no phone has; the other levels are emptied instead, because phones are under them."""
    try:
        if found.level != LayerLevel.TEMPLATE or found.pk is None:
            raise ConfigError([])
        store.remove(found)
    except (ConfigError, ProtectedError):
        form = SettingsForm(found.values)
        users = PhoneTemplate.objects.filter(layer=found.pk).select_related("phone").order_by("pk")
        have = ", ".join(colons(one.phone.mac) for one in users[:SHOWN_USERS])
        more = ", …" if users.count() > SHOWN_USERS else ""
        words = _("Only a template that no phone has can be deleted. Take it from its phones first.")
        if have:
            words = _("Only a template that no phone has can be deleted. Take it from its phones first: %(phones)s.")
            words %= {"phones": have + more}
        form.problems.append(words)
        return _show(request, found, form, status=409)
    messages.success(request, _("%(layer)s is deleted.") % {"layer": title_of(found)})
    return HttpResponseRedirect(reverse("console:layers"))


def _context(request: HttpRequest, found: SettingsLayer, **extra: Any) -> dict[str, Any]:
    return shell_context(
        request, title_of(found), layer=found, layer_title=title_of(found), layer_url=url_of(found),
        reached=scope.reached(found), may_change=request.user.has_perm(CHANGE), **extra,
    )  # fmt: skip


def _show(
    request: HttpRequest, found: SettingsLayer, form: SettingsForm, *, status: int, overtaken: bool = False
) -> HttpResponse:
    if overtaken:
        form.problems.insert(0, OVERTAKEN % {"who": found.changed_by or _("Somebody")})
    note = request.POST.get("note", found.note)
    draft = drafts.seal(request.user.pk, url_of(found), form.draft(), form.typed) if request.method == "POST" else ""
    # Whoever was not told that it changed has still seen the old one.
    version = found.version if overtaken else request.POST.get("version", found.version)
    context = _context(request, found, form=form, note=note, draft=draft, version=version)
    return render(request, "console/settings/layer.html", context, status=status)


def show_preview(
    request: HttpRequest,
    found: SettingsLayer,
    values: Values,
    typed: Collection[str],
    note: str,
    typed_pace: object = TOLD.offered,
    problem: str = "",
) -> HttpResponse:
    """What saving would do; `typed` are secrets that somebody typed. Raises ConfigError and CannotDecrypt."""
    seen = preview(found, values, hidden=() if may_compare(request) else typed)
    phones = Phone.objects.filter(pk__in=seen.touched[:SHOWN_PHONES]).prefetch_related(SHOWN_ACCOUNTS).order_by("pk")
    context = _context(
        request, found, preview=seen, phones=phones, more=max(0, len(seen.touched) - SHOWN_PHONES), note=note,
        pace=TOLD, typed_pace=typed_pace, problem=problem,
        draft=drafts.seal(request.user.pk, url_of(found), seen.values, typed),
    )  # fmt: skip
    return render(request, "console/settings/preview.html", context, status=422 if problem else 200)


@require_safe
@needs(VIEW)
def catalogue(request: HttpRequest) -> HttpResponse:
    """What fits to the words in `q`, as a part of a page."""
    query = request.GET.get("q", "")[:100]
    return render(request, "console/settings/_found.html", {"found": search(query), "query": query})


@require_safe
@needs(CHANGE)
def row(request: HttpRequest) -> HttpResponse:
    """An empty row for the setting `name`, as a part of a page; 422 with words if there is none."""
    try:
        return render(
            request, "console/settings/_row.html", {"row": new_row(request.GET.get("name", "")), "may_change": True}
        )
    except NoSuchSetting as why:
        return JsonResponse({"message": str(why)}, status=422)
