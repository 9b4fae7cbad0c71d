"""The last door before a log: secret paths and the contexts of templates never pass it, not even in a traceback.

Two formats, one for people (`text`) and one for machines (`json`, one object a line). Imports no Django: the doors say
that they open before they know their settings.
"""

from __future__ import annotations

import contextlib
import json
import logging
import re
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import PurePath
from typing import Any

from devices import said_of

FORMS = ("text", "json")
LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")
MAX_TEXT_CHARS = 20_000  # of one value in a JSON object; a traceback has some thousands
# After /p/, or wherever 22 characters stand alone: a proxy may have stripped or changed what was in front.
# Quoted, as a query has it, `%2F` is what stands there.
SECRET_PATH = re.compile(
    r"(?:(?<=/p/)|(?<=/p%2[Ff])|(?<=%2[Ff]p%2[Ff]))[A-Za-z0-9_-]{16,}"
    r"|(?:(?<![A-Za-z0-9_-])|(?<=%2[Ff]))[A-Za-z0-9_-]{22}(?![A-Za-z0-9_-])"
)
# Lines about a phone begin with its MAC. What a stranger says stands behind it.
_MAC = re.compile(r"((?:[0-9A-F]{2}:){5}[0-9A-F]{2})(?:[: ]|$)")
# What moves a cursor, ends a line or colours a terminal, and half a character; a line break of a traceback is none.
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_OWN = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName", "mac"}


class WithoutTraceback(logging.Filter):
    """For errors that a stranger can cause at will (a foreign Host header): one line is enough."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.exc_info = record.exc_text = None
        return True


class AwayInWords(logging.Filter):
    """For pages that fail because the database is away or full: where each of them came by says nothing, and is said
    by every open page every few seconds, on a disk that may be the full one."""

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        if error is not None and "django.db" in sys.modules:
            from gspnp.full import in_words

            if words := in_words(error):
                record.msg, record.args = f"{record.getMessage()}: {words}", ()
                record.exc_info = record.exc_text = None
        return True


class SaidOfRedis(logging.Filter):
    """For what the channel layer says once a second while Redis is away, without naming it: devices/wake.py says it
    once. All else it says in one line."""

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        record.exc_info = record.exc_text = None
        theirs = sys.modules.get("redis.exceptions")
        away = (OSError, theirs.ConnectionError, theirs.TimeoutError) if theirs else (OSError,)
        return not isinstance(error, away)


class Seldom(logging.Filter):
    """For what is said again and again while something is away: the first line passes, the next of its kind after five
    seconds, then after twice as long each time, up to five minutes. After as long a silence it begins anew."""

    FIRST_SECONDS, LAST_SECONDS = 5.0, 300.0

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock, self._lock = clock, threading.Lock()
        self._kinds: dict[str, tuple[float, float, float, int]] = {}
        """What is said -> when it was heard last, from when on it passes, the pause after that, how many did not."""

    def filter(self, record: logging.LogRecord) -> bool:
        now, kind = self._clock(), str(record.msg)
        with self._lock:
            heard, passes, pause, more = self._kinds.get(kind, (now, now, self.FIRST_SECONDS, 0))
            if now - heard > pause:
                passes, pause, more = now, self.FIRST_SECONDS, 0
            if now < passes:
                self._kinds[kind] = (now, passes, pause, more + 1)
                return False
            self._kinds[kind] = (now, now + pause, min(2 * pause, self.LAST_SECONDS), 0)
        record.exc_info = record.exc_text = None
        if more:
            record.msg, record.args = f"{record.getMessage()} (and {more} more like it)", ()
        return True


class Stderr(logging.StreamHandler):
    """What cannot be formatted is not written otherwise: Python's own report of that shows what it was, unmasked."""

    def handleError(self, record: logging.LogRecord) -> None:
        with contextlib.suppress(OSError, ValueError):
            self.stream.write(_failed(record, self.formatter) + "\n")


class RedactingFormatter(logging.Formatter):
    """Formats as usual, then replaces the secret in every `/p/<secret>/…` of the whole text."""

    def format(self, record: logging.LogRecord) -> str:
        _leave_contexts_out(record)
        return clean(super().format(record))

    def formatMessage(self, record: logging.LogRecord) -> str:
        # A message is one line, whatever somebody has put into it; only a traceback has more.
        record.message = record.message.replace("\r", "\\r").replace("\n", "\\n")
        return super().formatMessage(record)


class JsonFormatter(logging.Formatter):
    """One object a line: time (RFC 3339, UTC), level, logger, message, role; where there is one mac, request_id, site
    and exception; and what the caller has added, as far as it is a text, a number or a truth value."""

    def __init__(self, role: str = "") -> None:
        super().__init__()
        self._role = role

    def format(self, record: logging.LogRecord) -> str:
        _leave_contexts_out(record)
        message = record.getMessage()
        said: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")[:-6] + "Z",
            "level": record.levelname,
            "logger": record.name,
            "message": message,
            "role": self._role,
            "mac": _mac(record, message),
            "request_id": said_of.request_id(),
            "site": said_of.site(),
            "exception": self._exception(record),
        }
        added = {
            name: value
            for name, value in record.__dict__.items()
            if name not in _OWN and isinstance(value, str | int | float | bool)
        }
        # What we say ourselves is not replaced by what somebody adds under the same name.
        return as_line(added | {name: value for name, value in said.items() if value != ""})

    def _exception(self, record: logging.LogRecord) -> str:
        parts = [record.exc_text or (self.formatException(record.exc_info) if record.exc_info else "")]
        if record.stack_info:
            parts.append(self.formatStack(record.stack_info))
        return "\n".join(part for part in parts if part)


def clean(text: str) -> str:
    """Without secrets, and without what a terminal or a reader of lines could take for more than text."""
    return _UNPRINTABLE.sub(lambda found: f"\\u{ord(found[0]):04x}", SECRET_PATH.sub("…", text))


def as_line(values: Mapping[str, Any]) -> str:
    """One JSON object on one line. Each text is cleaned before it is written: `\\n` in front of a secret would hide
    it from the pattern. What is no number in JSON is a text."""

    def bare(value: Any) -> Any:
        if isinstance(value, float) and value - value != 0:  # an infinity, or none
            return str(value)
        return clean(value)[:MAX_TEXT_CHARS] if isinstance(value, str) else value

    return json.dumps({clean(name): bare(value) for name, value in values.items()}, allow_nan=False)


def line(form: str, role: str, level: str, words: str) -> str:
    """A line of a process that has set no logging up yet; as text it is the words alone."""
    if form != "json":
        return clean(words)
    record = logging.LogRecord("gspnp", logging.getLevelName(level), "", 0, words, (), None)
    record.created = time.time()
    return JsonFormatter(role).format(record)


def role_of(arguments: Sequence[str]) -> str:
    """What a process with this command line is: console, phones, listen, work, or the name of its command."""
    program = PurePath(arguments[0]).name if arguments else ""
    if program == "manage.py" and len(arguments) > 1:
        return {"listen_pnp": "listen"}.get(arguments[1], arguments[1])[:40]
    if program == "phones.py":
        return "phones"
    is_console = program == "console_tls.py" or (program in ("daphne", "__main__.py") and "daphne" in arguments[0])
    return "console" if is_console else program.removesuffix(".py")[:40]


def is_errand(arguments: Sequence[str]) -> bool:
    """Whether a process with this command line does one thing for the person who started it, and ends."""
    return PurePath(arguments[0] if arguments else "").name == "manage.py" and role_of(arguments) not in (
        "listen",
        "work",
    )


def configuration(level: str, form: str) -> dict[str, Any]:
    """LOGGING of both doors' settings."""
    text = {
        "()": "gspnp.logs.RedactingFormatter",
        "format": "{asctime} {levelname:<7} {name}: {message}",
        "style": "{",
    }
    if form == "json":
        logging.captureWarnings(True)  # Python's own would stand between the objects
    machine = {"()": "gspnp.logs.JsonFormatter", "role": role_of(sys.argv)}
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"line": machine if form == "json" else text},
        "filters": {
            "line_only": {"()": "gspnp.logs.WithoutTraceback"},
            "away_in_words": {"()": "gspnp.logs.AwayInWords"},
            "seldom": {"()": "gspnp.logs.Seldom"},
            "said_of_redis": {"()": "gspnp.logs.SaidOfRedis"},
        },
        "handlers": {"stderr": {"class": "gspnp.logs.Stderr", "formatter": "line"}},
        "root": {"handlers": ["stderr"], "level": level},
        "loggers": {
            "django.request": {"level": "ERROR", "filters": ["away_in_words"]},
            "django.security.DisallowedHost": {"filters": ["line_only"]},
            "axes": {"level": "WARNING"},
            "daphne": {"level": "WARNING"},
            # Redis away is a line a second. A logger's filters do not reach what is below it.
            "channels_redis.pubsub": {"filters": ["said_of_redis"]},
            # PostgreSQL away is several lines a second, one for each connection that the pool wants to have.
            # A command that ends by it says so itself, in words.
            "psycopg.pool": {"filters": ["seldom"], "level": "ERROR" if is_errand(sys.argv) else "WARNING"},
        },
    }


def _leave_contexts_out(record: logging.LogRecord) -> None:
    if record.exc_info and "django.template.base" in sys.modules:
        from gspnp.crash import without_context

        without_context(record.exc_info[1])


def _mac(record: logging.LogRecord, message: str) -> str:
    """Of the phone that this line is about, 12 upper hex digits; "" if it is about none."""
    given = getattr(record, "mac", "")
    found = _MAC.match(given if isinstance(given, str) and given else message)
    if found is not None:
        return found[1].replace(":", "")
    return given if isinstance(given, str) and re.fullmatch(r"[0-9A-F]{12}", given) else ""


def _failed(record: logging.LogRecord, formatter: logging.Formatter | None) -> str:
    words = f"a line of {record.name} could not be logged"
    if not isinstance(formatter, JsonFormatter):
        return words
    return as_line({"level": "ERROR", "logger": "gspnp.logs", "message": words})
