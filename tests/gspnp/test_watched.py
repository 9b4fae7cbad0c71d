"""The console's door as those see it who watch; to everybody else there is nothing."""

import json
import threading
from collections.abc import Iterator

import pytest
import redis
from asgiref.testing import ApplicationCommunicator
from django.db import OperationalError
from django.test import override_settings

from devices import wake
from gspnp import watched
from gspnp.asgi import application
from gspnp.console import tail, views
from provisioning import readiness
from provisioning.asked import Shared
from tests.support.redis_server import redis_server  # noqa: F401
from tests.support.servers import free_port

READER, STRANGER = "127.0.0.1", "10.0.0.99"


async def ask(path: str, peer: str = READER, method: str = "GET", **headers: str) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body, through the whole application of the console's door."""
    sent = [
        (b"host", b"localhost"),
        *((name.replace("_", "-").encode(), text.encode()) for name, text in headers.items()),
    ]
    scope = {
        "type": "http", "http_version": "1.1", "method": method, "path": path, "raw_path": path.encode(),
        "scheme": "http", "query_string": b"",
        "headers": sent, "client": (peer, 1), "server": ("localhost", 8000), "root_path": "",
    }  # fmt: skip
    asking = ApplicationCommunicator(application, scope)
    await asking.send_input({"type": "http.request", "body": b"", "more_body": False})
    start = await asking.receive_output(20)
    body, more = b"", True
    while more:
        part = await asking.receive_output(20)
        body, more = body + part.get("body", b""), part.get("more_body", False)
    await asking.wait(20)
    return start["status"], {name.decode().lower(): text.decode() for name, text in start["headers"]}, body


@pytest.mark.django_db(transaction=True)
async def test_a_reader_on_this_machine_gets_the_metrics():
    status, headers, body = await ask("/metrics")
    assert status == 200 and b"gspnp_websocket_clients" in body
    assert (headers["cache-control"], int(headers["content-length"])) == ("no-store", len(body))
    assert (await ask("/metrics", method="HEAD"))[2] == b""


@pytest.mark.django_db(transaction=True)
async def test_to_everybody_else_there_is_nothing():
    nothing = await ask("/no-such-page", STRANGER)
    assert nothing[0] == 404
    for asked in (
        await ask("/metrics", STRANGER),
        await ask("/metrics", READER, x_forwarded_for=READER),
        await ask("/metrics", READER, forwarded="for=127.0.0.1"),
        await ask("/metrics", READER, via="1.1 proxy"),
        await ask("/metrics", STRANGER, x_forwarded_for=READER),
    ):
        assert (asked[0], asked[2]) == (nothing[0], nothing[2])
        assert asked[1].keys() == nothing[1].keys()
    with override_settings(GSPNP_TRUSTED_PROXIES=[READER]):
        assert (await ask("/metrics", READER, x_forwarded_for=READER))[0] == 404


@pytest.mark.django_db(transaction=True)
async def test_whether_it_is_ready_is_told_to_all_and_why_not_to_a_reader(monkeypatch):
    status, _, body = await ask("/readyz")
    checks = json.loads(body)["checks"]
    assert (status, checks["database"], checks["live"], checks["redis"]) == (200, "ok", "ok", "not set")

    def away():
        raise OperationalError("10.9.8.7")

    monkeypatch.setattr(readiness, "STORE", {"database": away})
    status, _, body = await ask("/readyz", STRANGER)
    assert (status, json.loads(body)) == (503, {"ready": False})
    assert json.loads((await ask("/readyz"))[2])["checks"]["database"] == readiness.AWAY


def test_the_console_says_that_its_database_does_not_answer(monkeypatch, rf):
    monkeypatch.setattr(readiness, "answers", lambda: False)
    answer = views.healthz(rf.get("/healthz"))
    assert (answer.status_code, answer.content) == (503, b"no database")


@pytest.fixture
def with_redis(monkeypatch) -> Iterator[None]:
    """This console has one, which nobody has asked yet."""
    monkeypatch.setattr(wake, "is_on", lambda: True)
    monkeypatch.setattr(watched, "_redis", Shared(wake.answers, watched.REDIS_SECONDS))
    yield


@pytest.mark.usefixtures("with_redis")
def test_a_redis_that_is_away_is_told_and_the_console_is_ready(monkeypatch):
    monkeypatch.setattr(wake, "_address", lambda: f"redis://127.0.0.1:{free_port()}/0")
    found = readiness.examine(watched.checks())
    assert found.ready and found.checks["redis"].startswith("away")


@pytest.mark.usefixtures("with_redis")
def test_who_asks_often_makes_no_dial_to_redis_for_each(redis_server, monkeypatch):  # noqa: F811
    monkeypatch.setattr(wake, "_address", lambda: redis_server.url)
    monkeypatch.setattr(watched, "_redis", Shared(wake.answers, 3600.0))
    with redis.Redis.from_url(redis_server.url) as client:
        before = client.info("stats")["total_connections_received"]
        for _ in range(20):
            assert readiness.examine(watched.checks()).checks["redis"] == "ok"
        assert client.info("stats")["total_connections_received"] == before + 1


@pytest.mark.usefixtures("with_redis")
def test_a_redis_that_says_nothing_holds_up_no_answer(monkeypatch):
    monkeypatch.setattr(readiness, "ASK_SECONDS", 0.05)
    released = threading.Event()
    monkeypatch.setattr(watched, "_redis", Shared(lambda: released.wait(20)))
    found = readiness.examine(watched.checks())
    released.set()
    assert found.ready and found.checks["redis"].startswith("away")


async def test_browsers_that_are_told_nothing_make_it_not_ready(monkeypatch):
    lost = tail.Tail()
    lost._browsers = {object(): None}
    monkeypatch.setitem(tail._tails, __import__("asyncio").get_running_loop(), lost)
    assert not readiness.examine(watched.checks()).ready


@pytest.mark.django_db(transaction=True)
async def test_each_answer_has_the_id_of_its_request():
    first, second = (await ask("/healthz"))[1]["x-request-id"], (await ask("/healthz"))[1]["x-request-id"]
    assert len(first) == len(second) == 16 and first != second
    assert (await ask("/healthz", x_request_id="mine"))[1]["x-request-id"] != "mine"
    with override_settings(GSPNP_TRUSTED_PROXIES=[READER]):
        assert (await ask("/healthz", x_request_id="proxy-7"))[1]["x-request-id"] == "proxy-7"
        assert (await ask("/healthz", x_request_id="a\r\nb: c"))[1]["x-request-id"] != "a\r\nb: c"


async def test_a_browser_counts_from_its_acceptance_to_its_end():
    counts = []

    async def app(scope, receive, send):
        counts.append(watched.CLIENTS._value.get())
        await send({"type": "websocket.accept"})
        counts.append(watched.CLIENTS._value.get())
        raise RuntimeError

    async def ignore(message):
        pass

    scope = {"type": "websocket", "client": (READER, 1), "headers": []}
    with pytest.raises(RuntimeError):
        await watched.Watched(app)(scope, None, ignore)
    assert [count - counts[0] for count in (*counts, watched.CLIENTS._value.get())] == [0, 1, 0]


async def test_a_live_link_without_a_database_is_closed_and_makes_no_crash(caplog):
    said = []

    async def app(scope, receive, send):
        raise OperationalError("couldn't get a connection after 5.00 sec")

    async def send(message):
        said.append(message)

    await watched.Watched(app)({"type": "websocket", "client": (READER, 1), "headers": []}, None, send)
    assert said == [{"type": "websocket.close", "code": watched.TRY_AGAIN_LATER}]
    assert "couldn't get a connection" in caplog.text and "Traceback" not in caplog.text
