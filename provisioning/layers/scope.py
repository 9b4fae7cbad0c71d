"""Which phones a layer reaches, and which of them a change of it touches."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping

from django.db.models import QuerySet

from devices.choices import WAY
from devices.models import Phone
from provisioning.gxp.layers import Layer, Values, merge
from provisioning.layers import stack
from provisioning.layers.models import LayerLevel, SettingsLayer

CHUNK = 500  # phones read at once


def phones_under(scope: Mapping[str, object]) -> QuerySet[Phone]:
    """The assigned phones of a scope: `{"site": slug}`, `{"model": name}`, `{"template": id}`, `{"phones": [id…]}`,
    or `{}` for all. Raises ValueError for any other, which must not mean all."""
    phones = Phone.objects.filter(stage__in=WAY)
    if not scope:
        return phones
    if len(scope) > 1:
        raise ValueError(f"no such scope: {', '.join(scope)}")
    match dict(scope):
        case {"site": name}:
            return phones.filter(site=name)
        case {"model": name}:
            return phones.filter(model__iexact=str(name))
        case {"template": int(layer_id)}:
            return phones.filter(templates__layer=layer_id)
        case {"phones": list(ids)}:
            return phones.filter(pk__in=ids)
    raise ValueError(f"no such scope: {', '.join(scope)}")


def next_ids(scope: Mapping[str, object], after: int, most: int) -> list[int]:
    """The ids of the next phones of a scope, in their order; `{"phones": [id…]}` names them in their order."""
    match dict(scope):
        case {"phones": list(ids)}:
            # Only so many as are needed go to the database; some may be gone, so there are a few more.
            found: list[int] = []
            left = ids[bisect_right(ids, after) :]
            while left and len(found) < most:
                bite, left = left[:most], left[most:]
                there = phones_under({"phones": bite}).order_by("pk").values_list("pk", flat=True)
                found += there
            return found[:most]
    phones = phones_under(scope).filter(pk__gt=after).order_by("pk")
    return list(phones.values_list("pk", flat=True)[:most])


def scope_of(layer: SettingsLayer) -> dict[str, object]:
    """The scope of a layer that is stored."""
    if layer.level == LayerLevel.TEMPLATE:
        return {"template": layer.pk}
    return {"phones": [layer.phone_id]} if layer.level == LayerLevel.PHONE else {layer.level: layer.name}


def reached(layer: SettingsLayer) -> int:
    """How many assigned phones the layer reaches."""
    return phones_under(scope_of(layer)).count() if layer.pk or layer.level != LayerLevel.TEMPLATE else 0


def touched(layer: SettingsLayer, values: Values) -> list[int]:
    """The ids of the phones whose settings would change if the layer said this; nothing is written."""
    if not layer.pk and layer.level == LayerLevel.TEMPLATE:
        return []
    found = []
    for chunk in _chunks(phones_under(scope_of(layer))):
        layers = stack.stacks(chunk)
        for phone in chunk:
            model = phone.known_model
            if model is None:
                continue
            changed = stack.with_layer(layers[phone.pk], Layer(layer.as_level, layer.name, values))
            before, after = merge(layers[phone.pk], model), merge(changed, model)
            if {name: one.text for name, one in before.items()} != {name: one.text for name, one in after.items()}:
                found.append(phone.pk)
    return found


def _chunks(phones: QuerySet[Phone]) -> Iterator[list[Phone]]:
    after = 0
    while chunk := list(phones.filter(pk__gt=after).order_by("pk").only("pk", "model", "site")[:CHUNK]):
        yield chunk
        after = chunk[-1].pk
