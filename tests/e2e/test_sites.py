"""Two sites with the same addresses, each with a listener on a machine of its own, and one database: each phone is told
by the listener of the LAN that it is in, and by nobody else."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.netns import Lab
from tests.support.site import SOON_SECONDS, Site, wait_for
from tests.support.strict_phone import StrictPhone
from tests.support.world import fresh_mac

pytestmark = [pytest.mark.net, pytest.mark.long]
QUIET_SECONDS = 2.0  # a listener looks four times a second
NAMES = ("berlin", "munich")


class Place:
    """A LAN with a listener: its machine is eth0 with the address .1 there, as in the other one."""

    def __init__(self, lab: Lab, folder: Path, name: str, network: str) -> None:
        self.lab, self.name = lab, name
        self.lan = lab.lan(network)
        self.machine = lab.host(name)
        lab.plug(self.machine, self.lan, 1)
        self.site = Site(folder, self.machine)
        self._process = f"listen-{name}"

    def listen(self) -> None:
        self.site.launch(self._process, f"exec python manage.py listen_pnp --interface eth0 --site {self.name}")
        log = lambda: self.site.fresh_log(self._process)  # noqa: E731
        wait_for(lambda: "listening on" in log(), SOON_SECONDS, lambda: f"{self.name} listens: {log()}")

    def kill(self) -> None:
        self.site.kill(self._process)

    def phone(self, mac: str, number: int = 20) -> StrictPhone:
        """A phone with that address here; at the other site another one may have it."""
        host = self.lab.host("h")
        self.lab.plug(host, self.lan, number, mac)
        return StrictPhone(host, mac, "GXP1628")

    def unplug(self, phone: StrictPhone) -> None:
        phone.power_off()
        self.lab.remove(phone.host)


@pytest.fixture
def places(lab: Lab, empty_database: Path, tmp_path: Path) -> Iterator[list[Place]]:
    network = lab.lan().network
    made = [Place(lab, tmp_path / "site", name, network) for name in NAMES]
    made[0].site.prepare(empty_database)
    for place in made:
        place.listen()
    yield made
    for place in made:
        place.site.close()


def heard_at(place: Place, mac: str) -> str | None:
    rows = place.site.rows("SELECT heard_site FROM devices_phone WHERE mac = ?", mac)
    return rows[0]["heard_site"] if rows else None


def test_a_phone_is_told_where_it_is_and_by_the_other_site_once_it_has_moved(places: list[Place]):
    berlin, munich = places
    mac, decoy = fresh_mac(), fresh_mac()
    phone, same_address = berlin.phone(mac), munich.phone(decoy)
    phone.boot()
    same_address.boot()
    berlin.site.assign(mac)
    phone.answer(phone.await_notify())
    assert heard_at(berlin, mac) == "berlin" and heard_at(berlin, decoy) == "munich"
    assert same_address.listen(QUIET_SECONDS) == [], "munich has the same interface and address, and another phone"
    assert len(phone.transactions()) == 1
    berlin.unplug(phone)

    moved = munich.phone(mac, 21)
    moved.boot()
    wait_for(lambda: heard_at(munich, mac) == "munich", SOON_SECONDS, "munich has it")
    assert munich.site.phone(mac)["site"] == "munich"
    munich.site.assign(mac, name="There")
    moved.answer(moved.await_notify())
    assert len(moved.transactions()) == 1 and same_address.listen(0.5) == []

    munich.kill()
    munich.site.assign(mac, name="Nobody is there to say it")
    moved.listen(QUIET_SECONDS)
    assert len(moved.transactions()) == 1, "there may be a copy of the one before"
    assert munich.site.notifies(mac)[-1]["state"] == "waiting", "berlin leaves it alone"
    munich.listen()
    moved.answer(moved.await_notify())
