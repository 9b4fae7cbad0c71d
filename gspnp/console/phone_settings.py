"""A phone's page, tab "Settings": what it gets and from which layer, its own settings, its templates in order."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods

from devices.crypto import CannotDecrypt
from devices.inventory import VersionConflict
from devices.mac import colons
from devices.models import Phone
from gspnp.console import drafts
from gspnp.console.access import CHANGE, REVEAL, VIEW, may_compare, needs
from gspnp.console.assign import UNREADABLE, saved_words
from gspnp.console.settings_form import SettingsForm
from gspnp.console.shell import is_plain_beyond_loopback, shell_context
from provisioning import assignment, effective, plan
from provisioning.gxp.config import ConfigError, Problem
from provisioning.layers import stack
from provisioning.models import LayerLevel, PhoneTemplate, SettingsLayer
from provisioning.revealing import REVEALABLE

MOST_TEMPLATES = 12  # places offered on one page; our choice
ASSIGN_FIRST = gettext_lazy("This phone has no assignment yet. Assign it first; its own settings come after that.")
OVERTAKEN = gettext_lazy(
    "This phone was saved by somebody else in the meantime. What you typed is kept below: compare it with what the "
    "phone gets now, then save again."
)


class Templates:
    """The templates of a phone in their order, as a row of lists to choose from."""

    def __init__(self, phone: Phone, data: Any = None) -> None:
        self.known = list(SettingsLayer.objects.defer("sealed").filter(level=LayerLevel.TEMPLATE).order_by("name"))
        stored = PhoneTemplate.objects.filter(phone=phone).values_list("layer__name", flat=True)
        typed = data.getlist("template") if data is not None else stored
        self.names = list(dict.fromkeys(name for name in typed if name))[:MOST_TEMPLATES]

    @property
    def places(self) -> list[str]:
        """What each list shows; there is one more than there are templates."""
        return [*self.names, ""] if len(self.names) < min(len(self.known), MOST_TEMPLATES) else self.names

    def chosen(self) -> list[SettingsLayer]:
        """Rows in order. Raises ConfigError for one that is gone, and CannotDecrypt."""
        rows = {one.name: one for one in SettingsLayer.objects.filter(level=LayerLevel.TEMPLATE)}
        gone = [Problem("templates", _("There is no template %(name)r any more; choose another one.") % {"name": name})
                for name in self.names if name not in rows]  # fmt: skip
        if gone:
            raise ConfigError(gone)
        return [rows[name] for name in self.names]


@require_http_methods(["GET", "HEAD", "POST"])
@sensitive_post_parameters()
@needs(VIEW)
def page(request: HttpRequest, mac: str) -> HttpResponse:
    """GET: the tab. POST: what the pressed button of the form asks for."""
    phone = get_object_or_404(Phone, mac=mac)
    if phone.known_model is None:
        return _show(request, phone, None, None, problem=_cannot_be_configured(phone))
    try:
        own = stack.own_values(stack.stack(phone))
        if request.method != "POST":
            return _show(request, phone, SettingsForm(own), Templates(phone))
        return needs(CHANGE)(_post)(request, phone, own)
    except CannotDecrypt:
        return _show(
            request, phone, None, None, problem=str(UNREADABLE), status=409 if request.method == "POST" else 200
        )


def _post(request: HttpRequest, phone: Phone, own: dict[str, str | None]) -> HttpResponse:
    draft = drafts.opened(request.POST.get("draft", ""), request.user.pk, phone.mac)
    base, typed = (draft.values, draft.typed) if draft is not None else (own, frozenset())
    form = SettingsForm(base, request.POST, typed)
    templates = Templates(phone, request.POST)
    if form.act(request.POST.get("do", "")):
        return _show(request, phone, form, templates, status=422 if form.problems else 200)
    if not phone.is_assigned:
        form.problems.append(str(ASSIGN_FIRST))
    elif request.POST.get("seen", "") != _seen(phone):
        form.problems.append(str(OVERTAKEN))
        return _show(request, phone, form, templates, status=409, overtaken=True)
    if form.is_valid() and _save(request, phone, form, templates):
        return HttpResponseRedirect(reverse("console:phone_settings", args=[phone.mac]))
    return _show(request, phone, form, templates, status=422)


def _save(request: HttpRequest, phone: Phone, form: SettingsForm, templates: Templates) -> bool:
    try:
        draft = plan.draft_of(phone)
        saved = assignment.save(
            phone, draft, by=request.user.get_username(),
            seen_host=request.POST.get("seen_host") or None, own=form.values(), templates=templates.chosen(),
            why="Its own settings were changed.", kept=draft.numbers,
            anew=bool(form.typed) and not may_compare(request),
        )  # fmt: skip
    except ConfigError as error:
        form.place(error.problems)
    except (assignment.AssignmentError, VersionConflict) as error:
        form.problems.append(str(error))
    else:
        messages.success(request, saved_words(saved))
        return True
    return False


def _cannot_be_configured(phone: Phone) -> str:
    if not phone.model:
        return _("This model cannot be configured.")
    return _("%(model)s cannot be configured.") % {"model": phone.model}


def _seen(phone: Phone) -> str:
    """What a save must have seen: the phone and its version, that of its own layer, and its templates."""
    layer = SettingsLayer.objects.filter(phone=phone).values_list("version", flat=True).first() or 0
    chosen = PhoneTemplate.objects.filter(phone=phone).values_list("layer", flat=True)
    return f"{phone.pk}.{phone.version}.{layer}.{'-'.join(map(str, chosen))}"


def _show(
    request: HttpRequest, phone: Phone, form: SettingsForm | None, templates: Templates | None, *, problem: str = "",
    status: int = 200, overtaken: bool = False,
) -> HttpResponse:  # fmt: skip
    posted = request.method == "POST" and form is not None
    seen = _seen(phone)
    picture = effective.picture(phone) if form is not None else effective.Picture([])
    context = shell_context(
        request, colons(phone.mac), phone=phone, account=phone.accounts.defer("password").first(), tab="settings",
        form=form, templates=templates, problem=problem,
        draft=drafts.seal(request.user.pk, phone.mac, form.draft(), form.typed) if posted and form is not None else "",
        seen=seen if overtaken else request.POST.get("seen", seen), seen_host=phone.source_host or "",
        picture=picture, groups=_groups(picture), revealable=REVEALABLE,
        may_change=request.user.has_perm(CHANGE) and phone.is_assigned,
        may_reveal=request.user.has_perm(REVEAL), refuses_reveal=is_plain_beyond_loopback(request),
        needs_assignment="" if phone.is_assigned else ASSIGN_FIRST,
    )  # fmt: skip
    return render(request, "console/phone_settings.html", context, status=status)


def _groups(picture: effective.Picture) -> list[tuple[str, list[effective.Effective]]]:
    """Effective settings by group of the catalogue, in its order."""
    found: dict[str, list[effective.Effective]] = {}
    for one in picture.settings:
        found.setdefault(one.group, []).append(one)
    return list(found.items())
