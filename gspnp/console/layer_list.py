"""The list of layers: what is stored, and what there may be, with how many settings and phones each has."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlencode

from django.db.models import Count, Q
from django.db.models.functions import Upper
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from devices.catalog import MODELS
from devices.choices import WAY
from devices.crypto import CannotDecrypt
from devices.models import Phone
from provisioning.models import LayerLevel, SettingsLayer

EXPLAINED = {
    LayerLevel.SITE: gettext_lazy("for every phone that stands there; country and time zone belong here"),
    LayerLevel.MODEL: gettext_lazy("for every phone of the model; wins over the site"),
    LayerLevel.TEMPLATE: gettext_lazy("for the phones that you give it to; wins over site and model"),
}
TITLES = {
    LayerLevel.SITE: gettext_lazy("Sites"),
    LayerLevel.MODEL: gettext_lazy("Models"),
    LayerLevel.TEMPLATE: gettext_lazy("Templates"),
}


@dataclass(frozen=True)
class Line:
    """One layer. `settings` is None if what it says cannot be opened; `stored` is false for one that says nothing."""

    title: str
    url: str
    phones: int
    stored: bool = False
    settings: int | None = 0
    note: str = ""
    changed_by: str = ""
    changed_at: datetime | None = None


@dataclass(frozen=True)
class LevelList:
    """The layers of one level."""

    level: LayerLevel
    title: str
    explained: str
    lines: list[Line]


def levels() -> list[LevelList]:
    """Sites, models and templates, in the order in which they win."""
    stored = {(one.level, one.name): one for one in SettingsLayer.objects.defer("sealed").filter(phone=None)}
    sizes = _sizes()
    assigned = Phone.objects.filter(stage__in=WAY)
    sites = dict(assigned.order_by().values_list("site").annotate(Count("pk")))
    known_sites = {"", *sites, *Phone.objects.order_by().values_list("site", flat=True).distinct()}
    models = dict(assigned.order_by().annotate(name=Upper("model")).values_list("name").annotate(Count("pk")))
    templates = dict(
        SettingsLayer.objects.filter(level=LayerLevel.TEMPLATE)
        .order_by()
        .values_list("name")
        .annotate(count=Count("phones", filter=Q(phones__phone__stage__in=WAY)))
    )
    wanted = {LayerLevel.SITE: (known_sites, sites), LayerLevel.MODEL: (MODELS, models),
              LayerLevel.TEMPLATE: ((), templates)}  # fmt: skip
    return [
        LevelList(level, str(TITLES[level]), str(EXPLAINED[level]), [
            _line(level, name, stored.get((level, name)), sizes, phones.get(name, 0))
            for name in _names(level, names, stored)
        ])
        for level, (names, phones) in wanted.items()
    ]  # fmt: skip


def _names(level: LayerLevel, names: Iterable[str], stored: Iterable[tuple[str, str]]) -> list[str]:
    return sorted({*names, *(name for one, name in stored if one == level)})


def _sizes() -> dict[int, int | None]:
    """How many settings each stored layer has; None if it cannot be opened."""
    found: dict[int, int | None] = {}
    for pk in SettingsLayer.objects.filter(phone=None).values_list("pk", flat=True):
        try:
            found[pk] = len(SettingsLayer.objects.get(pk=pk).values)
        except CannotDecrypt:
            found[pk] = None
    return found


def _line(level: LayerLevel, name: str, layer: SettingsLayer | None, sizes: dict[int, int | None], phones: int) -> Line:
    title = name or _("Default site")
    url = f"{reverse('console:layer')}?{urlencode({'level': level.value, 'name': name})}"
    if layer is None:
        return Line(title, url, phones)
    size = sizes.get(layer.pk)
    return Line(title, url, phones, True, size, layer.note, layer.changed_by, layer.changed_at)
