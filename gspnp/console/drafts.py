"""What a person typed and has not saved yet, on its way from one page to the next.

It goes through the browser encrypted, because some of it are passwords, which no page may show. It belongs to one
person and one place: neither another user nor another layer's page opens it.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from devices.crypto import CannotDecrypt, open_bytes, seal_bytes
from provisioning.gxp.layers import Values


@dataclass(frozen=True)
class Draft:
    """What came back: the values, and the names of those that are secrets and were typed on the way."""

    values: dict[str, str | None] = field(repr=False)
    typed: frozenset[str]


def seal(user_id: object, place: str, values: Values, typed: Iterable[str] = ()) -> str:
    """A text for a hidden field."""
    content = json.dumps([str(user_id), place, dict(values), sorted(typed)], ensure_ascii=False)
    return base64.urlsafe_b64encode(seal_bytes(content.encode("utf-8", "surrogatepass"))).decode("ascii")


def unseal(token: str, user_id: object, place: str) -> dict[str, str | None] | None:
    """The values that `seal` was given; None if this is none of ours, of somebody else, or of another place."""
    draft = opened(token, user_id, place)
    return None if draft is None else draft.values


def opened(token: str, user_id: object, place: str) -> Draft | None:
    """The same, with what was typed."""
    try:
        content = open_bytes(base64.urlsafe_b64decode(token.encode("ascii")))
        owner, where, values, typed = json.loads(content.decode("utf-8", "surrogatepass"))
    except (CannotDecrypt, ValueError):
        return None
    if not isinstance(values, Mapping) or (owner, where) != (str(user_id), place):
        return None
    return Draft(dict(values), frozenset(typed))
