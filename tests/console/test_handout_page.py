"""The page on which a technician switches on that new phones get extensions by themselves."""

import pytest

from devices import directory, inventory
from devices.directory import Entry
from devices.models import Phone
from provisioning.handout import giving
from provisioning.models import Handout
from tests import cast
from tests.console.conftest import signed_in

pytestmark = pytest.mark.django_db
URL = "/extensions/handout/"


def typed(**changes) -> dict:
    blank = {"site": "", "first": "200", "last": "249", "sip_server": "pbx.example", "codecs": "", "on": "1"}
    return blank | changes


def test_it_is_off_until_a_technician_switches_it_on_and_shows_what_it_did(console):
    for number in ("200", "201"):
        directory.add(Entry("", number, f"Name {number}", "s3cr3t-canary"))
    assert "off" in console.get(URL).content.decode() and not Handout.objects.exists()
    page = console.post(URL, typed(), follow=True).content.decode()
    assert "Switched on" in page and "on: 200–249, 2 left" in page
    cast.seen()
    giving.hand_out()
    page = console.get(URL).content.decode()
    assert "on: 200–249, 1 left" in page and "00:0B:82:27:3B:89" in page and "1 handed out" in page
    assert "s3cr3t" not in page
    page = console.post(URL, typed(on="0"), follow=True).content.decode()
    assert "Switched off" in page and not Handout.objects.get().is_on


def test_it_says_what_it_risks_and_what_bounds_it(console):
    page = console.get(URL).content.decode()
    assert "can use up the range" in page and "At most 30 extensions of a range" in page


def test_who_only_looks_sees_it_and_switches_nothing(viewer):
    client = signed_in(viewer)
    assert "Default site" in client.get(URL).content.decode()
    assert client.post(URL, typed()).status_code == 403
    assert not Handout.objects.exists()


def test_what_is_wrong_stands_beside_its_field_and_what_was_typed_stays(console):
    answer = console.post(URL, typed(first="200", last="0249", codecs="nothing", sip_server='"><b>'))
    page = answer.content.decode()
    assert answer.status_code == 422 and not Handout.objects.exists()
    for name in ("last", "codecs", "server"):
        assert f'id="{name}-default-error"' in page, name
    assert 'value="0249"' in page and '"><b>' not in page


def test_each_site_has_its_own(console):
    inventory.move(cast.seen().pk, "berlin", "tess")
    console.post(URL, typed(site="berlin", only_models=["GXP1628"], codecs="PCMA, PCMU"))
    row = Handout.objects.get()
    assert (row.site, row.only_models, row.codecs, row.changed_by) == ("berlin", ["GXP1628"], ["PCMA", "PCMU"], "tess")
    phone = Phone.objects.get()
    assert (phone.stage, phone.version) == ("seen", 1), "it was moved, and nothing else"
    page = console.get(URL).content.decode()
    assert 'value="GXP1628" checked' in page and 'value="PCMA, PCMU"' in page


def test_a_remark_says_that_none_is_left(console):
    directory.add(Entry("", "100"))
    console.post(URL, typed())
    cast.seen()
    giving.hand_out()
    page = console.get(URL).content.decode()
    assert "Add some to the directory" in page and "1 phone waits." in page
