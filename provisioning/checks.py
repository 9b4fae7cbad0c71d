"""System checks of what phones are told: wrong settings fail at start, with a hint, and not at the first phone."""

import ipaddress

from django.conf import settings
from django.core.checks import Error, Warning, register

from provisioning import certificates
from provisioning.gxp import login
from provisioning.gxp.fields import path_fault
from provisioning.gxp.pvalues import GENERATED, OPINIONS


@register()
def public_url(app_configs, **kwargs):
    """provisioning.E001: GSPNP_PUBLIC_URL is empty, or scheme, host, optional port and path."""
    url = settings.GSPNP_PUBLIC_URL
    scheme = url.partition("://")[0]  # as it stands: "HTTPS" would be told to phones as http
    if not url or (scheme in ("http", "https") and path_fault(url.partition("://")[2]) is None):
        return []
    hint = "Write for example http://pbx.example:5481, or leave it empty to use our address towards each phone."
    return [Error(f"GSPNP_PUBLIC_URL is {url!r}.", hint=hint, id="provisioning.E001")]


@register()
def phones_port(app_configs, **kwargs):
    """provisioning.W001: what makes files sends phones to the port at which the phones' door is open."""
    there, told = settings.PHONES_DOOR_PORT, settings.GSPNP_PHONES_PORT
    if settings.GSPNP_PUBLIC_URL or there in (None, told):
        return []
    words = f"The phones' door is open at port {there}, and this sends phones to port {told}, where it is not."
    hint = f"Write GSPNP_PHONES_PORT={there} into .env, or restart everything so that the door opens at port {told}."
    return [Warning(words, hint=hint, id="provisioning.W001")]


@register()
def opinions(app_configs, **kwargs):
    """provisioning.E002: GSPNP_OPINIONS_OFF names opinions that exist."""
    known = OPINIONS.keys() | GENERATED.keys()
    unknown = [name for name in settings.GSPNP_OPINIONS_OFF if name not in known]
    hint = f"Write names from this list: {', '.join(sorted(known))}."
    return [Error(f"GSPNP_OPINIONS_OFF holds {name!r}.", hint=hint, id="provisioning.E002") for name in unknown]


@register()
def phone_login(app_configs, **kwargs):
    """provisioning.W005: nobody may write the login that phones are to have."""
    off = sorted(set(login.SETTINGS).intersection(settings.GSPNP_OPINIONS_OFF))
    if settings.GSPNP_PHONE_LOGIN == "off" or not off:
        return []
    words = f"No phone logs in: GSPNP_OPINIONS_OFF leaves {' and '.join(off)} alone."
    hint = "Take them out of GSPNP_OPINIONS_OFF, or write GSPNP_PHONE_LOGIN=off."
    return [Warning(words, hint=hint, id="provisioning.W005")]


@register()
def networks(app_configs, **kwargs):
    """provisioning.E003: every entry of a setting that lists networks is one."""
    found = []
    for name in ("GSPNP_ALLOWED_NETWORKS", "GSPNP_TRUSTED_PROXIES", "GSPNP_METRICS_NETWORKS"):
        for entry in getattr(settings, name):
            try:
                ipaddress.ip_network(entry, strict=False)
            except ValueError:
                hint = "Write an address or a network such as 192.168.10.0/24."
                found.append(Error(f"{name} holds {entry!r}.", hint=hint, id="provisioning.E003"))
    return found


@register()
def doors_certificates(app_configs, **kwargs):
    """provisioning.W002 to W004: the files that GSPNP_PHONES_CERT, GSPNP_CONSOLE_CERT and their keys name."""
    return certificates.messages()
