"""What a line of the log belongs to: the request that is being answered, and the site that a listener serves.

Knows neither Django nor the log: whoever takes a request in says so here, and gspnp/logs.py reads it.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Sequence
from contextvars import ContextVar

from devices import networks

HEADER = "x-request-id"
_TAKEN = re.compile(r"[A-Za-z0-9._-]{1,64}")

_request_id: ContextVar[str] = ContextVar("request_id", default="")
_site = ""


def request_id() -> str:
    """Of the request in whose course this is called; "" outside of one."""
    return _request_id.get()


def begin_request(peer: str, given: str, trusted: Sequence[str]) -> str:
    """A request begins in this task: its id from here on. `given` is what its X-Request-ID says, which counts only
    from a peer in the networks `trusted`: a stranger must not choose what stands in the log."""
    is_trusted = bool(given) and bool(trusted) and networks.within(networks.plain_host(peer), trusted)
    chosen = given if is_trusted and _TAKEN.fullmatch(given) else secrets.token_hex(8)
    _request_id.set(chosen)
    return chosen


def of_no_request() -> None:
    """What follows in this task belongs to none: it was only begun in the course of one."""
    _request_id.set("")


def site() -> str:
    """The site that this process serves; "" if it serves none in particular."""
    return _site


def serves(slug: str) -> None:
    """This process serves this site."""
    global _site
    _site = slug
