"""What stands in an empty database, put back after each test that commits.

Django empties all tables after such a test, and lets every app say once more what belongs into an empty database:
content types, permissions, our roles. To find that out takes 40 ms of a core, and it is the same each time.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

FLUSH = "django.core.management.commands.flush.emit_post_migrate_signal"


class Remembered:
    """Stands for the signal of `manage.py flush`: the first time it is sent, and what it made is put back from then."""

    def __init__(self, send: Callable[..., None]) -> None:
        self._send = send
        self._rows: dict[str, dict[str, list[tuple[Any, ...]]]] = {}  # by database and table

    def __call__(self, verbosity: int, interactive: bool, db: str, **more: Any) -> None:
        if db in self._rows:
            self._put_back(db)
        else:
            self._send(verbosity, interactive, db, **more)
            self._rows[db] = _rows(db)

    def _put_back(self, db: str) -> None:
        from django.contrib.contenttypes.models import ContentType
        from django.db import connections, transaction

        connection = connections[db]
        with transaction.atomic(using=db), connection.cursor() as cursor:  # foreign keys are looked at when it ends
            for table, rows in self._rows[db].items():
                places = ", ".join(["%s"] * len(rows[0]))
                cursor.executemany(f"INSERT INTO {connection.ops.quote_name(table)} VALUES ({places})", rows)
        ContentType.objects.clear_cache()


def _rows(db: str) -> dict[str, list[tuple[Any, ...]]]:
    from django.db import connections

    connection, found = connections[db], {}
    with connection.cursor() as cursor:
        for table in connection.introspection.django_table_names(only_existing=True, include_views=False):
            cursor.execute(f"SELECT * FROM {connection.ops.quote_name(table)}")
            if rows := cursor.fetchall():
                found[table] = rows
    return found


@contextmanager
def put_back_from_memory() -> Iterator[None]:
    from django.core.management.sql import emit_post_migrate_signal

    with patch(FLUSH, Remembered(emit_post_migrate_signal)):
        yield
