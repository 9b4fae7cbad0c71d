"""What an operator fears, one thing upon the other: the database, Redis, a console, a phones' door and the listener go
while phones start up and are assigned. Afterwards nobody has to do anything, and nothing happened twice.

OUTAGE_PHONES says how many phones: 1,000, or 5,000 for a storm as the power returns. All have one address here, so that
what one address may have is raised to what a site of so many phones behind one router needs.
"""

import json
import os
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import pytest

from tests.support.deployed import Browser, Deployed, running, simulated
from tests.support.page import Page
from tests.support.servers import PostgreSQL, postgresql  # noqa: F401
from tests.support.site import SOON_SECONDS, wait_for

PHONES = int(os.environ.get("OUTAGE_PHONES", "1000"))
MORE_SECONDS = PHONES / 5  # that many more phones may need for each thing, on a machine that has other work
pytestmark = [pytest.mark.servers, pytest.mark.long, pytest.mark.timeout(600 + 6 * MORE_SECONDS)]

FIRST_MAC = 0x000B82B00000
MACS = [f"{FIRST_MAC + number:012X}" for number in range(PHONES)]
OUTAGE_SECONDS = 20.0
STORM_SECONDS = 12.0  # in which all are switched on
BACK_SECONDS = 120 + MORE_SECONDS  # until what was held up meanwhile is done
SIMULATOR_SECONDS = 400 + 3 * MORE_SECONDS
ONE_ADDRESS = {
    "GSPNP_HTTP_RATE": "5000",
    "GSPNP_HTTP_RATE_PER_SOURCE": "5000",
    "GSPNP_HTTP_CONNECTIONS_PER_SOURCE": "2000",
    "GSPNP_SIP_RATE_PER_SOURCE": "20000",
}
ASSIGN = """
import io, sys
from django.core.management import call_command
for number, mac in enumerate(sys.stdin.read().split(), start=1001):
    sys.stdin = io.StringIO(f"secret-{number}\\n")
    call_command("assign", mac, user_id=str(number), name=f"Phone {number}", sip_server="10.0.0.1", password_stdin=True)
"""


@pytest.fixture(scope="module")
def deployed(postgresql: PostgreSQL, tmp_path_factory) -> Iterator[Deployed]:  # noqa: F811
    with running(tmp_path_factory.mktemp("outages"), postgresql, ONE_ADDRESS) as built:
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
        deployed, "--count", str(PHONES), "--mac", MACS[0], "--stagger", str(STORM_SECONDS / PHONES),
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
    with closing(Page(browser)) as page, plugged_in(deployed) as process:  # it is at the other one
        wait_for(lambda: listed(deployed) >= PHONES // 4, SOON_SECONDS, "the first ones are in the list")
        with away(postgresql):  # most phones start up meanwhile
            for name in ("redis", "phones-1"):
                deployed.kill(name)
        deployed.start("redis", "console-1", "phones-1")
        wait_for(lambda: listed(deployed) == PHONES, BACK_SECONDS, lambda: f"{listed(deployed)} are in the list")
        wait_for(lambda: page.shows("seen") == PHONES, BACK_SECONDS, lambda: f"the page shows {page.shows('seen')}")
        deployed.kill("listen")
        deployed.manage("shell", "--no-imports", "-c", ASSIGN, given="\n".join(MACS), seconds=BACK_SECONDS)
        with away(postgresql):
            deployed.start("listen")
            for name in ("work", "console-2"):
                deployed.kill(name)
        deployed.start("work")
        stories = [json.loads(line) for line in process.communicate(timeout=SIMULATOR_SECONDS)[0].splitlines()]
        all_is_well(deployed, stories)
        wait_for(lambda: page.shows("applied") == PHONES, BACK_SECONDS, lambda: f"it shows {page.shows('applied')}")
        assert page.connections >= 2
    for name, text in deployed.logs().items():
        assert "Traceback" not in text, f"{name}: {text[-3000:]}"


def all_is_well(deployed: Deployed, stories: list[dict[str, Any]]) -> None:
    """Each phone got through and is in the list once, with one file that one NOTIFY led to."""
    assert Counter(f"{story['outcome']}: {story['reason']}" for story in stories) == {"through: ": PHONES}
    assert deployed.rows("SELECT stage, count(*) FROM devices_phone GROUP BY stage") == [("applied", PHONES)]
    one_file = "SELECT count(*), count(DISTINCT phone_id) FROM provisioning_configfile"
    assert deployed.rows(one_file) == [(PHONES, PHONES)]
    told = "SELECT state, count(*), count(DISTINCT phone_id) FROM provisioning_notify WHERE kind = 'profile' GROUP BY 1"
    assert deployed.rows(told) == [("delivered", PHONES, PHONES)]
    open_ones = "SELECT kind, state FROM provisioning_notify WHERE state IN ('waiting', 'sending', 'withheld')"
    assert deployed.rows(open_ones) == [], "what is asked by itself is answered, or not needed any more"
