"""Many rows in one statement, the same on SQLite and PostgreSQL.

Django's own bulk calls split a batch on SQLite after 999 parameters and build an expression for every value; a boot
storm has no time for that. Only for tables of ours, and only by whoever may write them.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from django.db import connections, models, router

Row = Sequence[Any]


def insert(
    model: type[models.Model],
    names: Sequence[str],
    rows: Iterable[Row],
    *,
    unique: str = "",
    update: Sequence[str] = (),
    returning: Sequence[str] = (),
) -> list[tuple]:
    """Insert rows of the columns `names`; where one with the same `unique` column is there, write its `update` columns.

    Returns the `returning` columns of every row, inserted or updated, in no certain order.
    """
    values, parameters = _values(model, names, rows)
    if not parameters:
        return []
    sql = f"INSERT INTO {_table(model)} ({_columns(model, names)}) VALUES {values}"
    if unique:
        written = ", ".join(f"{_column(model, name)} = excluded.{_column(model, name)}" for name in update)
        sql += f" ON CONFLICT ({_column(model, unique)}) DO " + (f"UPDATE SET {written}" if written else "NOTHING")
    return _run(model, sql, parameters, returning)


def update(
    model: type[models.Model],
    names: Sequence[str],
    rows: Iterable[Row],
    *,
    only_if: tuple[str, Sequence[Any]] | None = None,
) -> set[Any]:
    """Write the columns `names` (the primary key first) of the rows whose column is one of the values in `only_if`.

    Returns the primary keys of the rows that were written: whoever is missing was changed by somebody else.
    """
    values, parameters = _values(model, names, rows)
    if not parameters:
        return set()
    key, *others = names
    written = ", ".join(f"{_column(model, name)} = v.column{place}" for place, name in enumerate(others, start=2))
    sql = (
        f"UPDATE {_table(model)} SET {written} FROM (VALUES {values}) AS v"
        f" WHERE {_table(model)}.{_column(model, key)} = v.column1"
    )
    if only_if is not None:
        name, wanted = only_if
        sql += f" AND {_table(model)}.{_column(model, name)} IN ({', '.join(['%s'] * len(wanted))})"
        parameters = [*parameters, *wanted]
    return {found for (found,) in _run(model, sql, parameters, [key])}


def _run(model: type[models.Model], sql: str, parameters: list[Any], returning: Sequence[str]) -> list[tuple]:
    if returning:
        sql += " RETURNING " + ", ".join(f"{_table(model)}.{_column(model, name)}" for name in returning)
    with _connection(model).cursor() as cursor:
        cursor.execute(sql, parameters)
        return cursor.fetchall() if returning else []


def _values(model: type[models.Model], names: Sequence[str], rows: Iterable[Row]) -> tuple[str, list[Any]]:
    """The text of a VALUES list and its parameters. PostgreSQL learns the types from the first row."""
    connection = _connection(model)
    fields = [model._meta.get_field(name) for name in names]
    parameters: list[Any] = []
    count = 0
    for row in rows:
        count += 1
        parameters += [
            value if value is None or type(value) in (int, bool, str) and _plain(field)
            else field.get_db_prep_save(value, connection)
            for field, value in zip(fields, row, strict=True)
        ]  # fmt: skip
    place = "(" + ", ".join(["%s"] * len(fields)) + ")"
    if connection.vendor != "postgresql":
        return ", ".join([place] * count), parameters
    typed = "(" + ", ".join(f"%s::{field.cast_db_type(connection)}" for field in fields) + ")"
    return ", ".join([typed, *([place] * (count - 1))]), parameters


def _plain(field: Any) -> bool:
    """Is a Python value of this field also its database value? Encrypted and JSON fields have their own ideas."""
    return type(field).get_db_prep_save is models.Field.get_db_prep_save and not isinstance(field, models.JSONField)


def _connection(model: type[models.Model]) -> Any:
    return connections[router.db_for_write(model)]


def _table(model: type[models.Model]) -> str:
    return _connection(model).ops.quote_name(model._meta.db_table)


def _column(model: type[models.Model], name: str) -> str:
    return _connection(model).ops.quote_name(model._meta.get_field(name).column)


def _columns(model: type[models.Model], names: Sequence[str]) -> str:
    return ", ".join(_column(model, name) for name in names)
