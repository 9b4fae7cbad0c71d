"""Commands to many phones at once: each is owed its own NOTIFY, at the address that the list was loaded with."""

from __future__ import annotations

import json
from collections.abc import Callable

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from devices.models import Phone
from gspnp.console.admin.bulk import for_each, seen_on_the_page
from provisioning import commands
from provisioning.models import NotifyKind

ASKED = {
    NotifyKind.CHECK_SYNC: gettext_lazy("Phones asked to check for a new configuration; what each does is on its page"),
    NotifyKind.RESYNC: gettext_lazy("Phones asked to load their configuration again; what each does is on its page"),
    NotifyKind.REBOOT: gettext_lazy("Phones asked to restart; what each does is on its page"),
}
BulkAction = Callable[[admin.ModelAdmin, HttpRequest, QuerySet[Phone]], HttpResponse | None]


def tell_all(
    model_admin: admin.ModelAdmin, request: HttpRequest, kind: NotifyKind, seen: dict[int, str | None]
) -> None:
    """Send each of these phones this command; one that has moved since it was seen is listed instead."""
    by = request.user.get_username()

    def work(phone: Phone) -> str:
        commands.send(phone.pk, kind, by, seen[phone.pk])
        return str(ASKED[kind])

    for_each(seen, work).tell(model_admin, request, messages.INFO)


def _action(kind: NotifyKind, name: str) -> BulkAction:
    @admin.action(description=kind.label, permissions=["change"])
    def act(model_admin: admin.ModelAdmin, request: HttpRequest, queryset: QuerySet[Phone]) -> None:
        tell_all(model_admin, request, kind, dict(queryset.values_list("pk", "source_host")))

    act.__name__ = name
    return act


@admin.action(description=gettext_lazy("Restart…"), permissions=["change"])
def reboot(model_admin: admin.ModelAdmin, request: HttpRequest, queryset: QuerySet[Phone]) -> HttpResponse | None:
    """First a page that asks, then the phones that it showed."""
    if "apply" in request.POST:
        seen = {pk: host for pk, (_, host) in seen_on_the_page(request.POST.get("seen", "")).items()}
        tell_all(model_admin, request, NotifyKind.REBOOT, seen)
        return None
    phones = list(queryset.order_by("mac"))
    context = {
        **model_admin.admin_site.each_context(request),
        "title": _("Restart phones"),
        "opts": model_admin.model._meta,
        "phones": phones,
        "action": "reboot",
        "explanation": _("Each is asked to restart: it is away for a minute or so, and a call on it may be cut off."),
        "submit": ngettext("Restart %(number)d phone", "Restart %(number)d phones", len(phones))
        % {"number": len(phones)},
        "seen": json.dumps([[phone.pk, phone.version, phone.source_host] for phone in phones]),
    }
    return TemplateResponse(request, "console/bulk.html", context)


check = _action(NotifyKind.CHECK_SYNC, "check")
resync = _action(NotifyKind.RESYNC, "resync")
