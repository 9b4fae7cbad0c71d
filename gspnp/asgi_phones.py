"""The phones' door: one small Django, no admin code loaded."""

import os

os.environ["DJANGO_SETTINGS_MODULE"] = "gspnp.settings_phones"

from django.core.asgi import get_asgi_application

from gspnp.bodies import PHONES_BYTES, bound

bound(PHONES_BYTES)
http = get_asgi_application()


async def application(scope, receive, send):
    """HTTP goes to Django; a WebSocket is refused without a word in the log, for anybody can ask for one."""
    if scope["type"] == "http":
        await http(scope, receive, send)
    elif scope["type"] == "websocket":
        await send({"type": "websocket.close"})
