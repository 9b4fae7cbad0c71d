"""The log as JSON: one object a line whatever somebody has put into it, and no secret in any of its values."""

import json
import logging
import os
import subprocess
import sys

import psycopg_pool.pool
import pytest

from devices import said_of
from gspnp import logs
from gspnp.logs import JsonFormatter, RedactingFormatter
from tests.support.site import ROOT

SECRET = "AbCdEfGhIjKlMnOpQrStUv"  # 22 characters, as in a path
HOSTILE = 'a\nb\rc\x1b[31m\x00"\\\u2028\ud800\x85}{'


@pytest.fixture(autouse=True)
def no_request():
    said_of.of_no_request()
    yield
    said_of.of_no_request()


def record(message: str, *arguments: object, level: int = logging.INFO, **added: object) -> logging.LogRecord:
    made = logging.LogRecord("provisioning.door.app", level, "app.py", 1, message, arguments, None)
    made.__dict__.update(added)
    return made


def said(made: logging.LogRecord) -> dict:
    line = JsonFormatter("phones").format(made)
    assert line.isascii() and line.isprintable(), line
    return json.loads(line)


def failed(words: str) -> logging.LogRecord:
    made = record("it failed")
    try:
        raise ValueError(words)
    except ValueError:
        made.exc_info = sys.exc_info()
    return made


def test_an_object_has_the_time_and_what_it_belongs_to():
    made = record("%s: 10.0.0.20 asked for its file", "00:0B:82:27:3B:89")
    made.created = 1_772_366_400.5
    assert said(made) == {
        "time": "2026-03-01T12:00:00.500Z", "level": "INFO", "logger": "provisioning.door.app", "role": "phones",
        "message": "00:0B:82:27:3B:89: 10.0.0.20 asked for its file", "mac": "000B82273B89",
    }  # fmt: skip


def test_a_mac_that_a_stranger_says_is_not_what_the_line_is_about():
    assert "mac" not in said(record("10.0.0.99 asked for %s", "00:0B:82:27:3B:89"))
    assert said(record("told", mac="000B82273B89"))["mac"] == "000B82273B89"
    assert "mac" not in said(record("told", mac="<script>"))


@pytest.mark.parametrize("made", [record(HOSTILE), record("%s", HOSTILE), record("x", added=HOSTILE), failed(HOSTILE)])
def test_nothing_breaks_a_line_or_moves_a_cursor(made):
    assert said(made)["role"] == "phones"
    text = RedactingFormatter("{message}", style="{").format(made)
    assert all(one.isprintable() or one == "\n" for one in text)
    text.encode()  # half a character would fail here


def test_as_text_a_message_stays_on_its_line():
    assert RedactingFormatter().format(record("a\nINFO forged: b\r")) == "a\\nINFO forged: b\\r"


@pytest.mark.parametrize(
    "made",
    [
        record("%s", f"/p/{SECRET}/cfg000b82273b89.xml"),
        record(f"read\n{SECRET}\n"),  # in JSON an n stands in front of it
        record("x", path=f"/p/{SECRET[:16]}/x", **{SECRET: 1}),
        record(f"GET /?next=%2Fp%2F{SECRET}%2Fcfg.xml, /p%2f{SECRET}, %2Fp%2F{SECRET[:16]}%2F"),
        record("x", logger=SECRET),
        failed(f"GET /p/{SECRET}/x\n{SECRET}"),
        record("x", stack_info=f"Stack\n  {SECRET}"),
    ],
)
def test_no_secret_is_in_any_value(made):
    line = JsonFormatter("phones").format(made)
    assert SECRET not in line and SECRET[:16] not in line


def test_what_is_added_is_simple_and_replaces_nothing_of_ours():
    line = said(record("x", status_code=404, role="FORGED", request=object(), nan=float("nan"), fine=True))
    assert (line["status_code"], line["role"], line["nan"], line["fine"]) == (404, "phones", "nan", True)
    assert "request" not in line


def test_a_line_that_cannot_be_formatted_is_an_object_too():
    stream = __import__("io").StringIO()
    handler = logs.Stderr(stream)
    handler.setFormatter(JsonFormatter("phones"))
    handler.handle(record("%d", SECRET))
    assert json.loads(stream.getvalue())["message"] == "a line of provisioning.door.app could not be logged"


def test_the_id_of_a_request_is_our_own_unless_a_trusted_proxy_gives_one():
    trusted = ["10.0.0.5"]
    assert said_of.begin_request("10.0.0.5", "proxy-1.a_B", trusted) == "proxy-1.a_B" == said_of.request_id()
    assert said(record("x"))["request_id"] == "proxy-1.a_B"
    for peer, given in (("10.0.0.6", "mine"), ("10.0.0.5", "a\nb"), ("10.0.0.5", "a" * 65), ("10.0.0.5", "")):
        ours = said_of.begin_request(peer, given, trusted)
        assert len(ours) == 16 and ours != given


@pytest.mark.parametrize(
    ("arguments", "role"),
    [
        (["manage.py", "work", "--keep-trying"], "work"),
        (["/opt/gspnp/manage.py", "listen_pnp"], "listen"),
        (["/x/gspnp/phones.py", "3"], "phones"),
        (["/x/daphne/__main__.py", "-v", "0"], "console"),
        (["/x/gspnp/console_tls.py", "3"], "console"),
        ([], ""),
    ],
)
def test_each_process_knows_what_it_is(arguments, role):
    assert logs.role_of(arguments) == role


def test_a_process_says_everything_in_the_format_that_is_set():
    code = "import django; django.setup(); import logging, warnings; logging.error('x'); warnings.warn('old\\nthing')"
    for settings in ("gspnp.settings", "gspnp.settings_phones"):
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True,
            env={**os.environ, "DJANGO_SETTINGS_MODULE": settings, "GSPNP_LOG": "json"},
        )  # fmt: skip
        first, second = (json.loads(line) for line in done.stderr.splitlines())
        assert (first["message"], second["logger"]) == ("x", "py.warnings")


def test_what_is_said_before_there_are_settings_has_the_format_too():
    assert logs.line("text", "console", "INFO", "The console door opens.") == "The console door opens."
    line = json.loads(logs.line("json", "console", "ERROR", "The console door is closed."))
    assert (line["level"], line["role"], line["message"]) == ("ERROR", "console", "The console door is closed.")


def test_what_is_said_again_and_again_while_the_database_is_away_becomes_rare_and_begins_anew():
    now, passed = 0.0, []
    seldom = logs.Seldom(lambda: now)

    def away(name: str = "error connecting in %r: %s") -> None:
        made = record(name, "pool-1", "connection refused", level=logging.WARNING)
        if seldom.filter(made):
            passed.append((now, made.getMessage()))

    while now < 700:
        away()
        now += 0.5
    assert [at for at, _ in passed] == [0, 5, 15, 35, 75, 155, 315, 615]
    assert passed[0][1] == "error connecting in 'pool-1': connection refused"
    assert passed[1][1].endswith("refused (and 9 more like it)")
    away("reconnection attempt in pool %r failed: %s")
    assert passed.pop()[0] == now, "another thing is said at once"
    now += 301
    away()
    assert passed[-1] == (now, passed[0][1])


def test_the_pools_of_postgresql_say_it_that_way():
    filters = logs.configuration("INFO", "text")["loggers"][psycopg_pool.pool.logger.name]["filters"]
    assert filters == ["seldom"]


@pytest.mark.parametrize(
    ("arguments", "level"),
    [(["manage.py", "phones"], "ERROR"), (["manage.py", "work", "--keep-trying"], "WARNING"),
     (["manage.py", "listen_pnp"], "WARNING"), (["/x/gspnp/phones.py", "3"], "WARNING")],
)  # fmt: skip
def test_a_command_that_ends_says_what_is_away_in_its_own_words_alone(monkeypatch, arguments, level):
    monkeypatch.setattr(sys, "argv", arguments)
    assert logs.configuration("INFO", "text")["loggers"]["psycopg.pool"]["level"] == level


def test_a_process_whose_log_nobody_reads_any_more_goes_on():
    """As when what keeps the log was restarted: phones are answered all the same."""
    read, write = os.pipe()
    os.close(read)
    handler = logs.Stderr(os.fdopen(write, "w", buffering=1))
    said = logging.Logger("of a test")
    said.addHandler(handler)
    for number in range(3):
        said.error("line %d", number)
    with pytest.raises(BrokenPipeError):  # it was really broken
        handler.stream.close()
