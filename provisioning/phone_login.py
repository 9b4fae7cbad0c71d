"""Whether a phone has to log in to fetch its file, as its layers and this installation say."""

from __future__ import annotations

from django.conf import settings

from devices.catalog import PhoneModel
from provisioning.door.http_login import Scheme
from provisioning.gxp import login
from provisioning.gxp.layers import Level
from provisioning.layers import stack


def scheme_of(layers: stack.Stack, model: PhoneModel) -> Scheme | None:
    """How phones with these layers log in; None where they do not.

    Nor do they where a layer, or the environment, has its own say about the settings of a login (for a proxy in front,
    say): the door would ask for what the phone does not have.
    """
    if not set(login.SETTINGS).isdisjoint(settings.GSPNP_OPINIONS_OFF):
        return None
    word = settings.GSPNP_PHONE_LOGIN
    for layer in layers:
        said = layer.settings(model)
        if layer.level is not Level.DEFAULTS and not said.keys().isdisjoint(login.SETTINGS):
            return None
        word = said.get(login.OPTION) or word
    return Scheme(word) if word in set(Scheme) else None
