"""The console door: HTTP by Django, WebSockets by Channels, both only under this machine's own names."""

import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "gspnp.settings")

from django.core.asgi import get_asgi_application

http = get_asgi_application()

from channels.auth import AuthMiddlewareStack
from channels.routing import ProtocolTypeRouter, URLRouter
from django.urls import get_resolver

from devices import metrics
from gspnp import broken_off, undisturbed
from gspnp.bodies import CONSOLE_BYTES, bound
from gspnp.console.routing import websocket_urlpatterns
from gspnp.console.sharing import Sharing
from gspnp.origin import SameOrigin
from gspnp.proxies import TrustedProxies
from gspnp.watched import Watched

bound(CONSOLE_BYTES)
broken_off.cut()
metrics.watch_database()
application = Watched(
    ProtocolTypeRouter(
        {
            "http": TrustedProxies(Sharing(http, "console:rows")),
            "websocket": SameOrigin(AuthMiddlewareStack(URLRouter(websocket_urlpatterns))),
        }
    )
)

# What there is once every address is known stays: to look through all of it for garbage stops the whole console for a
# tenth of a second, every other second while lists are open, and with it all who wait to be told something.
get_resolver().url_patterns  # noqa: B018  (imports the views, as the first request would)
# To tell fifty pages something is some two hundred system calls, at each of which the loop gives the interpreter away,
# to threads that draw rows.
undisturbed.keep()
