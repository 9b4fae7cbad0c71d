"""Settings of the phones' door: the database and its keys; no URLs, no sessions, no admin code, no templates.

A phone may be told any of our names or addresses: the Host header decides nothing at this door, and is never echoed.
"""

from gspnp.settings import (  # noqa: F401  (a settings module is its names)
    CHANNEL_LAYERS,
    CONSOLE_CERTIFICATE,
    DATABASES,
    DEFAULT_AUTO_FIELD,
    GSPNP_ALLOWED_NETWORKS,
    GSPNP_DATA_DIR,
    GSPNP_FIELD_KEYS,
    GSPNP_FILE_FORMAT,
    GSPNP_HOSTS,
    GSPNP_HTTP_CONNECTIONS_PER_SOURCE,
    GSPNP_HTTP_RATE,
    GSPNP_HTTP_RATE_PER_SOURCE,
    GSPNP_HTTPS,
    GSPNP_METRICS_NETWORKS,
    GSPNP_NEW_PHONES,
    GSPNP_NEW_PHONES_PER_SOURCE,
    GSPNP_OPINIONS_OFF,
    GSPNP_OUIS,
    GSPNP_PHONE_LOGIN,
    GSPNP_PHONES_HTTP,
    GSPNP_PHONES_PORT,
    GSPNP_PHONES_TLS_MIN,
    GSPNP_PLAIN_BOOTSTRAP,
    GSPNP_PUBLIC_URL,
    GSPNP_TRUSTED_PROXIES,
    GSPNP_VENDORS,
    LANGUAGE_CODE,
    LOGGING,
    PHONES_CERTIFICATE,
    PHONES_DOOR_PORT,
    SECRET_KEY,
    TIME_ZONE,
    USE_TZ,
)

DEBUG = False
INSTALLED_APPS = ["devices", "provisioning"]
