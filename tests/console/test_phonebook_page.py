"""The page of phonebooks, contacts in the administration and by CSV, and phones that are moved to another site."""

import io

import pytest
from django.core.management import CommandError, call_command

from devices import inventory
from devices.models import Phone
from provisioning.models import Contact, Job, Phonebook
from tests import cast
from tests.console.conftest import signed_in

pytestmark = pytest.mark.django_db


def test_it_is_switched_on_and_off_and_the_phones_are_told(console):
    cast.assigned()
    html = console.post("/phonebook/switch/", {"site": "", "on": "1"}, follow=True).content.decode()
    assert "The phonebook is on" in html and "on, 1 entry" in html
    assert Job.objects.get().scope == {"site": ""}
    console.post("/phonebook/switch/", {"site": "", "on": "0"})
    assert not Phonebook.objects.get().is_on


def test_a_new_path(console):
    console.post("/phonebook/switch/", {"site": "", "on": "1"})
    before = Phonebook.objects.get().secret
    html = console.post("/phonebook/renew/", {"site": ""}, follow=True).content.decode()
    assert Phonebook.objects.get().secret != before
    assert before not in html and Phonebook.objects.get().secret not in html, "no page shows a path"
    assert console.post("/phonebook/renew/", {"site": "nowhere"}).status_code == 404


def test_a_viewer_sees_it_and_changes_nothing(viewer):
    client = signed_in(viewer)
    html = client.get("/phonebook/").content.decode()
    assert "Default site" in html and "Switch" not in html
    for path in ("/phonebook/switch/", "/phonebook/renew/"):
        assert client.post(path, {"site": ""}).status_code == 403


def test_hostile_names_are_text(console):
    Contact.objects.create(first_name='<script>alert("x")</script>', work="1")
    assert "<script>alert" not in console.get("/phonebook/").content.decode()


class TestContacts:
    """By the administration and by CSV."""

    def call(self, *arguments) -> str:
        out = io.StringIO()
        call_command("contacts", *arguments, stdout=out)
        return out.getvalue()

    def test_the_form_wants_a_number_that_can_be_dialled(self, administrator):
        client = signed_in(administrator)
        url = "/admin/provisioning/contact/add/"
        assert "needs a number" in client.post(url, {"first_name": "Tess"}).content.decode()
        assert "is no number" in client.post(url, {"first_name": "Tess", "work": "call me!"}).content.decode()
        client.post(url, {"first_name": "Tess", "work": "+49 30 1234"})
        assert Contact.objects.get().work == "+49 30 1234"

    def test_a_file_comes_in_once_and_goes_out_again(self, tmp_path):
        file = tmp_path / "contacts.csv"
        file.write_text("first_name,last_name,work\nŽofie,Öhlund,1001\nOtto,,1002\n", encoding="utf-8-sig")
        assert "2 contacts stored" in self.call("import", str(file), "--site", "berlin")
        assert "0 contacts stored, 2 were there" in self.call("import", str(file), "--site", "berlin")
        out = self.call("export")
        assert out.splitlines()[0] == "site,first_name,last_name,department,work,home,cell"
        assert "berlin,Žofie,Öhlund,,1001,," in out

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ("first_name,work\nTess,1001\nOtto,\n", "line 3: A contact needs a number"),
            ("first_name,work\nTess,call me!\n", "line 2: work: This is no number"),
            ("name,number\nTess,1\n", "must name columns from"),
            ("", "must name columns from"),
            ("first_name,work\nTess,1,2\n", "line 2: more fields"),
        ],
    )
    def test_a_wrong_file_is_named_line_by_line_and_nothing_is_stored(self, tmp_path, text, words):
        file = tmp_path / "contacts.csv"
        file.write_text(text)
        with pytest.raises(CommandError, match=words):
            self.call("import", str(file))
        assert not Contact.objects.exists()


def test_phones_are_moved_to_another_site_by_a_bulk_action(administrator):
    phone = cast.assigned().phone
    client = signed_in(administrator)
    url = "/admin/devices/phone/"
    page = client.post(url, {"action": "set_site", "_selected_action": [phone.pk]})
    assert "Set the site" in page.content.decode()
    seen = f'[[{phone.pk}, 1, "{cast.HOST}"]]'
    client.post(
        url, {"action": "set_site", "_selected_action": [phone.pk], "apply": "1", "value": "berlin", "seen": seen}
    )
    assert Phone.objects.get().site == "berlin"
    assert Job.objects.get().scope == {"phones": [phone.pk]}


def test_a_new_phone_stands_at_the_site_of_the_listener_and_stays_where_a_person_put_it():
    inventory.record_sightings([cast.sighting()], cast.unknown, site="berlin")
    assert Phone.objects.get().site == "berlin"
    inventory.move(Phone.objects.get().pk, "hamburg", "tess")
    inventory.record_sightings([cast.sighting()], cast.unknown, site="berlin")
    assert Phone.objects.get().site == "hamburg"


def test_the_file_can_be_looked_at_and_who_has_no_name_has_a_number(console):
    cast.save(cast.seen(), cast.draft(display_name=""))
    assert console.get("/phonebook/file/?site=").status_code == 404
    console.post("/phonebook/switch/", {"site": "", "on": "1"})
    page = console.get("/phonebook/").content.decode()
    assert '<th scope="row">1001</th>' in page and "/phonebook/file/?site=" in page
    file = console.get("/phonebook/file/?site=")
    assert file.headers["Content-Type"].startswith("text/xml")
    assert b"<FirstName>1001</FirstName>" in file.content
