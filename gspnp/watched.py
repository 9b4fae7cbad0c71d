"""In front of the console: an id for each request, what is counted of them, and the pages for those who watch.

It stands before anything that believes a header: who may read the metrics is judged by the peer of the connection.
"""

from __future__ import annotations

import json
import logging
import time
from typing import Any

import prometheus_client
from channels.db import database_sync_to_async
from django.conf import settings
from django.db import DatabaseError

from devices import metrics, said_of, wake
from devices.metrics import REGISTRY
from gspnp.console import tail
from provisioning import readiness
from provisioning.asked import Shared
from provisioning.readiness import OK, Check, Checks

log = logging.getLogger(__name__)

HEADER = said_of.HEADER.encode()
TRY_AGAIN_LATER = 1013  # registered for WebSockets beside RFC 6455 7.4
REDIS_SECONDS = 1.0  # one answer of Redis holds so long: who asks often must not make it a dial for each
CLASSES = ("1xx", "2xx", "3xx", "4xx", "5xx")

SECONDS = prometheus_client.Histogram(
    "gspnp_console_seconds", "Time until the console's answer began, by class of its status.", ["status"],
    registry=REGISTRY, buckets=(0.01, 0.025, 0.05, 0.1, 0.15, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)  # fmt: skip
CLIENTS = prometheus_client.Gauge("gspnp_websocket_clients", "Browsers with a live link.", registry=REGISTRY)
_seconds = {name: SECONDS.labels(name) for name in CLASSES}


class Watched:
    """ASGI middleware around both protocols of the console's door."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: dict, receive: Any, send: Any) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        peer = (scope.get("client") or ("", 0))[0]
        given = next((value.decode("latin-1") for name, value in scope["headers"] if name.lower() == HEADER), "")
        request_id = said_of.begin_request(peer, given, settings.GSPNP_TRUSTED_PROXIES)
        if scope["type"] == "websocket":
            await _live(self.app, scope, receive, send)
        else:
            await _counted(self.app, scope, receive, send, peer, request_id)


async def _live(app: Any, scope: dict, receive: Any, send: Any) -> None:
    """Count a browser from the moment that it is let in to the end of its link.

    Who signs in where is in the database: while that is away a link ends without noise, and its page tries again.
    """
    inside = False

    async def sending(message: dict) -> None:
        nonlocal inside
        if message["type"] == "websocket.accept" and not inside:
            inside = True
            CLIENTS.inc()
        await send(message)

    try:
        await app(scope, receive, sending)
    except DatabaseError as error:
        log.warning("a page's live link ends, its user cannot be looked up: %s", error)
        await send({"type": "websocket.close", "code": TRY_AGAIN_LATER})
    finally:
        if inside:
            CLIENTS.dec()


async def _counted(app: Any, scope: dict, receive: Any, send: Any, peer: str, request_id: str) -> None:
    begun = time.perf_counter()

    async def sending(message: dict) -> None:
        if message["type"] == "http.response.start":
            name = f"{message['status'] // 100}xx"
            if name in _seconds:
                _seconds[name].observe(time.perf_counter() - begun)
            headers = [*message.get("headers", ()), (HEADER, request_id.encode())]
            message = {**message, "headers": headers}
        await send(message)

    answer = await _of_itself(scope, peer)
    if answer is None:
        await app(scope, receive, sending)
        return
    status, content_type, body = answer
    headers = [
        (b"content-type", content_type.encode()), (b"content-length", str(len(body)).encode()),
        (b"cache-control", b"no-store"), (b"x-content-type-options", b"nosniff"),
    ]  # fmt: skip
    await sending({"type": "http.response.start", "status": status, "headers": headers})
    await sending({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})


async def _of_itself(scope: dict, peer: str) -> tuple[int, str, bytes] | None:
    """Status, type and body for whoever watches; None: the console answers, as it does where nothing is."""
    if scope["method"] not in ("GET", "HEAD"):
        return None
    if scope["path"] == "/metrics":
        accept = next((value.decode("latin-1") for name, value in scope["headers"] if name.lower() == b"accept"), "")
        return (200, *metrics.exposition(accept)) if _is_reader(scope, peer) else None
    if scope["path"] == "/readyz":
        look = database_sync_to_async(readiness.examine, thread_sensitive=False)
        found = await look(readiness.STORE | checks())
        if _is_reader(scope, peer):
            return found.status, "application/json", found.as_json().encode()
        return found.status, "application/json", json.dumps({"ready": found.ready}).encode() + b"\n"
    return None


def _is_reader(scope: dict, peer: str) -> bool:
    return metrics.may_read(peer, (name.decode("latin-1") for name, _ in scope["headers"]))


_redis = Shared(wake.answers, REDIS_SECONDS)


def checks() -> Checks:
    """What the console needs beside the database."""

    def live() -> Check:
        return Check(OK if tail.is_well() else "browsers are not told of changes: the log says why")

    def redis() -> Check:
        if not wake.is_on():
            return Check("not set", told_only=True)
        is_there = _redis.within(readiness.ASK_SECONDS)
        return Check(OK if is_there else "away: pages look for changes themselves", told_only=True)

    return {"live": live, "redis": redis}
