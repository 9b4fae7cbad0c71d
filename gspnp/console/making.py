"""What Django says to a request for rows, as a plain call that a thread or another process can make.

What goes in and out is pickled: see beside.py.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from functools import cache
from typing import Any, NamedTuple

from django.core.handlers.asgi import ASGIRequest, get_script_prefix
from django.core.handlers.base import BaseHandler
from django.core.signals import request_started
from django.http import HttpRequest, HttpResponseBase
from django.urls import set_script_prefix

# Of an ASGI scope, what a request for a page is made of; the rest belongs to the connection that it came by.
ASKED = (
    "type", "asgi", "http_version", "method", "scheme", "path", "raw_path", "query_string", "root_path", "headers",
    "client", "server",
)  # fmt: skip
_MADE_FOR = "gspnp.made_for"


class Made(NamedTuple):
    """A whole answer, and for which readers its view says that it was made."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes
    has_cookies: bool
    readers: list[object]


def made_for(request: HttpRequest, reader: object) -> None:
    """The view says for whom its answer was made: nobody else gets it, whatever was known of this person before."""
    readers = getattr(request, "scope", {}).get(_MADE_FOR)
    if readers is not None:
        readers.append(reader)


def make(scope: Mapping[str, Any]) -> Made:
    """The answer to this request, by all of Django's middleware. Raises what a view raises that nobody answers for."""
    readers: list[object] = []
    response = _handler()({**{name: scope[name] for name in ASKED if name in scope}, _MADE_FOR: readers})
    return Made(response.status_code, list(response.items()), response.content, bool(response.cookies), readers)


class _InOneThread(BaseHandler):
    """Django with all its middleware as a plain call. Its ASGI handler goes from a thread to the event loop and back
    for each middleware and waits there for its turn each time: far longer than the work takes, while the loop tells
    fifty pages something."""

    def __init__(self) -> None:
        super().__init__()
        self.load_middleware()

    def __call__(self, scope: dict[str, Any]) -> Any:
        set_script_prefix(get_script_prefix(scope))
        request_started.send(sender=type(self), scope=scope)
        response: HttpResponseBase = self.get_response(ASGIRequest(scope, io.BytesIO()))
        response.close()  # it sends request_finished
        return response


@cache
def _handler() -> _InOneThread:
    return _InOneThread()


def warm_up() -> None:
    """What the first answer would else wait for: the middleware, and every address with its view."""
    from django.urls import get_resolver

    _handler()
    get_resolver().url_patterns  # noqa: B018  (imports the views)
