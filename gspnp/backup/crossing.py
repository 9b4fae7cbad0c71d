"""A copy of a SQLite database into PostgreSQL: from one machine to many.

Values go as they are stored: what is encrypted is not opened, and the same keys open it afterwards. All of it is one
transaction, so that a copy which breaks off leaves nothing behind.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from django.apps import apps
from django.core.management import call_command
from django.core.management.color import no_style
from django.db import Error, connection, connections, transaction

from gspnp.backup.archive import BackupError

COPY = "copy"  # the alias of the database in the archive
AT_ONCE = 1_000
NOT_COPIED = ("django_migrations", "django_session")


def carry(path: Path) -> None:
    """Bring a checked copy of a SQLite database into the PostgreSQL of DATABASE_URL, in place of what is there. Raises
    BackupError, and nothing of it is changed but that it has its tables."""
    try:
        _up_to_date(path)
        call_command("migrate", interactive=False, verbosity=0)
        with closing(sqlite3.connect(path)) as source, transaction.atomic():
            tables = [table for table in _tables() if table not in NOT_COPIED]
            names = ", ".join(map(connection.ops.quote_name, tables))
            with connection.cursor() as cursor:
                cursor.execute(f"TRUNCATE {names}")
                for table in tables:
                    _fill(source, cursor, table)
                models = [model for model in apps.get_models(include_auto_created=True) if model._meta.managed]
                for statement in connection.ops.sequence_reset_sql(no_style(), models):
                    cursor.execute(statement)
    except (Error, sqlite3.Error) as error:
        raise BackupError(f"The backup cannot be brought into PostgreSQL ({error}). It is as it was.") from error


def _up_to_date(path: Path) -> None:
    """Give the copy the tables of this release: what is copied then has a place for each column."""
    connections.databases[COPY] = {
        **connections.databases["default"], "ENGINE": "gspnp.sqlite", "NAME": str(path), "CONN_MAX_AGE": 0,
        "OPTIONS": {"transaction_mode": "IMMEDIATE", "timeout": 20},
    }  # fmt: skip
    try:
        call_command("migrate", database=COPY, interactive=False, verbosity=0)
    finally:
        connections[COPY].close()
        del connections[COPY]
        del connections.databases[COPY]


def _tables() -> list[str]:
    """Every table of every app, each once."""
    every = apps.get_models(include_auto_created=True)
    return list(dict.fromkeys(model._meta.db_table for model in every if model._meta.managed))


def _fill(source: sqlite3.Connection, cursor: Any, table: str) -> None:
    """Copy all rows of a table. Raises BackupError if they are not all there afterwards."""
    name = connection.ops.quote_name(table)
    cursor.execute(
        "SELECT column_name, data_type FROM information_schema.columns"
        " WHERE table_schema = current_schema() AND table_name = %s ORDER BY ordinal_position",
        [table],
    )
    kinds: dict[str, str] = dict(cursor.fetchall())
    columns = ", ".join(map(connection.ops.quote_name, kinds))
    with cursor.copy(f"COPY {name} ({columns}) FROM STDIN") as copy:
        for row in _rows(source, f"SELECT {columns} FROM {name}"):
            copy.write_row([_value(one, kind) for one, kind in zip(row, kinds.values(), strict=True)])
    (there,) = source.execute(f"SELECT count(*) FROM {name}").fetchone()
    cursor.execute(f"SELECT count(*) FROM {name}")
    if (copied := cursor.fetchone()[0]) != there:
        raise BackupError(f"Of {there} rows of {table} only {copied} were copied; the database is as it was.")


def _rows(source: sqlite3.Connection, sql: str) -> Iterator[tuple]:
    found = source.execute(sql)
    while rows := found.fetchmany(AT_ONCE):
        yield from rows


def _value(value: Any, kind: str) -> Any:
    """As PostgreSQL reads it: SQLite has neither booleans nor times."""
    if value is None:
        return None
    if kind == "boolean":
        return bool(value)
    if kind == "timestamp with time zone":
        return f"{value}+00"  # Django stores UTC
    return value
