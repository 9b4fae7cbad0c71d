"""Phones log in to fetch their file, on real packets: the whole way, another kind of login, new paths, on and off."""

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.support.simulated import simulated
from tests.support.site import SOON_SECONDS, wait_for
from tests.support.world import World, fresh_mac

pytestmark = pytest.mark.net

COMMAND_SECONDS = 120


@pytest.fixture(scope="module")
def world(make_world) -> World:
    made: World = make_world({"GSPNP_PHONE_LOGIN": "digest"})
    made.site.start("listen", "phones", "work")
    return made


@pytest.fixture(autouse=True)
def as_installed(world: World) -> Iterator[None]:
    yield
    choose(world, {})


def choose(world: World, values: dict[str, str], then: str = "") -> None:
    code = f"from provisioning.layers import store; store.save(store.find('site', ''), {values!r}, by='tess')"
    world.site.manage("shell", "-c", f"{code}; {then}")


@contextmanager
def plugged_in(world: World, *more: str) -> Iterator[tuple[str, subprocess.Popen]]:
    """A phone that is assigned as soon as it is heard; its MAC and its process."""
    mac = fresh_mac()
    waits = ("--wait-assign", str(SOON_SECONDS), "--quiet", "1")
    with simulated(world.site, world.host(mac=mac), mac, *waits, *more) as process:
        world.site.assign(mac)
        yield mac, process


def told(process: subprocess.Popen) -> dict:
    return json.loads(process.communicate(timeout=COMMAND_SECONDS)[0])


def versions(world: World, mac: str) -> list[tuple[int, str, bool]]:
    """Number, kind of login, and whether it was applied, of each version."""
    rows = world.site.rows(
        "SELECT number, login_scheme, applied_at FROM provisioning_configfile f "
        "JOIN devices_phone p ON p.id = f.phone_id WHERE p.mac = ? ORDER BY number",
        mac,
    )
    return [(row["number"], row["login_scheme"], row["applied_at"] is not None) for row in rows]


@pytest.mark.parametrize(
    "values",
    [
        {},
        pytest.param({"phone_login": "basic"}, marks=pytest.mark.long),
        {"file_format": "encrypted"},
        pytest.param({"file_format": "binary"}, marks=pytest.mark.long),
    ],
    ids=str,
)
def test_the_whole_way(world: World, values: dict[str, str]):
    choose(world, values)
    with plugged_in(world) as (mac, process):
        story = told(process)
    assert (story["outcome"], story["reason"]) == ("through", "")
    assert world.site.stage(mac) == "applied"
    asked = [one["status"] for one in story["downloads"] if one["boot"] > 1 and one["status"] in (200, 401)]
    assert asked[:2] == [401, 200], "asked for its login, and let in"
    first = [one["status"] for one in story["downloads"] if one["boot"] == 1]
    assert 200 in first and 401 not in first, "the first path needs none"
    downloads = world.site.rows(
        "SELECT status FROM provisioning_download d JOIN devices_phone p ON p.id = d.phone_id WHERE p.mac = ?", mac
    )
    assert {row["status"] for row in downloads} == {200}
    assert "wrong login" not in " ".join(world.site.timeline(mac))


def test_on_and_off_and_new_paths_for_a_phone_in_use(world: World):
    """Each is a new version that it is notified of like any other, and it proves each by its own path and login."""
    again = "from provisioning.jobs import runner; runner.start('Logins', {}, by='tess')"
    choose(world, {"phone_login": "off"})
    with plugged_in(world, "--stay", "100", "--boots-max", "20") as (mac, _):
        expected = [(1, "", True)]
        wait_for(lambda: versions(world, mac) == expected, SOON_SECONDS, "applied without a login")
        for kind in ("digest", "basic"):
            choose(world, {"phone_login": kind}, again)
            expected.append((len(expected) + 1, kind, True))
            wait_for(lambda: versions(world, mac) == expected, SOON_SECONDS, f"{kind}: {versions(world, mac)}")
        world.site.manage(
            "shell", "-c",
            "from devices.models import Phone; from provisioning import rotation; "
            f"p = Phone.objects.get(mac='{mac}'); rotation.new_paths(p, by='tess', seen_host=p.source_host)",
        )  # fmt: skip
        expected.append((4, "basic", True))
        wait_for(lambda: versions(world, mac) == expected, SOON_SECONDS, "new paths, new login")
        choose(world, {"phone_login": "off"}, again)
        expected.append((5, "", True))
        wait_for(lambda: versions(world, mac) == expected, SOON_SECONDS, "off")


@pytest.mark.parametrize(
    ("fault", "words"),
    [("wrong-login", "with a wrong login"), pytest.param("no-login", "gave none", marks=pytest.mark.long)],
)
def test_a_phone_that_cannot_log_in_says_why(world: World, fault: str, words: str):
    with plugged_in(world, "--faults", fault) as (mac, process):
        story = told(process)
    assert story["outcome"] == "failed" and "401" in story["reason"]
    assert world.site.stage(mac) == "fetched"
    wait_for(lambda: words in " ".join(world.site.timeline(mac)), 2 * SOON_SECONDS, "its timeline says why")


def test_nothing_of_a_login_is_in_any_log(world: World):
    with plugged_in(world) as (mac, process):
        told(process)
    shown = "from provisioning.models import ConfigFile; "
    shown += f"print(*ConfigFile.objects.filter(phone__mac='{mac}').values_list('login_secret', flat=True))"
    (secret,) = world.site.manage("shell", "-c", shown).stdout.split()[-1:]
    assert len(secret) == 16
    for name in ("listen", "phones", "work"):
        assert secret not in world.site.log(name) and "response=" not in world.site.log(name)


@pytest.mark.parametrize("kind", ["digest", pytest.param("basic", marks=pytest.mark.long)])
def test_curl_logs_in_too(world: World, kind: str):
    """A foreign peer: what it computes is what we ask for."""
    choose(world, {"phone_login": kind})
    with plugged_in(world) as (mac, process):
        told(process)
    shown = "from provisioning.models import ConfigFile; "
    shown += f"one = ConfigFile.objects.filter(phone__mac='{mac}').latest('number'); "
    shown += "print(one.base_url, one.steady_secret, one.login_secret)"
    base, path, password = world.site.manage("shell", "-c", shown).stdout.split()[-3:]
    url = f"{base}/p/{path}/cfg{mac.lower()}.xml"

    def curl(*more: str) -> str:
        command = ("curl", "-sS", "-o", "/dev/null", "-w", "%{http_code}", *more, url)
        host = world.host()
        return subprocess.run(host.command(*command), capture_output=True, text=True, check=True).stdout

    assert curl(f"--{kind}", "--user", f"{mac.lower()}:{password}") == "200"
    assert curl(f"--{kind}", "--user", f"{mac.lower()}:wrong") == "401"
    assert curl("--anyauth", "--user", f"{mac.lower()}:{password}") == "200"
    assert curl() == "401"
