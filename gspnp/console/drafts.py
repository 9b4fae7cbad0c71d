"""What a person typed and has not saved yet, on its way from one page to the next.

It goes through the browser encrypted, because some of it are passwords, which no page may show. It belongs to one
person and one place: neither another user nor another layer's page opens it.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping

from devices.crypto import CannotDecrypt, open_bytes, seal_bytes
from provisioning.gxp.layers import Values


def seal(user_id: object, place: str, values: Values) -> str:
    """A text for a hidden field."""
    content = json.dumps([str(user_id), place, dict(values)], ensure_ascii=False)
    return base64.urlsafe_b64encode(seal_bytes(content.encode("utf-8", "surrogatepass"))).decode("ascii")


def unseal(token: str, user_id: object, place: str) -> dict[str, str | None] | None:
    """What `seal` was given; None if this is none of ours, of somebody else, or of another place."""
    try:
        content = open_bytes(base64.urlsafe_b64decode(token.encode("ascii")))
        owner, where, values = json.loads(content.decode("utf-8", "surrogatepass"))
    except (CannotDecrypt, ValueError):
        return None
    return dict(values) if isinstance(values, Mapping) and (owner, where) == (str(user_id), place) else None
