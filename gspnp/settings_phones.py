"""Settings of the phones' door: only what a phone may ask for; no sessions, no admin code, no templates."""

from gspnp.settings import (  # noqa: F401  (a settings module is its names)
    CHANNEL_LAYERS,
    DATABASES,
    DEFAULT_AUTO_FIELD,
    GSPNP_ALLOWED_NETWORKS,
    GSPNP_DATA_DIR,
    GSPNP_FIELD_KEYS,
    GSPNP_FILE_FORMAT,
    GSPNP_HTTPS,
    GSPNP_OPINIONS_OFF,
    GSPNP_PHONES_PORT,
    GSPNP_PUBLIC_URL,
    GSPNP_TRUSTED_PROXIES,
    LANGUAGE_CODE,
    LOGGING,
    PHONES_DOOR_PORT,
    SECRET_KEY,
    TIME_ZONE,
    USE_TZ,
)

DEBUG = False
ROOT_URLCONF = "gspnp.urls_phones"
ASGI_APPLICATION = "gspnp.asgi_phones.application"
# A phone may be told any of our names or addresses, and the path decides what it gets: the Host header decides
# nothing here and is never echoed.
ALLOWED_HOSTS = ["*"]
INSTALLED_APPS = ["devices", "provisioning"]
MIDDLEWARE: list[str] = []
TEMPLATES: list[dict] = []
APPEND_SLASH = False
