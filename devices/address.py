"""IP addresses as text, read once: in a boot storm each phone's is asked about several times. Pure."""

import ipaddress
from functools import lru_cache

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

REMEMBERED = 16_384  # a site that starts up at once fits in; a few MB


@lru_cache(maxsize=REMEMBERED)
def parse_address(host: str) -> Address | None:
    """The address that this text names, IPv4 also where the kernel says ::ffff:10.0.0.20; None if it is none."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return address if mapped is None else mapped
