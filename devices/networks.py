"""Whose packets and requests are taken: allowed networks, by default private, loopback and connected ones."""

import ipaddress
import time
from collections.abc import Sequence
from functools import lru_cache

import ifaddr

from devices.address import REMEMBERED, parse_address

PRIVATE = (
    "10.0.0.0/8",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "::1/128",
    "fe80::/10",
    "fc00::/7",
)
CONNECTED_CACHE_SECONDS = 5.0

_connected: tuple[float, tuple[str, ...]] = (-CONNECTED_CACHE_SECONDS, ())


def within(host: str, networks: Sequence[str]) -> bool:
    """Is this address in one of these networks? A host that is no address is in none."""
    return _within(host, tuple(networks))


@lru_cache(maxsize=REMEMBERED)
def _within(host: str, networks: tuple[str, ...]) -> bool:
    address = parse_address(host)
    return address is not None and any(address in _network(network) for network in networks)


@lru_cache(maxsize=1024)
def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    """Parsed once."""
    return ipaddress.ip_network(text, strict=False)


def plain_host(host: str) -> str:
    """An IPv4 phone is the same phone when the kernel says ::ffff:10.0.0.20; what is no address stays as it is."""
    address = parse_address(host)
    return host if address is None else str(address)


def asker(peer: str, forwarded: str, trusted: Sequence[str]) -> str:
    """Who asks over HTTP: the peer or, if that is a trusted proxy, the last address in `X-Forwarded-For` that such a
    proxy vouches for."""
    peer = plain_host(peer)
    if trusted and within(peer, trusted):
        for hop in reversed(forwarded.split(",")):
            hop = plain_host(hop.strip().partition("%")[0])
            try:
                ipaddress.ip_address(hop)
            except ValueError:
                break
            if not within(hop, trusted):
                return hop
    return peer


def allowed(host: str, configured: Sequence[str]) -> bool:
    """May this address talk to us? `configured` is GSPNP_ALLOWED_NETWORKS; empty means connected and private ones."""
    return within(host, configured) if configured else within(host, PRIVATE) or within(host, connected())


def connected() -> tuple[str, ...]:
    """The networks that this machine is directly connected to, read at most every few seconds."""
    global _connected
    now = time.monotonic()
    if now - _connected[0] >= CONNECTED_CACHE_SECONDS:
        found = tuple(
            f"{ip.ip if isinstance(ip.ip, str) else ip.ip[0]}/{ip.network_prefix}"
            for adapter in ifaddr.get_adapters()
            for ip in adapter.ips
        )
        _connected = (now, found)
    return _connected[1]
