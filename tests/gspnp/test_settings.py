"""Settings as the processes load them: system checks, migrations, and what the phones' door keeps out.

Each test starts a fresh interpreter, because settings are read once in a process.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from gspnp import console_tls
from provisioning.gxp.pvalues import GENERATED, OPINIONS
from tests.support.certificates import DAY, Authority

ROOT = Path(__file__).resolve().parent.parent.parent
SILENCED = ["security.W004", "security.W008", "security.W012", "security.W016"]


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "gspnp.settings"} | environment,
        capture_output=True,
        text=True,
        timeout=60,
    )


def manage(*arguments: str, **environment: str) -> subprocess.CompletedProcess:
    return run("manage.py", *arguments, **environment)


HSTS_OF_OTHERS = ["security.W005", "security.W021"]
HSTS_CODE = """
import django; django.setup()
from django.conf import settings
from django.test import Client
said = Client().get("/healthz", headers={"host": "localhost"}, secure=True).headers
print(settings.SILENCED_SYSTEM_CHECKS, said["Strict-Transport-Security"], sep="\\n")
"""


def test_check_deploy_is_clean_with_https_and_silences_only_what_would_close_other_names():
    done = manage("check", "--deploy", "--fail-level", "WARNING", GSPNP_HTTPS="1")
    assert done.returncode == 0, done.stderr
    assert "(2 silenced)" in done.stdout
    assert run("-c", HSTS_CODE, GSPNP_HTTPS="1").stdout.split("\n") == [str(HSTS_OF_OTHERS), "max-age=31536000", ""]
    short = run("-c", HSTS_CODE, GSPNP_HTTPS="1", GSPNP_HSTS_SECONDS="1")
    assert short.stdout.split("\n")[1] == "max-age=1"


def test_check_deploy_without_https_is_clean_but_for_four_named_warnings():
    done = manage("check", "--deploy", "--fail-level", "WARNING")
    assert done.returncode == 0, done.stderr
    assert "(4 silenced)" in done.stdout
    code = "from django.conf import settings; print(settings.SILENCED_SYSTEM_CHECKS)"
    assert run("-c", code).stdout.strip() == str(SILENCED)


def test_the_console_with_a_certificate_of_its_own_is_as_safe_as_behind_a_proxy(tmp_path):
    files = Authority().files(tmp_path)
    given = {"GSPNP_CONSOLE_CERT": str(files.cert), "GSPNP_CONSOLE_KEY": str(files.key)}
    done = manage("check", "--deploy", "--fail-level", "WARNING", **given)
    assert done.returncode == 0, done.stderr
    assert "(2 silenced)" in done.stdout
    code = "from django.conf import settings; print(settings.GSPNP_HTTPS, settings.SESSION_COOKIE_SECURE)"
    assert run("-c", code, **given).stdout.split() == ["True", "True"]
    both = manage("check", GSPNP_HTTPS="0", **given)
    assert both.returncode != 0 and "Leave out one of the two" in both.stderr


def test_preparing_stops_at_a_certificate_that_cannot_be_used_and_goes_on_with_one_that_ends_soon(tmp_path):
    folder = {"GSPNP_DATA_DIR": str(tmp_path)}
    files = Authority().files(tmp_path, until=5 * DAY)
    given = {"GSPNP_PHONES_CERT": str(files.cert), "GSPNP_PHONES_KEY": str(files.key)}
    done = run("-m", "gspnp.prepare", **folder, **given)
    assert done.returncode == 0, done.stderr
    assert "expires on" in done.stdout and "Phones fetch their files by HTTPS" in done.stdout
    done = run("-m", "gspnp.prepare", **folder, **given, GSPNP_CONSOLE_CERT="/nowhere.pem")
    assert done.returncode == 1
    assert done.stderr.strip() == (
        "gspnp cannot start: GSPNP_CONSOLE_CERT: there is no file /nowhere.pem. Correct the path, or leave it empty."
    )


@pytest.mark.parametrize(
    ("sent", "status", "where"),
    [
        (b"GET /phones/?q=a HTTP/1.1\r\nHost: localhost:8000\r\n\r\n", 301, b"https://localhost:8000/phones/?q=a"),
        (b"GET / HTTP/1.1\r\nhost:127.0.0.1\r\n\r\n", 301, b"https://127.0.0.1/"),
        (b"GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n", 400, b""),
        (b"GET / HTTP/1.1\r\nHost: localhost@evil.example\r\n\r\n", 400, b""),
        (b"GET //evil.example HTTP/1.1\r\nHost: localhost\r\n\r\n", 301, b"https://localhost//evil.example"),
        (b"GET /\r\nSet-Cookie:a=b HTTP/1.1\r\nHost: localhost\r\n\r\n", 400, b""),
        (b"GET http://evil.example/ HTTP/1.1\r\nHost: localhost\r\n\r\n", 400, b""),
        (b"\x00" * 9000, 400, b""),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_who_comes_to_the_console_by_plain_http_is_led_to_https_under_our_own_names_only(sent, status, where):
    answer = console_tls.led(sent)
    assert answer.startswith(b"HTTP/1.1 %d " % status)
    assert re.findall(rb"\r\nLocation: (.*)\r\n", answer) == ([where] if where else [])
    assert b"Set-Cookie" not in answer


def test_no_migration_is_missing():
    done = manage("makemigrations", "--check", "--dry-run")
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_phones_door_has_no_admin_code_loaded():
    code = """
import sys, os
os.environ["DJANGO_SETTINGS_MODULE"] = "gspnp.settings_phones"
import django
django.setup()
import gspnp.phones, provisioning.door.app, provisioning.door.wire
from django.conf import settings
assert settings.SETTINGS_MODULE == "gspnp.settings_phones"
loaded = [name for name in sys.modules if name.startswith(
    ("django.contrib.admin", "django.contrib.auth", "django.contrib.sessions", "gspnp.console", "unfold",
     "channels", "daphne", "twisted", "sipmcast", "gspnp.urls", "gspnp.asgi"))]
print(loaded)
"""
    done = run("-c", code)
    assert (done.stdout.strip(), done.returncode) == ("[]", 0), done.stderr


def test_the_console_looks_for_no_garbage_in_what_it_was_loaded_with():
    code = """
import gc, sys, gspnp.asgi
assert "gspnp.console.views" in sys.modules  # as the first request would have loaded it
print(len(gc.get_objects()) < gc.get_freeze_count())
"""
    done = run("-c", code)
    assert (done.stdout.strip(), done.returncode) == ("True", 0), done.stderr


def test_the_phones_door_may_open_as_many_descriptors_as_it_takes_connections():
    code = """
import resource
from gspnp.phones import allow_descriptors
from provisioning.door.wire import CONNECTIONS
hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
print(allow_descriptors() <= CONNECTIONS)
print(resource.getrlimit(resource.RLIMIT_NOFILE)[0] >= min(hard, CONNECTIONS + 1))
resource.setrlimit(resource.RLIMIT_NOFILE, (300, 1024))
print(resource.getrlimit(resource.RLIMIT_NOFILE)[0], allow_descriptors(), resource.getrlimit(resource.RLIMIT_NOFILE)[0])
resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))
print(allow_descriptors())
"""
    assert run("-c", code).stdout.split() == ["True", "True", "300", "462", "1024", "78"]


@pytest.mark.parametrize("settings", ["gspnp.settings", "gspnp.settings_phones"])
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("GSPNP_PUBLIC_URL", "pbx.example.net"),
        ("GSPNP_PUBLIC_URL", "ftp://pbx.example.net"),
        ("GSPNP_PUBLIC_URL", "http://"),
        ("GSPNP_PUBLIC_URL", "HTTPS://pbx.example.net"),
        ("GSPNP_OPINIONS_OFF", "no_such_switch"),
        ("GSPNP_ALLOWED_NETWORKS", "10.0.0.0/33"),
        ("GSPNP_TRUSTED_PROXIES", "proxy.example.net"),
        ("GSPNP_HTTPS", "maybe"),
        ("GSPNP_PHONES_PORT", "70000"),
        ("GSPNP_FIELD_KEYS", "short"),
        ("GSPNP_PHONES_KEY", "/etc/ssl/door.key"),
        ("GSPNP_CONSOLE_KEY", "/etc/ssl/door.key"),
        ("GSPNP_PHONES_TLS_MIN", "0.9"),
        ("GSPNP_PHONES_HTTP", "sometimes"),
    ],
)
def test_a_wrong_setting_stops_at_start_and_is_named(settings, name, value):
    """Not at the first phone. Both doors read these."""
    done = manage("check", DJANGO_SETTINGS_MODULE=settings, **{name: value})
    assert done.returncode != 0
    assert name in done.stderr + done.stdout


@pytest.mark.parametrize("settings", ["gspnp.settings", "gspnp.settings_phones"])
def test_every_default_of_ours_can_be_switched_off_for_all(settings):
    every = ",".join((*OPINIONS, *GENERATED))
    done = manage("check", DJANGO_SETTINGS_MODULE=settings, GSPNP_OPINIONS_OFF=every)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("name", "value"),
    [("GSPNP_PNP_GROUP", "10.0.0.1"), ("GSPNP_PNP_GROUP", "nonsense"), ("GSPNP_RECEIVE", "magic"),
     ("GSPNP_PNP_PORT", "0"), ("GSPNP_SIP_PORT", "-1"), ("DATABASE_URL", "mysql://x")],
)  # fmt: skip
def test_a_wrong_setting_of_the_listener_stops_at_start_and_is_named(name, value):
    done = manage("check", **{name: value})
    assert done.returncode != 0
    assert name in done.stderr + done.stdout


def test_good_settings_pass():
    done = manage(
        "check",
        GSPNP_PUBLIC_URL="https://pbx.example.net:8443",
        GSPNP_ALLOWED_NETWORKS="10.0.0.0/8, 192.168.1.7",
        GSPNP_TRUSTED_PROXIES="10.0.0.5,fd00::/8",
        GSPNP_PNP_GROUP="239.1.2.3",
        GSPNP_SIP_PORT="6061",
    )
    assert done.returncode == 0, done.stderr


def test_settings_and_keys_are_in_no_settings_error():
    done = manage("check", GSPNP_FIELD_KEYS="canary-not-a-key")
    assert done.returncode != 0
    assert "canary-not-a-key" not in done.stdout + done.stderr
