"""What an operator fears, one thing upon the other: the database, Redis, a console, a phones' door and the listener go
while phones start up and are assigned. Afterwards nobody has to do anything, and nothing happened twice."""

import json
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.support.deployed import Browser, Deployed, running, simulated
from tests.support.servers import PostgreSQL, postgresql  # noqa: F401
from tests.support.site import SOON_SECONDS, wait_for

pytestmark = [pytest.mark.servers, pytest.mark.long, pytest.mark.timeout(600)]

PHONES = 60
FIRST_MAC = 0x000B82B00000
MACS = [f"{FIRST_MAC + number:012X}" for number in range(PHONES)]
OUTAGE_SECONDS = 20.0
BACK_SECONDS = 120  # until what was held up meanwhile is done
SIMULATOR_SECONDS = 400
ASSIGN = """
import io, sys
from django.core.management import call_command
for number, mac in enumerate(sys.stdin.read().split(), start=1001):
    sys.stdin = io.StringIO(f"secret-{number}\\n")
    call_command("assign", mac, user_id=str(number), name=f"Phone {number}", sip_server="10.0.0.1", password_stdin=True)
"""


@pytest.fixture(scope="module")
def deployed(postgresql: PostgreSQL, tmp_path_factory) -> Iterator[Deployed]:  # noqa: F811
    with running(tmp_path_factory.mktemp("outages"), postgresql) as built:
        yield built


@contextmanager
def away(server: PostgreSQL) -> Iterator[None]:
    """The database is killed, and comes back after at least OUTAGE_SECONDS."""
    server.kill()
    until = time.monotonic() + OUTAGE_SECONDS
    try:
        yield
        time.sleep(max(0.0, until - time.monotonic()))  # how long it is away is what this is about
    finally:
        server.start()


def listed(deployed: Deployed) -> int:
    return int(deployed.rows("SELECT count(*) FROM devices_phone")[0][0])


@contextmanager
def plugged_in(deployed: Deployed) -> Iterator[subprocess.Popen[str]]:
    process = simulated(
        deployed, "--count", str(PHONES), "--mac", MACS[0], "--stagger", "0.2",
        "--wait-assign", str(SIMULATOR_SECONDS), "--timeout", str(SIMULATOR_SECONDS),
    )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def test_nothing_is_lost_and_nothing_happens_twice(deployed: Deployed, postgresql: PostgreSQL):  # noqa: F811
    browser = Browser(deployed, 99, {})
    assert browser.sign_in("admin", deployed.admin_password) == 302
    deployed.kill("console-1")
    live = browser.live()  # at the other one
    with plugged_in(deployed) as process:
        wait_for(lambda: listed(deployed) >= PHONES // 4, SOON_SECONDS, "the first ones are in the list")
        with away(postgresql):  # most phones start up meanwhile
            for name in ("redis", "phones-1"):
                deployed.kill(name)
        deployed.start("redis", "console-1", "phones-1")
        wait_for(lambda: listed(deployed) == PHONES, BACK_SECONDS, lambda: f"{listed(deployed)} are in the list")
        live.until(MACS[-1])
        deployed.kill("listen")
        deployed.manage("shell", "--no-imports", "-c", ASSIGN, given="\n".join(MACS))
        with away(postgresql):
            deployed.start("listen")
            deployed.kill("work")
        deployed.start("work")
        stories = [json.loads(line) for line in process.communicate(timeout=SIMULATOR_SECONDS)[0].splitlines()]
    assert [story["reason"] for story in stories if story["outcome"] != "through"] == []
    assert deployed.rows("SELECT stage, count(*) FROM devices_phone GROUP BY stage") == [("applied", PHONES)]
    one_file = "SELECT count(*), count(DISTINCT phone_id) FROM provisioning_configfile"
    assert deployed.rows(one_file) == [(PHONES, PHONES)]
    told = "SELECT state, count(*), count(DISTINCT phone_id) FROM provisioning_notify GROUP BY state"
    assert deployed.rows(told) == [("delivered", PHONES, PHONES)]
    status, _, body = browser.ask("GET", "/phones.json")
    assert status == 200 and {one["stage"] for one in json.loads(body)} == {"applied"}
    for name, text in deployed.logs().items():
        assert "Traceback" not in text, f"{name}: {text[-3000:]}"
