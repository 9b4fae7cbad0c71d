"""Forwarded headers are believed from a trusted proxy only; from anybody else they are dropped."""

from typing import Any

from django.conf import settings

from devices import networks

FORWARDED = (b"x-forwarded-", b"forwarded")


class TrustedProxies:
    """ASGI middleware in front of the console door. Source: design, "Behind a proxy"."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: dict, receive: Any, send: Any) -> None:
        peer = (scope.get("client") or ("", 0))[0]
        if not networks.within(peer, settings.GSPNP_TRUSTED_PROXIES):
            headers = [(name, value) for name, value in scope["headers"] if not name.lower().startswith(FORWARDED)]
            scope = {**scope, "headers": headers}
        await self.app(scope, receive, send)
