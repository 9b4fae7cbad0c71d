"""Many rows in one call, the same on SQLite and PostgreSQL.

Django's own bulk calls split a batch on SQLite after 999 parameters and build an expression for every value; a boot
storm has no time for that. SQLite prepares one short statement and runs it for every row; PostgreSQL gets all rows as
one JSON document. (Measured: a long VALUES list costs PostgreSQL four times as much, and SQLite keeps each length of
it prepared, megabytes each.) Only for tables of ours, and only by whoever may write them.
"""

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from datetime import UTC
from functools import cache
from itertools import islice
from operator import itemgetter
from typing import Any, TypeVar

from django.db import connections, models, router, transaction

Row = Sequence[Any]
T = TypeVar("T")

PLAIN = frozenset((int, str, bool, type(None)))


def insert(
    model: type[models.Model],
    names: Sequence[str],
    rows: Iterable[Row],
    *,
    unique: str = "",
    returning: Sequence[str] = (),
) -> list[tuple]:
    """Insert rows of the columns `names`; a row whose `unique` column is there already is passed over.

    Returns the `returning` columns of the rows that were inserted, in no certain order; this needs `unique`. In one
    transaction insert first and update then: an INSERT waits for whoever is updating the row that is in its way.
    """
    table = _table(model)
    values = table.prepared(names, rows)
    if not values:
        return []
    columns = ", ".join(table.column(name) for name in names)
    conflict = ""
    if unique:
        place = names.index(unique)
        # Two writers insert in the same order, so that they do not wait in a circle.
        values.sort(key=itemgetter(place))
        conflict = f" ON CONFLICT ({table.column(unique)}) DO NOTHING"
    if table.is_postgresql:
        source = f"SELECT * FROM {table.recordset(names)}"
        sql = f"INSERT INTO {table.name} ({columns}) {source}{conflict}{table.returning(returning)}"
        return table.run(sql, [_document(values)], fetch=bool(returning))
    places = ", ".join(["%s"] * len(names))
    sql = f"INSERT INTO {table.name} ({columns}) VALUES ({places}){conflict}"
    if not returning:
        table.run_many(sql, values)
        return []
    with transaction.atomic(using=table.alias, savepoint=False):
        there = {key for (key,) in select(model, [unique], unique, [row[place] for row in values])}
        table.run_many(sql, values)
        return select(model, returning, unique, list({row[place] for row in values} - there))


def update(
    model: type[models.Model],
    names: Sequence[str],
    rows: Iterable[Row],
    *,
    only_if: tuple[str, Sequence[Any]] | None = None,
) -> set[Any]:
    """Write the columns `names` (the primary key first) of the rows whose column is one of the values in `only_if`.

    Returns the primary keys of the rows that were written: whoever is missing is gone or was changed by somebody else.
    Rows are locked in the order of their primary keys.
    """
    table = _table(model)
    values = table.prepared(names, rows)
    if not values:
        return set()
    key, *others = (table.column(name) for name in names)
    with transaction.atomic(using=table.alias, savepoint=False):
        # From here on nobody else can write these rows, so what is found now is what will be written.
        found = {pk for (pk,) in table.find(key, key, [row[0] for row in values], only_if, lock=True)}
        values = [row for row in values if row[0] in found]
        if values and table.is_postgresql:
            written = ", ".join(f"{column} = v.c{place}" for place, column in enumerate(others, start=1))
            sql = f"UPDATE {table.name} SET {written} FROM {table.recordset(names)} WHERE {table.name}.{key} = v.c0"
            table.run(sql, [_document(values)])
        elif values:
            written = ", ".join(f"{column} = %s" for column in others)
            sql = f"UPDATE {table.name} SET {written} WHERE {key} = %s"
            table.run_many(sql, [(*row[1:], row[0]) for row in values])
    return found


def write(model: type[models.Model], keys: Collection[Any], **values: Any) -> None:
    """Write the same values into all rows with these primary keys. The caller has locked them."""
    if not keys:
        return
    table = _table(model)
    (prepared,) = table.prepared(list(values), [list(values.values())])
    written = ", ".join(f"{table.column(name)} = %s" for name in values)
    sql = f"UPDATE {table.name} SET {written} WHERE {table.column('pk')} {table.is_one_of}"
    table.run(sql, [*prepared, table.list_of(keys)])


def select(
    model: type[models.Model],
    names: Sequence[str],
    key: str,
    wanted: Collection[Any],
    *,
    only_if: tuple[str, Sequence[Any]] | None = None,
    lock: bool = False,
) -> list[tuple]:
    """The columns `names` of the rows whose `key` is one of `wanted` and that meet the condition, as in `update`; with
    `lock`, in a transaction, kept from others.

    Values come as the database has them: not for encrypted or JSON columns.
    """
    if not wanted:
        return []
    table = _table(model)
    columns = ", ".join(table.column(name) for name in names)
    return table.read(names, table.find(columns, table.column(key), wanted, only_if, lock))


def newest(model: type[models.Model], names: Sequence[str], key: str, wanted: Collection[Any], by: str) -> list[tuple]:
    """The columns `names` of one row for each `key` that is wanted: the one that has the most in the column `by`."""
    table = _table(model)
    columns, key, by = ", ".join(table.column(name) for name in names), table.column(key), table.column(by)
    most = f"SELECT max(other.{by}) FROM {table.name} other WHERE other.{key} = {table.name}.{key}"
    sql = f"SELECT {columns} FROM {table.name} WHERE {key} {table.is_one_of} AND {by} = ({most})"
    return table.read(names, table.run(sql, [table.list_of(wanted)], fetch=True))


def counts(
    model: type[models.Model], key: str, wanted: Collection[Any], name: str, between: tuple[Any, Any]
) -> dict[Any, int]:
    """How many rows there are of each `key` wanted whose `name` lies between two values; none: absent."""
    if not wanted:
        return {}
    table = _table(model)
    (bounds,) = zip(*table.prepared([name], [[one] for one in between]), strict=True)
    column, by = table.column(key), table.column(name)
    typed = f"%s::{table.field(name).db_type(table.connection)}" if table.is_postgresql else "%s"
    sql = f"SELECT {column}, count(*) FROM {table.name} WHERE {column} {table.is_one_of}"
    sql += f" AND {by} > {typed} AND {by} < {typed} GROUP BY {column}"
    return dict(table.run(sql, [table.list_of(wanted), *bounds], fetch=True))


def bites(rows: Iterable[T], size: int) -> Iterator[list[T]]:
    """The rows, at most so many at a time: nobody who waits for the database waits for all of them."""
    left = iter(rows)
    while bite := list(islice(left, size)):
        yield bite


def _table(model: type[models.Model]) -> "_Table":
    alias = router.db_for_write(model)
    return _made(model, alias, connections[alias].vendor == "postgresql")


@cache
def _made(model: type[models.Model], alias: str, is_postgresql: bool) -> "_Table":
    return _Table(model, alias, is_postgresql)


class _Table:
    """A model's table in SQL, in the words of its database; made once, for a storm uses it thousands of times."""

    def __init__(self, model: type[models.Model], alias: str, is_postgresql: bool) -> None:
        self.alias = alias
        self.is_postgresql = is_postgresql
        self.is_one_of = "= ANY(%s)" if is_postgresql else "IN (SELECT value FROM json_each(%s))"
        quote = self.connection.ops.quote_name
        self.name = quote(model._meta.db_table)
        self._fields = {field.name: field for field in model._meta.concrete_fields} | {"pk": model._meta.pk}
        self._columns = {name: quote(field.column) for name, field in self._fields.items()}
        self._converters = {name: self._converter(field) for name, field in self._fields.items()}

    @property
    def connection(self) -> Any:
        return connections[self.alias]

    def field(self, name: str) -> Any:
        return self._fields[name]

    def column(self, name: str) -> str:
        return self._columns[name]

    def list_of(self, values: Collection[Any]) -> Any:
        """The parameter that belongs to `is_one_of`."""
        return list(values) if self.is_postgresql else json.dumps(list(values))

    def for_update(self, lock: bool) -> str:
        if not lock:
            return ""
        # No key of ours is ever changed: whoever stores an event of a phone need not wait for who writes the phone.
        return f" ORDER BY {self.column('pk')}" + (" FOR NO KEY UPDATE" if self.is_postgresql else "")

    def returning(self, names: Sequence[str]) -> str:
        return " RETURNING " + ", ".join(f"{self.name}.{self.column(name)}" for name in names) if names else ""

    def recordset(self, names: Sequence[str]) -> str:
        """A JSON document as the rows v(c0, c1, ...), typed as the columns are. PostgreSQL only."""
        types = (self.field(name).cast_db_type(self.connection) for name in names)
        return f"json_to_recordset(%s::json) AS v({', '.join(f'c{place} {kind}' for place, kind in enumerate(types))})"

    def find(
        self,
        columns: str,
        key: str,
        keys: Collection[Any],
        only_if: tuple[str, Sequence[Any]] | None,
        lock: bool,
    ) -> list[tuple]:
        """What is in these columns where the key is one of these; on SQLite a transaction has locked everything."""
        sql, parameters = f"SELECT {columns} FROM {self.name} WHERE {key} {self.is_one_of}", [self.list_of(keys)]
        if only_if is not None:
            name, wanted = only_if
            sql += f" AND {self.column(name)} IN ({', '.join(['%s'] * len(wanted))})"
            parameters += [_plain(value) for value in wanted]
        return self.run(sql + self.for_update(lock), parameters, fetch=True)

    def prepared(self, names: Sequence[str], rows: Iterable[Row]) -> list[tuple]:
        """The rows as the database takes them."""
        columns = list(zip(*rows, strict=True))
        if not columns:
            return []
        return list(zip(*(self._prepared(n, column) for n, column in zip(names, columns, strict=True)), strict=True))

    def _prepared(self, name: str, column: Sequence[Any]) -> Sequence[Any]:
        convert = self._converters[name]
        if convert is None:
            return column if PLAIN.issuperset(map(type, column)) else [_plain(value) for value in column]
        if isinstance(self.field(name), models.DateTimeField):
            known = {value: convert(value) for value in set(column)}  # a batch is of one moment
            return [known[value] for value in column]
        return [convert(value) for value in column]

    def _converter(self, field: Any) -> Callable[[Any], Any] | None:
        """How a Python value of this field becomes a parameter; None if it is one already."""
        if isinstance(field, models.GenericIPAddressField):
            return lambda value: value or None
        is_simple = isinstance(field, models.CharField | models.IntegerField | models.BooleanField | models.ForeignKey)
        if is_simple and type(field).get_db_prep_save is models.Field.get_db_prep_save or field.is_relation:
            return None
        if self.is_postgresql and isinstance(field, models.JSONField):
            return lambda value: value  # part of the document
        if self.is_postgresql and isinstance(field, models.DateTimeField):
            return lambda value: value and field.get_prep_value(value).isoformat()
        return lambda value: field.get_db_prep_save(value, self.connection)

    def read(self, names: Sequence[str], rows: list[tuple]) -> list[tuple]:
        """Rows of these columns as the database gives them, with their times in UTC."""
        moments = [place for place, name in enumerate(names) if isinstance(self.field(name), models.DateTimeField)]
        return rows if self.is_postgresql or not moments else [_in_utc(row, moments) for row in rows]

    def run(self, sql: str, parameters: Sequence[Any], fetch: bool = False) -> list[tuple]:
        with self.connection.cursor() as cursor:
            cursor.execute(sql, parameters)
            return cursor.fetchall() if fetch else []

    def run_many(self, sql: str, rows: Sequence[tuple]) -> None:
        with self.connection.cursor() as cursor:
            cursor.executemany(sql, rows)


def _plain(value: Any) -> Any:
    """A member of a TextChoices is its value."""
    return value if type(value) in PLAIN else getattr(value, "value", value)


def _document(rows: Sequence[tuple]) -> str:
    """Rows as PostgreSQL's json_to_recordset reads them."""
    keys = [f"c{place}" for place in range(len(rows[0]))]
    return json.dumps([dict(zip(keys, row, strict=True)) for row in rows], default=_bytea, separators=(",", ":"))


def _bytea(value: Any) -> str:
    """Bytes, bare or in psycopg's wrapper, as PostgreSQL reads them."""
    return "\\x" + bytes(getattr(value, "obj", value)).hex()


def _in_utc(row: tuple, moments: Sequence[int]) -> tuple:
    """SQLite keeps times without their zone: ours is UTC."""
    cells = list(row)
    for place in moments:
        if cells[place] is not None:
            cells[place] = cells[place].replace(tzinfo=UTC)
    return tuple(cells)
