"""Who may open a WebSocket: only a page that this very server delivered under one of its own names.

Browsers send no CSRF token with a WebSocket and apply no same-origin rule to it; the Origin header is all
there is (RFC 6455 10.2). Imports no consumer and no routing.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.http.request import split_domain_port, validate_host

logger = logging.getLogger(__name__)

DEFAULT_PORTS = {"http": "80", "https": "443"}

Message = MutableMapping[str, Any]
Application = Callable[
    [MutableMapping[str, Any], Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]],
    Awaitable[None],
]


def is_same_origin(origin: str, host: str, allowed: Iterable[str]) -> bool:
    """Whether `origin` (scheme://host[:port]) is the allowed server that `host` (the Host header) names."""
    scheme, separator, authority = origin.partition("://")
    scheme = scheme.lower()
    if not separator or scheme not in DEFAULT_PORTS:
        return False
    try:
        if urlsplit(origin).netloc != authority or "@" in authority:
            return False
    except ValueError:
        return False
    here, there = (_host_and_port(text, DEFAULT_PORTS[scheme]) for text in (host, authority))
    return bool(here[0]) and here == there and validate_host(here[0], allowed)


def _host_and_port(text: str, default_port: str) -> tuple[str, str]:
    domain, port = split_domain_port(text)
    return domain, port or default_port


class SameOrigin:
    """ASGI: passes everything on, but refuses a WebSocket of another origin in the handshake (403)."""

    def __init__(self, app: Application, allowed: Iterable[str] | None = None) -> None:
        self.app = app
        self._allowed = allowed

    async def __call__(self, scope, receive, send) -> None:
        if scope["type"] != "websocket" or self._is_welcome(scope):
            await self.app(scope, receive, send)
            return
        await receive()
        await send({"type": "websocket.close", "code": 4403})

    def _is_welcome(self, scope: MutableMapping[str, Any]) -> bool:
        hosts = [value.decode("latin-1") for name, value in scope["headers"] if name == b"host"]
        origins = [value.decode("latin-1") for name, value in scope["headers"] if name == b"origin"]
        allowed = settings.ALLOWED_HOSTS if self._allowed is None else self._allowed
        if len(hosts) == 1 and len(origins) == 1 and is_same_origin(origins[0], hosts[0], allowed):
            return True
        logger.warning("WebSocket refused: origin %.200r, host %.200r", origins, hosts)
        return False
