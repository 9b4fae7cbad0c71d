"""Files for every phone of a model: made when a layer changes, never when a phone asks, and without any secret.

Only the layers of the default site and of the model speak in them: whoever asks by a plain name is nobody that we
know. Nothing of the assignment, no server path and no opinion of ours is in them, nor what names an account or an
address of another system: such an address may hold a login or a token.
"""

from __future__ import annotations

import hashlib
import re

from devices.catalog import MODELS, PhoneModel, find_model
from devices.crypto import CannotDecrypt
from provisioning.gxp import document
from provisioning.gxp.catalogue import SETTINGS, fault
from provisioning.layers import stack
from provisioning.layers.models import LayerLevel, SettingsLayer
from provisioning.plain.models import ModelFile

# No secret by its kind, and people write `?token=` there, or say who may sign in; a phone gets it in its own file.
_MAY_HOLD_A_LOGIN = re.compile(
    r"(?:action_url|dot1x|ldap|openvpn|pppoe|tr069|xsi)_.*|.*_(?:path|url|username|user_id|certificate)",
    re.ASCII,
)

NO_MODEL = "-"  # looked up all the same: a refusal is one whatever is asked for


def refresh() -> int:
    """Make these files anew from the layers as they are now; how many changed. Call it now and then."""
    wanted = {}
    for model in ("", *MODELS):
        try:
            texts = _texts(model)
        except CannotDecrypt:
            continue  # the file that was made before goes on
        wanted[model] = document.for_everybody(texts) if texts else b""
    stored = dict(ModelFile.objects.values_list("model", "etag"))
    changed = 0
    for model, content in wanted.items():
        etag = hashlib.sha256(content).hexdigest()[:32]
        if not content:
            changed += ModelFile.objects.filter(model=model).delete()[0] if model in stored else 0
        elif stored.get(model) != etag:
            ModelFile.objects.update_or_create(model=model, defaults={"content": content, "etag": etag})
            changed += 1
    return changed


def told(model: PhoneModel) -> dict[str, str]:
    """What a phone of this model may have been told by a plain name, before we knew it; by setting."""
    found: dict[str, str] = {}
    for content in ModelFile.objects.filter(model__in=("", model.name)).values_list("content", flat=True):
        found.update(document.values(bytes(content)))
    return found


def find(name: str) -> ModelFile | None:
    """The file behind `cfg<model>.xml` or `cfg.xml` in any letter case."""
    model = find_model(name[len("cfg") : -len(".xml")])
    wanted = "" if name.lower() == "cfg.xml" else model.name if model is not None else NO_MODEL
    return ModelFile.objects.filter(model=wanted).first()


def _texts(model_name: str) -> dict[str, str]:
    """What the layers say for every phone of this model; "" is for settings that all models have."""
    levels = [(LayerLevel.SITE, "")] + ([(LayerLevel.MODEL, model_name)] if model_name else [])
    models = [MODELS[model_name]] if model_name else list(MODELS.values())
    found = [SettingsLayer.objects.filter(level=level, name=name, phone=None).first() for level, name in levels]
    layers = tuple(layer.as_layer() for layer in found if layer is not None)
    texts = stack.without_secrets(stack.said(layers, models[0])).settings
    return {
        name: text
        for name, text in document.in_order({name: text for name, text in texts.items() if text is not None}).items()
        if _is_for_all(name, text, models)
    }


def _is_for_all(name: str, text: str, models: list[PhoneModel]) -> bool:
    row = SETTINGS[name]
    if _MAY_HOLD_A_LOGIN.fullmatch(name):
        return False
    return fault(row, text) is None and all(row.applies_to(model.name) for model in models)
