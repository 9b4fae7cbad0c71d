"""Settings from the environment and from `.env`, read literally.

A thin skin over django-environ: it adds what an operator needs when a value is wrong (words that name the
setting and say what to write instead) and takes away what surprises (a `$` or `#` in a password means
itself). Imports no Django settings, so that every program of the project can use it before Django is up.
Source: our choice; the names and defaults stand in `.env.example`.
"""

from __future__ import annotations

import builtins
import contextlib
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import environ
from django.core.exceptions import ImproperlyConfigured

BASE_DIR = Path(__file__).resolve().parent.parent

TRUE_WORDS = frozenset({"1", "true", "yes", "on"})
FALSE_WORDS = frozenset({"0", "false", "no", "off"})
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
NOT_GIVEN: Any = environ.Env.NOTSET


class SettingError(ImproperlyConfigured):
    """A setting cannot be used. The text is for the operator: print it and stop."""


def parse_env_file(text: str, name: str = ".env") -> dict[str, str]:
    """Read the lines `NAME=value` of an env file; everything behind the first `=` is the value, as it stands.

    Blanks around name and value are dropped, a leading `export` too. One pair of equal quotes around the
    whole value is taken off, so that blanks at its ends can be kept. Nothing else is special: `$`, `#`, `\\`,
    `=` and quotes inside a value are themselves. A line that begins with `#` is a comment. Raises
    SettingError at a line of another shape.
    """
    values: dict[str, str] = {}
    for number, line in enumerate(text.removeprefix("\ufeff").splitlines(), start=1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        key, equals, value = line.partition("=")
        key, value = key.removeprefix("export ").strip(), value.strip()
        if not equals or not NAME.match(key):
            raise SettingError(f"{name}, line {number}: expected NAME=value. Correct the line or begin it with #.")
        if len(value) >= 2 and value[0] == value[-1] and value[0] in "'\"":
            value = value[1:-1]
        values[key] = value
    return values


def read_env_file() -> dict[str, str]:
    """The values of `.env` in the project's root, or of what GSPNP_ENV_FILE names (empty: no file)."""
    chosen = os.environ.get("GSPNP_ENV_FILE")
    if chosen == "":
        return {}
    path = BASE_DIR / (chosen or ".env")
    try:
        return parse_env_file(path.read_text(encoding="utf-8"), path.name)
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise SettingError(f"{path} cannot be read ({error}). Make it readable UTF-8 text, or remove it.") from error


class Layers(Mapping[str, str]):
    """The environment, looked at anew each time, over the env file. An empty value is no value."""

    def __init__(self, file: Mapping[str, str]) -> None:
        self._file = file

    def __getitem__(self, name: str) -> str:
        value = os.environ.get(name, self._file.get(name, ""))
        if value == "":
            raise KeyError(name)
        return value

    def __iter__(self) -> Iterator[str]:
        return iter({name for name in (*self._file, *os.environ) if name in self})

    def __len__(self) -> int:
        return len(list(iter(self)))


class Env(environ.Env):
    """django-environ's Env (so `env.db_url` and friends work), with literal values and strict types."""

    def __init__(self, values: Mapping[str, str]) -> None:
        super().__init__()
        self.ENVIRON = values

    def get_value(self, var, cast=None, default=NOT_GIVEN, parse_default=False):
        """As in django-environ, but a value is never looked up a second time because it begins with `$`."""
        try:
            value = self.ENVIRON[var]
        except KeyError:
            if default is NOT_GIVEN:
                raise SettingError(f"{var} is not set. Set it in the environment or in .env.") from None
            if not parse_default:
                return default
            value = default
        return value if cast is None else self.parse_value(value, cast)

    def str(self, var: builtins.str, default: Any = NOT_GIVEN, multiline: builtins.bool = False) -> Any:
        """The value itself. `multiline` is django-environ's and without meaning here: values are literal."""
        return self.get_value(var, default=default)

    def bool(self, var: builtins.str, default: Any = NOT_GIVEN) -> builtins.bool:
        """1, true, yes, on / 0, false, no, off in any case; else SettingError."""
        value = self.get_value(var, default=default)
        if isinstance(value, builtins.bool):
            return value
        word = value.strip().lower()
        if word in TRUE_WORDS | FALSE_WORDS:
            return word in TRUE_WORDS
        raise SettingError(f"{var} is {value!r}, which is neither yes nor no. Write 1 or 0.")

    def int(self, var: builtins.str, default: Any = NOT_GIVEN, low: Any = None, high: Any = None) -> Any:
        """A whole number in decimal digits; names that end in _PORT take 1 to 65535; else SettingError."""
        if var.endswith("_PORT"):
            low, high = 1 if low is None else low, 65535 if high is None else high
        value = self.get_value(var, default=default)
        if not isinstance(value, builtins.str):
            return value
        bounds = "" if low is None or high is None else f" from {low} to {high}"
        if not re.fullmatch(r"-?[0-9]{1,18}", value.strip()):
            raise SettingError(f"{var} is {value!r}. Write a whole number{bounds}.")
        number = builtins.int(value)
        if (low is not None and number < low) or (high is not None and number > high):
            raise SettingError(f"{var} is {number}. Write a whole number{bounds}.")
        return number

    def list(self, var: builtins.str, default: Any = NOT_GIVEN, cast: Any = None) -> Any:
        """A comma list; blanks around the entries and empty entries are dropped."""
        value = self.get_value(var, default=default)
        if not isinstance(value, builtins.str):
            return [] if value is None else value
        entries = [entry.strip() for entry in value.split(",") if entry.strip()]
        return entries if cast is None else [cast(entry) for entry in entries]

    def path(self, var: builtins.str, default: Any = NOT_GIVEN) -> Path:
        """An absolute path; a relative one counts from the project's root, `~` is the home folder."""
        value = self.get_value(var, default=default)
        return BASE_DIR / Path(value).expanduser()

    def choice(self, var: builtins.str, default: builtins.str, words: Iterable[builtins.str]) -> builtins.str:
        """One of `words`, in any case; else SettingError."""
        value = self.get_value(var, default=default)
        for word in words:
            if value.strip().lower() == word.lower():
                return word
        raise SettingError(f"{var} is {value!r}. Write one of: {', '.join(words)}.")

    def database(self, url: builtins.str) -> dict[builtins.str, Any]:
        """An entry of Django's DATABASES. What follows `sqlite:///` is a path as it stands."""
        scheme, _, path = url.partition(":///")
        if scheme == "sqlite" and path:
            name = path if path == ":memory:" else builtins.str(BASE_DIR / path)
            return {"ENGINE": "django.db.backends.sqlite3", "NAME": name}
        database: dict[builtins.str, Any] = {}
        if url.startswith(("postgres://", "postgresql://")):
            with contextlib.suppress(ValueError, KeyError, ImproperlyConfigured):
                database = self.db_url_config(url)
        if not database.get("NAME"):
            raise SettingError(
                "DATABASE_URL cannot be used. Write sqlite:////folder/file.sqlite3 or postgres://user:password@host/name."
            )
        return database

    def redis(self, var: builtins.str) -> builtins.str:
        """The URL of a Redis, empty if there is none; SettingError, which never tells the password."""
        url = self.get_value(var, default="").strip()
        if url and not re.match(r"(rediss?://[^/\s]|unix://)", url):
            raise SettingError(f"{var} cannot be used. Write redis://host:6379/0, or rediss://… for TLS.")
        return url


def build_env() -> Env:
    """A fresh Env over the environment and the env file as they are now."""
    return Env(Layers(read_env_file()))


def data_dir() -> Path:
    """Where this installation keeps its database, keys and first password (GSPNP_DATA_DIR, `./var`)."""
    return env.path("GSPNP_DATA_DIR", BASE_DIR / "var")


env = build_env()
