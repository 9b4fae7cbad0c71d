"""Whether the database is there, on PostgreSQL with the product's own pool: all of it in use is not away."""

import json
from collections.abc import Iterator
from contextlib import ExitStack

import psycopg
import pytest
from django.db import connection
from django.test import override_settings

from provisioning import readiness
from provisioning.readiness import OK
from tests import cast
from tests.db.postgresql_only.test_outage import BACK_SECONDS, other, server  # noqa: F401
from tests.support.site import wait_for

pytestmark = [pytest.mark.db, pytest.mark.django_db(transaction=True)]
MORE_THAN_IT_HAS = 500  # connections
WELL = {"database": OK, "migrations": OK, "keys": OK}


@pytest.fixture
def busy() -> Iterator[None]:
    """Every connection of this process's pool is in use."""
    connection.close()
    pool = connection.pool
    pool.open()
    held = [pool.getconn() for _ in range(pool.max_size)]
    yield
    for one in held:
        pool.putconn(one)


@pytest.mark.usefixtures("busy")
def test_a_pool_that_is_all_in_use_takes_no_process_out_of_its_proxy():
    assert readiness.examine(readiness.STORE) == readiness.Readiness(True, WELL)
    with override_settings(GSPNP_METRICS_NETWORKS=["127.0.0.0/8"]):
        told = cast.ask("/readyz", host="127.0.0.1")
    assert (told.status, json.loads(told.body)["checks"]) == (200, WELL)
    assert cast.ask("/healthz").status == 200


def connections() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()")
        return cursor.fetchone()[0]


def test_who_asks_leaves_no_connection_behind():
    before = connections()
    for _ in range(5):
        assert readiness.examine(readiness.STORE).ready
    wait_for(lambda: connections() == before, BACK_SECONDS, "the server has noticed that they are closed")


def test_a_table_that_a_migration_has_locked_makes_no_process_not_ready(server, monkeypatch):  # noqa: F811
    monkeypatch.setattr(readiness, "ASK_SECONDS", 0.3)
    assert readiness.examine(readiness.STORE).checks == WELL
    with psycopg.connect(server_dsn()) as migrating:
        migrating.execute("LOCK TABLE provisioning_configfile IN ACCESS EXCLUSIVE MODE")
        for _ in range(2):
            assert readiness.answers()
            assert readiness.examine(readiness.STORE) == readiness.Readiness(True, WELL)


def test_what_was_never_answered_is_said_to_be_slow(server, monkeypatch):  # noqa: F811
    monkeypatch.setattr(readiness, "ASK_SECONDS", 0.3)
    monkeypatch.setattr(readiness, "_our_keys", readiness._Known(readiness._opens))
    with psycopg.connect(server_dsn()) as migrating:
        migrating.execute("LOCK TABLE provisioning_configfile IN ACCESS EXCLUSIVE MODE")
        assert readiness.examine(readiness.STORE).checks == WELL | {"keys": readiness.SLOW}


def test_a_server_that_has_no_place_left_is_there(server):  # noqa: F811
    assert readiness.examine(readiness.STORE).checks == WELL
    held: list[psycopg.Connection] = []
    with ExitStack() as stack:
        with pytest.raises(psycopg.OperationalError):
            while len(held) < MORE_THAN_IT_HAS:
                held.append(stack.enter_context(psycopg.connect(server_dsn())))
        assert readiness.examine(readiness.STORE).checks == WELL


def test_a_password_that_was_changed_is_noticed(server):  # noqa: F811
    assert readiness.answers()
    right = connection.settings_dict["PASSWORD"]
    connection.settings_dict["PASSWORD"] = "what it was before"
    try:
        assert not readiness.answers()
    finally:
        connection.settings_dict["PASSWORD"] = right


def server_dsn() -> str:
    there = connection.settings_dict
    names = {"host": "HOST", "port": "PORT", "user": "USER", "password": "PASSWORD", "dbname": "NAME"}
    return psycopg.conninfo.make_conninfo(**{name: there[key] for name, key in names.items()})


@pytest.mark.parametrize("ends", ["stop", "kill"])
def test_a_server_that_was_restarted_is_there_at_the_first_question(server, ends):  # noqa: F811
    assert readiness.answers()
    getattr(server, ends)()
    assert not readiness.answers()
    assert readiness.examine(readiness.STORE).checks["database"] == readiness.AWAY
    server.start()
    assert readiness.examine(readiness.STORE).checks == WELL
