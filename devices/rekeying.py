"""Writing every encrypted value anew under the first key, so that an older key can be taken away.

A bite of rows at a time: read, opened and sealed outside of any transaction, then written where the value is still the
one that was read. What is under the first key already is passed over, so a run that was broken off goes on where it
was. Any model with an encrypted field takes part by having one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from django.apps import apps
from django.db import connection, models, transaction

from devices import crypto
from devices.fields import sealed_names

BITE_ROWS = 100  # nobody who waits for the database waits for more (design: 50 ms)
BITE_BYTES = 2_000_000  # of values in one transaction
PASSES = 3  # as often as another process may overtake us


@dataclass
class Count:
    """How far it is. `left` values are under an older key, `lost` ones are opened by no key at all."""

    values: int = 0
    renewed: int = 0
    left: int = 0
    lost: int = 0


def kinds() -> list[tuple[type[models.Model], str]]:
    """Each encrypted column of the installation."""
    return [(model, name) for model in apps.get_models() for name in sealed_names(model)]


def renew(model: type[models.Model], name: str, told: Callable[[Count], None] = lambda count: None) -> Count:
    """Bring one column under the first key; `told` hears after each bite how far it is."""
    so_far = Count()
    for _ in range(PASSES):
        so_far.values = so_far.left = so_far.lost = 0
        for rows in _bites(model, name):
            anew = []
            for key, value in rows:
                so_far.values += 1
                try:
                    sealed = crypto.resealed(value)
                except crypto.CannotDecrypt:
                    so_far.lost += 1
                    continue
                if sealed is not None:
                    anew.append((sealed, key, value))
            written = _write(model, name, anew)
            so_far.renewed += written
            so_far.left += len(anew) - written
            told(so_far)
        if not so_far.left:
            break
    return so_far


def count(model: type[models.Model], name: str) -> Count:
    """How many values of one column are under which key. Nothing is written."""
    found = Count()
    for rows in _bites(model, name):
        for _, value in rows:
            found.values += 1
            try:
                found.left += crypto.resealed(value) is not None
            except crypto.CannotDecrypt:
                found.lost += 1
    return found


def _names(model: type[models.Model], name: str) -> tuple[str, str, str]:
    """Primary key, column and table, as SQL writes them."""
    columns = {field.name: field.column or "" for field in model._meta.concrete_fields}
    key = next(field.column or "" for field in model._meta.concrete_fields if field.primary_key)
    key, column, table = (connection.ops.quote_name(one) for one in (key, columns[name], model._meta.db_table))
    return key, column, table


def _bites(model: type[models.Model], name: str) -> Iterator[list[tuple[Any, Any]]]:
    """Rows of primary key and value as the database has it, in order, a bite at a time."""
    key, column, table = _names(model, name)
    empty = "" if isinstance(model._meta.get_field(name), models.BinaryField) else f" AND {column} <> ''"
    sql = f"SELECT {key}, {column} FROM {table} WHERE {key} > %s AND {column} IS NOT NULL{empty}"
    last: Any = -1
    while True:
        with connection.cursor() as cursor:
            cursor.execute(f"{sql} ORDER BY {key} LIMIT {BITE_ROWS}", [last])
            rows = [(row[0], row[1] if isinstance(row[1], str) else bytes(row[1])) for row in cursor.fetchall()]
        if not rows:
            return
        last = rows[-1][0]
        size, bite = 0, []
        for row in rows:
            bite.append(row)
            size += len(row[1])
            if size > BITE_BYTES:
                yield bite
                size, bite = 0, []
        if bite:
            yield bite


def _write(model: type[models.Model], name: str, rows: list[tuple[Any, Any, Any]]) -> int:
    """Store (value, primary key, value that was read); how many had not been changed meanwhile."""
    if not rows:
        return 0
    key, column, table = _names(model, name)
    sql = f"UPDATE {table} SET {column} = %s WHERE {key} = %s AND {column} = %s"
    written = 0
    with transaction.atomic(), connection.cursor() as cursor:
        if connection.features.has_select_for_update_skip_locked:
            # Whoever holds one of these rows is neither waited for nor made to wait in a circle: the next pass has it.
            cursor.execute(
                f"SELECT {key} FROM {table} WHERE {key} = ANY(%s) FOR NO KEY UPDATE SKIP LOCKED",
                [[row[1] for row in rows]],
            )
            free = {one for (one,) in cursor.fetchall()}
            rows = [row for row in rows if row[1] in free]
        for row in rows:
            cursor.execute(sql, row)
            written += cursor.rowcount
    return written
