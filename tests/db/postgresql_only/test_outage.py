"""PostgreSQL goes away and comes back: what callers see, and that the same connection settings recover by themselves.

A server of its own, because the one that the other tests use must stay.
"""

import pytest
from asgiref.sync import sync_to_async
from django.conf import settings
from django.db import close_old_connections, connection, transaction
from psycopg_pool import PoolTimeout

from devices import inventory
from devices.models import Phone
from devices.trust import Verdict
from gspnp.console import consumers, tail
from sipmcast import desk
from sipmcast.desk import STORE_AWAY
from tests import cast
from tests.support.live_socket import make_viewer, next_events, open_socket
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


async def test_an_open_page_gets_all_that_happened_while_the_server_was_away(server, monkeypatch):
    """It keeps its link; what was committed by anybody is told once, in order, when the table can be read again."""
    monkeypatch.setattr(tail, "RETRY_SECONDS", 0.1)
    monkeypatch.setattr(consumers, "RETRY_SECONDS", 0.1)
    _, session = await sync_to_async(make_viewer)()
    async with open_socket(session) as socket:
        await sync_to_async(hear)(1)
        first = await next_events(socket)
        await sync_to_async(server.stop)()
        with pytest.raises(STORE_AWAY):
            await sync_to_async(hear)(9)
        await sync_to_async(server.start)()
        await sync_to_async(wait_for)(is_back, BACK_SECONDS, "the pool has a connection again")
        await sync_to_async(hear)(3)
        events = first["events"]
        while len(events) < 3:
            events += (await next_events(socket))["events"]
    assert [event["mac"][-1] for event in events] == ["1", "2", "3"]


def test_a_listener_that_claimed_when_the_server_was_killed_sends_each_once(server):
    """What was not committed is waiting as before; what was goes on as the transaction that it is."""
    for number in range(1, 21):
        hear(number)
        cast.save(Phone.objects.get(mac=f"000B82{number:06X}"))
    with cast.neighbours_say(Verdict.MATCH):
        sent = {one.notify_id for one in desk.look(cast.LEGS, "pbx#1", {}, 8).sends}
        with pytest.raises(STORE_AWAY), transaction.atomic():
            assert len(desk.look(cast.LEGS, "pbx#1", {}, 8).sends) == 8
            server.kill()
            Phone.objects.count()
        server.start()
        wait_for(is_back, BACK_SECONDS, "the pool has a connection again")
        while found := desk.look(cast.LEGS, "pbx#1", {}, 8).sends:
            assert sent.isdisjoint(one.notify_id for one in found)
            sent |= {one.notify_id for one in found}
    assert len(sent) == 20
