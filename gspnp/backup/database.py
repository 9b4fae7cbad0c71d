"""Copies of the database: SQLite's by its online backup, PostgreSQL's by its own tools. No session is in a copy.

A session's key is what a browser shows to be let in: who had it from a backup would be signed in.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path
from typing import Any

from django.db import connection
from django.db.backends.sqlite3._functions import register  # type: ignore[import-untyped]

from devices import crypto, rekeying
from gspnp.backup.archive import POSTGRESQL, SQLITE, BackupError, settle
from gspnp.folding import fold
from gspnp.keys import give_to_owner

SESSIONS = "django_session"
SECONDS = 3600  # a bound of what hangs
CONNECTION = {"PGHOST": "HOST", "PGPORT": "PORT", "PGUSER": "USER", "PGPASSWORD": "PASSWORD", "PGDATABASE": "NAME"}
TLS = ("sslmode", "sslrootcert", "sslcert", "sslkey", "sslcrl", "sslnegotiation", "gssencmode")


def kind() -> str:
    """What a copy of this installation's database is called."""
    return POSTGRESQL if connection.vendor == "postgresql" else SQLITE


def sqlite_path() -> Path:
    return Path(connection.settings_dict["NAME"])


def copy_to(target: Path) -> None:
    """Write a copy as of now, while others go on writing. Raises BackupError."""
    if kind() == POSTGRESQL:
        arguments = ["--format=custom", "--no-owner", "--no-privileges", f"--exclude-table-data=*.{SESSIONS}"]
        _postgresql("pg_dump", *arguments, f"--file={target}")
        return
    try:
        with (
            closing(_opened(sqlite_path(), "rw")) as source,
            closing(_opened(target, "rwc")) as copy,
        ):
            source.backup(copy)  # in one step: of one moment, and under WAL no writer waits for it
            copy.execute("PRAGMA journal_mode=DELETE")
            copy.execute("PRAGMA secure_delete=ON")
            copy.execute(f"DELETE FROM {SESSIONS}")
            copy.execute("VACUUM")
            _check(copy)
    except sqlite3.Error as error:
        raise BackupError(f"The database cannot be copied ({error}).") from error


def unopened(copy: Path) -> int:
    """How many secrets of a copy that was just made are opened by none of our keys (PostgreSQL's: of the database)."""
    if kind() == POSTGRESQL:
        return sum(rekeying.count(model, name).lost for model, name in rekeying.kinds())
    with closing(_opened(copy, "ro")) as database:
        return sum(_unopened(database, model, name) for model, name in rekeying.kinds())


def check_sqlite(path: Path, migrations: list[str], lost: int) -> None:
    """Whether it is a whole database of ours, of whose secrets the keys of `crypto` open all but those that were `lost`
    when it was backed up. Raises BackupError."""
    try:
        with closing(_opened(path, "ro")) as database:
            _check(database)
            stored = {f"{app}.{name}" for app, name in database.execute("SELECT app, name FROM django_migrations")}
            if stored != set(migrations):
                raise BackupError("The database in this backup is not the one that its manifest tells of.")
            wrong = sum(_unopened(database, model, name) for model, name in rekeying.kinds())
    except sqlite3.Error as error:
        raise BackupError(f"The database in this backup is damaged ({error}).") from error
    if wrong > lost:
        raise BackupError(
            f"These keys do not open {wrong - lost} of its secrets. Take the keys that were stored with it."
        )


def put_back(path: Path, kept: Path | None) -> None:
    """Put a checked copy into the place of the database; what was there goes to `kept` (SQLite). Raises BackupError."""
    connection.close()
    if kind() == POSTGRESQL:
        _postgresql("pg_restore", "--clean", "--if-exists", "--no-owner", "--no-privileges", "--single-transaction",
                    "--exit-on-error", f"--dbname={connection.settings_dict['NAME']}", str(path))  # fmt: skip
        return
    place = sqlite_path()
    place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    beside = place.with_name(f".{place.name}.restored")
    try:
        shutil.move(path, beside)  # from another file system, it may be: the old one stays until this is done
        beside.chmod(0o600)
        give_to_owner(beside, place.parent)
        settle(beside)
        has_old = place.exists() and place.stat().st_size > 0
        if has_old:
            _alone(place)
        for suffix in ("-wal", "-shm"):
            Path(f"{place}{suffix}").unlink(missing_ok=True)
        if has_old and kept is not None:
            os.link(place, kept)
        os.replace(beside, place)
    finally:
        beside.unlink(missing_ok=True)


def _alone(place: Path) -> None:
    """Bring everything into the one file; this fails while any other process has the database open."""
    try:
        with closing(sqlite3.connect(place, timeout=2)) as database:
            (mode,) = database.execute("PRAGMA journal_mode=DELETE").fetchone()
    except sqlite3.Error as error:
        raise BackupError(
            f"The database is in use, or damaged ({error}). Stop gspnp, the console too. If it is damaged, move "
            f"{place} away first."
        ) from error
    if mode != "delete":
        raise BackupError("The database is in use. Stop gspnp, the console too.")


def _opened(path: Path, mode: str) -> sqlite3.Connection:
    """With the functions that the constraints of our tables call."""
    database = sqlite3.connect(f"{path.resolve().as_uri()}?mode={mode}", uri=True, timeout=20, isolation_level=None)
    register(database)
    database.create_function("gspnp_fold", 1, fold, deterministic=True)
    return database


def _check(database: sqlite3.Connection) -> None:
    (said,) = database.execute("PRAGMA integrity_check(1)").fetchone()
    if said != "ok":
        raise BackupError(f"The database is damaged: {said}.")


def _unopened(database: sqlite3.Connection, model: Any, name: str) -> int:
    """How many values of a column no key opens; a column that this older database has not yet is none."""
    table, column = model._meta.db_table, model._meta.get_field(name).column
    if column not in {row[1] for row in database.execute(f'PRAGMA table_info("{table}")')}:
        return 0
    wrong = 0
    for (value,) in database.execute(f'SELECT "{column}" FROM "{table}" WHERE length("{column}") > 0'):
        try:
            crypto.open_token(value) if isinstance(value, str) else crypto.open_bytes(value)
        except crypto.CannotDecrypt:
            wrong += 1
    return wrong


def _postgresql(tool: str, *arguments: str) -> None:
    """Run one of PostgreSQL's own tools; the password goes by the environment, where no list of processes shows it."""
    if shutil.which(tool) is None:
        raise BackupError(
            f"{tool} is not installed: install PostgreSQL's client tools, of the server's version or newer."
        )
    said = connection.settings_dict
    given = {name: str(said[key]) for name, key in CONNECTION.items() if said.get(key)}
    # Whoever asks in DATABASE_URL for TLS, and whose, asks it of these tools too: they would go on in the clear.
    options = said.get("OPTIONS", {})
    given |= {f"PG{key.upper()}": str(options[key]) for key in TLS if options.get(key)}
    try:
        done = subprocess.run(
            [tool, "--no-password", *arguments], env={**os.environ, **given}, capture_output=True, text=True,
            stdin=subprocess.DEVNULL, timeout=SECONDS, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise BackupError(f"{tool} was not ready within {SECONDS // 60} minutes. Is everything stopped?") from error
    if done.returncode:
        advice = ""
        if "version mismatch" in done.stderr or "unsupported version" in done.stderr:
            advice = " Install PostgreSQL's client tools of the server's version or newer, and put them first in PATH."
        raise BackupError(f"{tool} failed: {done.stderr.strip()[:2000]}{advice}")
