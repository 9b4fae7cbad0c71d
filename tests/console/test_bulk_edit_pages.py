"""Fields of many phones edited in one form, from the list and from the administration."""

import pytest

from devices import inventory
from gspnp.console.shell import is_console
from provisioning.importing.models import PhoneImport
from provisioning.layers import store
from provisioning.tables.reading import read_table
from tests import cast
from tests.console.conftest import signed_in
from tests.support.import_pages import GOOD, SURE, body, carry_out, streamed, upload

pytestmark = pytest.mark.django_db


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
