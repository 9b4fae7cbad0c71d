"""A phone that wants another form of URL is understood, and the next one of its kind is told that form at once.

The six minutes after which a silent phone is told the other form are in tests/provisioning/test_url_forms.py.
"""

import json

import pytest

from tests.support.simulated import simulated
from tests.support.site import COMMAND_SECONDS, SOON_SECONDS
from tests.support.strict_phone import StrictPhone
from tests.support.world import World, fresh_mac

pytestmark = pytest.mark.net

TAKES_PATHS_FOR_FOLDERS = "1.0.9.1"
WANTS_FOLDERS = "1.0.9.2"
SIMULATED = "1.0.9.3"


def booted(world: World, firmware: str, folder: bool = False) -> StrictPhone:
    """A phone of this firmware that was assigned; it is strict about the form that it expects."""
    phone = world.phone()
    phone.firmware, phone.folder = firmware, folder
    phone.boot()
    world.site.assign(phone.mac)
    return phone


def go_through(world: World, phone: StrictPhone, url: str) -> None:
    """From the 200 on, with the file at the URL that the phone makes of what it was told."""
    assert phone.flash(phone.get(url))
    phone.come_back()
    assert world.site.stage(phone.mac) == "applied"


def test_who_asks_below_the_full_path_gets_its_file_and_teaches_the_form(world: World):
    first = booted(world, TAKES_PATHS_FOR_FOLDERS)
    notify = first.await_notify()
    first.answer(notify)
    go_through(world, first, f"{notify.url}/cfg{first.mac.lower()}.xml")

    next_one = booted(world, TAKES_PATHS_FOR_FOLDERS, folder=True)
    told = next_one.await_notify()
    assert told.url.endswith("/")
    next_one.answer(told)
    go_through(world, next_one, f"{told.url}cfg{next_one.mac.lower()}")


def test_another_firmware_is_told_the_full_path_as_before(world: World):
    phone = booted(world, "1.0.9.9")
    phone.be_provisioned()
    assert phone.notifies[0].url.endswith(f"/cfg{phone.mac}")


def test_who_ignores_the_full_path_is_only_notified_and_told_nothing_more(world: World):
    """It says 200 and does not fetch: the 200 alone is never taken for more."""
    phone = booted(world, WANTS_FOLDERS)
    phone.answer(phone.await_notify())
    world.site.wait_stage(phone.mac, "notified")
    phone.listen(1.5)
    assert len(phone.transactions()) == 1
    assert world.site.rows("SELECT * FROM provisioning_learnedurlform WHERE firmware = ?", WANTS_FOLDERS) == []


def test_the_simulators_phones_of_both_kinds(world: World):
    """One takes the path for a folder; one that wants only folders comes through then, at its first NOTIFY."""
    stories = [simulate(world, faults) for faults in ("path-as-folder", "folder-only")]
    assert [(story["outcome"], story["orders"]) for story in stories] == [("through", ["notify"])] * 2
    assert stories[0]["downloads"][0]["path"].count("cfg") == 2
    assert stories[1]["notes"] == []


def simulate(world: World, faults: str) -> dict:
    mac = fresh_mac()
    waits = ("--wait-assign", str(SOON_SECONDS), "--quiet", "1")
    says = ("--faults", faults, "--firmware", SIMULATED)
    with simulated(world.site, world.host(mac=mac), mac, *says, *waits) as process:
        world.site.assign(mac)
        return json.loads(process.communicate(timeout=COMMAND_SECONDS)[0])
