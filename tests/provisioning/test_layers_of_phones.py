"""Layers as rows: what a phone's file says when its site, model, templates and own settings speak."""

import pytest
from django.test import override_settings

from devices.inventory import VersionConflict
from devices.models import Phone
from provisioning import assignment, effective, outbox, versions
from provisioning.gxp.config import ConfigError
from provisioning.gxp.document import values
from provisioning.layers import scope, store
from provisioning.models import ConfigFile, LayerLevel, PhoneTemplate, SettingsLayer
from tests import cast

pytestmark = [pytest.mark.django_db, pytest.mark.db]


def layer(level: str, name: str = "", **settings) -> SettingsLayer:
    return store.save(store.find(level, name), settings, by="tess")


def said(phone: Phone) -> dict[str, str]:
    """What the newest file of this phone says."""
    current = outbox.current_file(phone.pk)
    return values(bytes(current.content)) if current is not None else {}


def save(phone: Phone, **options) -> assignment.Saved:
    phone.refresh_from_db()
    return assignment.save(phone, cast.draft(), by="tess", seen_host=phone.source_host, **options)


def test_the_nearest_layer_wins():
    phone = cast.seen()
    layer("site", ntp_server="ntp.site.example", syslog_server="log.site.example", vlan_tag="10")
    layer("model", "gxp1628", ntp_server="ntp.model.example", vlan_tag="20")
    template = layer("template", "Reception", vlan_tag="30", keypad_menu_restriction="1")
    save(phone, templates=[template], own={"keypad_menu_restriction": "2"})
    file = said(phone)
    assert file["syslog_server"] == "log.site.example"
    assert file["ntp_server"] == "ntp.model.example"
    assert file["vlan_tag"] == "30"
    assert file["keypad_menu_restriction"] == "2"


def test_templates_win_in_their_order_and_stay_until_they_are_changed():
    phone = cast.seen()
    first, second = layer("template", "A", vlan_tag="1"), layer("template", "B", vlan_tag="2")
    save(phone, templates=[second, first])
    assert said(phone)["vlan_tag"] == "1"
    save(phone, own={"lldp_enable": "0"})
    assert said(phone)["vlan_tag"] == "1" and said(phone)["lldp_enable"] == "0"
    save(phone, templates=[first, second])
    assert said(phone)["vlan_tag"] == "2"
    assert list(PhoneTemplate.objects.values_list("layer__name", flat=True)) == ["A", "B"]


def test_a_site_layer_is_for_the_phones_of_that_site_only():
    here, there = cast.seen(), cast.seen(cast.OTHER_MAC, "10.0.0.21")
    Phone.objects.filter(pk=here.pk).update(site="berlin")
    layer("site", "berlin", vlan_tag="7")
    save(here), save(there)
    assert said(here)["vlan_tag"] == "7"
    assert "vlan_tag" not in said(there)


def test_the_web_passwords_are_random_for_each_phone_and_stay():
    one, other = cast.seen(), cast.seen(cast.OTHER_MAC, "10.0.0.21")
    save(one), save(other)
    first = said(one)["admin_password"]
    assert len(first) == 16 and first.isalnum()
    assert said(other)["admin_password"] != first != said(one)["user_password"]
    save(one, own=None)
    assert said(one)["admin_password"] == first


def test_a_layer_may_name_the_web_password_or_leave_it_alone():
    phone = cast.seen()
    layer("site", admin_password="Office2026", user_password=None)
    save(phone)
    assert said(phone)["admin_password"] == "Office2026"
    assert "user_password" not in said(phone)


def test_a_password_that_was_made_gives_way_to_whoever_names_one_and_comes_back():
    phone = cast.seen()
    save(phone)
    made = said(phone)["admin_password"]
    for own, expected in (
        ({"admin_password": "Mine1"}, "Mine1"),
        ({}, made),
        ({"admin_password": None}, None),
        ({}, made),
    ):
        save(phone, own=own)
        assert said(phone).get("admin_password") == expected
    layer("site", admin_password="ForAll1")
    save(phone)
    assert said(phone)["admin_password"] == "ForAll1"


@override_settings(GSPNP_OPINIONS_OFF=["admin_password", "config_http_username"])
def test_what_the_environment_leaves_alone_is_not_written():
    phone = cast.seen()
    save(phone)
    assert not {"admin_password", "config_http_username"} & said(phone).keys()
    assert "user_password" in said(phone)


def test_an_opinion_is_left_alone_by_a_layer():
    phone = cast.seen()
    layer("site", allow_dhcp_option_43_66_override=None)
    save(phone)
    assert "allow_dhcp_option_43_66_override" not in said(phone)


def test_a_setting_that_nobody_names_any_more_goes_back_to_the_factory_value():
    phone = cast.seen()
    save(phone, own={"lldp_enable": "0", "P99999": "1"})
    save(phone, own={})
    assert said(phone)["lldp_enable"] == "1", "the phone would keep what it once was told"
    assert "P99999" not in said(phone), "nobody knows the factory value of a raw P-code"
    before = outbox.current_file(phone.pk).number
    assert not save(phone, own={}).changed
    assert outbox.current_file(phone.pk).number == before


def test_voicemail_and_codecs_of_a_layer_fill_what_the_assignment_leaves_open():
    phone = cast.seen()
    layer("site", accounts_voicemail_access_number="*99", accounts_preferred_vocoder_1="9")
    made = cast.draft(voicemail="", codecs=())
    assignment.save(phone, made, by="tess", seen_host=phone.source_host)
    assert said(phone)["account1_voicemail_access_number"] == "*99"
    assert said(phone)["account1_preferred_vocoder_1"] == "9"


def test_a_wrong_value_is_refused_with_its_field_and_nothing_is_written():
    phone = cast.seen()
    with pytest.raises(ConfigError) as refused:
        save(phone, own={"vlan_tag": "5000", "no_such": "1", "account1_sip_user_id": "1"})
    fields = {problem.field: problem.message for problem in refused.value.problems}
    assert fields.keys() == {"setting.vlan_tag", "setting.no_such", "setting.account1_sip_user_id"}
    assert "enter a number from" in fields["setting.vlan_tag"]
    assert not ConfigFile.objects.exists() and not SettingsLayer.objects.exists()


def test_two_people_do_not_overwrite_each_other():
    layer("site", vlan_tag="1")
    mine, theirs = store.find("site", ""), store.find("site", "")
    store.save(theirs, {"vlan_tag": "2"}, by="theo")
    with pytest.raises(VersionConflict):
        store.save(mine, {"vlan_tag": "3"}, by="tess")
    assert store.find("site", "").values == {"vlan_tag": "2"}


def test_two_people_who_make_the_same_layer_do_not_overwrite_each_other():
    mine, theirs = store.find("template", "Hall"), store.find("template", "Hall")
    store.save(theirs, {}, by="theo")
    with pytest.raises(VersionConflict):
        store.save(mine, {}, by="tess")


def test_a_template_in_use_is_not_removed():
    template = layer("template", "Hall", vlan_tag="3")
    save(cast.seen(), templates=[template])
    with pytest.raises(ConfigError, match="1 phone"):
        store.remove(template)


@pytest.mark.parametrize(("level", "name"), [("model", "GXP9999"), ("template", " "), ("site", "x" * 41)])
def test_a_layer_has_a_name_that_means_something(level, name):
    with pytest.raises(ConfigError):
        store.find(level, name)


def test_what_a_change_touches_is_known_before_it_is_saved():
    one, other = cast.seen(), cast.seen(cast.OTHER_MAC, "10.0.0.21")
    save(one, own={"vlan_tag": "5"}), save(other)
    site = layer("site", vlan_tag="1")
    assert scope.reached(site) == 2
    assert scope.touched(site, {"vlan_tag": "2"}) == [other.pk], "the other one says its own"
    assert scope.touched(site, {"vlan_tag": "1"}) == []
    assert scope.touched(site, {"vlan_tag": "1", "lldp_enable": "0"}) == [one.pk, other.pk]


def test_a_seen_phone_is_not_touched_by_a_layer():
    cast.seen()
    assert scope.touched(store.find("site", ""), {"vlan_tag": "2"}) == []


def test_the_rows_hold_no_password_in_the_clear():
    layer("site", admin_password="Office2026")
    stored = SettingsLayer.objects.filter(level=LayerLevel.SITE)
    assert b"Office2026" not in bytes(stored.extra(select={"raw": "sealed"}).values_list("raw", flat=True)[0])


def test_there_is_no_way_back_to_another_model():
    phone = cast.seen()
    save(phone)
    Phone.objects.filter(pk=phone.pk).update(model="GXP1630")
    phone.refresh_from_db()
    with pytest.raises(versions.RollbackError, match="another one"):
        versions.roll_back(phone, 1, by="tess", seen_host=phone.source_host)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("iana_time_zone", "Europe/Atlantis"),
        ("country", "XX"),
        ("key_mpk1", "jump:1"),
        ("team", "1002=a\x07b"),
        ("file_format", "pdf"),
        ("P8765", "nul\x00"),
        ("vlan_tag", "lots"),
    ],
)
def test_what_was_right_when_it_was_stored_can_be_looked_at_and_mended(name, text):
    """A catalogue or a table of zones may have changed since."""
    phone = cast.seen()
    save(phone)
    before = said(phone)
    stored = layer("site", ntp_server="10.0.0.1")
    stored.values = {name: text}
    stored.save()
    with pytest.raises(ConfigError, match="It stands in default site") as caught:
        save(phone)
    assert caught.value.problems[0].field == f"setting.{name}"
    assert said(phone) == before
    assert name in {problem.field.removeprefix("setting.") for problem in effective.picture(phone).problems}
    assert scope.touched(stored, {"ntp_server": "10.0.0.1"}) == [phone.pk]
    layer("site", ntp_server="10.0.0.1")
    save(phone)
    assert said(phone)["ntp_server"] == "10.0.0.1"


class TestKeys:
    """Layouts and the team, in the file and on the way back."""

    def test_a_template_puts_keys_into_the_file(self):
        phone = cast.seen()
        hall = layer(
            "template", "Hall", key_mpk1="blf:1002:Reception", key_mpk2="protected speed_dial:112", team="1003=Theo"
        )
        save(phone, templates=[hall])
        file = said(phone)
        assert (file["mpk1_mode"], file["mpk1_value"], file["mpk1_description"]) == ("1", "1002", "Reception")
        assert (file["mpk2_mode"], file["mpk2_value"]) == ("0", "112")
        assert (file["mpk3_mode"], file["mpk3_value"]) == ("1", "1003")
        assert not phone.keys.exists(), "they are the template's, not the phone's"

    def test_each_key_says_where_it_comes_from(self):
        phone = cast.seen()
        layer("site", key_mpk1="blf:1002:Reception", team="1003=Theo")
        assignment.save(phone, cast.draft(cast.blf("mpk2", "1004")), by="tess", seen_host=phone.source_host)
        settings = effective.picture(phone).settings
        origins = [effective.named(settings, f"mpk{number}_value").origin.words for number in range(1, 5)]
        assert origins == ["default site", effective.ASSIGNMENT, "the team", effective.AS_DELIVERED]

    def test_the_phones_own_layer_puts_keys_too(self):
        phone = cast.seen()
        layer("site", key_mpk1="blf:1002", key_mpk2="blf:1003")
        save(phone, own={"key_mpk1": "blf:1006:Six"})
        assert (said(phone)["mpk1_value"], said(phone)["mpk2_value"]) == ("1006", "1003")

    def test_the_way_back_frees_what_was_free(self):
        phone = cast.seen()
        save(phone)
        layer("site", key_mpk1="blf:1002", key_mpk2="protected blf:112", team="1003=Theo, 1004")
        save(phone)
        phone.refresh_from_db()
        versions.roll_back(phone, 1, by="tess", seen_host=phone.source_host)
        values = [said(phone)[f"mpk{number}_value"] for number in range(1, 9)]
        assert values == ["", "112", *[""] * 6], "protected keys stay"

    def test_the_way_back_keeps_who_of_the_team_stood_there(self):
        phone = cast.seen()
        layer("site", team="1003=Theo, 1004")
        save(phone)
        layer("site", team="1003=Theo, 1009")
        save(phone)
        phone.refresh_from_db()
        versions.roll_back(phone, 1, by="tess", seen_host=phone.source_host)
        assert [said(phone)[f"mpk{number}_value"] for number in (1, 2, 3)] == ["1003", "1004", ""]

    def test_an_own_key_on_a_protected_one_is_refused_beside_its_field(self):
        phone = cast.seen()
        layer("site", key_mpk1="protected blf:112")
        with pytest.raises(ConfigError, match="protected by default site"):
            assignment.save(phone, cast.draft(cast.blf("mpk1", "1002")), by="tess", seen_host=phone.source_host)

    def test_a_nearer_layer_does_not_take_a_protected_key_either(self):
        phone = cast.seen()
        layer("site", key_mpk1="protected blf:112")
        with pytest.raises(ConfigError, match="protected by default site") as caught:
            save(phone, own={"key_mpk1": "blf:3000"})
        assert caught.value.problems[0].field == "setting.key_mpk1"
        hall = layer("template", "Hall", key_mpk1=None)
        with pytest.raises(ConfigError, match="protected by default site"):
            save(phone, templates=[hall])

    def test_a_key_that_a_phone_frees_is_put_back_when_it_is_protected(self):
        phone = cast.seen()
        save(phone, own={"key_mpk1": None})
        layer("site", key_mpk1="protected blf:112")
        save(phone)
        assert said(phone)["mpk1_value"] == "112"

    def test_a_protected_key_is_nothing_to_a_model_without_it(self):
        phone = cast.seen(model="GXP1610")
        layer("site", key_mpk1="protected blf:112")
        hall = layer("template", "Hall", key_mpk1="blf:1002", vlan_tag="9")
        save(phone, templates=[hall])
        assert said(phone)["vlan_tag"] == "9"

    def test_none_in_a_nearer_layer_frees_the_key(self):
        phone = cast.seen()
        layer("site", key_mpk1="blf:1002")
        save(phone, own={"key_mpk1": None})
        assert said(phone)["mpk1_value"] == ""

    def test_eventlist_blf_needs_the_address_of_the_list(self):
        phone = cast.seen()
        layer("site", key_mpk1="eventlist_blf:1002")
        with pytest.raises(ConfigError, match="account1_eventlist_blf_uri"):
            save(phone)
        layer("site", key_mpk1="eventlist_blf:1002", accounts_eventlist_blf_uri="team-sales")
        save(phone)
        assert (said(phone)["mpk1_mode"], said(phone)["account1_eventlist_blf_uri"]) == ("3", "team-sales")

    def test_the_way_back_leaves_the_keys_of_layers_to_the_layers(self):
        phone = cast.seen()
        layer("site", key_mpk1="protected blf:112", key_mpk2="blf:1002")
        assignment.save(phone, cast.draft(cast.blf("mpk3", "1003")), by="tess", seen_host=phone.source_host)
        save(phone)
        phone.refresh_from_db()
        versions.roll_back(phone, 1, by="tess", seen_host=phone.source_host)
        assert [row.value for row in phone.keys.all()] == ["1003"]
        assert (said(phone)["mpk1_value"], said(phone)["mpk2_value"], said(phone)["mpk3_value"]) == (
            "112",
            "1002",
            "1003",
        )
