"""PostgreSQL goes away and comes back: what callers see, and that the same connection settings recover by themselves.

A server of its own, because the one that the other tests use must stay.
"""

import pytest
from django.conf import settings
from django.db import close_old_connections, connection, transaction
from psycopg_pool import PoolTimeout

from devices import inventory
from devices.models import Phone
from sipmcast.desk import STORE_AWAY
from tests import cast
from tests.support.servers import running
from tests.support.site import wait_for

pytestmark = [pytest.mark.db, pytest.mark.django_db(transaction=True)]
BACK_SECONDS = 20


@pytest.fixture(scope="module")
def other():
    with running() as server:
        yield server


@pytest.fixture
def server(other):
    """The other server behind the product's own connection and pool."""
    name = other.migrated().rpartition("/")[2]
    ours = dict(connection.settings_dict)
    connection.close()
    connection.close_pool()
    pool = {**ours["OPTIONS"]["pool"], "timeout": 1.0}
    connection.settings_dict |= {
        "HOST": "127.0.0.1", "PORT": other.port, "USER": "gspnp", "PASSWORD": other.password, "NAME": name,
        "OPTIONS": {**ours["OPTIONS"], "pool": pool},
    }  # fmt: skip
    yield other
    connection.close()
    connection.close_pool()
    connection.settings_dict |= ours


def hear(number: int) -> None:
    """As the listener's writer thread does it."""
    close_old_connections()
    inventory.record_sightings([cast.sighting(f"000B82{number:06X}")], cast.unknown)


def is_back() -> bool:
    try:
        hear(2)
    except STORE_AWAY:
        return False
    return True


@pytest.mark.parametrize("ends", ["stop", "kill"])
def test_a_restart_costs_nothing_but_the_time_that_it_takes(server, ends):
    hear(1)
    getattr(server, ends)()
    with pytest.raises(STORE_AWAY) as raised:
        hear(3)
    assert isinstance(raised.value.__cause__, PoolTimeout)
    server.start()
    wait_for(is_back, BACK_SECONDS, "the pool has a connection again")
    assert list(Phone.objects.order_by("mac").values_list("mac", flat=True)) == ["000B82000001", "000B82000002"]


def test_a_connection_that_breaks_within_a_transaction_is_the_store_away_and_stores_nothing(server):
    hear(1)
    with pytest.raises(STORE_AWAY), transaction.atomic():
        Phone.objects.update(vendor="half done")
        server.kill()
        Phone.objects.count()
    server.start()
    wait_for(is_back, BACK_SECONDS, "the pool has a connection again")
    assert not Phone.objects.filter(vendor="half done").exists()


def test_connections_are_pooled_and_checked():
    database = settings.DATABASES["default"]
    assert database["CONN_MAX_AGE"] == 0 and database["CONN_HEALTH_CHECKS"]
    assert database["OPTIONS"]["pool"]["max_size"] >= 4
