"""The disk is full while a phone is being told, another one starts up and a person saves; then there is room again."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.disk import SmallDisk
from tests.support.site import DATABASE, SOON_SECONDS, wait_for
from tests.support.world import World

pytestmark = [pytest.mark.net, pytest.mark.long, pytest.mark.timeout(300)]

DISK_MB = 16


@pytest.fixture
def full_world(make_world: Callable[..., World], empty_database: Path) -> Iterator[tuple[World, SmallDisk]]:
    world = make_world()
    disk = SmallDisk(world.site.folder, DISK_MB)
    try:
        shutil.copy(empty_database, world.site.folder / DATABASE)
        yield world, disk
    finally:
        world.site.close()
        disk.close()


def test_phones_are_answered_and_nothing_is_lost_or_half_written(full_world: tuple[World, SmallDisk]):
    world, disk = full_world
    world.site.start("listen", "phones", "work", "console")
    first, second = world.phone(), world.phone(lan=1)
    first.boot()
    world.site.wait_stage(first.mac, "seen")
    world.site.assign(first.mac)
    first.be_provisioned()
    world.site.wait_stage(first.mac, "applied")

    disk.fill()
    second.boot()  # asserts its 200
    arguments = world.site.assignment(first.mac, name="Later")
    refused = world.site.manage(*arguments, given="pw\n", check=False)
    assert refused.returncode != 0
    assert "full" in refused.stderr and "Traceback" not in refused.stderr, refused.stderr
    steady = f"http://{first.values['P237']}/cfg{first.mac.lower()}.xml"
    assert first.get(steady).status == 200, "what phones have to read can be read"

    disk.make_room()
    world.site.wait_stage(second.mac, "seen", SOON_SECONDS)
    assert world.site.phone(first.mac)["stage"] == "applied"
    world.site.assign(second.mac, user="1002")
    second.be_provisioned()
    world.site.wait_stage(second.mac, "applied")
    rows = world.site.rows("SELECT phone_id, count(*) AS n FROM provisioning_configfile GROUP BY phone_id")
    assert [row["n"] for row in rows] == [1, 1], "of the save that failed nothing is there"
    assert world.site.rows("PRAGMA integrity_check") == [{"integrity_check": "ok"}]
    for name in ("listen", "phones", "work", "console"):
        assert world.site.process(name).poll() is None, f"{name} ended"
    wait_for(lambda: world.site.open_door(world.site.phones_port), SOON_SECONDS, "the phones' door is well")
