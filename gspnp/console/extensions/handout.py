"""The page of what is handed out by itself: per site a range, on or off, what it has done and what is left."""

from __future__ import annotations

from dataclasses import dataclass, field

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.text import slugify
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from devices.catalog import CODECS, MODELS
from devices.models import Extension, Phone
from gspnp.console.access import CHANGE, VIEW, needs
from gspnp.console.extensions.table import SITE_CHARS, clean
from gspnp.console.forms import recent_servers
from gspnp.console.shell import shell_context
from provisioning.handout import giving, ranges, waiting
from provisioning.handout.ranges import Range
from provisioning.models import HandedOut, Handout, LayerLevel, SettingsLayer

SHOWN = 20


@dataclass(frozen=True)
class SiteRange:
    """A site with its range, as it is stored or as it was typed."""

    site: str
    handout: Handout | None
    wanted: Range
    faults: dict[str, str] = field(default_factory=dict)

    @property
    def title(self) -> str:
        return _("Site {site}").format(site=self.site) if self.site else _("Default site")

    @property
    def key(self) -> str:
        """For ids on the page."""
        return slugify(self.site) or "default"

    @property
    def is_on(self) -> bool:
        return self.handout is not None and self.handout.is_on

    @property
    def is_open(self) -> bool:
        """Whether its form is shown without being asked for."""
        return bool(self.faults or self.handout)

    @property
    def codecs(self) -> str:
        return ", ".join(self.wanted.codecs)

    @property
    def left(self) -> int:
        return giving.left(self.handout).count() if self.handout is not None else 0

    @property
    def waiting(self) -> int:
        return waiting.waiting(self.handout).count() if self.handout is not None and self.handout.is_on else 0

    @property
    def given(self) -> list[HandedOut]:
        """The last ones."""
        return list(self.handout.given.select_related("phone")[:SHOWN]) if self.handout is not None else []

    @property
    def total(self) -> int:
        if self.handout is None:
            return 0
        return self.handout.given.filter(done_at__isnull=False, words="").count()


@require_http_methods(["GET", "HEAD", "POST"])
@needs(VIEW)
def page(request: HttpRequest) -> HttpResponse:
    """GET: every site. POST: store the range of one of them, and switch it on or off."""
    if request.method == "POST":
        return needs(CHANGE)(_store)(request)
    return _show(request)


def _store(request: HttpRequest) -> HttpResponse:
    typed, site = request.POST, clean(request.POST.get("site", ""))[:SITE_CHARS]
    wanted = Range(
        first=clean(typed.get("first", "")),
        last=clean(typed.get("last", "")),
        sip_server=clean(typed.get("sip_server", "")),
        codecs=tuple(typed.get("codecs", "").replace(",", " ").split()),
        only_models=tuple(typed.getlist("only_models")),
        template=typed.get("template", ""),
    )
    faults = dict(reversed(list(ranges.faults(wanted))))
    existing = Handout.objects.filter(site=site).first()
    if faults:
        return _show(request, SiteRange(site, existing, wanted, faults))
    on = typed.get("on") == "1"
    ranges.switch(site, wanted, on=on, by=request.user.get_username())
    if on:
        words = _("Switched on: phones that arrive from now on get an extension within seconds.")
    else:
        words = _("Switched off: phones wait for a person again. What was handed out stays.")
    messages.success(request, words)
    return HttpResponseRedirect(reverse("console:handout"))


def _show(request: HttpRequest, typed: SiteRange | None = None) -> HttpResponse:
    rows = {one.site: one for one in Handout.objects.select_related("template")}
    sites = {"", *rows}
    for model in (Phone, Extension):
        sites |= set(model.objects.order_by().values_list("site", flat=True).distinct())
    shown = [
        typed if typed is not None and typed.site == site else SiteRange(site, rows.get(site), _stored(rows.get(site)))
        for site in sorted(sites)
    ]
    context = {
        "sites": shown,
        "per_minute": waiting.PER_MINUTE,
        "models": list(MODELS),
        "codec_names": ", ".join(CODECS),
        "servers": recent_servers(),
        "templates": list(SettingsLayer.objects.filter(level=LayerLevel.TEMPLATE).values_list("name", flat=True)),
        "may_change": request.user.has_perm(CHANGE),
    }
    context = shell_context(request, _("Hand out extensions")) | context
    return render(request, "console/extensions/handout.html", context, status=422 if typed is not None else 200)


def _stored(row: Handout | None) -> Range:
    if row is None:
        return Range("", "")
    template = row.template.name if row.template is not None else ""
    return Range(row.first, row.last, row.sip_server, tuple(row.codecs), tuple(row.only_models), template)
