"""The phones' door: one small Django, no admin code loaded."""

import os

os.environ["DJANGO_SETTINGS_MODULE"] = "gspnp.settings_phones"

from django.core.asgi import get_asgi_application

application = get_asgi_application()
