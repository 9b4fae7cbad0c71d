"""Check, load again, restart, push: each is really done by a phone, and nothing that merely left is called done."""

import json
import signal
import subprocess
from contextlib import AbstractContextManager

import pytest

from tests.support.simulated import simulated
from tests.support.site import COMMAND_SECONDS, SOON_SECONDS, wait_for
from tests.support.steps import Tell, last_row, progress, provisioned, wait_settled
from tests.support.strict_digest import Lock
from tests.support.strict_phone import TRANSACTION_SECONDS, StrictPhone
from tests.support.world import World, fresh_mac

pytestmark = pytest.mark.net

NOTHING_MORE_SECONDS = 2.0
SIMULATOR_SECONDS = 120  # a bound of what hangs
WAIT_SECONDS = 5


@pytest.fixture(scope="module")
def phone(world: World) -> StrictPhone:
    return provisioned(world, world.phone())


@pytest.fixture(scope="module", autouse=True)
def silent(world: World, phone: StrictPhone) -> StrictPhone:
    """A phone that does not hear what is said to its address: its 32 s run while the other tests of this module do."""
    deaf = provisioned(world, world.phone())
    world.site.manage("tell", deaf.mac, "check")
    deaf.next_transaction()
    return deaf


@pytest.mark.parametrize(("what", "event"), [("check", "check-sync"), ("resync", "resync")])
def test_a_phone_that_is_told_to_look_looks_at_its_own_path(world: World, phone: StrictPhone, what: str, event: str):
    telling = Tell(world.site, phone.mac, what)
    notify = phone.next_transaction()
    assert (notify.event, notify.user) == (event, "")
    phone.answer(notify)
    code, said = telling.ended()
    assert (code, said["state"], said["status"]) == (0, "delivered", 200)
    assert "challenged" not in said["seen"]
    assert said["seen"]["fetched"] is said["seen"]["applied"] is None
    assert not phone.flash(phone.fetch_stored())
    seen = progress(world.site, phone.mac)
    assert list(seen) == ["sent", "answered", "fetched", "applied"]
    assert all(seen.values()), seen


def test_a_phone_that_is_told_to_restart_is_seen_to_start_up_and_to_have_its_file(world: World, phone: StrictPhone):
    telling = Tell(world.site, phone.mac, "reboot")
    notify = phone.next_transaction()
    assert notify.event == "check-sync;reboot=true"
    phone.answer(notify)
    code, said = telling.ended()
    assert code == 0
    assert said["seen"]["answered"] is not None
    assert said["seen"]["started up"] is said["seen"]["fetched"] is None
    phone.boot()
    wait_for(lambda: progress(world.site, phone.mac)["started up"], SOON_SECONDS, "it was seen to start up")
    assert progress(world.site, phone.mac)["applied"] is None
    phone.flash(phone.fetch_stored())
    assert all(progress(world.site, phone.mac).values())
    assert world.site.stage(phone.mac) == "applied"


def test_a_phone_that_does_not_hear_its_address_is_asked_by_name_after_32_s(world: World, silent: StrictPhone):
    """Stands here, so that some of the time has run meanwhile, and its second 32 s are not over on a busy machine."""
    known = set(silent.transactions())
    by_name = silent.next_transaction(TRANSACTION_SECONDS + SOON_SECONDS)
    assert by_name.transaction not in known
    assert by_name.user == "1001"
    assert last_row(world.site, silent.mac)["state"] == "sending"
    silent.answer(by_name)
    assert wait_settled(world.site, silent.mac)["state"] == "delivered"


def test_a_push_brings_the_present_file_by_its_first_path(world: World, phone: StrictPhone):
    telling = Tell(world.site, phone.mac, "push")
    notify = phone.next_transaction()
    assert notify.event == "ua-profile"
    phone.answer(notify)
    assert telling.ended()[0] == 0
    assert not phone.flash(phone.get(notify.url)), "it is the file that it has"
    seen = progress(world.site, phone.mac)
    assert seen["fetched"] is not None
    assert seen["applied"] is None, "whoever asks by the first path has proved nothing"


def test_a_command_that_brings_a_new_file_takes_the_phone_there(world: World):
    """It missed the NOTIFY of the save; told to check, it gets the new file by the path that it has."""
    phone = provisioned(world, world.phone())
    world.site.assign(phone.mac, name="Newer")
    phone.answer(phone.next_transaction(), 403, "Forbidden")
    wait_settled(world.site, phone.mac)
    telling = Tell(world.site, phone.mac, "check")
    second, right = phone.await_login(phone.next_transaction(), Lock())
    assert right
    phone.answer(second)
    assert telling.ended()[0] == 0
    assert phone.flash(phone.fetch_stored())
    phone.boot()
    assert not phone.flash(phone.fetch_stored())
    assert phone.values["P3"] == "Newer"
    assert world.site.stage(phone.mac) == "applied"


def test_a_command_to_a_phone_that_is_off_is_no_success(world: World):
    phone = provisioned(world, world.phone(lan=1))
    phone.power_off()
    told = world.site.manage("tell", phone.mac, "reboot", "--wait", "3", check=False)
    assert told.returncode == 1
    assert "Sent, no final answer yet" in told.stdout
    for step in ("answered", "started up", "fetched", "applied"):
        assert f"{step:<11} not yet" in told.stdout, told.stdout
    assert world.site.stage(phone.mac) == "applied", "what it proved before is still true"


def test_a_refused_command_says_so_and_the_phone_stays_applied(world: World, phone: StrictPhone):
    telling = Tell(world.site, phone.mac, "reboot")
    phone.answer(phone.next_transaction(), 403, "Forbidden")
    code, said = telling.ended()
    assert (code, said["state"], said["status"]) == (1, "refused", 403)
    assert "403 Forbidden" in said["note"]
    shown = world.site.phones()[phone.mac]
    assert (shown["stage"], shown["stage_reason"]) == ("applied", "")


def test_a_phone_without_our_configuration_cannot_be_told_anything(world: World):
    phone = world.phone()
    phone.boot()
    world.site.wait_stage(phone.mac, "seen")
    for what in ("check", "resync", "reboot", "push"):
        told = world.site.manage("tell", phone.mac, what, check=False)
        assert told.returncode == 1
        assert "Assign it first" in told.stderr
    assert phone.listen(0.5) == []


@pytest.mark.parametrize(
    ("status", "reason"),
    [(404, "Not Found"), pytest.param(481, "Call/Transaction Does Not Exist", marks=pytest.mark.long)],
)
def test_who_does_not_know_its_address_is_asked_once_by_its_users_name(
    world: World, phone: StrictPhone, status: int, reason: str
):
    telling = Tell(world.site, phone.mac, "check")
    first = phone.next_transaction()
    phone.answer(first, status, reason)
    second = phone.next_transaction()
    assert (first.user, second.user) == ("", "1001")
    assert second.event == first.event
    assert second.message.one("call-id") != first.message.one("call-id"), "to somebody else: a call of its own"
    phone.answer(second, status, reason)
    code, said = telling.ended()
    assert (code, said["state"], said["status"]) == (1, "refused", status)
    before = phone.transactions()
    phone.listen(NOTHING_MORE_SECONDS)
    assert phone.transactions() == before, "once"


def test_a_new_configuration_reaches_a_phone_that_knows_only_its_user(world: World):
    phone = provisioned(world, world.phone())
    world.site.assign(phone.mac, name="By name")
    phone.answer(phone.next_transaction(), 404, "Not Found")
    second = phone.next_transaction()
    assert (second.user, second.event) == ("1001", "ua-profile")
    phone.be_provisioned(second)
    assert world.site.stage(phone.mac) == "applied"


# --- the project's own phones, on a bad line --------------------------------------------------------------------------


def staying(world: World, mac: str, faults: str) -> AbstractContextManager[subprocess.Popen[str]]:
    """A phone of the simulator that stays switched on; SIGTERM makes it say its story."""
    stay = ("--stay", str(SIMULATOR_SECONDS), "--wait-assign", "60", "--seed", "3")
    return simulated(world.site, world.host(mac=mac), mac, "--faults", faults, *stay)


@pytest.mark.long
@pytest.mark.timeout(240)
def test_thirty_percent_loss_doubled_and_reordered_datagrams_cost_nothing_but_time(world: World):
    mac = fresh_mac()
    with staying(world, mac, "lose=0.3,double,reorder=0.3,challenge") as process:
        world.site.assign(mac, password="öld")
        world.site.wait_stage(mac, "applied", seconds=SIMULATOR_SECONDS)
        world.site.assign(mac, password="new")
        world.site.wait_stage(mac, "applied", seconds=SIMULATOR_SECONDS)
        for what in ("check", "resync", "reboot"):
            code, said = Tell(world.site, mac, what, TRANSACTION_SECONDS + WAIT_SECONDS).ended()
            assert (code, said["state"]) == (0, "delivered"), said
            assert said["seen"]["challenged"], "by default a phone asks for its password"
            wait_for(lambda: all(progress(world.site, mac).values()), SIMULATOR_SECONDS, f"{what} was really done")
        process.send_signal(signal.SIGTERM)
        story = json.loads(process.communicate(timeout=COMMAND_SECONDS)[0])
    assert process.returncode == 0
    assert (story["outcome"], story["stage"]) == ("through", "applied")
    assert story["orders"] == ["notify", "notify", "check-sync", "resync", "reboot"], "each once, however often it came"
    assert not [note for note in story["notes"] if "login" in note or "same message" in note], story["notes"]
