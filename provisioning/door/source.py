"""Who asks: the peer or, if that is a trusted proxy, the last address that the proxy vouches for."""

from __future__ import annotations

import ipaddress

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
    peer = networks.plain_host(request.peer)
    trusted = settings.GSPNP_TRUSTED_PROXIES
    if trusted and networks.within(peer, trusted):
        for hop in reversed(request.header("x-forwarded-for").split(",")):
            hop = networks.plain_host(hop.strip().partition("%")[0])
            try:
                ipaddress.ip_address(hop)
            except ValueError:
                break
            if not networks.within(hop, trusted):
                return hop
    return peer
