"""The only writer of layers and of the templates of phones."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from django.db import transaction
from django.db.models import Max
from django.utils import timezone
from django.utils.translation import gettext, gettext_lazy, ngettext

from devices.catalog import MODELS
from devices.inventory import VersionConflict
from devices.models import Phone
from provisioning.gxp.config import ConfigError, Problem
from provisioning.gxp.layers import canonical, problems
from provisioning.layers import stack
from provisioning.layers.models import LayerLevel, PhoneTemplate, SettingsLayer

MAX_VALUES = 1000  # settings in one layer; the catalogue knows 732. Our choice.
CHANGED_MEANWHILE = gettext_lazy("This layer was changed by somebody else in the meantime. Reload it and try again.")


def find(level: str, name: str) -> SettingsLayer:
    """The layer of a site, a model or a template; a new, empty one if there is none yet. Raises ConfigError."""
    wrong = _name_problem(level, name)
    if wrong:
        raise ConfigError([Problem("name", wrong)])
    known = SettingsLayer.objects.filter(level=level, name=spelled(level, name)).first()
    return known or SettingsLayer(level=level, name=spelled(level, name), sealed=b"{}", version=0)


def save(layer: SettingsLayer, values: Mapping[str, str | None], *, by: str, note: str | None = None) -> SettingsLayer:
    """Store what the layer says; the layer is as its reader saw it. Raises ConfigError or VersionConflict."""
    values = read(values)
    now = timezone.now()
    changed = SettingsLayer(
        pk=layer.pk,
        level=layer.level,
        name=layer.name,
        phone_id=layer.phone_id,
        note=(layer.note if note is None else note)[:200],
        version=layer.version + 1,
        changed_by=by[:150],
        changed_at=now,
    )
    changed.values = values
    with transaction.atomic():
        if layer.pk is None:
            if SettingsLayer.objects.filter(level=layer.level, name=layer.name, phone=layer.phone_id).exists():
                raise VersionConflict(CHANGED_MEANWHILE)
            changed.save(force_insert=True)
        elif not SettingsLayer.objects.filter(pk=layer.pk, version=layer.version).update(version=layer.version + 1):
            raise VersionConflict(CHANGED_MEANWHILE)
        else:
            changed.save(force_update=True)
    return changed


def read(values: Mapping[str, str | None]) -> dict[str, str | None]:
    """Typed values under their canonical names, in the order of the names. Raises ConfigError with every problem."""
    found: dict[str, str | None] = {}
    wrong = []
    for typed, text in values.items():
        name = canonical(typed)
        if name in found:
            wrong.append(
                Problem(f"setting.{name}", gettext("%(name)s is given twice; remove one of them.") % {"name": name})
            )
        found[name] = text
    if len(found) > MAX_VALUES:
        words = gettext("A layer holds at most %(number)d settings; spread them over several.")
        wrong.append(Problem("settings", words % {"number": MAX_VALUES}))
    wrong += problems(found)
    if wrong:
        raise ConfigError(wrong)
    return dict(sorted(found.items()))


def chosen(
    phone: Phone, own: Mapping[str, str | None] | None, templates: Sequence[SettingsLayer] | None
) -> stack.Stack:
    """The phone's layers, with what is about to change. Raises ConfigError, and CannotDecrypt."""
    layers = stack.stack(phone)
    if templates is not None:
        layers = with_templates(layers, templates)
    return layers if own is None else stack.with_own(layers, read(own))


def with_templates(layers: stack.Stack, templates: Sequence[SettingsLayer]) -> stack.Stack:
    """The same layers with other templates. Raises CannotDecrypt."""
    kept = [one for one in layers if one.level != LayerLevel.TEMPLATE]
    own_layer = [one for one in kept if one.level == LayerLevel.PHONE]
    return (*kept[: len(kept) - len(own_layer)], *(one.as_layer() for one in templates), *own_layer)


def keep(
    phone: Phone,
    own: Mapping[str, str | None],
    templates: Sequence[SettingsLayer] | None,
    by: str,
    *,
    anew: bool = False,
) -> None:
    """Store the phone's own layer and its templates, where they changed, or `anew`; call it inside the save's
    transaction."""
    layer = SettingsLayer.objects.filter(phone=phone).first()
    if layer is None and own:
        layer = SettingsLayer(level=LayerLevel.PHONE, phone=phone, sealed=b"{}", version=0)
    if layer is not None and (anew or dict(layer.values) != dict(own)):
        layer.values = own
        layer.version += 1
        layer.changed_by, layer.changed_at = by[:150], timezone.now()
        layer.save()
    if templates is not None:
        PhoneTemplate.objects.filter(phone=phone).delete()
        PhoneTemplate.objects.bulk_create(
            PhoneTemplate(phone=phone, layer=layer, place=place) for place, layer in enumerate(templates)
        )


def replace_templates(names: Mapping[int, Sequence[str]]) -> None:
    """Give these phones exactly the templates of these names, in this order; one that is gone is passed over."""
    PhoneTemplate.objects.filter(phone__in=list(names)).delete()
    wanted = {name for its in names.values() for name in its}
    ids = dict(SettingsLayer.objects.filter(level=LayerLevel.TEMPLATE, name__in=wanted).values_list("name", "pk"))
    PhoneTemplate.objects.bulk_create(
        PhoneTemplate(phone_id=phone_id, layer_id=ids[name], place=place)
        for phone_id, its in names.items()
        for place, name in enumerate(its)
        if name in ids
    )


def give(phone: Phone, template: SettingsLayer) -> bool:
    """Give the phone a template, after those that it has, so that it wins over them; False if it has it already."""
    has = PhoneTemplate.objects.filter(phone=phone)
    if has.filter(layer=template).exists():
        return False
    place = has.aggregate(Max("place"))["place__max"]
    PhoneTemplate.objects.create(phone=phone, layer=template, place=0 if place is None else place + 1)
    return True


def take(phone: Phone, template: SettingsLayer) -> bool:
    """Take a template from the phone; False if it does not have it."""
    return bool(PhoneTemplate.objects.filter(phone=phone, layer=template).delete()[0])


def remove(layer: SettingsLayer) -> None:
    """Delete a layer that no phone uses any more. Raises ConfigError if some do."""
    users = PhoneTemplate.objects.filter(layer=layer).count()
    if users:
        words = ngettext("%(number)d phone has this template; take it from there first.",
                         "%(number)d phones have this template; take it from them first.", users)  # fmt: skip
        raise ConfigError([Problem("name", words % {"number": users})])
    layer.delete()


def _name_problem(level: str, name: str) -> str | None:
    if level == LayerLevel.MODEL and name.upper() not in MODELS:
        words = gettext("There is no model %(name)r; choose from %(models)s.")
        return words % {"name": name, "models": ", ".join(MODELS)}
    if level == LayerLevel.TEMPLATE and not name.strip():
        return gettext("A template needs a name; enter one.")
    if level == LayerLevel.SITE and not re.fullmatch(r"[A-Za-z0-9_-]*", name.strip(), re.ASCII):
        return gettext("A site is named with letters, digits, - and _, as the phones' site is; change the name.")
    if len(name) > 40 or not name.isprintable():
        return gettext("A name has at most 40 printable characters; shorten it.")
    return None


def spelled(level: str, name: str) -> str:
    """The name as it is stored."""
    return name.upper() if level == LayerLevel.MODEL else name.strip()
