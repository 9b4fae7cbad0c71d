"""Reads a product's database beside it, on SQLite or PostgreSQL; never writes."""

import sqlite3
from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from tests.bench.product import Product
from tests.support.netns import inside
from tests.support.site import DATABASE


class StoreReader:
    """One connection, used by the thread that opened it."""

    def __init__(self, product: Product) -> None:
        url = product.site.environment.get("DATABASE_URL", "")
        self._sqlite = not url
        self._connection: Any
        if self._sqlite:
            path = product.site.folder / DATABASE
            self._connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=20, isolation_level=None)
        else:
            import psycopg  # only where a PostgreSQL is measured

            with inside(product.ground.pbx.namespace):
                self._connection = psycopg.connect(url, autocommit=True)

    def rows(self, question: str, *values: object) -> list[tuple]:
        """Values stand as %s in the question."""
        if self._sqlite:
            question = question.replace("%s", "?")
        return self._connection.execute(question, values).fetchall()

    def macs(self, since: float | None) -> set[str]:
        """All phones that are there; with `since`, those whose SUBSCRIBE was stored after that moment."""
        if since is None:
            return {mac for (mac,) in self.rows("SELECT mac FROM devices_phone")}
        return {
            mac for (mac,) in self.rows("SELECT mac FROM devices_phone WHERE subscribed_at >= %s", self.time(since))
        }

    def time(self, at: float) -> object:
        """A moment as the database compares it."""
        moment = datetime.fromtimestamp(at, UTC)
        return moment.strftime("%Y-%m-%d %H:%M:%S.%f") if self._sqlite else moment

    def first_events(self, since: float) -> dict[str, int]:
        """MAC -> the first event after that moment."""
        found: Iterable[tuple] = self.rows(
            "SELECT mac, MIN(id) FROM devices_liveevent WHERE at >= %s GROUP BY mac", self.time(since)
        )
        return dict(found)

    def count(self, table: str, condition: str = "1 = 1") -> int:
        return self.rows(f"SELECT COUNT(*) FROM {table} WHERE {condition}")[0][0]

    def close(self) -> None:
        with suppress(Exception):
            self._connection.close()
