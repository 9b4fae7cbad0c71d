"""The door's connection to the database: kept while phones ask, and never for good."""

import pytest
from django.db import DatabaseError, connection

from provisioning.door import store

pytestmark = pytest.mark.django_db(transaction=True)


def opened() -> object:
    def used() -> object:
        connection.ensure_connection()
        return connection.connection

    return store.asked(used)


@pytest.fixture(autouse=True)
def clock(monkeypatch):
    class Clock:
        now = 1_000.0

        def monotonic(self) -> float:
            return self.now

    made = Clock()
    monkeypatch.setattr(store, "time", made)
    monkeypatch.setattr(store, "_thread", type(store._thread)())
    return made


def test_sqlite_is_opened_anew_however_often_it_is_asked(clock):
    """A backup may have been put in the place of its file meanwhile."""
    if connection.vendor != "sqlite":
        pytest.skip("PostgreSQL's is kept while it is asked")
    first = opened()
    clock.now += 0.4
    assert opened() is first
    clock.now += 0.2
    second = opened()
    assert second is not first


def test_a_connection_with_an_error_is_not_used_again():
    def fail() -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT nothing FROM nowhere")

    first = opened()
    with pytest.raises(DatabaseError):
        store.asked(fail)
    assert opened() is not first
