"""Who asks: the peer or, if that is a trusted proxy, the last address that the proxy vouches for."""

from __future__ import annotations

from django.conf import settings

from devices import networks
from provisioning.door.http import Request


def local(request: Request) -> str:
    """Our own address as whoever asks reaches it; "" behind a proxy, of whose address a phone knows nothing."""
    trusted = settings.GSPNP_TRUSTED_PROXIES
    behind = bool(trusted) and networks.within(networks.plain_host(request.peer), trusted)
    return "" if behind else networks.plain_host(request.local)


def host(request: Request) -> str:
    """The address of whoever asks."""
    return networks.asker(request.peer, request.header("x-forwarded-for"), settings.GSPNP_TRUSTED_PROXIES)
