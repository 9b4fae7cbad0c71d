"""Where an extension's secret may go without that anybody looks at it.

A phone tells its secrets to who owns the address that it is at, and to the server that it registers with. So a secret
stays with the site and the server that its entry in the directory names.
"""

from __future__ import annotations

from typing import Literal

from devices.models import Extension


def what_forbids(entry: Extension, site: str, sip_server: str) -> Literal["site", "sip_server", ""]:
    """What keeps the entry's secret from a phone of this site that registers with this server; "" if nothing does."""
    if entry.site not in ("", site):
        return "site"
    if entry.sip_server and entry.sip_server.lower() != sip_server.lower():
        return "sip_server"
    return ""
