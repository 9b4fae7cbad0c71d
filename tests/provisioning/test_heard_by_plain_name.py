"""A phone that asks by its plain name before anybody knows it appears; what leads it here has no secret."""

import pytest

from devices import inventory
from devices.models import LiveEvent, Phone
from provisioning.gxp.document import values
from provisioning.models import Attempt
from provisioning.paths import read as read_path
from provisioning.plain import heard
from tests import cast

pytestmark = [pytest.mark.django_db, pytest.mark.db]
NEW = "C074AD2BD859"
PLAIN = f"/provisioning/cfg{NEW.lower()}.xml"


def agent(mac: str = NEW, model: str = "GXP1628", more: str = "") -> str:
    return f"Grandstream Model HW {model}{more} SW 1.0.4.138 DevId {mac.lower()}"


@pytest.fixture(autouse=True)
def nothing_held(monkeypatch):
    heard._held.clear()
    monkeypatch.setattr(heard, "_bound", None)
    yield
    heard._held.clear()


def ask(path: str = PLAIN, said: str | None = None, **options) -> cast.Answer:
    answer = cast.ask(path, **{"user-agent": agent() if said is None else said, **options})
    heard.flush()
    return answer


def test_it_appears_for_approval_and_gets_the_one_refusal(clock):
    assert ask() == cast.ask("/nothing")
    phone = Phone.objects.get()
    assert (phone.mac, phone.vendor, phone.model, phone.firmware) == (NEW, "Grandstream", "GXP1628", "1.0.4.138")
    assert (phone.stage, phone.source_host, phone.local_host) == ("seen", cast.HOST, cast.OURS)
    assert phone.subscribed_at is None and phone.approved_host is None
    assert LiveEvent.objects.get().mac == NEW
    assert cast.save(phone).config_file is not None, "it can be assigned like any other"


@pytest.mark.parametrize("name", [f"cfg{NEW}", f"cfg{NEW}.bin", f"a/cfg{NEW}.XML"])
def test_by_whatever_name_of_its_file(name):
    ask(f"/{name}")
    assert Phone.objects.get().mac == NEW


@pytest.mark.parametrize("said", [agent(more=" V1.2A"), agent(more="  V1.3A"), agent(model="GRP2614")])
def test_every_shape_of_user_agent_that_is_known(said):
    ask(said=said)
    assert Phone.objects.count() == 1


@pytest.mark.parametrize(
    "said",
    ["", "curl/8", agent(cast.OTHER_MAC), "Grandstream GXP2000 DevId c074ad2bd859", agent() + "\n", agent() + " x",
     agent().replace("Grandstream", "Yealink"), agent(model="<b>"), agent() * 20, agent(model="GXP1628\u202e")],
)  # fmt: skip
def test_whoever_does_not_say_that_it_is_this_phone_is_not_listed(said):
    ask(said=said)
    assert not Phone.objects.exists()


@pytest.mark.parametrize("options", [{"host": "8.8.8.8"}, {"method": "POST"}, {"method": "OPTIONS"}])
def test_nor_who_may_not_ask(options):
    ask(**options)
    assert not Phone.objects.exists()


@pytest.mark.parametrize("path", [f"/p/AAAAAAAAAAAAAAAAAAAAAA/cfg{NEW}.xml", "/cfg.xml", "/cfggxp1628.xml", "/nothing"])
def test_other_paths_list_nobody(path):
    ask(path)
    assert not Phone.objects.exists()


def test_ouis_and_vendors_hold_here_too():
    ask(settings={"GSPNP_OUIS": ["00:0B:82"]})
    ask(settings={"GSPNP_VENDORS": ["Yealink"]})
    assert ask(settings={"GSPNP_OUIS": ["nonsense"]}).status == 404
    assert not Phone.objects.exists()


def test_a_phone_that_is_known_is_not_moved(clock):
    version = cast.applied(cast.assigned())
    before = Phone.objects.values().get()
    clock.forward(60)
    ask(f"/cfg{cast.MAC}.xml", agent(cast.MAC, "GXP1630"), host=cast.STRANGER)
    assert Phone.objects.values().get() == before, version
    seen = cast.seen(cast.OTHER_MAC)
    ask(f"/cfg{cast.OTHER_MAC}.xml", agent(cast.OTHER_MAC), host=cast.STRANGER)
    assert Phone.objects.get(pk=seen.pk).source_host == cast.HOST


def test_one_that_was_listed_before_is_plugged_in():
    inventory.prestage(NEW, "GXP1628", "", "tess")
    ask()
    phone = Phone.objects.get()
    assert phone.is_heard and phone.source_host == cast.HOST and phone.approved_host is None


def test_invented_ones_are_bounded(settings):
    settings.GSPNP_NEW_PHONES_PER_SOURCE = 3
    for number in range(10):
        mac = f"C074AD0000{number:02X}"
        ask(f"/cfg{mac}.xml", agent(mac))
    assert Phone.objects.count() == 3
    for number in range(heard.HELD_AT_MOST + 50):
        mac = f"C074AD01{number:04X}"
        seen = read_path(f"/cfg{mac}.xml")
        assert heard.read(seen, agent(mac), cast.HOST, cast.OURS)
        cast.ask(f"/cfg{mac}.xml", **{"user-agent": agent(mac)}) if number < 3 else None
    assert len(heard._held) <= heard.HELD_AT_MOST


def test_behind_a_proxy_its_own_address_counts_and_ours_is_not_guessed():
    ask(host="127.0.0.1", x_forwarded_for="10.0.0.77", settings={"GSPNP_TRUSTED_PROXIES": ["127.0.0.1/32"]})
    phone = Phone.objects.get()
    assert phone.source_host == "10.0.0.77" and phone.local_host is None


class TestLead:
    """GSPNP_PLAIN_BOOTSTRAP"""

    @pytest.fixture(autouse=True)
    def switched_on(self, settings):
        settings.GSPNP_PLAIN_BOOTSTRAP = True

    def test_it_is_off_by_default(self, settings):
        from gspnp.settings import GSPNP_PLAIN_BOOTSTRAP

        assert GSPNP_PLAIN_BOOTSTRAP is False

    def test_it_says_where_we_are_and_nothing_else_and_the_same_for_everybody(self, clock):
        version = cast.applied(cast.assigned())
        known, unknown = cast.ask(f"/cfg{cast.MAC}.xml"), ask()
        assert known == unknown and known.status == 200
        assert values(known.body) == {
            "config_server_path": "10.0.0.1:5481/provisioning", "config_server_protocol": "1"
        }  # fmt: skip
        assert cast.MAC.lower().encode() not in known.body.lower() and b"<mac>" not in known.body
        assert cast.proofs(version)[:3] == ("applied", True, True)
        assert Phone.objects.filter(mac=NEW).exists(), "it appears all the same"

    def test_other_names_and_paths_are_refused_as_ever(self):
        for path in (f"/cfg{NEW}", f"/cfg{NEW}.bin", f"/p/AAAAAAAAAAAAAAAAAAAAAA/cfg{NEW}.xml", "/cfg.xml"):
            assert cast.ask(path) == cast.ask("/nothing")
        assert cast.ask(PLAIN, host="8.8.8.8") == cast.ask("/nothing") == cast.ask(PLAIN, method="POST")

    def test_https_and_the_public_url(self, settings):
        settings.GSPNP_PUBLIC_URL = "https://pnp.example:8443"
        assert values(ask().body) == {
            "config_server_path": "pnp.example:8443/provisioning", "config_server_protocol": "2"
        }  # fmt: skip

    def test_it_does_not_undo_what_was_just_released(self, clock):
        from provisioning.release import windows

        version = cast.assigned()
        windows.open_release(version.phone_id, cast.HOST, by="tess")
        assert cast.ask(f"/cfg{cast.MAC}").body == bytes(version.content)
        assert cast.ask(f"/cfg{cast.MAC}.xml").status == 404, "the last name that is there would win"
        assert cast.ask(f"/cfg{cast.MAC}.xml", host=cast.STRANGER).status == 200
        clock.forward(minutes=windows.AFTERWARDS_MINUTES)
        assert cast.ask(f"/cfg{cast.MAC}.xml").status == 200
        assert not Attempt.objects.exists()
