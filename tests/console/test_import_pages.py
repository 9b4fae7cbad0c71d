"""Import & export in the console: nothing is written before the preview, secrets stay where they are, and who may."""

import re

import pytest
from django.db.models import F
from django.test import Client

from devices import directory
from devices.models import Phone
from provisioning.importing import planning
from provisioning.importing.models import ImportState, PhoneImport
from provisioning.layers import store
from provisioning.models import ConfigFile, Job
from provisioning.tables.writing import write_table
from tests import cast
from tests.console.conftest import person, signed_in
from tests.support.import_pages import GOOD, NEW, SECRET, SURE, body, carry_out, upload

pytestmark = pytest.mark.django_db


def test_from_the_file_to_the_phone_and_back(console):
    page = upload(console, GOOD)
    assert page.redirect_chain and "It would list 1 new phones" in body(page)
    assert SECRET not in body(page) and not Phone.objects.exists()
    one = PhoneImport.objects.get()
    done = console.post(f"/phones/import/{one.pk}/apply/", {"pace": "7"})
    assert done.headers["Location"] == f"/jobs/{carry_out().pk}/"
    assert Phone.objects.get().accounts.get().password == SECRET
    assert "can be undone" in body(console.get(f"/phones/import/{one.pk}/"))
    asked = console.post(f"/phones/import/{one.pk}/undo/")
    assert "1 phone that it listed is taken out of the list again" in body(asked) and "Undo it" in body(asked)
    assert PhoneImport.objects.get().state == ImportState.APPLIED
    console.post(f"/phones/import/{one.pk}/undo/", SURE)
    carry_out()
    assert not Phone.objects.exists()
    assert "Undone by tess" in body(console.get(f"/phones/import/{one.pk}/"))
    again = console.post(f"/phones/import/{one.pk}/undo/")
    assert again.status_code == 409 and "only one that was applied" in body(again)


def test_an_xlsx_with_errors_shows_each_beside_its_row_and_cannot_be_applied(console):
    rows = [("nonsense", "GXP1628", "1"), (NEW, "GXP9999", "2"), ("000B82000E11", "GXP1628", "3")]
    page = upload(console, write_table("xlsx", ["MAC", "Model", "Extension"], rows), "<b>.xlsx")
    text = body(page)
    assert "3 of 3 rows have errors" in text and 'data-testid="apply"' not in text
    assert "There is no model" in text and "needs a SIP server" in text
    assert "<b>.xlsx" not in text and "no:ns" not in text
    one = PhoneImport.objects.get()
    assert console.post(f"/phones/import/{one.pk}/apply/").status_code == 409
    console.post(f"/phones/import/{one.pk}/discard/")
    assert not PhoneImport.objects.exists()


@pytest.mark.parametrize(
    ("text", "words"), [("", "empty"), ("mac,foo\n1,2", "Unknown column"), (b"\xd0\xcf\x11\xe0", "old Excel file")]
)
def test_a_file_that_cannot_be_read_is_refused_with_words(console, text, words):
    page = upload(console, text)
    assert page.status_code == 422 and words in body(page)
    assert not PhoneImport.objects.exists()


def test_rows_are_filtered_searched_and_paged(console):
    rows = "".join(f"000B83{number:06X},GXP1628,{number},pbx\n" for number in range(120)) + "broken,,,\n"
    upload(console, "mac,model,extension,sip_server\n" + rows)
    url = f"/phones/import/{PhoneImport.objects.get().pk}/"
    assert "not a hex digit" in body(console.get(url)), "errors come first"
    page = console.get(url + "?show=new&page=3")
    assert len(page.context["rows"]) == 20 and page.context["rows_page"].next_url == ""
    assert [row.number for row in console.get(url + "?show=&q=00:0B:83:00:00:07").context["rows"]] == [9]
    assert console.get(url + "?show=&q=122").context["rows"][0].number == 122
    assert console.get(url + "?show=%00&page=99999999999&q=%00").status_code == 200


def test_the_job_of_an_import_says_what_it_listed_and_its_undoing_what_it_removed(console):
    cast.assigned()
    upload(console, f"{GOOD}{cast.MAC},,,,Theo,\n", name="good.csv")
    one = PhoneImport.objects.get()
    console.post(f"/phones/import/{one.pk}/apply/")
    job = carry_out()
    page = body(console.get(f"/jobs/{job.pk}/"))
    assert job.title == "Import of good.csv" and "have a new file" not in page
    assert 'data-testid="listed">1<' in page and 'data-testid="changed">1<' in page
    assert "Import of good.csv, by tess." in body(console.get(f"/phones/{NEW}/"))
    Phone.objects.filter(mac=cast.MAC).update(version=F("version") + 1)
    asked = body(console.post(f"/phones/import/{one.pk}/undo/"))
    assert (
        "1 phone that it listed is taken out" in asked and "1 phone was saved, plugged in or forgotten since" in asked
    )
    assert "gets back what it had" not in asked
    console.post(f"/phones/import/{one.pk}/undo/", SURE)
    back = body(console.get(f"/jobs/{carry_out().pk}/"))
    assert "Undo: Import of good.csv" in back
    assert [re.search(rf'data-testid="{name}">(\d+)<', back)[1] for name in ("returned", "removed", "kept")] == [
        "0",
        "1",
        "1",
    ]
    assert 'data-testid="listed">1<' in body(console.get(f"/jobs/{job.pk}/")), "what it did stays true"


def test_what_was_typed_is_named_where_it_cannot_be_a_secret(console):
    store.save(store.find("template", "hotline"), {"vlan_tag": "7"}, by="tess")
    text = f"mac,model,template\n00:0B:82:27:3B:8,GXP1628,\nhunter2,GXP1628,\n{NEW},GXP1628,hotline;{SECRET}\n"
    page = body(upload(console, text))
    assert '<th scope="row" class="gs-mono">00:0B:82:27:3B:8</th>' in page
    assert "hunter2" not in page and SECRET not in page
    assert "Number 2 of these is no template; templates are: hotline." in page
    asked = {"do": "preview", "macs": cast.MAC, "set-template": "1", "template": "hotline;nosuch"}
    cast.assigned()
    assert "nosuch is no template; templates are: hotline." in body(console.post("/phones/edit/", asked))


def test_who_may(viewer, technician):
    one = planning.read_file("x", GOOD.encode(), by="tess")
    looker = signed_in(viewer)
    assert "Ask an administrator" in body(looker.get("/phones/import/"))
    assert looker.get(f"/phones/import/{one.pk}/").status_code == 200
    for url in (
        "/phones/import/",
        f"/phones/import/{one.pk}/apply/",
        f"/phones/import/{one.pk}/undo/",
        "/phones/edit/",
    ):
        assert looker.post(url).status_code == 403
    assert looker.get(f"/phones/edit/{one.pk}/").status_code == 403
    assert Client(headers={"host": "localhost"}).get("/phones/import/").status_code == 302
    assert PhoneImport.objects.get().state == ImportState.PREVIEW


def test_a_pace_that_is_none_is_refused_and_nothing_begins(console):
    upload(console, GOOD)
    one = PhoneImport.objects.get()
    page = console.post(f"/phones/import/{one.pk}/apply/", {"pace": "many"})
    assert page.status_code == 409 and "enter a number between" in body(page)
    one.refresh_from_db()
    assert one.state == ImportState.PREVIEW and not Job.objects.exists()


def test_what_is_wrong_is_shown_to_whoever_may_change_phones(console):
    upload(console, "mac,model\nnonsense,GXP1628\n")
    page = f"/phones/import/{PhoneImport.objects.get().pk}/"
    assert "Character 1 is not a hex digit" in body(console.get(page))
    seen = body(signed_in(person("vera", "view_phone")).get(page))
    assert "hex digit" not in seen and "shown to whoever may change phones" in seen


@pytest.mark.parametrize("kind", ["csv", "xlsx"])
def test_the_sample_is_a_file_that_can_be_imported(console, kind):
    data = console.get(f"/phones/import/sample.{kind}").content
    one = planning.read_file("sample", data, by="tess")
    assert (one.new, one.faulty) == (2, 0), list(one.rows.values_list("shown", flat=True))
    assert console.get("/phones/import/sample.pdf").status_code == 404


def test_a_preview_does_not_tell_whether_a_password_is_right_to_whom_it_is_hidden(console):
    cast.assigned()
    seen = []
    for guess in (cast.PASSWORD, "0000"):
        upload(console, f"mac,password\n{cast.MAC},{guess}\n")
        one = PhoneImport.objects.latest("pk")
        seen.append((one.same, one.changed, one.rows.get().outcome, one.rows.get().shown))
    assert seen[0] == seen[1] == (0, 1, "changed", {"changes": [["password", "set", "as given"]]})
    rita = signed_in(person("rita", "view_phone", "change_phone", "reveal_secret"))
    upload(rita, f"mac,password\n{cast.MAC},{cast.PASSWORD}\n")
    assert PhoneImport.objects.latest("pk").same == 1


def test_nor_does_it_tell_so_of_a_guess_that_somebody_put_into_the_directory(console):
    cast.assigned()
    seen = []
    for number, guess in (("9001", cast.PASSWORD), ("9002", "0000")):
        directory.add(directory.Entry("", number, secret=guess))
        upload(console, f"mac,extension\n{cast.MAC},{number}\n")
        seen.append([change[1:] for change in PhoneImport.objects.latest("pk").rows.get().shown["changes"][1:]])
    assert seen[0] == seen[1] == [["set", "from the directory"]]


def test_a_password_that_a_phone_has_already_makes_no_new_file(console):
    cast.assigned()
    before = Phone.objects.get().version
    upload(console, f"mac,password\n{cast.MAC},{cast.PASSWORD}\n")
    one = PhoneImport.objects.get()
    console.post(f"/phones/import/{one.pk}/apply/", {"pace": "7"})
    carry_out()
    one.refresh_from_db()
    assert (one.state, Phone.objects.get().version, ConfigFile.objects.count()) == (ImportState.APPLIED, before, 1)
    assert (one.rows.get().before, one.rows.get().after) == (None, None)
    console.post(f"/phones/import/{one.pk}/undo/", SURE | {"pace": "7"})
    carry_out()
    one.refresh_from_db()
    assert (one.state, Phone.objects.get().version) == (ImportState.UNDONE, before)
