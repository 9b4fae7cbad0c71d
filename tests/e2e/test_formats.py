"""Encrypted and binary files on real packets: a phone that remembers one checksum comes to rest within three boots."""

import json
import subprocess

import pytest

from tests.support.simulated import ending, started
from tests.support.site import SOON_SECONDS, wait_for
from tests.support.world import World, fresh_mac

pytestmark = pytest.mark.net

COMMAND_SECONDS = 90
STAY_SECONDS = 120


@pytest.fixture(scope="module", params=["encrypted", "binary"])
def world(make_world, request) -> World:
    made: World = make_world({"GSPNP_FILE_FORMAT": request.param})
    made.site.start("listen", "phones", "work")
    return made


@pytest.mark.parametrize(
    "faults",
    ["", *(pytest.param(one, marks=pytest.mark.long) for one in ("old-order", "path-as-folder")), "aborted-download"],
)
def test_a_phone_comes_to_rest_within_three_boots_and_proves_it(world: World, faults: str):
    story = simulate(world, faults)
    assert (story["outcome"], story["reason"]) == ("through", "")
    assert story["boots"] <= 3
    assert world.site.stage(story["mac"]) == "applied"


def test_a_key_in_plain_xml_needs_one_more_boot(world: World):
    """Another way to bring the key, which a layer chooses; the phone restarts after it."""
    if world.site.environment["GSPNP_FILE_FORMAT"] == "binary":
        return  # a binary file needs no key
    choose(world, {"file_bootstrap": "xml"})
    try:
        story = simulate(world, "")
    finally:
        choose(world, {})
    assert (story["outcome"], story["reason"], story["boots"]) == ("through", "", 3)
    assert world.site.stage(story["mac"]) == "applied"


def choose(world: World, values: dict[str, str]) -> None:
    code = f"from provisioning.layers import store; store.save(store.find('site', ''), {values!r}, by='tess')"
    world.site.manage("shell", "-c", code)


def test_a_phone_with_another_digest_is_never_said_to_have_applied(world: World):
    """SHA-256 firmware cannot open what was made with MD5."""
    if world.site.environment["GSPNP_FILE_FORMAT"] == "binary":
        assert simulate(world, "sha256-files")["outcome"] == "through", "a binary file has no digest"
        return
    story = simulate(world, "sha256-files", patience=12)
    assert story["outcome"] == "failed"
    assert world.site.stage(story["mac"]) != "applied"


@pytest.mark.parametrize("bootstrap", ["binary", pytest.param("xml", marks=pytest.mark.long)])
@pytest.mark.parametrize("faults", ["", pytest.param("path-as-folder", marks=pytest.mark.long)])
def test_further_versions_are_taken_with_the_key_that_the_phone_has(world: World, bootstrap: str, faults: str):
    """Three versions, one after the other; the key leaves with the first one only."""
    if world.site.environment["GSPNP_FILE_FORMAT"] == "binary":
        return  # a binary file needs no key
    choose(world, {"file_bootstrap": bootstrap})
    try:
        mac, process = plugged_in(world, faults, SOON_SECONDS, "--stay", str(STAY_SECONDS))
        with ending(process):
            for number, name in enumerate(("One", "Two", "Three"), 1):
                world.site.assign(mac, name=name)
                wait_for(
                    lambda number=number: applied(world, mac) == number, STAY_SECONDS, lambda: str(seen(world, mac))
                )
    finally:
        choose(world, {})
    keys = [row for row in downloads(world, mac) if not row["counts"]]
    assert {row["number"] for row in keys} == {1}, "the key was given once"


def test_a_phone_that_was_reset_gets_its_key_when_a_person_says_so(world: World):
    if world.site.environment["GSPNP_FILE_FORMAT"] == "binary":
        return  # a binary file needs no key
    mac, process = plugged_in(world, "factory-reset", 3 * SOON_SECONDS)
    with ending(process):
        world.site.assign(mac)
        world.site.wait_stage(mac, "applied")
        again = (
            "SELECT 1 FROM devices_phone WHERE mac = ? AND subscribed_at > (SELECT max(applied_at) FROM "
            "provisioning_configfile WHERE phone_id = devices_phone.id)"
        )
        wait_for(lambda: world.site.rows(again, mac), SOON_SECONDS, "it has started as new")
        world.site.manage("paths", mac, "--key-again")
        story = json.loads(process.communicate(timeout=COMMAND_SECONDS)[0])
    assert (story["outcome"], story["reason"]) == ("through", "")
    wait_for(lambda: known(world, mac), SOON_SECONDS, "it has shown once more that it has the key")


def applied(world: World, mac: str) -> int:
    """The last version that was applied."""
    question = (
        "SELECT max(number) AS n FROM provisioning_configfile f JOIN devices_phone p ON p.id = f.phone_id "
        "WHERE p.mac = ? AND applied_at IS NOT NULL"
    )
    return world.site.rows(question, mac)[0]["n"] or 0


def known(world: World, mac: str) -> bool:
    question = (
        "SELECT key_known_at FROM provisioning_configfile f JOIN devices_phone p ON p.id = f.phone_id "
        "WHERE p.mac = ? ORDER BY number DESC LIMIT 1"
    )
    return world.site.rows(question, mac)[0]["key_known_at"] is not None


def downloads(world: World, mac: str) -> list[dict]:
    return world.site.rows(
        "SELECT f.number, d.counts, d.name, d.path_kind FROM provisioning_download d JOIN provisioning_configfile f "
        "ON f.id = d.config_file_id JOIN devices_phone p ON p.id = d.phone_id WHERE p.mac = ? ORDER BY d.id", mac,
    )  # fmt: skip


def seen(world: World, mac: str) -> list:
    return [*world.site.timeline(mac), *downloads(world, mac)]


def plugged_in(world: World, faults: str, patience: float, *more: str) -> tuple[str, subprocess.Popen]:
    mac = fresh_mac()
    waits = ("--wait-assign", str(patience), "--quiet", "1")
    return mac, started(world.site, world.host(mac=mac), mac, "--faults", faults, *waits, *more)


def simulate(world: World, faults: str, patience: float = SOON_SECONDS) -> dict:
    mac, process = plugged_in(world, faults, patience)
    with ending(process):
        world.site.assign(mac)
        return json.loads(process.communicate(timeout=COMMAND_SECONDS)[0])
