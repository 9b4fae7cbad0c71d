"""A URL that leads to secrets goes to the phone, and to nobody who only says that he is the phone."""

import time

import pytest

from tests.support.site import SOON_SECONDS, wait_for
from tests.support.strict_phone import TRANSACTION_SECONDS, StrictPhone
from tests.support.world import World

pytestmark = pytest.mark.net

LONG_ENOUGH_SECONDS = 4.0  # the listener looks every 0.25 s; a probe of an address takes 2.1 s
AFTER_RESET_SECONDS = 60


def speak_up(phone: StrictPhone) -> None:
    """Make the server's kernel learn who has this address now, as any ARP of the host does."""
    with phone.host.socket() as asking:
        asking.bind((phone.address, 0))
        asking.sendto(b"", (phone.address.rpartition(".")[0] + ".1", 9))


def test_a_second_host_with_a_phones_mac_is_answered_but_never_told(world: World):
    true = world.phone()
    true.boot()
    world.site.assign(true.mac)
    true.be_provisioned()
    thief = world.phone(mac=true.mac, host=world.host())
    thief.boot()  # it gets its 200, strictly checked
    wait_for(lambda: world.site.phone(true.mac)["alarm"], SOON_SECONDS, "the alarm")

    world.site.assign(true.mac, name="Another")
    true.be_provisioned()
    assert thief.listen(LONG_ENOUGH_SECONDS) == []
    shown = world.site.phones()[true.mac]
    assert thief.address in shown["alarm"]
    assert (shown["stage"], shown["address"]) == ("applied", true.address)
    assert len(true.transactions()) == 2


def test_the_first_comer_does_not_matter_a_thief_of_an_assigned_mac_gets_nothing(world: World):
    """The phone is assigned and off when the other host speaks; when it returns it is told."""
    true = world.phone()
    true.boot()
    world.site.assign(true.mac)
    notify = true.await_notify()
    true.answer(notify, 403, "Forbidden")
    wait_for(lambda: world.site.notifies(true.mac)[-1]["state"] == "refused", SOON_SECONDS, "the 403 is on record")
    true.power_off()

    thief = world.phone(mac=true.mac, host=world.host())
    thief.boot()
    wait_for(lambda: world.site.phone(true.mac)["alarm"], SOON_SECONDS, "the alarm")
    assert thief.listen(LONG_ENOUGH_SECONDS) == []
    assert thief.address in world.site.phone(true.mac)["alarm"]

    true.boot()
    world.site.assign(true.mac, name="After the alarm")
    true.be_provisioned()
    assert world.site.stage(true.mac) == "applied"
    assert thief.listen(0.5) == []


@pytest.mark.long
def test_whoever_takes_an_assigned_phones_address_is_not_told_unattended(world: World):
    """Another device at the very address that the technician saw: the neighbour table shows another MAC there."""
    true = world.phone()
    true.boot()
    world.site.assign(true.mac)
    true.answer(true.await_notify(), 403, "Forbidden")
    wait_for(lambda: world.site.notifies(true.mac)[-1]["state"] == "refused", SOON_SECONDS, "the 403 is on record")
    true.power_off()
    number = int(true.address.rpartition(".")[2])
    world.lab.remove(true.host)

    thief = world.phone(mac=true.mac, host=world.host(number=number))
    assert thief.address == true.address
    time.sleep(1.1)  # the kernel believes a new neighbour only when the old entry is a second old (arp(7))
    speak_up(thief)
    thief.boot()
    assert thief.listen(TRANSACTION_SECONDS + LONG_ENOUGH_SECONDS) == [], (
        "a mismatch is never served unattended (design 5.2)"
    )
    assert world.site.phone(true.mac)["alarm"]


def test_a_phone_that_moves_with_its_own_hardware_address_is_accepted_without_alarm(world: World):
    phone = world.phone()
    phone.boot()
    world.site.assign(phone.mac)
    phone.be_provisioned()
    old = phone.address
    world.lab.move(phone.host, world.lans[0], 251)
    phone.boot()
    assert phone.address != old
    wait_for(lambda: world.site.phone(phone.mac)["source_host"] == phone.address, SOON_SECONDS, "the address is taken")
    assert not phone.flash(phone.fetch_stored()), "its file is the same at its new address"
    world.site.assign(phone.mac, name="After the move")
    phone.be_provisioned()
    shown = world.site.phones()[phone.mac]
    assert (shown["stage"], shown["alarm"], shown["address"]) == ("applied", "", phone.address)


def test_the_first_path_is_no_use_to_another_host(world: World):
    """A URL that was overheard gives one and the same 404 elsewhere."""
    phone = world.phone()
    phone.boot()
    world.site.assign(phone.mac)
    notify = phone.await_notify()
    other = world.phone(mac=phone.mac, host=world.host())
    assert other.get(notify.url).status == 404
    assert other.get(f"{notify.url}.xml").status == 404
    phone.be_provisioned(notify)
    assert world.site.stage(phone.mac) == "applied"


def test_an_applied_phone_that_starts_up_and_fetches_is_left_in_peace(world: World):
    phone = world.phone()
    phone.boot()
    world.site.assign(phone.mac)
    phone.be_provisioned()
    phone.come_back(quiet_seconds=1.5)
    assert world.site.stage(phone.mac) == "applied"
    assert len(phone.transactions()) == 1
    # What it fetches again is written down a moment later.
    ended = ["delivered", "not_needed"]
    wait_for(lambda: [row["state"] for row in world.site.notifies(phone.mac)] == ended, SOON_SECONDS, str(ended))


@pytest.mark.long
def test_a_phone_that_was_reset_is_told_again_after_a_minute(world: World):
    phone = world.phone()
    phone.boot()
    world.site.assign(phone.mac)
    phone.be_provisioned()
    phone.values, phone.file = {}, b""
    back_at = time.monotonic()
    phone.boot()
    notify = phone.await_notify(AFTER_RESET_SECONDS + SOON_SECONDS)
    assert time.monotonic() - back_at > AFTER_RESET_SECONDS - 2
    assert world.site.stage(phone.mac) == "assigned"
    phone.be_provisioned(notify)
    assert world.site.stage(phone.mac) == "applied"
    assert phone.boots == 4
    assert len(phone.transactions()) == 2
