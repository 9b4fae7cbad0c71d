"""Plug in, be seen, be assigned, be notified, fetch, restart, prove it: on real packets, with strict phones."""

import json
import subprocess
import sys

import pytest

from tests.support.site import ROOT, SOON_SECONDS, wait_for
from tests.support.strict_phone import StrictPhone
from tests.support.world import World, fresh_mac, together

pytestmark = pytest.mark.net

MODELS = ("GXP1610", "GXP1615", "GXP1620", "GXP1625", "GXP1628", "GXP1630")
PASSWORD = "p&<w>\"'ő$#"
CROWD = 50
CROWD_SECONDS = 150  # a bound of what hangs


def provision(world: World, phone: StrictPhone) -> None:
    phone.boot()
    world.site.assign(phone.mac, user="1001", password=PASSWORD, name="Réception & <Hall>")
    phone.be_provisioned()


@pytest.fixture(scope="module")
def six(world: World) -> list[StrictPhone]:
    """One phone of each model, all of them through, three on each LAN."""
    phones = [world.phone(lan=number % 2, model=model) for number, model in enumerate(MODELS)]
    together(phones, StrictPhone.boot)
    for phone in phones:
        world.site.assign(phone.mac, user="1001", password=PASSWORD, name="Réception & <Hall>")
    together(phones, lambda phone: go_through(world, phone))
    return phones


def go_through(world: World, phone: StrictPhone) -> None:
    """Each step is on record before the next: a phone that fetches before its 200 is settled skips a step."""
    notify = phone.await_notify()
    phone.answer(notify)
    world.site.wait_stage(phone.mac, "notified")
    assert phone.flash(phone.get(notify.url))
    phone.come_back()


def test_every_model_goes_the_whole_way_in_two_boots(world: World, six: list[StrictPhone]):
    shown = world.site.phones()
    for phone in six:
        seen = shown[phone.mac]
        assert (seen["stage"], seen["stage_reason"], seen["alarm"]) == ("applied", "", "")
        assert (seen["vendor"], seen["model"], seen["firmware"]) == ("Grandstream", phone.model, "1.0.2.7")
        assert seen["contact"] == f"sip:{phone.address}:5060"
        assert phone.boots == 2
        assert len(phone.transactions()) == 1


def test_the_file_says_what_was_assigned(world: World, six: list[StrictPhone]):
    for phone in six:
        said = phone.values
        assert (said["P47"], said["P35"], said["P34"]) == ("10.0.0.1", "1001", PASSWORD)
        assert said["P3"] == "Réception & <Hall>"
        assert said["P271"] == "1"
        assert said["P145"] == "0"  # else DHCP option 66 takes the phone away
        assert said["P212"] == said["P6767"] == "1"


def test_each_lan_is_answered_from_and_pointed_to_its_own_address(world: World, six: list[StrictPhone]):
    for phone in six:
        ours = phone.address.rpartition(".")[0] + ".1"
        assert phone.server == ours
        assert {notify.message.source[0] for notify in phone.notifies} == {ours}
        assert phone.notifies[0].url.startswith(f"http://{ours}:5481/p/")
        for place in ("P237", "P192"):
            assert phone.values[place].startswith(f"{ours}:5481/")


def test_the_timeline_names_each_step_once(world: World, six: list[StrictPhone]):
    for phone in six:
        steps = [text.split()[0] for text in world.site.timeline(phone.mac)]
        for first_word in ("Seen", "Assigned", "NOTIFY", "Answered", "Fetched", "Applied:"):
            assert steps.count(first_word) == 1, world.site.timeline(phone.mac)


def test_every_boot_is_answered_on_the_first_transmission(world: World):
    """One SUBSCRIBE and no resend; how soon its 200 comes is measured by tests/bench/answer_latency.py."""
    phone = world.phone()
    for _ in range(15):
        phone.power_on()
        phone.send_subscribe()
        assert phone.await_200(SOON_SECONDS)


def test_no_log_and_no_file_holds_a_secret(world: World, six: list[StrictPhone]):
    """Passwords and paths, as text: not in any log, and not in the database's files."""
    secrets = [PASSWORD] + [
        secret for phone in six for secret in (phone.notifies[0].url.split("/")[4], phone.values["P237"].split("/")[2])
    ]  # fmt: skip
    assert all(len(secret) == 22 for secret in secrets[1:])
    for path in world.site.folder.iterdir():
        if path.is_file():
            content = path.read_bytes()
            found = [secret for secret in secrets if secret.encode() in content]
            assert not found, path


def test_downloads_by_the_first_path_prove_nothing_however_many(world: World):
    phone = world.phone()
    phone.boot()
    world.site.assign(phone.mac)
    notify = phone.await_notify()
    phone.answer(notify)
    for _ in range(3):
        phone.flash(phone.get(notify.url))
        phone.get(f"{notify.url}.xml")
    place = phone.values["P237"]
    assert phone.get(f"http://{place}/cfg{phone.mac.lower()}").status == 404
    assert phone.get(f"http://{place}/cfg.xml").status == 404
    phone.get(f"http://{place}/cfg{phone.mac.lower()}.xml", Range="bytes=0-9")
    with phone.open_download(f"http://{place}/cfg{phone.mac.lower()}.xml") as aborted:
        aborted.recv(1)
    assert world.site.stage(phone.mac) == "fetched"
    phone.come_back()
    assert world.site.stage(phone.mac) == "applied"


def test_a_new_phone_is_stored_as_seen(world: World):
    phone = world.phone()
    phone.boot()
    world.site.wait_stage(phone.mac, "seen")


def test_a_resent_subscribe_gets_the_same_bytes_and_no_second_row(world: World):
    phone = world.phone()
    phone.power_on()
    phone.send_subscribe()
    first = phone.next_datagram(SOON_SECONDS)
    phone.send_subscribe()
    assert phone.next_datagram(SOON_SECONDS) == first is not None
    world.site.wait_stage(phone.mac, "seen")
    assert len(world.site.timeline(phone.mac)) == 1


@pytest.mark.timeout(240)
def test_fifty_simulated_phones_at_once_are_all_applied(world: World):
    """The project's own simulator, on another machine of the LAN: 50 SUBSCRIBEs in one moment."""
    host = world.host()
    first = int(fresh_mac(), 16) + 0x100000
    macs = [f"{first + number:012X}" for number in range(CROWD)]
    process = subprocess.Popen(
        host.command(
            sys.executable, "-m", "sipmcast.simulator", "--count", str(CROWD), "--model", "all", "--json",
            "--mac", macs[0], "--interface", host.address, "--wait-assign", "60", "--quiet", "1",
        ),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT, env=world.site.environment,
    )  # fmt: skip
    try:
        here = f"SELECT mac FROM devices_phone WHERE mac BETWEEN '{macs[0]}' AND '{macs[-1]}'"
        wait_for(lambda: len(world.site.rows(here)) == CROWD, SOON_SECONDS, "all are seen")
        world.site.assign_all(macs)
        said, trouble = process.communicate(timeout=CROWD_SECONDS)
    finally:
        process.kill()
        process.wait()
    stories = [json.loads(line) for line in said.splitlines() if line.startswith("{")]
    assert process.returncode == 0, f"{trouble}{said}"
    assert len(stories) == CROWD
    assert {(story["outcome"], story["boots"]) for story in stories} == {("through", 2)}
    stages = world.site.rows(here.replace("SELECT mac", "SELECT stage"))
    assert [row["stage"] for row in stages] == ["applied"] * CROWD
    # One NOTIFY each, and none of them twice.
    owed = world.site.rows(
        "SELECT p.mac, count(*) AS number FROM provisioning_notify n JOIN devices_phone p ON p.id = n.phone_id "
        f"WHERE p.mac BETWEEN '{macs[0]}' AND '{macs[-1]}' GROUP BY p.mac"
    )
    assert {row["number"] for row in owed} == {1}


def test_loopback_alone_is_enough(make_world):
    """`listen_pnp --interface lo`: a strict phone on 127.0.0.1, and a phone on the LAN that is not heard."""
    here = make_world()
    here.site.start("phones")
    here.site.launch("listen", "exec python manage.py listen_pnp --interface lo")
    here.site.wait_ready("listen")
    phone = StrictPhone(here.pbx, fresh_mac(), "GXP1630", port=5070, loopback=True)
    provision(here, phone)
    here.site.wait_stage(phone.mac, "applied")
    assert (phone.boots, phone.server) == (2, "127.0.0.1")
    assert phone.notifies[0].url.startswith("http://127.0.0.1:5481/p/")

    stranger = here.phone()
    stranger.power_on()
    stranger.send_subscribe()
    assert not stranger.await_200(1.0)
    assert here.site.stage(stranger.mac) == ""
