"""What the worker shows: counts of the whole installation by few cheap questions, and whether it can do its work."""

import asyncio
import http.client
import json
import socket
import threading
import time
from collections.abc import Iterator

import pytest
from cryptography.fernet import Fernet
from django.db import DatabaseError, OperationalError, connection
from django.test import override_settings
from django.test.utils import CaptureQueriesContext

from devices import inventory, metrics
from devices.alarms import raise_alarm
from devices.choices import AlarmKind
from devices.models import Phone
from provisioning import facts, readiness, side_port, watched
from provisioning.asked import Shared
from provisioning.jobs import alive
from provisioning.models import Notify
from provisioning.readiness import OK, Check
from provisioning.side_port import InAThread, Where
from tests import cast
from tests.support.families import values

BOUND_SECONDS = 20


def all_facts() -> dict[str, float]:
    found = values(facts.Facts()())
    assert found.pop("gspnp_facts_known") == 1
    found.pop("gspnp_facts_read_seconds")
    return found


@pytest.mark.db
@pytest.mark.django_db
@pytest.mark.usefixtures("clock")
def test_an_empty_installation_says_nought_of_everything():
    found = {sample.name for family in facts.Facts()() for sample in family.samples}
    assert {"gspnp_phones", "gspnp_alarms_open", "gspnp_notifies_owed", "gspnp_jobs"} <= found
    assert all_facts() == {"gspnp_worker_heartbeat_age_seconds": -1}


@pytest.mark.db
@pytest.mark.django_db
def test_what_stands_in_the_database_is_counted(clock):
    cast.sent(cast.assigned())
    cast.assigned(cast.OTHER_MAC, "10.0.0.21")
    stopped = cast.seen("000B82000001", "10.0.0.22")
    inventory.explain(stopped.pk, "It does not go on.", ["seen"])
    Phone.objects.filter(pk=stopped.pk).update(online=False)
    inventory.raise_alarm(stopped.pk, "Somebody else says that it is this phone.")
    raise_alarm(AlarmKind.NAMES, cast.STRANGER)
    alive.beat(clock.at)
    clock.forward(90)
    assert all_facts() == {
        "gspnp_phones{seen}": 1, "gspnp_phones{assigned}": 2,
        "gspnp_phones_reached{offline}": 1, "gspnp_phones_reached{unknown}": 2,
        "gspnp_phones_stopped{seen}": 1, "gspnp_phones_with_alarm": 1, "gspnp_alarms_open{names}": 1,
        "gspnp_notifies_owed{waiting}": 1, "gspnp_notifies_owed{sending}": 1,
        "gspnp_notifies_oldest_due_seconds": 90, "gspnp_worker_heartbeat_age_seconds": 90,
    }  # fmt: skip


@pytest.mark.django_db
def test_each_question_is_answered_from_an_index(clock):
    """However many phones there are, no row of one is looked at. Jobs, workers and listeners are few."""
    if connection.vendor != "sqlite":
        pytest.skip("these are SQLite's plans")
    cast.sent(cast.assigned())
    with CaptureQueriesContext(
        connection,
    ) as asked:
        facts.Facts()()
    assert len(asked) == 9
    for query in asked.captured_queries:
        with connection.cursor() as cursor:
            cursor.execute(f"EXPLAIN QUERY PLAN {query['sql']}")
            plan = "; ".join(row[3] for row in cursor.fetchall())
        few = any(table in plan for table in ("provisioning_job", "workerstatus", "listenerstatus"))
        assert few or "INDEX" in plan, f"{query['sql']}: {plan}"
        assert "provisioning_notify" not in plan or plan.startswith("SEARCH") or "one_open" in plan, plan


def test_facts_are_read_at_most_every_few_seconds(monkeypatch):
    read: list[int] = []
    monkeypatch.setattr(metrics, "facts", [lambda: read.append(1) or ()])
    now = [0.0]
    kept = facts.Facts(lambda: now[0])
    kept(), kept()
    now[0] = metrics.FACTS_SECONDS - 0.1
    kept()
    assert len(read) == 1
    now[0] = metrics.FACTS_SECONDS
    kept()
    assert len(read) == 2


def test_a_database_that_is_away_is_told_and_breaks_no_scrape(monkeypatch):
    def away():
        raise OperationalError("no password of mine")

    monkeypatch.setattr(metrics, "facts", [away])
    families = list(facts.Facts()())
    assert [sample.value for sample in families[0].samples] == [0]
    with metrics.reading(facts.Facts()):
        assert b"gspnp_facts_known 0.0" in metrics.exposition()[1]


# --- ready ----------------------------------------------------------------------------------------------------------


@pytest.mark.db
@pytest.mark.django_db
def test_a_database_with_all_its_tables_and_our_keys_is_ready(clock):
    cast.assigned()
    assert readiness.examine(readiness.STORE) == readiness.Readiness(
        True, {"database": OK, "migrations": OK, "keys": OK}
    )


@pytest.fixture
def hanging(monkeypatch) -> Iterator[list[str]]:
    """The database accepts a question and says nothing; who asked."""
    asked, released = [], threading.Event()

    class Silent:
        def cursor(self):
            asked.append(threading.current_thread().name)
            released.wait(BOUND_SECONDS)
            raise OperationalError("at last")

    monkeypatch.setattr(readiness, "connection", Silent())
    monkeypatch.setattr(readiness, "ASK_SECONDS", 0.05)
    monkeypatch.setattr(readiness, "_there", Shared(readiness._is_there))
    yield asked
    released.set()


def test_a_database_that_says_nothing_is_waited_for_once_and_not_by_every_check(hanging):
    words = {"database": readiness.AWAY, "migrations": readiness.NOT_ASKED, "keys": readiness.NOT_ASKED}
    loop = {"rounds": lambda: Check(OK)}
    for _ in range(3):
        found = readiness.examine(readiness.STORE | loop)
        assert (found.ready, found.checks) == (False, words | {"rounds": OK})
    assert len(hanging) == 1  # in a thread that waits still


def test_the_door_says_soon_that_the_database_says_nothing(hanging):
    with override_settings(GSPNP_METRICS_NETWORKS=["127.0.0.0/8"]):
        told = cast.ask("/readyz", host="127.0.0.1")
    assert json.loads(told.body)["checks"]["keys"] == readiness.NOT_ASKED
    assert [told.status, cast.ask("/healthz").status] == [503, 503]
    assert len(hanging) == 1


@pytest.mark.django_db(transaction=True)
def test_other_keys_make_it_not_ready_and_say_which_setting(clock):
    cast.assigned()
    with override_settings(GSPNP_FIELD_KEYS=[Fernet.generate_key().decode()]):
        found = readiness.examine(readiness.STORE)
    assert not found.ready and "GSPNP_FIELD_KEYS" in found.checks["keys"]


@pytest.mark.django_db
def test_a_missing_migration_makes_it_not_ready(monkeypatch):
    monkeypatch.setattr(readiness._all_tables, "last", None)
    monkeypatch.setattr(readiness.MigrationExecutor, "migration_plan", lambda *_: ["one"])
    assert readiness.examine(readiness.STORE).checks["migrations"] == readiness.BEHIND


def test_what_a_database_says_of_itself_is_not_passed_on():
    def away():
        raise DatabaseError("at 10.9.8.7 for user gspnp")

    found = readiness.examine({"database": away})
    assert (found.ready, found.checks) == (False, {"database": readiness.AWAY})


def test_what_is_only_told_keeps_nothing_from_being_ready():
    found = readiness.examine({"redis": lambda: Check("away", told_only=True)})
    assert (found.ready, found.status, found.checks) == (True, 200, {"redis": "away"})


def test_a_loop_that_stands_still_or_has_ended_makes_the_worker_not_ready(monkeypatch):
    over = threading.Event()
    loop = threading.Thread(target=over.wait, name="rounds", daemon=True)
    look = watched.checks([loop])["rounds"]
    loop.start()
    monkeypatch.setattr(watched, "_turned", {"rounds": time.monotonic()})
    assert look().words == OK
    monkeypatch.setattr(watched, "_turned", {"rounds": time.monotonic() - alive.STALE_SECONDS - 1})
    assert look().words != OK
    monkeypatch.setattr(watched, "_turned", {"rounds": time.monotonic()})
    over.set()
    loop.join(BOUND_SECONDS)
    assert look().words != OK


# --- the port of its own ----------------------------------------------------------------------------------------------


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def get(port: int, path: str, **headers: str) -> tuple[int, str]:
    link = http.client.HTTPConnection("127.0.0.1", port, timeout=BOUND_SECONDS)
    try:
        link.request("GET", path, headers=headers)
        answer = link.getresponse()
        return answer.status, answer.read().decode()
    finally:
        link.close()


@pytest.fixture
def port():
    """Of a process that is not ready."""
    where = Where("127.0.0.1", free_port(), "GSPNP_WORK_METRICS_PORT")
    opened = InAThread(where, {"rounds": lambda: Check("does not go on")})
    deadline = time.monotonic() + BOUND_SECONDS
    while True:
        try:
            get(where.port, "/healthz")
            break
        except OSError:
            assert time.monotonic() < deadline
    yield where.port
    opened.close()


def test_the_port_shows_metrics_and_why_it_is_not_ready(port):
    status, text = get(port, "/metrics")
    assert status == 200 and "process_start_time_seconds" in text
    assert get(port, "/healthz") == (200, "ok\n")
    status, text = get(port, "/readyz")
    assert (status, json.loads(text)) == (503, {"ready": False, "checks": {"rounds": "does not go on"}})
    assert get(port, "/")[0] == 404


def test_what_a_proxy_passes_on_gets_no_metrics_and_no_reasons(port):
    passed_on = {"X-Forwarded-For": "127.0.0.1"}
    assert get(port, "/metrics", **passed_on) == (404, "not found\n")
    assert get(port, "/readyz", **passed_on) == (503, "not ready\n")
    with override_settings(GSPNP_METRICS_NETWORKS=["10.0.0.0/8"]):
        assert get(port, "/metrics") == (404, "not found\n")


def test_a_port_that_is_taken_is_a_warning_with_the_remedy(caplog):
    async def ready():
        raise AssertionError

    with socket.create_server(("127.0.0.1", 0)) as taken:
        where = Where("127.0.0.1", taken.getsockname()[1], "GSPNP_LISTEN_METRICS_PORT")
        assert asyncio.run(side_port.opened(where, ready)) is None
    assert "Set GSPNP_LISTEN_METRICS_PORT to a free port" in caplog.text
    assert asyncio.run(side_port.opened(Where("127.0.0.1", 0, "X"), ready)) is None


@pytest.mark.django_db
def test_without_a_port_the_worker_shows_nothing():
    with override_settings(GSPNP_WORK_METRICS_PORT=0):
        watched.begin([]).close()
    assert Notify.objects.count() == 0
