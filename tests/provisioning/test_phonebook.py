"""Phonebooks: what stands in them, who gets them, and when they are made anew."""

import subprocess

import pytest
from django.core.management import call_command
from django.db import connection
from lxml import etree

from devices import inventory
from devices.models import Phone
from provisioning import outbox
from provisioning.gxp import phonebook
from provisioning.gxp.document import values
from provisioning.gxp.phonebook import Entry
from provisioning.models import Contact, Phonebook
from provisioning.phonebook import books
from tests import cast

NAMES = ["R&D <lab> \"1\" 'a' ]]>", "Žofie Öhlund", "Анна Иванова", "علي", "Emoji 📞", "x" * 60, "tab\tand\x01control"]


def read(content: bytes) -> list[dict]:
    """A phonebook as formats.md (e) describes it."""
    root = etree.fromstring(content)
    assert root.tag == "AddressBook" and root.findtext("version") == "1"
    return [
        {
            "name": (one.findtext("FirstName"), one.findtext("LastName")),
            "numbers": [
                (phone.get("type"), phone.findtext("phonenumber"), phone.findtext("accountindex"))
                for phone in one.findall("Phone")
            ],
        }
        for one in root.findall("Contact")
    ]


class TestRendering:
    """Pure."""

    def test_xmllint_reads_every_name_and_they_fit_the_display(self, tmp_path):
        content, count, left_out = phonebook.render(Entry(name, "", (("Work", "1"),)) for name in NAMES)
        path = tmp_path / "phonebook.xml"
        path.write_bytes(content)
        subprocess.run(["xmllint", "--noout", str(path)], check=True)
        assert (count, left_out) == (len(NAMES), 0)
        shown = {one["name"][0] for one in read(content)}
        assert {"R&D <lab> \"1\" 'a' ]]>", "Žofie Öhlund", "Анна Иванова", "علي", "Emoji 📞"} <= shown
        assert max(map(len, shown)) == 24

    def test_the_same_entries_in_any_order_give_the_same_bytes(self):
        entries = [Entry(str(number), "B" if number % 2 else "a", (("Work", str(number)),)) for number in range(9)]
        assert phonebook.render(entries) == phonebook.render(reversed(entries))

    def test_numbers_are_written_as_they_are_dialled_with_account_1(self):
        numbers = (("Work", phonebook.dialled("+49 (30) 123-4")), ("Cell", "*80"))
        content, _, _ = phonebook.render([Entry("Tess", "", numbers)])
        assert read(content)[0]["numbers"] == [("Work", "+49301234", "1"), ("Cell", "*80", "1")]

    def test_more_than_the_phones_take_is_counted_and_left_out(self):
        _, count, left_out = phonebook.render(Entry(str(number), "", (("Work", "1"),)) for number in range(1007))
        assert (count, left_out) == (1000, 7)

    def test_nobody_without_a_number_and_nobody_without_a_name(self):
        content, _, _ = phonebook.render([Entry("Tess", "", ()), Entry("", "", (("Work", "1002"),))])
        assert [one["name"] for one in read(content)] == [("1002", "")]


pytestmark = [pytest.mark.django_db, pytest.mark.db]


def on(site: str = "") -> Phonebook:
    return books.switch(site, True)


def ask(secret: str, name: str = "phonebook.xml", **options) -> cast.Answer:
    return cast.ask(f"/phonebook/{secret}/{name}", **options)


def said(phone: Phone) -> dict[str, str]:
    return values(bytes(outbox.current_file(phone.pk).content))


def test_phones_and_contacts_of_the_site_are_in_it():
    here, there = cast.seen(), cast.seen(cast.OTHER_MAC, "10.0.0.21")
    cast.save(here, cast.draft(display_name="Tess Tester"))
    inventory.move(there.pk, "berlin", "tess")
    cast.save(there, cast.draft(user_id="2001", display_name="Otto"))
    Contact.objects.create(first_name="Pizza", work="030 12345")
    Contact.objects.create(site="berlin", first_name="Door", work="99")
    names = {one["name"]: one["numbers"][0][1] for one in read(ask(on().secret).body)}
    assert names == {("Tess", "Tester"): "1001", ("Pizza", ""): "03012345"}
    assert {one["name"][0] for one in read(ask(on("berlin").secret).body)} == {"Otto", "Pizza", "Door"}


def test_the_user_id_of_a_phone_is_nobody_elses_number():
    for place, user_id in enumerate(("anna.muster", "100-2", "1003/x")):
        phone = cast.seen(f"000B8200000{place}", f"10.0.0.{place + 50}")
        cast.save(phone, cast.draft(user_id=user_id, display_name=""))
    Contact.objects.create(last_name="Zed", work="030 / 12-3")
    numbers = [entry["numbers"][0][1] for entry in read(bytes(on().content or b"") or Phonebook.objects.get().content)]
    assert sorted(numbers) == ["030123", "100-2", "1003/x", "anna.muster"]


def test_it_is_made_anew_when_a_phone_or_a_contact_changes_and_not_else():
    phone = cast.seen()
    cast.save(phone)
    book = on()
    before = ask(book.secret).headers["etag"]
    assert books.refresh_all() == 0
    cast.save(phone, cast.draft(display_name="Somebody Else"))
    assert books.refresh_all() == 1
    assert ask(book.secret).headers["etag"] != before
    contact = Contact.objects.create(first_name="A", work="1")
    assert books.refresh_all() == 1
    contact.delete()
    assert books.refresh_all() == 1
    inventory.ignore(phone.pk, "tess")
    assert books.refresh_all() == 1
    assert read(ask(book.secret).body) == []


@pytest.mark.parametrize("name", ["phonebook.xml", "gs_phonebook.xml", "GS_PHONEBOOK.XML"])
def test_both_names_in_any_case(name):
    assert ask(on().secret, name).status == 200


def test_etag_head_and_length():
    secret = on().secret
    whole = ask(secret)
    assert int(whole.headers["content-length"]) == len(whole.body)
    assert ask(secret, **{"if-none-match": whole.headers["etag"]}).status == 304
    head = ask(secret, method="HEAD")
    assert (head.status, head.body, head.headers["content-length"]) == (200, b"", whole.headers["content-length"])


def test_everything_else_is_the_one_refusal():
    book = on()
    nothing = cast.ask("/nothing")
    for path in (
        f"/phonebook/{'x' * 22}/phonebook.xml",
        f"/phonebook/{book.secret}/other.xml",
        "/phonebook/phonebook.xml",
    ):
        assert cast.ask(path) == nothing
    books.renew("")
    assert ask(book.secret) == nothing, "the old path leads nowhere"
    books.switch("", False)
    assert ask(Phonebook.objects.get().secret) == nothing


def test_the_phones_of_the_site_are_told_where_it_is_and_told_that_it_is_off():
    phone = cast.seen()
    cast.save(phone)
    assert "phonebook_server_path" not in said(phone)
    book = on()
    cast.save(phone)
    file = said(phone)
    assert file["phonebook_server_path"] == f"10.0.0.1:5481/phonebook/{book.secret}"
    assert (file["phonebook_download_protocol"], file["phonebook_replace_manual_entries"]) == ("1", "0")
    assert int(file["phonebook_interval_minutes"]) >= 5
    books.switch("", False)
    cast.save(phone)
    assert said(phone)["phonebook_download_protocol"] == "0"


def test_one_that_no_key_opens_stops_nobody_and_gets_a_new_path():
    on()
    phone = cast.seen()
    with connection.cursor() as cursor:
        cursor.execute("UPDATE provisioning_phonebook SET secret = %s", ["unreadable"])
    cast.save(phone)
    assert "phonebook_server_path" not in said(phone)
    call_command("work", "--once")
    secret = books.renew("").secret
    cast.save(phone)
    assert said(phone)["phonebook_server_path"].endswith(secret)


def test_the_secret_of_the_path_is_in_no_row_in_the_clear_and_in_no_repr():
    book = on()
    assert book.secret not in repr(book)
    assert book.secret not in str(Phonebook.objects.extra(select={"raw": "secret"}).values_list("raw", flat=True)[0])
