"""Tables of phones that leave as a download, and both ways at the command line."""

import asyncio
import io

import pytest
from asgiref.sync import sync_to_async
from django.contrib.admin.models import LogEntry
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import AsyncClient, override_settings

from devices import inventory
from devices.choices import EventKind
from devices.models import LiveEvent, Phone
from gspnp.console import exports
from provisioning.importing.models import PhoneImport
from provisioning.models import Job
from provisioning.tables.reading import read_table
from tests import cast
from tests.console.conftest import person, signed_in
from tests.support.import_pages import GOOD, NEW, body, carry_out, streamed

pytestmark = pytest.mark.django_db


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
