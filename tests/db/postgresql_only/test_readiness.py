"""Whether the database is there, on PostgreSQL with the product's own pool: all of it in use is not away."""

import json
from collections.abc import Iterator

import pytest
from django.db import connection
from django.test import override_settings

from provisioning import asked, readiness
from provisioning.readiness import OK
from tests import cast
from tests.db.postgresql_only.test_outage import other, server  # noqa: F401

pytestmark = [pytest.mark.db, pytest.mark.django_db(transaction=True)]
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


def test_who_asks_takes_one_connection_however_often():
    before = connections()
    for _ in range(5):
        assert readiness.examine(readiness.STORE).ready
    assert connections() == before + 1


@pytest.mark.parametrize("ends", ["stop", "kill"])
def test_a_server_that_was_restarted_is_there_at_the_first_question(server, ends):  # noqa: F811
    assert readiness.answers()
    getattr(server, ends)()
    assert not readiness.answers()
    assert readiness.examine(readiness.STORE).checks["database"] == readiness.AWAY
    server.start()
    assert readiness.examine(readiness.STORE).checks == WELL


def test_a_restart_that_nobody_saw_is_none(server):  # noqa: F811
    """The kept connection leads nowhere then, and says so only when it is used."""
    assert readiness.answers()
    (own,) = asked._own.values()
    server.stop()
    server.start()
    assert own.connection.connection is not None
    assert readiness.answers()
