"""Plain names: files for a whole model without any secret, and what is asked for in vain."""

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command

from devices.models import Phone
from provisioning.gxp.document import values
from provisioning.layers import store
from provisioning.models import Download, MissedAsk, ModelFile
from provisioning.plain import files, missed
from tests import cast
from tests.console.conftest import signed_in

pytestmark = [pytest.mark.django_db, pytest.mark.db]

AGENT = f"Grandstream Model HW GXP1628 SW 1.0.4.88 DevId {cast.MAC.lower()}"
NOTHING = "/nothing"


@pytest.fixture(autouse=True)
def nothing_held():
    missed._held.clear()
    yield
    missed._held.clear()


def ask(path: str, agent: str = AGENT, **options) -> cast.Answer:
    return cast.ask(path, **{"user-agent": agent, **options})


def layer(level: str, name: str = "", **settings) -> None:
    store.save(store.find(level, name), settings, by="tess")
    files.refresh()


class TestModelFiles:
    """`cfg<model>.xml` and `cfg.xml`."""

    def test_without_a_layer_there_is_none(self):
        files.refresh()
        assert ask("/cfggxp1628.xml") == ask("/cfg.xml") == ask(NOTHING)

    def test_what_the_site_and_the_model_say_without_secrets(self):
        layer(
            "site", ntp_server="ntp.example", admin_password="Office2026", P99999="perhaps a secret", lldp_enable=None
        )
        layer("model", "GXP1628", vlan_tag="7")
        answer = ask("/provisioning/cfgGXP1628.XML")
        assert answer.status == 200
        assert values(answer.body) == {"ntp_server": "ntp.example", "vlan_tag": "7"}
        assert b"<mac>" not in answer.body, "it is for no phone in particular"
        assert values(ask("/cfg.xml").body) == {"ntp_server": "ntp.example"}
        assert values(ask("/cfggxp1610.xml").body) == {"ntp_server": "ntp.example"}

    @pytest.mark.parametrize(
        ("name", "text"),
        [
            ("action_url_incoming_call", "http://crm.example/call?token=abc"),
            ("action_url_setup_completed", "crm.example/up?token=abc"),
            ("ldap_username", "cn=phones,dc=example"),
            ("config_http_username", "phones"),
        ],
    )
    def test_what_may_hold_a_token_or_names_a_login_is_for_phones_that_we_know(self, name, text):
        layer("site", ntp_server="ntp.example", **{name: text})
        assert values(ask("/cfg.xml").body) == values(ask("/cfggxp1628.xml").body) == {"ntp_server": "ntp.example"}

    def test_it_moves_no_stage_and_leaves_no_record(self):
        version = cast.assigned()
        layer("site", ntp_server="ntp.example")
        assert ask("/cfg.xml").status == 200
        assert cast.proofs(version)[:3] == ("assigned", False, False)
        assert not Download.objects.exists()

    def test_it_never_stands_below_a_secret_path(self):
        version = cast.assigned()
        cast.delivered(version)
        layer("site", ntp_server="ntp.example")
        for path in (cast.first_path(version, "cfg.xml"), cast.steady_path(version, "cfggxp1628.xml")):
            assert ask(path).status == 404

    def test_it_changes_with_its_layers_and_goes_with_them(self):
        layer("site", ntp_server="ntp.example")
        before = ask("/cfg.xml")
        assert files.refresh() == 0
        assert ask("/cfg.xml", **{"if-none-match": before.headers["etag"]}).status == 304
        assert ask("/cfg.xml", **{"if-none-match": f'"other", W/{before.headers["etag"]}'}).status == 304
        layer("site", ntp_server="ntp2.example")
        assert ask("/cfg.xml").headers["etag"] != before.headers["etag"]
        layer("site")
        assert ask("/cfg.xml").status == 404 and not ModelFile.objects.exists()

    def test_what_they_told_a_phone_of_another_site_is_taken_back_by_its_first_file(self):
        layer("site", vlan_tag="20")
        phone = cast.seen()
        Phone.objects.filter(pk=phone.pk).update(site="berlin")
        version = cast.save(Phone.objects.get(pk=phone.pk)).config_file
        assert values(bytes(version.content))["vlan_tag"] == "0"

    def test_the_worker_makes_them(self):
        store.save(store.find("site", ""), {"ntp_server": "ntp.example"}, by="tess")
        call_command("work", "--once")
        assert ask("/cfg.xml").status == 200


class TestMissed:
    """What a phone asked for that we do not have."""

    def test_it_is_counted_by_phone_and_name(self):
        for path in ("/firmware/ring1.bin", "/ring1.bin", "/gxp1600fw.bin"):
            assert ask(path).status == 404
        missed.flush()
        found = {row.name: (row.count, row.mac, row.source_host) for row in MissedAsk.objects.all()}
        assert found == {"ring1.bin": (2, cast.MAC, cast.HOST), "gxp1600fw.bin": (1, cast.MAC, cast.HOST)}
        ask("/ring1.bin")
        missed.flush()
        assert MissedAsk.objects.get(name="ring1.bin").count == 3

    def test_the_answer_does_not_wait_for_it(self):
        ask("/ring1.bin")
        assert not MissedAsk.objects.exists()

    def test_nothing_below_a_secret_path_is_kept(self):
        for path in ("/p/0123456789012345678901/cfg.xml", f"/p/x/{'s' * 22}", f"/phonebook/{'s' * 22}/phonebook.xml",
                     f"//p/{'s' * 22}", f"/old/p/{'s' * 22}", f"/%252Fp%252F{'s' * 22}%252Fcfg.xml"):  # fmt: skip
            ask(path)
        assert missed.flush() == 0

    def test_who_is_no_phone_is_not_counted(self):
        ask("/wp-login.php", agent="Mozilla/5.0")
        assert missed.flush() == 0

    def test_a_name_that_its_file_does_not_have_is_refused_as_ever_and_not_counted(self):
        """A phone asks for `cfg<mac>` before `cfg<mac>.xml`: a fleet that is well has none in vain."""
        version = cast.fetched(cast.assigned())
        missed._counted.clear()
        other = cast.steady_path(version, f"cfg{cast.MAC.lower()}")
        assert ask(other) == ask(NOTHING)
        assert missed._counted == {"refused": 1}, "the one of NOTHING"
        assert ask(cast.steady_path(version)).status == 200

    def test_names_are_bounded_and_harmless(self):
        ask(f"/{'a' * 300}<script>.bin".replace("<", "%3C"))
        missed.flush()
        (row,) = MissedAsk.objects.all()
        assert len(row.name) == 80 and set(row.name) <= set("a?script.bin")

    def test_a_stranger_fills_neither_memory_nor_disk(self, monkeypatch):
        monkeypatch.setattr(missed, "HELD_AT_MOST", 5)
        monkeypatch.setattr(missed, "KEPT_AT_MOST", 7)
        for round_ in range(3):
            for number in range(10):
                ask(f"/ring{round_}{number}.bin")
            assert missed.flush() == 5
        assert MissedAsk.objects.count() == 7

    @pytest.mark.parametrize(
        ("name", "words"),
        [("ring2.bin", "ring tone"), ("GXP1600FW.BIN", "firmware"), ("dev000b82273b89.cfg", "another family"),
         ("cfg000b82273b89.xml", "plain name"), ("cfggxp1628.xml", "whole model"),
         ("x.y", "nothing that gspnp serves")],
    )  # fmt: skip
    def test_the_operator_reads_what_it_is(self, name, words):
        assert words in missed.advice(name)

    def test_the_doctor_shows_it(self, settings):
        settings.GSPNP_PNP_INTERFACES, settings.GSPNP_PNP_PORT, settings.GSPNP_PHONES_PORT = ["lo"], 5998, 5999
        ask("/ring1.bin")
        missed.flush()
        html = signed_in(User.objects.create_superuser("root")).get("/doctor/").content.decode()
        assert "ring1.bin" in html and "a ring tone" in html
