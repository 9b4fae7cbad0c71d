"""Import & export in the console: nothing is written before the preview, secrets stay where they are, and who may."""

import asyncio
import io
import re

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.contrib.admin.models import LogEntry
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import CommandError, call_command
from django.db import connection
from django.db.models import F
from django.test import AsyncClient, Client, override_settings

from devices import directory, inventory
from devices.choices import EventKind
from devices.models import LiveEvent, Phone
from gspnp.console import exports
from gspnp.console.shell import is_console
from provisioning.importing import planning
from provisioning.importing.models import ImportState, PhoneImport
from provisioning.jobs import runner
from provisioning.layers import store
from provisioning.models import ConfigFile, Job
from provisioning.tables.reading import read_table
from provisioning.tables.writing import write_table
from tests import cast
from tests.console.conftest import person, signed_in

pytestmark = pytest.mark.django_db
SECRET = "uploaded-s3cret"
NEW = "000B82000E10"
GOOD = f"mac,model,extension,password,name,sip_server\n{NEW},GXP1628,1009,{SECRET},Ada,pbx\n"
SURE = {"sure": "yes"}


def upload(console: Client, text: str | bytes, name: str = "phones.csv", follow: bool = True):
    data = text.encode() if isinstance(text, str) else text
    return console.post("/phones/import/", {"file": SimpleUploadedFile(name, data)}, follow=follow)


def body(response) -> str:
    return response.content.decode()


def streamed(response) -> bytes:
    async def collect() -> bytes:
        return b"".join([piece async for piece in response.streaming_content])

    return async_to_sync(collect)()  # in this thread, as Django does it: it sees the test's own transaction


def carry_out() -> Job:
    job = Job.objects.latest("pk")
    runner.run.call(job.pk)
    return job


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


class TestExport:
    def test_all_of_them_a_filter_or_a_choice(self, console):
        cast.assigned()
        cast.seen(cast.OTHER_MAC, "10.0.0.21")

        def macs(**asked) -> set[str]:
            data = streamed(console.post("/phones/export/", asked))
            return {row.cells["mac"] for row in read_table("x", data, max_rows=9).rows}

        assert macs(all="1") == {cast.MAC, cast.OTHER_MAC}
        assert macs(query="stage=seen") == {cast.OTHER_MAC}
        assert macs(mac=["00:0b:82:27:3b:89"]) == {cast.MAC}
        response = console.get("/phones/export/?q=1001&kind=xlsx")
        assert read_table("x", response.content, max_rows=9).rows[0].cells["mac"] == cast.MAC
        assert response.headers["Content-Disposition"] == 'attachment; filename="phones.xlsx"'

    def test_passwords_need_the_permission_a_tick_and_a_safe_way(self, console):
        cast.assigned()
        revealer = signed_in(person("rita", "view_phone", "reveal_secret"))
        asked = {"all": "1", "secrets": "yes"}
        assert cast.PASSWORD.encode() not in streamed(revealer.post("/phones/export/", {"all": "1"}))
        assert "may not export passwords" in body(console.post("/phones/export/", asked, follow=True))
        with override_settings(ALLOWED_HOSTS=["*"]):
            far = revealer.post("/phones/export/", asked, follow=True, headers={"host": "phones.example.net"})
        assert "Over plain HTTP" in body(far)
        assert cast.PASSWORD.encode() not in streamed(revealer.get("/phones/export/", asked))
        assert not LiveEvent.objects.filter(kind=EventKind.LOOKED).exists()
        assert cast.PASSWORD.encode() in streamed(revealer.post("/phones/export/", asked))
        assert LiveEvent.objects.get(kind=EventKind.LOOKED).text == "rita exported its SIP passwords."
        assert LogEntry.objects.latest("pk").change_message == "With SIP passwords."
        assert LogEntry.objects.latest("pk").object_repr == "1 phone exported"

    def test_retired_phones_leave_only_if_they_are_asked_for(self, console, tmp_path):
        cast.assigned()
        retired = cast.assigned(cast.OTHER_MAC, "10.0.0.21").phone
        assert "retired phones too" not in body(console.get("/phones/import/"))
        retired.refresh_from_db()
        inventory.retire(retired, "Broken.", "tess")

        def macs(answer) -> set[str]:
            return {row.cells["mac"] for row in read_table("x", streamed(answer), max_rows=9).rows}

        for asked in ({}, {"q": "1001"}, {"query": "q=1001"}, {"query": "?q=1001", "except": "[]"}):
            assert macs(console.post("/phones/export/", asked)) == {cast.MAC}, asked
        for asked in (
            {"mac": cast.OTHER_MAC},
            {"stage": "retired"},
            {"query": "?stage=retired", "except": "[]"},
            {"phones": f'[["{cast.OTHER_MAC}", null]]'},
        ):
            assert macs(console.post("/phones/export/", asked)) == {cast.OTHER_MAC}, asked
        assert macs(console.post("/phones/export/", {"all": "1"})) == {cast.MAC, cast.OTHER_MAC}
        assert "Ignored and retired phones too" in body(console.get("/phones/import/"))
        for options, rows in (((), 1), (("--retired",), 2)):
            call_command("export_phones", str(tmp_path / "x.csv"), *options, stderr=io.StringIO())
            assert len(read_table("x", (tmp_path / "x.csv").read_bytes(), max_rows=9).rows) == rows

    def test_a_link_writes_no_history(self, console):
        cast.assigned()
        streamed(console.get("/phones/export/"))
        console.head("/phones/export/?kind=xlsx")
        assert not LogEntry.objects.exists()
        streamed(console.post("/phones/export/", {"all": "1"}))
        assert LogEntry.objects.get().change_message == "Without passwords."

    @pytest.mark.parametrize("kind", ["csv", "xlsx"])
    def test_a_lost_key_refuses_the_passwords_in_words(self, kind):
        cast.assigned()
        with connection.cursor() as cursor:
            cursor.execute("UPDATE devices_account SET password = 'broken'")
        revealer = signed_in(person("rita", "view_phone", "reveal_secret"))
        asked = {"all": "1", "secrets": "yes", "kind": kind}
        assert "back, or export without passwords" in body(revealer.post("/phones/export/", asked, follow=True))
        assert not LogEntry.objects.exists()

    def test_the_tick_is_offered_to_whom_it_is_for(self, console):
        assert 'name="secrets"' not in body(console.get("/phones/import/"))
        assert 'name="secrets"' in body(signed_in(person("rita", "view_phone", "reveal_secret")).get("/phones/import/"))

    def test_a_list_s_filter_is_offered(self, console):
        assert "as searched and filtered" in body(console.get("/phones/import/?stage=seen"))

    @pytest.mark.django_db(transaction=True)
    async def test_it_leaves_by_the_console_s_own_server(self):
        browser = AsyncClient(headers={"host": "localhost"})
        user = await sync_to_async(person)("vera", "view_phone")
        await sync_to_async(cast.assigned)()
        await browser.aforce_login(user)
        response = await browser.get("/phones/export/")
        data = b"".join([piece async for piece in response.streaming_content])
        assert read_table("x", data, max_rows=9).rows[0].cells["mac"] == cast.MAC

    def test_it_leaves_in_pieces(self, monkeypatch):
        monkeypatch.setattr(exports, "ROWS_AT_ONCE", 2)
        asked: list[int] = []

        def pieces():
            for number in range(5):
                asked.append(number)
                yield str(number)

        async def collect():
            made = pieces()
            stream = exports._stream(exports._bite(made), made)
            first = await anext(stream)
            return first, list(asked), [piece async for piece in stream]

        assert asyncio.run(collect()) == (b"01", [0, 1], [b"23", b"4"])


class TestBulkEdit:
    def test_chosen_fields_of_chosen_phones(self, console):
        phones = [cast.assigned().phone, cast.assigned(cast.OTHER_MAC, "10.0.0.21").phone]
        cast.seen("000B82CCCCCC", "10.0.0.22")
        page = console.get("/phones/edit/?stage=assigned")
        assert "Edit 2 phones" in body(page)
        asked = {
            "do": "preview", "macs": page.context["macs"], "account": "1", "set-sip_server": "1",
            "sip_server": "new.pbx", "set-voicemail": "1", "voicemail": "", "set-key": "1", "slot": "mpk2",
            "key": "blf:1002:Door",
            "codecs": "",
        }  # fmt: skip
        page = console.post("/phones/edit/", asked, follow=True)
        assert "new.pbx" in body(page) and "change 2" in body(page)
        one = PhoneImport.objects.get()
        console.post(f"/phones/import/{one.pk}/apply/")
        carry_out()
        for phone in phones:
            account = phone.accounts.get()
            assert (account.sip_server, account.voicemail, account.user_id) == ("new.pbx", "", "1001")
            assert account.codecs != ["PCMU"], "it was not ticked"
            assert phone.keys.get().label == "Door"
        console.post(f"/phones/import/{one.pk}/undo/", SURE)
        carry_out()
        assert phones[0].accounts.get().sip_server == "172.18.0.10"

    def test_what_is_entered_and_not_ticked_is_not_dropped_in_silence(self, console):
        cast.assigned()
        asked = {"do": "preview", "macs": cast.MAC, "account": "1", "set-site": "1", "site": "berlin"}
        page = console.post("/phones/edit/", asked | {"voicemail": "*97", "key": "blf:1002"})
        assert page.status_code == 422 and body(page).count("Entered, but not ticked") == 2
        assert 'data-testid="fault-voicemail"' in body(page) and not PhoneImport.objects.exists()

    def test_it_is_called_an_edit_and_belongs_to_the_phones(self, console):
        cast.assigned()
        asked = {"do": "preview", "macs": cast.MAC, "account": "1", "set-voicemail": "1", "voicemail": "*98"}
        answer = console.post("/phones/edit/", asked, follow=True)
        page = body(answer)
        assert "Edit of 1 phone: Voicemail number" in page and "Import:" not in page
        assert is_console(answer.wsgi_request) and 'href="/"><span' in page
        one = PhoneImport.objects.get()
        console.post(f"/phones/import/{one.pk}/apply/")
        page = body(console.get(f"/jobs/{carry_out().pk}/"))
        assert "The edit and all its phones" in page and 'data-testid="listed"' not in page
        assert 'data-testid="changed">1<' in page
        assert "Undo this edit" in body(console.get(f"/phones/import/{one.pk}/"))

    def test_retired_phones_are_left_out(self, console):
        cast.assigned()
        retired = cast.assigned(cast.OTHER_MAC, "10.0.0.21").phone
        retired.refresh_from_db()
        inventory.retire(retired, "Broken.", "tess")
        page = console.get("/phones/edit/?q=1001")
        assert "Edit 1 phone" in body(page) and page.context["macs"] == cast.MAC
        asked = {"do": "preview", "macs": cast.OTHER_MAC, "set-site": "1", "site": "berlin"}
        assert console.post("/phones/edit/", asked).status_code == 422 and not PhoneImport.objects.exists()

    def test_a_phone_without_the_account_keeps_what_it_has(self, console):
        cast.assigned()
        cast.seen(cast.OTHER_MAC, "10.0.0.21")
        macs = f"{cast.MAC} {cast.OTHER_MAC}"
        asked = {"do": "preview", "macs": macs, "account": "1", "set-sip_server": "1", "sip_server": "new.pbx"}
        console.post("/phones/edit/", asked)
        one = PhoneImport.objects.get()
        assert (one.changed, one.same, one.faulty) == (1, 1, 0)

    @pytest.mark.parametrize(
        ("asked", "words"),
        [
            ({}, "Nothing is chosen"),
            ({"set-key": "1", "key": "blf:1"}, "Choose which key"),
            ({"set-codecs": "1", "account": "3"}, "None of these phones has account 3"),
            ({"set-codecs": "1", "account": "9"}, "Choose one of the accounts"),
            ({"set-site": "1", "macs": "nobody"}, "No phone is chosen that is not retired"),
        ],
    )
    def test_what_cannot_be_planned_is_said(self, console, asked, words):
        cast.assigned()
        page = console.post("/phones/edit/", {"do": "preview", "macs": cast.MAC} | asked)
        assert page.status_code == 422 and words in body(page)

    @pytest.mark.parametrize(
        ("field", "text", "words"),
        [
            ("codecs", "opus", "is no codec"),
            ("key", "blf", "BLF needs the extension to watch"),
            ("key", "nonsense", "is not written as MODE:VALUE"),
            ("sip_server", "http://pbx", "The SIP server"),
            ("sip_server", "", "needs a SIP server"),
            ("site", "über", "A site is named"),
            ("template", "Nobody", "Nobody is no template; there is none yet. Make it under Settings."),
        ],
    )
    def test_what_no_phone_could_have_is_said_beside_its_field(self, console, field, text, words):
        cast.assigned()
        asked = {"do": "preview", "macs": cast.MAC, "slot": "mpk1", f"set-{field}": "1", field: text}
        page = console.post("/phones/edit/", asked)
        assert page.status_code == 422 and not PhoneImport.objects.exists()
        beside = body(page).partition(f'data-testid="fault-{field}">')[2].partition("</p>")[0]
        assert words in beside and f'value="{cast.MAC}"' in body(page) and f'value="{text}"' in body(page)

    def test_codecs_may_be_left_to_the_layers(self, console):
        cast.assigned()
        store.save(store.find("model", "GXP1628"), {"account1_preferred_vocoder_1": "0"}, by="tess")
        asked = {"do": "preview", "macs": cast.MAC, "set-codecs": "1", "codecs": ""}
        console.post("/phones/edit/", asked)
        assert PhoneImport.objects.get().changed == 1, PhoneImport.objects.get().rows.get().shown

    def test_what_some_phones_cannot_have_leads_back_to_the_form_as_it_was(self, console):
        cast.assigned()
        cast.save(cast.seen(cast.OTHER_MAC, "10.0.0.21", model="GXP1610"))
        asked = {
            "do": "preview", "macs": f"{cast.MAC} {cast.OTHER_MAC}", "set-key": "1", "slot": "mpk2",
            "key": "blf:1002:Door",
        }  # fmt: skip
        page = console.post("/phones/edit/", asked, follow=True)
        one = PhoneImport.objects.get()
        assert one.faulty == 1 and "Change what you entered" in body(page)
        assert "upload" not in body(page).partition('<main id="console"')[2], "beside the menu"
        refused = console.post(f"/phones/import/{one.pk}/apply/")
        assert refused.status_code == 409 and "Correct them in the file" not in body(refused)
        form = console.get(f"/phones/edit/{one.pk}/")
        assert form.context["macs"] == asked["macs"] and form.context["instead"] == str(one.pk)
        told = {field.name: (value, is_set) for field, value, is_set, _ in form.context["fields"]}
        assert (told["key"], told["voicemail"], form.context["slot"]) == (
            ("blf:1002:Door", True),
            ("", False),
            "mpk2",
        )
        console.post("/phones/edit/", asked | {"slot": "line1", "key": "speed_dial:5", "instead": str(one.pk)})
        assert PhoneImport.objects.get().pk != one.pk, "the new preview takes the place of the old one"
        upload(console, GOOD)
        file = PhoneImport.objects.latest("pk")
        assert console.get(f"/phones/edit/{file.pk}/").status_code == 404
        console.post("/phones/edit/", asked | {"instead": str(file.pk)})
        assert PhoneImport.objects.filter(pk=file.pk).exists(), "an upload is nobody's form"


class TestCommands:
    def run(self, *arguments, **options) -> str:
        out = io.StringIO()
        call_command(*arguments, stdout=out, stderr=io.StringIO(), **options)
        return out.getvalue()

    def test_out_and_in_again(self, tmp_path):
        cast.assigned()
        for name in ("phones.csv", "phones.xlsx"):
            self.run("export_phones", str(tmp_path / name), "--secrets")
            assert (tmp_path / name).stat().st_mode & 0o777 == 0o600
            assert "1 without a change" in self.run("import_phones", str(tmp_path / name))
        assert not PhoneImport.objects.exists()

    def test_a_dry_run_stores_nothing_and_json_says_each_row(self, tmp_path):
        file = tmp_path / "x.csv"
        file.write_text(GOOD)
        assert '"outcome": "new"' in self.run("import_phones", str(file), "--dry-run", "--json")
        assert not PhoneImport.objects.exists() and not Job.objects.exists()
        self.run("import_phones", str(file))
        carry_out()
        assert Phone.objects.get().mac == NEW

    def test_errors_end_it(self, tmp_path):
        file = tmp_path / "x.csv"
        file.write_text(GOOD + "broken,,,,,\n")
        with pytest.raises(CommandError, match="1 of 2 rows have errors; nothing was written"):
            self.run("import_phones", str(file))
        assert not PhoneImport.objects.exists() and not Job.objects.exists()
        with pytest.raises(CommandError, match="cannot be read"):
            self.run("import_phones", str(tmp_path / "none.csv"))


class TestAdmin:
    """The administration leads to the same pages: one importer, one exporter."""

    URL = "/admin/devices/phone/"

    def test_the_button_leads_to_import_and_export(self, administrator):
        admin = signed_in(administrator)
        assert "Import &amp; export" in body(admin.get(self.URL))
        assert admin.get(self.URL + "import-export/").headers["Location"] == "/phones/import/"

    def test_chosen_phones_are_edited_and_exported(self, administrator):
        version = cast.assigned()
        cast.seen(cast.OTHER_MAC, "10.0.0.21")
        chosen = {"_selected_action": [version.phone_id]}
        admin = signed_in(administrator)
        page = admin.post(self.URL, chosen | {"action": "edit_fields"})
        assert "Edit 1 phone" in body(page) and page.context["macs"] == cast.MAC
        rows = read_table("x", streamed(admin.post(self.URL, chosen | {"action": "export_phones"})), max_rows=9).rows
        assert [row.cells["mac"] for row in rows] == [cast.MAC]
