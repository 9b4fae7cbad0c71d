"""The page "What gspnp sets by itself": every opinion of ours, why, and a switch to leave it alone at a site.

A switch is nothing but the value "leave alone" in the layer of the site, and goes through the same preview.
"""

from __future__ import annotations

from dataclasses import dataclass

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_http_methods

from devices.crypto import CannotDecrypt
from devices.models import Phone
from gspnp.console import layers
from gspnp.console.access import CHANGE, VIEW, needs
from gspnp.console.shell import shell_context
from provisioning.gxp.config import ConfigError
from provisioning.gxp.entries import label_of, shown
from provisioning.gxp.layers import Values
from provisioning.gxp.pvalues import GENERATED, KEEPS_OUT, OPINIONS
from provisioning.layers import store
from provisioning.models import LayerLevel, SettingsLayer

COMPUTED_WORDS = gettext_lazy("computed for each phone")
RANDOM_WORDS = gettext_lazy("random, another one for each phone")


@dataclass(frozen=True)
class Line:
    """One opinion; `instead` is what the site's layer says in its place, `off` that the environment leaves it alone,
    `keeps_out` whom it keeps out who may have come in before."""

    name: str
    label: str
    value: str
    why: str
    alone: bool
    off: bool
    instead: str
    keeps_out: str


@require_http_methods(["GET", "HEAD", "POST"])
@needs(VIEW)
def page(request: HttpRequest) -> HttpResponse:
    """GET: the list for the site in `site`. POST: the preview of what the switches would do."""
    try:
        layer = store.find(LayerLevel.SITE, request.GET.get("site", ""))
        if request.method == "POST":
            return needs(CHANGE)(_post)(request, layer)
        return _show(request, layer)
    except ConfigError as error:
        return layers.overview_with(request, " ".join(problem.message for problem in error.problems))
    except CannotDecrypt:
        return layers.overview_with(request, str(layers.UNREADABLE), status=409 if request.method == "POST" else 200)


def _post(request: HttpRequest, layer: SettingsLayer) -> HttpResponse:
    if request.POST.get("version", "") != str(layer.version):
        return _show(
            request, layer, _("Somebody changed this site's settings in the meantime. Look again, then decide.")
        )
    values = switched(layer.values, set(request.POST.getlist("alone")))
    return layers.show_preview(request, layer, values, (), layer.note)


def switched(values: Values, alone: set[str]) -> dict[str, str | None]:
    """The same values with exactly these opinions left alone; a value of the layer's own gives way to the switch."""
    found = dict(values)
    for name in (*OPINIONS, *GENERATED):
        if name in alone:
            found[name] = None
        elif name in found and found[name] is None:
            del found[name]
    return found


def lines(values: Values) -> list[Line]:
    """Every opinion, as it stands in a layer with these values."""
    off = set(settings.GSPNP_OPINIONS_OFF)
    said = [
        (
            opinion.pvalue,
            str(COMPUTED_WORDS) if opinion.value is None else shown(opinion.pvalue, opinion.value),
            opinion.why,
        )
        for opinion in OPINIONS.values()
    ] + [(name, str(RANDOM_WORDS), why) for name, why in GENERATED.items()]
    return [
        Line(
            name, label_of(name), value or _("empty"), _(why), name in values and values[name] is None, name in off,
            shown(name, text) or _("empty") if (text := values.get(name)) is not None else "",
            _(KEEPS_OUT[name]) if name in KEEPS_OUT else "",
        )
        for name, value, why in said
    ]  # fmt: skip


def groups(values: Values) -> list[tuple[str, list[Line]]]:
    """The lines under their titles: first what closes a phone, which somebody may miss."""
    found = lines(values)
    return [
        (_("Safety"), [one for one in found if one.keeps_out]),
        (_("So that the phone is found and stays with us"), [one for one in found if not one.keeps_out]),
    ]


def _show(request: HttpRequest, layer: SettingsLayer, problem: str = "") -> HttpResponse:
    sites = Phone.objects.order_by("site").values_list("site", flat=True).distinct()
    stored = SettingsLayer.objects.filter(level=LayerLevel.SITE).values_list("name", flat=True)
    context = shell_context(
        request, _("What gspnp sets by itself"), layer=layer, layer_title=layers.title_of(layer),
        groups=groups(layer.values), sites=sorted({"", layer.name, *sites, *stored}), problem=problem,
        may_change=request.user.has_perm(CHANGE), here=reverse("console:opinions"),
    )  # fmt: skip
    return render(request, "console/settings/opinions.html", context, status=409 if problem else 200)
