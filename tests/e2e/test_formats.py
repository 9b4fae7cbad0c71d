"""Encrypted and binary files on real packets: a phone that remembers one checksum comes to rest within three boots."""

import json
import subprocess
import sys

import pytest

from tests.support.site import ROOT, SOON_SECONDS
from tests.support.world import World, fresh_mac

pytestmark = pytest.mark.net

COMMAND_SECONDS = 90


@pytest.fixture(scope="module", params=["encrypted", "binary"])
def world(make_world, request) -> World:
    made: World = make_world({"GSPNP_FILE_FORMAT": request.param})
    made.site.start("listen", "phones", "work")
    return made


@pytest.mark.parametrize("faults", ["", "old-order", "path-as-folder", "aborted-download"])
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


def simulate(world: World, faults: str, patience: float = SOON_SECONDS) -> dict:
    mac = fresh_mac()
    host = world.host(mac=mac)
    process = subprocess.Popen(
        host.command(
            sys.executable, "-m", "sipmcast.simulator", "--mac", mac, "--interface", host.address, "--json",
            "--faults", faults, "--wait-assign", str(patience), "--quiet", "1",
        ),
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=ROOT, env=world.site.environment,
    )  # fmt: skip
    try:
        world.site.assign(mac)
        return json.loads(process.communicate(timeout=COMMAND_SECONDS)[0])
    finally:
        process.kill()
        process.wait()
