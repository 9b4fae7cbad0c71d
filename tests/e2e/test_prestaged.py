"""Assigned before it is plugged in, and swapped when it is broken: on real packets, with strict phones."""

import json
import subprocess
import sys

import pytest

from tests.support.site import ROOT, wait_for
from tests.support.world import World, fresh_mac

pytestmark = pytest.mark.net

PASSWORD = "pw-of-the-first"
CROWD = 30
CROWD_SECONDS = 150  # a bound of what hangs


def listed(world: World, mac: str, user: str = "1001") -> None:
    """`manage.py assign` of a MAC that nobody has heard."""
    arguments = world.site.assignment(mac, "--model", "GXP1628", "--site", "berlin", user=user)
    said = world.site.manage(*arguments, given=f"{PASSWORD}\n").stdout
    assert "as soon as it is plugged in" in said


def test_a_phone_works_when_it_is_plugged_in_and_its_successors_after_it(world: World):
    phone = world.phone()
    listed(world, phone.mac)
    shown = world.site.phones()[phone.mac]
    assert (shown["stage"], shown["first_seen_at"], shown["last_seen_at"]) == ("assigned", None, None)
    phone.boot()
    phone.be_provisioned()
    world.site.wait_stage(phone.mac, "applied")
    assert (phone.values["P35"], phone.values["P34"], phone.boots) == ("1001", PASSWORD, 2)
    assert world.site.phone(phone.mac)["site"] == "berlin"

    # Another one, heard already, takes over; the first one's path leads nowhere from then on.
    second = world.phone(lan=1)
    second.boot()
    world.site.wait_stage(second.mac, "seen")
    steady = f"http://{phone.values['P237']}/cfg{phone.mac.lower()}.xml"
    assert phone.get(steady).status == 200
    world.site.manage("swap", phone.mac, second.mac, "--yes")
    assert phone.get(steady).status == 404
    second.be_provisioned()
    world.site.wait_stage(second.mac, "applied")
    assert (second.values["P35"], second.values["P34"]) == ("1001", PASSWORD)
    phone.power_on()
    phone.send_subscribe()
    assert phone.await_200(5)
    assert phone.next_notify(3) is None
    assert world.site.stage(phone.mac) == "retired"

    # And one that is still in its box.
    third = world.phone()
    world.site.manage("swap", second.mac, third.mac, "--yes")
    third.boot()
    third.be_provisioned()
    world.site.wait_stage(third.mac, "applied")
    assert (third.values["P35"], third.values["P34"]) == ("1001", PASSWORD)
    assert world.site.stage(second.mac) == "retired"


@pytest.mark.timeout(240)
def test_a_worker_that_is_killed_while_many_arrive_leaves_nobody_without_a_file(world: World):
    host = world.host()
    first = int(fresh_mac(), 16) + 0x200000
    macs = [f"{first + number:012X}" for number in range(CROWD)]
    script = (
        "import json, sys\n"
        "from devices import inventory\n"
        "from provisioning import assignment, plan\n"
        "from provisioning.gxp.config import AccountConfig\n"
        "for number, mac in enumerate(json.load(sys.stdin), start=1001):\n"
        "    phone = inventory.prestage(mac, 'GXP1628', '', 'tess')\n"
        "    account = AccountConfig(1, '10.0.0.1', str(number), '', 'pw', '', '', ('PCMA',))\n"
        "    assignment.save(phone, plan.Draft((account,)), by='tess', seen_host=None)\n"
    )
    done = subprocess.run(
        world.site.host.command(sys.executable, "-c", "import django; django.setup()\n" + script),
        input=json.dumps(macs), capture_output=True, text=True, cwd=ROOT, check=False,
        env={**world.site.environment, "DJANGO_SETTINGS_MODULE": "gspnp.settings"}, timeout=CROWD_SECONDS,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    here = f"SELECT p.mac FROM devices_phone p WHERE mac BETWEEN '{macs[0]}' AND '{macs[-1]}'"
    process = subprocess.Popen(
        host.command(
            sys.executable, "-m", "sipmcast.simulator", "--count", str(CROWD), "--model", "GXP1628", "--json",
            "--mac", macs[0], "--interface", host.address, "--wait-assign", "60", "--quiet", "1",
        ),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT, env=world.site.environment,
    )  # fmt: skip
    try:
        wait_for(lambda: world.site.rows(f"{here} AND first_seen_at IS NOT NULL"), CROWD_SECONDS, "the first is heard")
        world.site.kill("work")
        wait_for(
            lambda: len(world.site.rows(f"{here} AND first_seen_at IS NOT NULL")) == CROWD, CROWD_SECONDS, "all are"
        )
        world.site.start("work")
        # A phone on one machine with 29 others has no MAC of its own there: a person confirms each address.
        wait_for(lambda: not world.site.rows(f"{here} AND awaits_file"), CROWD_SECONDS, "all have their files")
    finally:
        process.kill()
        process.wait()
    files = world.site.rows(
        "SELECT p.mac, count(*) AS number FROM provisioning_configfile f JOIN devices_phone p ON p.id = f.phone_id "
        f"WHERE p.mac BETWEEN '{macs[0]}' AND '{macs[-1]}' GROUP BY p.mac"
    )
    assert [row["number"] for row in files] == [1] * CROWD
