"""Phones that move from plain HTTP to TLS: what leaves by plain HTTP while our door speaks both on one port.

No phone may be lost on the way. One whose file says http goes on by its path until it has a file that says https; a
path that only stands in files that say https leads nowhere by plain HTTP. So each phone moves by itself, and the old
way closes behind it. `GSPNP_PHONES_HTTP` is 1 to let everything out by plain HTTP, and 0 to let out nothing secret.
"""

from __future__ import annotations

from django.conf import settings

from devices import networks
from provisioning.crossing import EVERYTHING, MOVING
from provisioning.door.http import Request
from provisioning.door.lookup import Stored, Wanted
from provisioning.downloads import Offer, OtherName


def is_open(request: Request, wanted: Wanted, found: Offer | OtherName | Stored) -> bool:
    """Whether what was found may leave by the connection that it is asked for on.

    What a person has released by its plain name may: the phone that asks for it knows no other way yet. A proxy that
    the operator trusts has done the TLS itself.
    """
    if isinstance(found, Offer):
        return is_open_for(request, found.path_base)
    return _is_safe(request) or settings.GSPNP_PHONES_HTTP == MOVING or not wanted.phonebook


def is_open_for(request: Request, path_base: str) -> bool:
    """The same for a phone's file, by a path that was made for this address of our door."""
    return _is_safe(request) or (settings.GSPNP_PHONES_HTTP == MOVING and not path_base.startswith("https:"))


def _is_safe(request: Request) -> bool:
    if request.secure or not settings.PHONES_CERTIFICATE or settings.GSPNP_PHONES_HTTP == EVERYTHING:
        return True
    return networks.within(networks.plain_host(request.peer), settings.GSPNP_TRUSTED_PROXIES)
