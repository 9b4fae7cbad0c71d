"""Where multicast does not get through: a phone that DHCP option 66 brings, from the list to applied, without SIP."""

import pytest

from tests.support.site import wait_for
from tests.support.strict_sip import Wrong
from tests.support.world import World

pytestmark = pytest.mark.net

PASSWORD = "pw-of-option-66"


def test_from_its_plain_name_to_its_steady_path(make_world):
    world: World = make_world()
    world.site.start("phones", "work")
    phone, stranger = world.phone(), world.phone()
    folder = f"http://{world.site.host.addresses[0]}:{world.site.phones_port}/provisioning"
    plain = f"{folder}/cfg{phone.mac.lower()}"
    nothing = phone.get(f"{folder}/nothing")
    assert nothing.status == 404

    assert (phone.get(plain).status, phone.get(f"{plain}.xml").status) == (404, 404)
    wait_for(lambda: phone.mac in world.site.phones(), 10, "it appears in the list")
    shown = world.site.phones()[phone.mac]
    assert (shown["stage"], shown["model"], shown["firmware"]) == ("seen", phone.model, phone.firmware)
    world.site.assign(phone.mac, password=PASSWORD)
    assert phone.get(plain).status == 404, "assigned is not released"

    world.site.manage("release", phone.mac, "--minutes", "2")
    assert stranger.get(plain).status == 404 and stranger.get(f"{plain}.xml").status == 404
    assert phone.flash(phone.get(plain))
    for asking in (phone, stranger):
        assert (asking.get(plain).status, asking.get(f"{plain}.xml").status) == (404, 404)
    assert phone.values["P34"] == PASSWORD
    assert world.site.stage(phone.mac) == "fetched"
    assert not phone.flash(phone.fetch_stored()), "the second download differs"
    world.site.wait_stage(phone.mac, "applied")

    # Stolen: what it knows leads nowhere.
    assert phone.fetch_stored().status == 200
    world.site.manage("paths", phone.mac, "--new", "--revoke")
    with pytest.raises(Wrong, match="the stored path has no file"):
        phone.fetch_stored()
    assert stranger.mac not in world.site.phones(), "who asks for another's file does not appear"
