"""Who asks: the peer or, if that is a trusted proxy, the last address that the proxy vouches for."""

from __future__ import annotations

import ipaddress

from django.conf import settings

from devices import networks
from provisioning.door.http import Request


def host(request: Request) -> str:
    """The address of whoever asks."""
    peer = networks.plain_host(request.peer)
    trusted = settings.GSPNP_TRUSTED_PROXIES
    if trusted and networks.within(peer, trusted):
        for hop in reversed(request.header("x-forwarded-for").split(",")):
            hop = networks.plain_host(hop.strip())
            try:
                ipaddress.ip_address(hop)
            except ValueError:
                break
            if not networks.within(hop, trusted):
                return hop
    return peer
