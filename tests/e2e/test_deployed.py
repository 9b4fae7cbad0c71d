"""What docker-compose.yml starts, started from its own commands and settings: PostgreSQL, Redis, nginx with TLS, two
consoles, two phones' doors, a listener and a worker. All tests share the one start of it; the order is of no
account but for the last one."""

import json
import re
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.deployed import Browser, Deployed, running, simulated
from tests.support.servers import postgresql  # noqa: F401
from tests.support.site import SOON_SECONDS, START_SECONDS, wait_for
from tests.support.world import fresh_mac

pytestmark = [pytest.mark.servers, pytest.mark.timeout(300)]

CONSOLES, PHONES_DOORS = ("console-1", "console-2"), ("phones-1", "phones-2")
FORGED = {
    "X-Forwarded-For": "10.9.9.9", "X-Forwarded-Proto": "http", "X-Forwarded-Host": "evil.example",
    "Forwarded": "for=10.9.9.9",
}  # fmt: skip
SIMULATOR_SECONDS = 120


@pytest.fixture(scope="module")
def deployed(postgresql, tmp_path_factory) -> Iterator[Deployed]:  # noqa: F811
    with running(tmp_path_factory.mktemp("deployed"), postgresql) as built:
        yield built


@pytest.fixture(scope="module")
def browser(deployed: Deployed) -> Browser:
    """Of somebody who would be taken for another one."""
    made = Browser(deployed, 99, FORGED)
    assert made.sign_in("admin", deployed.admin_password) == 302
    return made


def start_phone(deployed: Deployed, mac: str) -> subprocess.Popen[str]:
    return simulated(deployed, "--mac", mac, "--wait-assign", str(SIMULATOR_SECONDS))


def phones(browser: Browser) -> dict[str, dict]:
    status, _, body = browser.ask("GET", "/phones.json")
    assert status == 200
    return {one["mac"]: one for one in json.loads(body)}


@pytest.mark.long
def test_each_service_is_well_by_its_own_health_check(deployed: Deployed):
    def is_well(name: str) -> bool:
        return deployed.check(name).returncode == 0

    with ThreadPoolExecutor(2) as pool:
        for name in ("listen", "work"):
            wait_for(lambda name=name: is_well(name), START_SECONDS, lambda name=name: deployed.log(name))
        assert list(pool.map(is_well, (*CONSOLES, *PHONES_DOORS))) == [True] * 4


def test_a_stranger_gets_by_the_proxy_to_no_figures(deployed: Deployed):
    stranger = Browser(deployed, 97, FORGED)
    for port in (8443, 5481, 5482):
        status, _, body = stranger.ask("GET", "/healthz", port=port)
        assert (status, body.strip()) == (200, b"ok")
        for path in ("/metrics", "/METRICS", "//metrics", "/%6detrics", "/x/../metrics", "/metrics/", "/readyz"):
            status, _, body = stranger.ask("GET", path, port=port)
            assert (status, b"nginx" in body) == (404, True), f"{port}{path}"
    status, headers, _ = stranger.ask("GET", "/phones/?a=1", port=8080)
    assert (status, headers["location"]) == (301, f"https://{deployed.address('proxy')}/phones/?a=1")


def test_both_consoles_serve_whoever_signed_in_at_one_of_them(deployed: Deployed, browser: Browser):
    for _ in range(4):
        assert browser.ask("GET", "/overview/")[0] == 200
    assert browser.cookies["sessionid"]
    status, headers, _ = browser.ask("GET", "/")
    assert status == 200 and "strict-transport-security" in headers, "it knows that it is reached by HTTPS"


def test_pages_of_both_consoles_see_what_one_of_them_did(deployed: Deployed, browser: Browser):
    lives = [browser.live() for _ in range(2)]
    assert all(" 101 " in one.status for one in lives)
    wait_for(
        lambda: all(deployed.connections(name) == 1 for name in CONSOLES), SOON_SECONDS, "one page at each console"
    )
    mac = fresh_mac()
    process = start_phone(deployed, mac)
    try:
        for live in lives:
            live.until(mac)
        assert browser.ask("POST", f"/phones/{mac}/ignore/")[0] == 200
        for live in lives:
            live.until("ignored")
    finally:
        process.kill()
        process.communicate()
    for live in lives:
        live.close()


def test_a_phone_gets_through_by_the_proxys_tls_and_stays_with_one_door(deployed: Deployed, browser: Browser):
    mac = fresh_mac()
    process = start_phone(deployed, mac)
    try:
        wait_for(lambda: mac in phones(browser), SOON_SECONDS, "it is in the list")
        deployed.manage(
            "assign", mac, "--account", "1", "--user-id", "1001", "--name", "X", "--password-stdin",
            "--sip-server", "10.0.0.1", given="phone's own password\n",
        )  # fmt: skip
        story = json.loads(process.communicate(timeout=SIMULATOR_SECONDS)[0])
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == 0, story
    assert phones(browser)[mac]["stage"] == "applied"
    (base,) = deployed.rows(
        "SELECT DISTINCT f.base_url FROM provisioning_configfile f JOIN devices_phone p ON p.id = f.phone_id "
        "WHERE p.mac = %s", mac
    )  # fmt: skip
    assert base == (deployed.public_url,)
    shown = ":".join(mac[place : place + 2] for place in range(0, 12, 2))
    doors = [name for name in PHONES_DOORS if shown in deployed.log(name)]
    assert len(doors) == 1
    assert all(f"{shown}: 127.0.0.1 asked for" in line for line in deployed.log(doors[0]).splitlines() if shown in line)


def test_an_address_that_a_client_makes_up_is_believed_by_neither_door(deployed: Deployed):
    stranger, mac = Browser(deployed, 98, FORGED), fresh_mac()
    agent = f"Grandstream Model HW GXP1628 SW 1.0.4.138 DevId {mac.lower()}"
    for port in (5481, 5482):
        assert stranger.ask("GET", f"/cfg{mac.lower()}.xml", port=port, agent=agent)[0] == 404
    heard = wait_for(
        lambda: deployed.rows("SELECT host(source_host::inet) FROM devices_phone WHERE mac = %s", mac),
        SOON_SECONDS, "it is in the list",
    )  # fmt: skip
    assert heard == [(stranger.address,)]
    assert stranger.sign_in("admin", "wrong") == 200
    assert deployed.rows("SELECT DISTINCT host(ip_address) FROM axes_accessattempt") == [(stranger.address,)]


@pytest.mark.long
def test_nobody_misses_a_console_and_a_door_that_were_killed(deployed: Deployed, browser: Browser):
    for name in ("console-1", "phones-1"):
        deployed.kill(name)
    for number in range(40, 52):  # whichever door their addresses lead them to
        assert Browser(deployed, number, {}).ask("GET", "/healthz", port=5482)[0] == 200
    for _ in range(4):
        assert browser.ask("GET", "/overview/")[0] == 200
    deployed.start("console-1", "phones-1")


def test_no_log_has_a_path_that_is_secret_or_a_password(deployed: Deployed, browser: Browser):
    """Nor of what came to the wrong port, or found no door, where nginx would say what was asked for."""
    secret = "A" * 22
    for port in (8443, 5481, 5482):
        assert browser.ask("GET", f"/p/{secret}/cfg000B82000001.xml", port=port)[0] == 404
    for name in PHONES_DOORS:
        deployed.kill(name)
    assert browser.ask("GET", f"/p/{secret}/cfg000B82000001.xml", port=5482)[0] == 502
    deployed.start(*PHONES_DOORS)
    logs = deployed.logs()
    assert set(logs) >= {*CONSOLES, *PHONES_DOORS, "listen", "work", "proxy", "proxy-access", "redis"}
    assert logs["proxy-access"].count(" GET 200 ") > 4
    for name, text in logs.items():
        assert not re.search(r"/p/[A-Za-z0-9_-]{22}", text), name
        assert "Traceback" not in text, f"{name}: {text[-3000:]}"
        for word in (*deployed.secrets, "phone's own password"):
            assert word not in text, name
    assert "/p/" not in logs["proxy"] + logs["proxy-access"]


@pytest.mark.long
def test_each_ends_in_good_order(deployed: Deployed):
    for name in ("proxy", "work", "listen", *PHONES_DOORS, *CONSOLES):
        assert deployed.stop(name) in (0, -15), f"{name}: {deployed.log(name)[-2000:]}"
