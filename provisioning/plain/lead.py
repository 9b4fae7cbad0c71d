"""The file that only leads a phone here: our door and its protocol, no secret, the same for every MAC, known or not.

Off unless GSPNP_PLAIN_BOOTSTRAP is set. It is made from settings and our own address, so it tells nothing of any phone.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache

from django.conf import settings

from provisioning import plan
from provisioning.gxp import document
from provisioning.gxp.pvalues import PROTOCOL_NUMBERS
from provisioning.paths import Ask

FOLDER = "provisioning"  # as in the text for DHCP option 66


def find(ask: Ask | None, local_host: str) -> tuple[bytes, str] | None:
    """The file and its ETag for `cfg<mac>.xml`; None if it is switched off, for other names, and if nobody knows
    under which address the phone reaches us."""
    wanted = ask is not None and not ask.secret and ask.mac and ask.suffix == ".xml"
    if not settings.GSPNP_PLAIN_BOOTSTRAP or not wanted or not (local_host or settings.GSPNP_PUBLIC_URL):
        return None
    return _made(plan.base_url(local_host or None))


@lru_cache(maxsize=64)
def _made(base: str) -> tuple[bytes, str]:
    content = document.for_everybody(
        {
            "config_server_path": f"{plan.place_of(base)}/{FOLDER}",
            "config_server_protocol": str(PROTOCOL_NUMBERS[plan.protocol_of(base)]),
        }
    )
    return content, hashlib.sha256(content).hexdigest()[:32]
