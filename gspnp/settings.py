"""Settings of the console door, the listener, the worker and the CLI: one flat file over the environment.

Everything an operator may set is read here through `gspnp.env` and listed in `.env.example` with default and unit.
The phones' door has its own module, `settings_phones`, which takes what it needs from this one.
"""

from datetime import timedelta

from csp.constants import NONE, SELF, UNSAFE_EVAL, UNSAFE_INLINE
from django.templatetags.static import static
from django.utils.translation import gettext_lazy as _

from gspnp import bodies, keys, logs, open_port, tls
from gspnp.env import BASE_DIR, env
from gspnp.hosts import OwnHosts
from gspnp.sidebar import NAVIGATION

# --- data and secrets -------------------------------------------------------------------------------------------
GSPNP_DATA_DIR = env.path("GSPNP_DATA_DIR", BASE_DIR / "var")
DATABASE_URL = env.str("DATABASE_URL", f"sqlite:///{GSPNP_DATA_DIR / 'gspnp.sqlite3'}")
DATABASES = {"default": env.database(DATABASE_URL)}
SECRET_KEY, GSPNP_FIELD_KEYS = keys.load_or_create(
    GSPNP_DATA_DIR, database_exists=keys.sqlite_exists(DATABASES["default"])
)

if DATABASES["default"]["ENGINE"] == "django.db.backends.sqlite3":
    # Ours is Django's backend with a queue for writers (gspnp/sqlite/base.py).
    DATABASES["default"]["ENGINE"] = "gspnp.sqlite"
    # WAL lets readers go on beside the one writer; IMMEDIATE takes the write lock at BEGIN, where the timeout
    # applies, instead of failing half-way; FULL makes an answered commit survive a power cut.
    DATABASES["default"]["OPTIONS"] = {
        "transaction_mode": "IMMEDIATE",
        "timeout": 20,
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON;",
    }
else:
    # Under ASGI each request has a connection of its own: from a pool, or PostgreSQL runs out of them. A connection is
    # tried before it is handed out, because the server may have been restarted. The rest bounds how long a server that
    # has vanished without a word is waited for: connect, keepalive and retry times in seconds, tcp_user_timeout in ms.
    DATABASES["default"] |= {"CONN_MAX_AGE": 0, "CONN_HEALTH_CHECKS": True}
    DATABASES["default"]["OPTIONS"] = {
        "connect_timeout": 5,
        "keepalives_idle": 10,
        "keepalives_interval": 5,
        "keepalives_count": 3,
        "tcp_user_timeout": 20_000,
        # A row that somebody else holds is waited for, but not for ever, and nobody may hold one and go to sleep.
        "options": "-c lock_timeout=5s -c idle_in_transaction_session_timeout=60s",
        **DATABASES["default"].get("OPTIONS", {}),
        "pool": {"min_size": 1, "max_size": 8, "timeout": 5.0, "reconnect_timeout": 5.0},
    }

# --- doors ------------------------------------------------------------------------------------------------------
CONSOLE_CERTIFICATE = tls.files_of(env, tls.CONSOLE)
GSPNP_HTTPS = tls.is_https(env)
GSPNP_HOSTS = env.list("GSPNP_HOSTS", [])
# The port of the door that runs here, if one does: who starts a command in another terminal may have said none.
PHONES_DOOR_PORT = open_port.found(GSPNP_DATA_DIR)
GSPNP_PHONES_PORT = env.int("GSPNP_PHONES_PORT", PHONES_DOOR_PORT or 5481)
GSPNP_CONSOLE_PORT = env.int("GSPNP_CONSOLE_PORT", 8000)
PHONES_CERTIFICATE = tls.files_of(env, tls.PHONES)
GSPNP_PHONES_TLS_MIN = tls.lowest_version(env)
GSPNP_PHONES_HTTP = env.choice("GSPNP_PHONES_HTTP", "moving", ("moving", "1", "0"))
GSPNP_PUBLIC_URL = env.str("GSPNP_PUBLIC_URL", "").rstrip("/")
GSPNP_TRUSTED_PROXIES = env.list("GSPNP_TRUSTED_PROXIES", [])
GSPNP_ALLOWED_NETWORKS = env.list("GSPNP_ALLOWED_NETWORKS", [])
GSPNP_HTTP_RATE = env.int("GSPNP_HTTP_RATE", 1_000, 1, 1_000_000)
GSPNP_HTTP_RATE_PER_SOURCE = env.int("GSPNP_HTTP_RATE_PER_SOURCE", 100, 1, 1_000_000)
GSPNP_HTTP_CONNECTIONS_PER_SOURCE = env.int("GSPNP_HTTP_CONNECTIONS_PER_SOURCE", 100, 1, 2_000)

# --- being watched (docs/monitoring.md) -------------------------------------------------------------------------
GSPNP_METRICS_NETWORKS = env.list("GSPNP_METRICS_NETWORKS", ["127.0.0.0/8", "::1/128"])
GSPNP_METRICS_BIND = env.str("GSPNP_METRICS_BIND", "127.0.0.1").strip("[]")
GSPNP_LISTEN_METRICS_PORT = env.int("GSPNP_LISTEN_METRICS_PORT", 5484, 0)  # 0: none
GSPNP_WORK_METRICS_PORT = env.int("GSPNP_WORK_METRICS_PORT", 5485, 0)

# --- SIP --------------------------------------------------------------------------------------------------------
GSPNP_PNP_INTERFACES = env.list("GSPNP_PNP_INTERFACES", [])
GSPNP_PNP_GROUP = env.str("GSPNP_PNP_GROUP", "224.0.1.75")
GSPNP_PNP_PORT = env.int("GSPNP_PNP_PORT", 5060)
GSPNP_SIP_PORT = env.int("GSPNP_SIP_PORT", 0)  # 0: 6060 or the next free one
GSPNP_RECEIVE = env.choice("GSPNP_RECEIVE", "auto", ("auto", "socket", "raw"))
GSPNP_VENDORS = env.list("GSPNP_VENDORS", ["Grandstream"])
GSPNP_OUIS = env.list("GSPNP_OUIS", [])
GSPNP_SIP_RATE = env.int("GSPNP_SIP_RATE", 20_000, 1, 1_000_000)
GSPNP_SIP_RATE_PER_SOURCE = env.int("GSPNP_SIP_RATE_PER_SOURCE", 3_000, 1, 1_000_000)
GSPNP_NEW_PHONES = env.int("GSPNP_NEW_PHONES", 50_000, 1, 10_000_000)
GSPNP_NEW_PHONES_PER_SOURCE = env.int("GSPNP_NEW_PHONES_PER_SOURCE", 12_000, 1, 10_000_000)
GSPNP_FORGET_SEEN_DAYS = env.int("GSPNP_FORGET_SEEN_DAYS", 30, 1, 36_500)
GSPNP_OPTIONS_SECONDS = env.int("GSPNP_OPTIONS_SECONDS", 60, 0, 86_400)

# --- rendering --------------------------------------------------------------------------------------------------
GSPNP_OPINIONS_OFF = env.list("GSPNP_OPINIONS_OFF", [])  # names from provisioning/gxp/pvalues.py: OPINIONS
GSPNP_PLAIN_BOOTSTRAP = env.bool("GSPNP_PLAIN_BOOTSTRAP", False)
GSPNP_FILE_FORMAT = env.choice("GSPNP_FILE_FORMAT", "xml", ("xml", "encrypted", "binary"))
GSPNP_PHONE_LOGIN = env.choice("GSPNP_PHONE_LOGIN", "off", ("off", "digest", "basic"))
GSPNP_VERSIONS_KEPT = env.int("GSPNP_VERSIONS_KEPT", 50, 0, 100_000)

# A layer may hold 1000 settings (provisioning/layers/store.py), each with up to three fields in its form.
DATA_UPLOAD_MAX_NUMBER_FIELDS = 4_000
# A table of phones holds their passwords: it stays in memory. What is longer, an image mostly, may lie in a file.
FILE_UPLOAD_MAX_MEMORY_SIZE = bodies.IN_MEMORY_BYTES

# --- retention (docs/retention.md) ------------------------------------------------------------------------------
# In days; 0 keeps for ever.
GSPNP_KEEP_EVENTS_DAYS = env.int("GSPNP_KEEP_EVENTS_DAYS", 90, 0, 36_500)
GSPNP_KEEP_DOWNLOADS_DAYS = env.int("GSPNP_KEEP_DOWNLOADS_DAYS", 90, 0, 36_500)
GSPNP_KEEP_NOTIFYS_DAYS = env.int("GSPNP_KEEP_NOTIFYS_DAYS", 90, 0, 36_500)
GSPNP_KEEP_TRANSCRIPTS_DAYS = env.int("GSPNP_KEEP_TRANSCRIPTS_DAYS", 90, 0, 36_500)
GSPNP_KEEP_JOBS_DAYS = env.int("GSPNP_KEEP_JOBS_DAYS", 90, 0, 36_500)
GSPNP_KEEP_ALARMS_DAYS = env.int("GSPNP_KEEP_ALARMS_DAYS", 90, 0, 36_500)

# --- Django -----------------------------------------------------------------------------------------------------
DEBUG = False
DEFAULT_EXCEPTION_REPORTER = "gspnp.crash.Report"
DEFAULT_EXCEPTION_REPORTER_FILTER = "gspnp.crash.NoValues"
ALLOWED_HOSTS = OwnHosts(GSPNP_HOSTS)
ROOT_URLCONF = "gspnp.urls"
ASGI_APPLICATION = "gspnp.asgi.application"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True
TIME_ZONE = "UTC"
LANGUAGE_CODE = "en"
# English is in the source; a language is added here and by its catalogues below gspnp/locale.
LANGUAGES = [("en", _("English"))]
LOCALE_PATHS = [BASE_DIR / "gspnp" / "locale"]

INSTALLED_APPS = [
    "unfold",
    "daphne",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "axes",
    "csp",
    "channels",
    "django_tasks",
    "django_tasks_db",
    "devices",
    "provisioning",
    "sipmcast",
    "gspnp.console",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "gspnp.console.policy.ContentPolicy",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    # It lengthens each answer at random, so that the length of a compressed page tells nothing of its CSRF token.
    "django.middleware.gzip.GZipMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "gspnp.console.sessions.EndOldSessions",
    "gspnp.console.audit.RecordChanges",
    "gspnp.console.lockout.CountOldPasswords",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "gspnp.console.middleware.ChangeTemporaryPassword",
    "gspnp.console.middleware.NoEmptyField",
    "gspnp.console.zone.ReadersZone",
    "axes.middleware.AxesMiddleware",
]

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

# Long work (provisioning/jobs/): queued in the database, done by `manage.py work`.
TASKS = {"default": {"BACKEND": "django_tasks_db.DatabaseBackend"}}

# Each console process tails the LiveEvent table itself (devices/live.py), so the last hop stays in its memory. Redis
# only says "look now" (devices/wake.py): nothing is lost if it is away.
CHANNEL_LAYERS: dict[str, dict] = {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}
REDIS_URL = env.redis("REDIS_URL")
if REDIS_URL:
    CHANNEL_LAYERS["wake"] = {
        "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
        "CONFIG": {"hosts": [{"address": REDIS_URL, "socket_connect_timeout": 2, "socket_keepalive": True}]},
    }

# A time in the admin names its zone, which is the reader's (gspnp/console/zone.py).
FORMAT_MODULE_PATH = ["gspnp.console.formats"]

STATIC_URL = "static/"
STATICFILES_DIRS = [BASE_DIR / "static"]
STATIC_ROOT = GSPNP_DATA_DIR / "static"
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "gspnp.console.statics.HashedFiles"},
}

LOGIN_URL = "admin:login"
LOGIN_REDIRECT_URL = "console:phones"  # for a sign-in that nobody was sent to, such as the one after a sign-out
LOGOUT_REDIRECT_URL = "admin:login"
PASSWORD_HASHERS = [
    "django.contrib.auth.hashers.Argon2PasswordHasher",
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": name}
    for name in (
        "django.contrib.auth.password_validation.UserAttributeSimilarityValidator",
        "django.contrib.auth.password_validation.MinimumLengthValidator",
        "django.contrib.auth.password_validation.CommonPasswordValidator",
        "django.contrib.auth.password_validation.NumericPasswordValidator",
        "gspnp.console.first_password.NotTheGeneratedOne",
    )
]

# --- signing in -------------------------------------------------------------------------------------------------
# A session ends when its person has done nothing for so long, and in any case so long after the sign-in
# (gspnp/console/sessions.py). A change of the password ends all others of that person.
GSPNP_SESSION_IDLE_MINUTES = env.int("GSPNP_SESSION_IDLE_MINUTES", 480, 1, 525_600)
GSPNP_SESSION_HOURS = env.int("GSPNP_SESSION_HOURS", 168, 1, 8_760)
SESSION_COOKIE_AGE = GSPNP_SESSION_HOURS * 3600
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"

# Wrong passwords for one name from one address lock that pair for a while; nobody else is locked out by it.
GSPNP_LOGIN_TRIES = env.int("GSPNP_LOGIN_TRIES", 5, 1, 1_000)
GSPNP_LOGIN_LOCK_MINUTES = env.int("GSPNP_LOGIN_LOCK_MINUTES", 15, 1, 525_600)
AUTHENTICATION_BACKENDS = ["gspnp.console.lockout.Backend", "django.contrib.auth.backends.ModelBackend"]
AXES_FAILURE_LIMIT = GSPNP_LOGIN_TRIES
AXES_HANDLER = "gspnp.console.lockout.Handler"
AXES_COOLOFF_TIME = timedelta(minutes=GSPNP_LOGIN_LOCK_MINUTES)
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_RESET_ON_SUCCESS = True
AXES_RESET_COOL_OFF_ON_FAILURE_DURING_LOCKOUT = False  # a stranger who goes on trying must not lock it for ever
AXES_DISABLE_ACCESS_LOG = True  # who signed in stands in the list of changes, which is pruned
AXES_ENABLE_ADMIN = False  # gspnp/console/people.py shows it
AXES_VERBOSE = False
AXES_SENSITIVE_PARAMETERS = ["username", "ip_address", "csrfmiddlewaretoken", "next"]
AXES_CLIENT_STR_CALLABLE = "gspnp.console.lockout.words_of"
AXES_CLIENT_IP_CALLABLE = "gspnp.console.lockout.host"
AXES_USERNAME_CALLABLE = "gspnp.console.lockout.name"
AXES_LOCKOUT_CALLABLE = "gspnp.console.lockout.answer"

# What people did is on record for so many days (gspnp/console/audit.py); 0: for ever.
GSPNP_CHANGES_DAYS = env.int("GSPNP_CHANGES_DAYS", 365, 0, 36_500)

# --- what a page may do -----------------------------------------------------------------------------------------
# Alpine, which the shell is made of, compiles its expressions ('unsafe-eval'), and htmx and Chart.js write styles; no
# script ever stands in a page. `connect-src` is completed with the WebSocket of this very server
# (gspnp/console/policy.py): not every browser counts that as 'self'.
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [SELF],
        "script-src": [SELF, UNSAFE_EVAL],
        "style-src": [SELF, UNSAFE_INLINE],
        "img-src": [SELF, "data:"],
        "font-src": [SELF],
        "connect-src": [SELF],
        "object-src": [NONE],
        "base-uri": [NONE],
        "form-action": [SELF],
        "frame-ancestors": [NONE],
    }
}
X_FRAME_OPTIONS = "DENY"
if GSPNP_HTTPS:
    SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = True
    SECURE_SSL_REDIRECT = True
    SECURE_REDIRECT_EXEMPT = [r"^healthz$", r"^readyz$"]
    # HSTS (RFC 6797) closes plain HTTP at every port of the name. That is enough to answer for: names below it, and the
    # domain in browsers' own lists, may be other people's. W005 and W021 ask for these two.
    SECURE_HSTS_SECONDS = env.int("GSPNP_HSTS_SECONDS", 31_536_000, 1, 315_360_000)
    SILENCED_SYSTEM_CHECKS = ["security.W005", "security.W021"]
    if GSPNP_TRUSTED_PROXIES:
        SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
else:
    # Plain HTTP on a LAN is a supported way to start; the console shows a standing warning instead. Each of these
    # asks for what only HTTPS can give: HSTS, redirect to HTTPS, secure session cookie, secure CSRF cookie.
    SECURE_CROSS_ORIGIN_OPENER_POLICY = None  # browsers refuse the header over plain HTTP, and say so on each page
    SILENCED_SYSTEM_CHECKS = ["security.W004", "security.W008", "security.W012", "security.W016"]

UNFOLD = {
    "SITE_TITLE": "gspnp",
    "SITE_HEADER": "gspnp",
    "SITE_SUBHEADER": _("plugged in, and proven"),
    "SITE_URL": "/",
    "SITE_SYMBOL": "deskphone",
    "SITE_FAVICONS": [{"rel": "icon", "type": "image/svg+xml", "href": lambda request: static("console/favicon.svg")}],
    "SCRIPTS": [lambda request: static("console/zone.js")],
    "STYLES": [lambda request: static("console/shell.css")],
    "LOGIN": {"form": "gspnp.console.lockout.SignInForm"},
    "SHOW_HISTORY": True,
    "SHOW_VIEW_ON_SITE": False,
    "SIDEBAR": {
        "show_search": False,
        "show_all_applications": False,
        "navigation": NAVIGATION,
    },
}

LOGGING = logs.configuration(
    env.choice("GSPNP_LOG_LEVEL", "INFO", logs.LEVELS), env.choice("GSPNP_LOG", "text", logs.FORMS)
)
