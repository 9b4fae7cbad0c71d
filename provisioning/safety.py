"""Where phones are less safe than gspnp would make them, because somebody said so. The doctor tells it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from django.conf import settings
from django.db.models import Count, Q

from devices.choices import WAY
from devices.models import Phone
from provisioning.gxp.layers import Values
from provisioning.gxp.pvalues import GENERATED, KEEPS_OUT, OPINIONS
from provisioning.layers.models import LayerLevel, SettingsLayer

ENVIRONMENT = "GSPNP_OPINIONS_OFF"


class How(StrEnum):
    """What became of a safe default."""

    LEFT_ALONE = "left alone"
    OTHERWISE = "otherwise"
    SHARED = "shared"


@dataclass(frozen=True, slots=True)
class Weakened:
    """One safe default that `where` (a layer's title, or the environment's setting) does away with, for up to so many
    assigned phones: a layer above may put it back for some."""

    name: str
    how: How
    where: str
    phones: int


def weakened() -> list[Weakened]:
    """Every safe default that the environment, a site, a model or a template does away with. Raises CannotDecrypt.

    What single phones say of themselves is not read: there may be 100,000, and their own pages show it.
    """
    reached = _reached()
    off = [name for name in settings.GSPNP_OPINIONS_OFF if name in KEEPS_OUT]
    everybody = sum(reached[LayerLevel.SITE].values())
    found = [Weakened(name, How.LEFT_ALONE, ENVIRONMENT, everybody) for name in sorted(off)]
    for layer in SettingsLayer.objects.filter(phone=None).order_by("level", "name"):
        key = layer.pk if layer.level == LayerLevel.TEMPLATE else layer.name
        phones = reached[LayerLevel(layer.level)].get(key, 0)
        one = layer.as_layer()
        found += [Weakened(name, how, one.title, phones) for name, how in _weakened_by(one.values) if phones]
    return found


def _weakened_by(values: Values) -> Iterator[tuple[str, How]]:
    for name in KEEPS_OUT:
        if name not in values:
            continue
        text = values[name]
        if text is None:
            yield name, How.LEFT_ALONE
        elif name in GENERATED:
            yield name, How.SHARED
        elif text != OPINIONS[name].value:
            yield name, How.OTHERWISE


def _reached() -> Mapping[LayerLevel, Mapping[str | int, int]]:
    """How many assigned phones each site, model (in upper case, as layers name it) and template has."""
    phones = Phone.objects.filter(stage__in=WAY).order_by()
    models: dict[str | int, int] = {}
    for model, count in phones.values_list("model").annotate(Count("pk")):
        models[model.upper()] = models.get(model.upper(), 0) + count
    templates = SettingsLayer.objects.filter(level=LayerLevel.TEMPLATE).order_by()
    given = templates.annotate(given=Count("phones", filter=Q(phones__phone__stage__in=WAY)))
    return {
        LayerLevel.SITE: dict(phones.values_list("site").annotate(Count("pk"))),
        LayerLevel.MODEL: models,
        LayerLevel.TEMPLATE: dict(given.values_list("pk", "given")),
    }
