"""Forwarded headers reach Django from a trusted proxy only."""

import pytest
from django.test import override_settings

from gspnp.proxies import TrustedProxies

HEADERS = [(b"host", b"pbx"), (b"x-forwarded-proto", b"https"), (b"X-Forwarded-For", b"10.0.0.9"), (b"forwarded", b"x")]


async def passed_on(peer: str) -> list[bytes]:
    seen: list[bytes] = []

    async def app(scope, receive, send):
        seen.extend(name.lower() for name, _ in scope["headers"])

    await TrustedProxies(app)({"type": "http", "client": (peer, 1), "headers": HEADERS}, None, None)
    return seen


@override_settings(GSPNP_TRUSTED_PROXIES=["10.0.0.5"])
@pytest.mark.parametrize(("peer", "count"), [("10.0.0.5", 4), ("10.0.0.6", 1), ("", 1), ("::ffff:10.0.0.5", 4)])
async def test_only_a_trusted_proxy_is_believed(peer, count):
    assert len(await passed_on(peer)) == count


@override_settings(GSPNP_TRUSTED_PROXIES=[])
async def test_without_a_trusted_proxy_nobody_is_believed():
    assert await passed_on("127.0.0.1") == [b"host"]
