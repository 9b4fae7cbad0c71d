"""From rows to the layers of each phone, in the order in which they win. Many phones cost as few queries as one."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from django.conf import settings

from devices.catalog import PhoneModel, slots
from devices.models import Phone
from provisioning.gxp.catalogue import SETTINGS
from provisioning.gxp.config import Problem
from provisioning.gxp.layers import FILE_OPTIONS, Layer, Level, Values
from provisioning.gxp.layout import KEY_NAMES, TEAM, is_layout, is_protected
from provisioning.gxp.pvalues import GENERATED, OPINIONS
from provisioning.layers.models import LayerLevel, PhoneTemplate, SettingsLayer

Stack = tuple[Layer, ...]
MADE = "made:"  # before the names of what was made for a phone; no setting has a colon in its name


def our_defaults() -> Layer:
    """What we set without being asked, and what this installation's environment leaves alone."""
    off = set(settings.GSPNP_OPINIONS_OFF)
    values = {opinion.pvalue: None if opinion.switch in off else opinion.value for opinion in OPINIONS.values()}
    said = {name: text for name, text in values.items() if text is not None or name in off}
    return Layer(Level.DEFAULTS, "", said | {name: None for name in GENERATED if name in off})


def stacks(phones: Sequence[Phone]) -> dict[int, Stack]:
    """The layers of these phones, the weakest first. Raises CannotDecrypt."""
    shared = {
        (layer.level, layer.name): layer.as_layer()
        for layer in SettingsLayer.objects.filter(level__in=(LayerLevel.SITE, LayerLevel.MODEL))
    }
    defaults, ids = our_defaults(), [phone.pk for phone in phones]
    templates = _templates(ids)
    own = {one.phone_id: one.values for one in SettingsLayer.objects.filter(phone__in=ids)}
    return {
        phone.pk: tuple(
            layer
            for layer in (
                defaults,
                *_made_for(own.get(phone.pk)),
                shared.get((LayerLevel.SITE, phone.site)),
                shared.get((LayerLevel.MODEL, phone.model.upper())),
                *templates[phone.pk],
                *_said_by(own.get(phone.pk)),
            )
            if layer is not None
        )
        for phone in phones
    }


def stack(phone: Phone) -> Stack:
    """The same for one phone."""
    return stacks([phone])[phone.pk]


def _templates(phone_ids: Iterable[int]) -> Mapping[int, list[Layer]]:
    rows = PhoneTemplate.objects.filter(phone__in=list(phone_ids)).order_by("phone", "place")
    layers: dict[int, Layer] = {}
    found: dict[int, list[Layer]] = defaultdict(list)
    for row in rows.select_related("layer"):
        if row.layer_id not in layers:
            layers[row.layer_id] = row.layer.as_layer()
        found[row.phone_id].append(layers[row.layer_id])
    return found


def _made_for(own: Values | None) -> list[Layer]:
    """What was made at random for a phone; it is stored with the phone's own values, under a prefix."""
    made = {name.removeprefix(MADE): text for name, text in (own or {}).items() if name.startswith(MADE)}
    return [Layer(Level.GENERATED, "", made)] if made else []


def _said_by(own: Values | None) -> list[Layer]:
    said = {name: text for name, text in (own or {}).items() if not name.startswith(MADE)}
    return [Layer(Level.PHONE, "", said)] if said else []


def with_made(layers: Stack, fresh: Mapping[str, str]) -> Stack:
    """The same layers with more that was made for the phone."""
    made = Layer(Level.GENERATED, "", {**_values(layers, Level.GENERATED), **fresh})
    rest = [layer for layer in layers if layer.level is not Level.GENERATED]
    defaults = [layer for layer in rest if layer.level is Level.DEFAULTS]
    return (*defaults, made, *rest[len(defaults) :])


def stored_values(layers: Stack) -> dict[str, str | None]:
    """What has to be stored of a phone: its own values, and what was made for it."""
    made = {f"{MADE}{name}": text for name, text in _values(layers, Level.GENERATED).items()}
    return made | own_values(layers)


def _values(layers: Stack, level: Level) -> Values:
    return next((layer.values for layer in layers if layer.level is level), {})


def with_layer(layers: Stack, changed: Layer) -> Stack:
    """The same layers with this one in the place of the one of its level and name, or added where it belongs."""
    same = [one for one in layers if (one.level, one.name) == (changed.level, changed.name)]
    if same:
        return tuple(changed if one is same[0] else one for one in layers)
    order = list(Level)
    return tuple(sorted((*layers, changed), key=lambda one: order.index(one.level)))


def with_own(layers: Stack, values: Mapping[str, str | None]) -> Stack:
    """The same layers with other values of the phone's own."""
    below = tuple(layer for layer in layers if layer.level is not Level.PHONE)
    return (*below, Layer(Level.PHONE, "", values)) if values else below


def own_values(layers: Stack) -> dict[str, str | None]:
    """What the phone's own layer says."""
    return dict(_values(layers, Level.PHONE))


@dataclass(frozen=True)
class Said:
    """What the layers of a phone say, for rendering: settings beyond the assignment, switches of opinions that are
    off, and options of the file."""

    settings: Values = field(repr=False)
    off: frozenset[str]
    options: Mapping[str, str]
    keys: Mapping[str, tuple[str, str]]
    """What they say about keys, each with the title of its layer."""
    problems: tuple[Problem, ...] = ()
    """What is wrong with the layers, so that no file may be made of them."""


def said(layers: Stack, model: PhoneModel) -> Said:
    """Our own defaults are not among the settings: the renderer writes them, where no switch is off."""
    defaults: dict[str, str | None] = {}
    beyond: dict[str, str | None] = {}
    for layer in layers:
        (defaults if layer.level is Level.DEFAULTS else beyond).update(layer.settings(model))
    options = {name: text for name in FILE_OPTIONS if (text := beyond.pop(name, None)) is not None}
    off = frozenset(name for name in OPINIONS if beyond.get(name, defaults.get(name, "")) is None)
    about_keys = [*filter(is_layout, beyond)]
    for name in about_keys:
        del beyond[name]
    keys, wrong = _keys(layers, model, about_keys)
    return Said(beyond, off, options, keys, (*(problem for layer in layers for problem in layer.faults), *wrong))


def _keys(layers: Stack, model: PhoneModel, names: Iterable[str]) -> tuple[dict[str, tuple[str, str]], list[Problem]]:
    """What the layers say about these keys, each with the title of its layer; and who says something else of a key
    that a layer below protects: that one stays as it is."""
    found: dict[str, tuple[str, str]] = {}
    wrong = []
    for name in names:
        speaking = [(layer, text) for layer in layers if (text := layer.settings(model).get(name, "")) != ""]
        holder = next((one for one in speaking if one[1] is not None and is_protected(one[1])), None)
        layer, text = holder or speaking[-1]
        if text is not None:
            found[name] = (text, layer.title)
        for other, otherwise in speaking[speaking.index(holder) + 1 :] if holder and _has_key(model, name) else ():
            # A phone that frees a key by its own layer (going back does that) simply does not free this one.
            if otherwise != text and not (otherwise is None and other.level is Level.PHONE):
                words = f"{name} is protected by {layer.title}; take it out of {other.title}, or change it there."
                wrong.append(Problem(f"setting.{name}", words))
    return found, wrong


def _has_key(model: PhoneModel, name: str) -> bool:
    return name == TEAM or KEY_NAMES[name] in slots(model)


def names(layers: Stack, model: PhoneModel) -> set[str]:
    """Every setting that one of the layers names, be it to leave it alone."""
    return {name for layer in layers for name in layer.settings(model)}


def with_ours(layers: Stack, ours: Sequence[Layer]) -> Stack:
    """The same layers with those that we make ourselves: above our defaults, below all that people say."""
    lowest = [layer for layer in layers if layer.level in (Level.DEFAULTS, Level.GENERATED)]
    return (*lowest, *ours, *layers[len(lowest) :])


def without_secrets(said: Said) -> Said:
    """The same without every secret, and without what no catalogue knows, which may be one."""
    kept = {name: text for name, text in said.settings.items() if name in SETTINGS and not SETTINGS[name].secret}
    return replace(said, settings=kept)
