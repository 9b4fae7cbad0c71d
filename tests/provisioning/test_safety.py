"""Who does away with a safe default is found, with how many phones that reaches."""

import pytest
from django.test import override_settings

from devices.crypto import CannotDecrypt
from devices.models import Phone
from provisioning import assignment
from provisioning.layers import store
from provisioning.safety import ENVIRONMENT, How, Weakened, weakened
from sipmcast.doctor.examine import read_defaults
from sipmcast.doctor.finding import State
from sipmcast.doctor.safety import judge_safety
from sipmcast.simulator.flash import Flash, read_file
from tests import cast

pytestmark = [pytest.mark.django_db, pytest.mark.db]


@pytest.fixture
def phones():
    """One at the default site, one in Berlin; a third one is only listed."""
    one, other = cast.seen(), cast.seen(cast.OTHER_MAC, "10.0.0.21")
    Phone.objects.filter(pk=other.pk).update(site="berlin")
    cast.seen("000B820000AA", "10.0.0.22")
    store.save(store.find("template", "Hall"), {}, by="otto")
    template = store.find("template", "Hall")
    assignment.save(one, cast.draft(), by="otto", seen_host=one.source_host)
    assignment.save(other, cast.draft(), by="otto", seen_host=other.source_host, templates=[template])
    return one, other


def says(level, name, **values):
    store.save(store.find(level, name), values, by="otto")


def test_as_it_comes_every_safe_default_holds(phones):
    assert weakened() == []
    (finding,) = judge_safety(read_defaults())
    assert finding.state is State.OK and "still has what it came with" in finding.words


@override_settings(GSPNP_OPINIONS_OFF=["disable_ssh", "config_file_prefix"])
def test_what_the_environment_leaves_alone_reaches_everybody(phones):
    assert weakened() == [Weakened("disable_ssh", How.LEFT_ALONE, ENVIRONMENT, 2)]
    (finding,) = judge_safety(weakened())
    assert finding.state is State.WARNING and "disable_ssh" in finding.remedy and "2 assigned phones" in finding.words


def test_one_password_for_many_http_and_no_challenge_are_told_with_their_places(phones):
    says("site", "berlin", admin_password="Office2026", user_password=None)
    says("model", "GXP1628", web_access_mode="1", disable_ssh="1")
    says("template", "Hall", disable_sip_notify_authentication="1")
    model = phones[0].model.upper()
    there = 2 if model == "GXP1628" else 0
    found = weakened()
    assert Weakened("admin_password", How.SHARED, "site berlin", 1) in found
    assert Weakened("user_password", How.LEFT_ALONE, "site berlin", 1) in found
    assert Weakened("disable_sip_notify_authentication", How.OTHERWISE, "template Hall", 1) in found
    assert [one.phones for one in found if one.name == "web_access_mode"] == ([there] if there else [])
    assert "disable_ssh" not in {one.name for one in found}, "it says what we say"
    words = " ".join(f"{one.words} {one.remedy}" for one in judge_safety(found))
    assert "Office2026" not in words and "Site berlin gives one password to up to 1 assigned phone." in words


def test_a_place_without_phones_is_no_danger(phones):
    says("site", "empty", admin_password="Office2026")
    assert weakened() == []


def test_a_lost_key_is_said_and_stops_nothing(phones, monkeypatch):
    def lost():
        raise CannotDecrypt

    monkeypatch.setattr("provisioning.safety.weakened", lost)
    (finding,) = judge_safety(read_defaults())
    assert finding.state is State.UNKNOWN and "GSPNP_FIELD_KEYS" in finding.remedy


def test_a_phone_that_somebody_left_open_is_closed_by_its_first_file():
    flash = Flash()
    flash.values |= {"P276": "0", "P1650": "1", "P4428": "1", "P2": "admin"}
    content = bytes(cast.assigned().content)
    flash.write(content, read_file(content, cast.MAC))
    assert (flash.get("P276"), flash.get("P1650"), flash.get("P4428")) == ("1", "0", "0")
    assert flash.account().guards_commands
    assert len(flash.get("P2")) == 16


def test_what_is_said_otherwise_reaches_the_phone_and_taking_it_back_closes_it_again():
    phone = cast.seen()
    for said, there in (({"disable_ssh": "0"}, "0"), ({"disable_ssh": None}, None), ({}, "1")):
        says("site", "", **said)
        made = assignment.save(phone, cast.draft(), by="otto", seen_host=phone.source_host).config_file
        assert read_file(bytes(made.content), cast.MAC).get("P276") == there
