"""What is ordered for many phones in the admin: a job does it, as for a selection in the console's list.

A list of the admin shows a page of what "select all" means, so nothing that is chosen there confirms an address:
that is done in the console's list, which shows each phone with its own first.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any, cast

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.functional import Promise
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from devices.models import Phone
from gspnp.console.admin.bulk import seen_on_the_page
from gspnp.console.orders import DEEDS, ordered_words
from gspnp.console.refusal import refuse
from provisioning.jobs import orders, runner

BulkAction = Callable[[admin.ModelAdmin, HttpRequest, QuerySet[Phone]], HttpResponse | None]


def order(
    model_admin: admin.ModelAdmin, request: HttpRequest, kind: str, targets: Iterable[orders.Target], words: str = ""
) -> None:
    """Start the job that does this, and say where it is seen; or say why there is none."""
    try:
        job = orders.start(kind, targets, by=request.user.get_username())
    except runner.JobError as error:
        refuse(request, str(error))
        return
    url = reverse("console:job", args=[job.pk])
    link = format_html('{} <a href="{}" class="underline">{}</a> {}', ordered_words(job), url, _("Open the job"), words)
    model_admin.message_user(request, link, messages.INFO)


def _action(kind: str, name: str, words: str | Promise = "") -> BulkAction:
    @admin.action(description=cast(Any, DEEDS[kind].title), permissions=["change"])
    def act(model_admin: admin.ModelAdmin, request: HttpRequest, queryset: QuerySet[Phone]) -> None:
        order(model_admin, request, kind, queryset.values_list("pk", "source_host"), str(words))

    act.__name__ = name
    return act


@admin.action(description=gettext_lazy("Restart…"), permissions=["change"])
def reboot(model_admin: admin.ModelAdmin, request: HttpRequest, queryset: QuerySet[Phone]) -> HttpResponse | None:
    """First a page that asks, then the phones that it showed."""
    if "apply" in request.POST:
        seen = seen_on_the_page(request.POST.get("seen", ""))
        order(model_admin, request, "reboot", [(pk, host) for pk, (_version, host) in seen.items()])
        return None
    phones = list(queryset.order_by("mac"))
    context = {
        **model_admin.admin_site.each_context(request),
        "title": _("Restart phones"),
        "opts": model_admin.model._meta,
        "phones": phones,
        "action": "reboot",
        "explanation": DEEDS["reboot"].warning,
        "submit": ngettext("Restart %(number)d phone", "Restart %(number)d phones", len(phones))
        % {"number": len(phones)},
        "seen": json.dumps([[phone.pk, phone.version, phone.source_host] for phone in phones]),
    }
    return TemplateResponse(request, "console/bulk.html", context)


notify = _action(
    "notify",
    "notify",
    gettext_lazy(
        "No address is confirmed by this. Whoever is held back until somebody has: select them in the console’s list, "
        "look at their addresses, and “Confirm and notify…”."
    ),
)
check = _action("check", "check")
resync = _action("resync", "resync")
ignore = _action("ignore", "ignore")
