"""System checks of where we listen."""

import ipaddress

from django.conf import settings
from django.core.checks import Error, register

from devices.mac import MacError, parse_oui


@register()
def group(app_configs, **kwargs):
    """sipmcast.E001: GSPNP_PNP_GROUP is an IPv4 multicast address."""
    try:
        fine = ipaddress.IPv4Address(settings.GSPNP_PNP_GROUP).is_multicast
    except ValueError:
        fine = False
    hint = "Leave it at 224.0.1.75: that is where phones announce themselves."
    words = f"GSPNP_PNP_GROUP is {settings.GSPNP_PNP_GROUP!r}, which is no IPv4 multicast address."
    return [] if fine else [Error(words, hint=hint, id="sipmcast.E001")]


@register()
def ouis(app_configs, **kwargs):
    """sipmcast.E002: each entry of GSPNP_OUIS is the first half of a MAC."""
    errors = []
    for text in settings.GSPNP_OUIS:
        try:
            parse_oui(text)
        except MacError as error:
            errors.append(Error(f"GSPNP_OUIS: {error}", id="sipmcast.E002"))
    return errors
