"""Going back to an old version: the phone ends up with what it had then, whatever the layers say today."""

import pytest

from provisioning import outbox, rendering, versions
from provisioning.changing import change
from provisioning.jobs import runner
from provisioning.layers import store
from provisioning.models import ConfigFile, Phonebook, SettingsLayer
from provisioning.phonebook import books
from tests import cast

pytestmark = pytest.mark.django_db


def site_says(**values) -> None:
    """Change the site's layer and bring the phones after."""
    _, job = change(store.find("site", ""), values, by="otto")
    assert job is not None
    runner.run.call(job.pk)


def back(version: ConfigFile, number: int) -> dict:
    phone = cast.now(version).phone
    versions.roll_back(phone, number, by="tess", seen_host=phone.source_host)
    return dict(rendering.texts_of(outbox.current_file(phone.pk)))


def test_a_phone_that_was_told_a_wrong_vlan_gets_out_of_it():
    version = cast.assigned()
    site_says(vlan_tag="7")
    texts = back(version, 1)
    assert texts["vlan_tag"] == "0", "a phone keeps what it was told until it is told otherwise"
    site_says(vlan_tag="8")
    assert rendering.texts_of(outbox.current_file(version.phone_id))["vlan_tag"] == "0"


def test_what_the_phone_was_never_told_is_left_alone():
    version = cast.assigned()
    store.save(store.find("site", ""), {"vlan_tag": "7"}, by="otto")
    assert "vlan_tag" not in back(version, 1)


def test_values_that_a_layer_has_changed_since_come_back():
    version = cast.assigned()
    site_says(vlan_tag="7", xsi_password="old")
    site_says(vlan_tag="8", xsi_password="new")
    texts = back(version, 2)
    assert (texts["vlan_tag"], texts["xsi_password"]) == ("7", "old")


def test_what_we_made_then_is_made_from_what_is_switched_on_now():
    version = cast.assigned()
    book = books.switch("", True)
    site_says(vlan_tag="7")
    old = rendering.texts_of(outbox.current_file(version.phone_id))
    assert old["phonebook_server_path"].endswith(book.secret)
    books.renew("")
    site_says(vlan_tag="8")
    texts = back(version, 2)
    assert texts["vlan_tag"] == "7"
    assert texts["phonebook_server_path"].endswith(Phonebook.objects.get().secret)
    assert "phonebook_server_path" not in SettingsLayer.objects.get(phone=version.phone_id).values


def test_what_was_off_then_is_not_off_for_ever():
    version = cast.assigned()
    books.switch("", True)
    site_says(vlan_tag="7")
    books.switch("", False)
    site_says(vlan_tag="8")
    old = outbox.current_file(version.phone_id).number
    site_says(vlan_tag="9")
    assert back(version, old)["phonebook_download_protocol"] == "0"
    books.switch("", True)
    site_says(ntp_server="ntp.example")
    texts = rendering.texts_of(outbox.current_file(version.phone_id))
    assert (texts["phonebook_download_protocol"], texts["vlan_tag"]) == ("1", "8")


def test_a_layer_that_chooses_the_format_of_the_file_is_in_nobodys_way():
    version = cast.assigned()
    store.save(store.find("site", ""), {"file_format": "xml"}, by="otto")
    cast.save(version.phone, cast.draft(display_name="Otto"))
    assert back(version, 1)["account1_display_name"] == "Tess"
