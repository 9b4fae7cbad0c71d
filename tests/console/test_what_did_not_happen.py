"""The list of changes has no entry of what was refused, only asked about, or so already."""

import re
from pathlib import Path

import pytest

from devices import decoys, directory
from devices.directory import Entry
from devices.models import Decoy, Phone
from gspnp.console.models import Change
from provisioning.jobs import runner
from tests import cast
from tests.console.conftest import signed_in
from tests.console.test_orders_of_a_selection import by_hand

pytestmark = pytest.mark.django_db
CONSOLE = Path(__file__).parents[2] / "gspnp" / "console"
DECOY = "000B82DEC001"


def deeds() -> list[tuple[str, str, str]]:
    return list(Change.objects.exclude(deed="signed in").order_by("pk").values_list("deed", "what", "mac"))


@pytest.fixture
def boss_page(administrator, listener):
    cast.assigned()
    return signed_in(administrator)


def test_no_view_tells_a_refusal_without_saying_that_nothing_was_done():
    """`refuse` does both; a status of 400 to 499 says it by itself."""
    told = [str(one) for one in CONSOLE.rglob("*.py") if "messages.error(" in one.read_text()]
    assert told == [str(CONSOLE / "refusal.py")]


@pytest.mark.parametrize(
    ("path", "fields"),
    [
        ("/alarms/decoys/add/", {"mac": "banana"}),
        ("/alarms/decoys/add/", {"mac": cast.MAC}),
        ("/alarms/decoys/make/", {"count": "0"}),
        (f"/alarms/decoys/{DECOY}/remove/", {}),
        ("/alarms/999/dismiss/", {}),
        ("/alarms/dismiss/", {}),
        ("/people/unlock/", {"name": "nobody", "host": "10.0.0.1"}),
        ("/phones/export/", {"kind": "pdf"}),
        ("/phones/export/", {"kind": "csv", "secrets": "yes"}),
        ("/extensions/export/", {"secrets": "1"}),
        ("/phones/edit/", {"mac": cast.MAC}),
        (f"/phones/{cast.MAC}/history/1/back/", {"version": "1"}),
        (f"/phones/{cast.MAC}/history/1/back/", {"version": "999", "sure": "yes"}),
        (f"/phones/{cast.MAC}/close-release/", {}),
        (f"/phones/{cast.MAC}/revoke-paths/", {}),
        (f"/phones/{cast.MAC}/dismiss/", {}),
        (f"/phones/{cast.MAC}/release/", {"host": "banana", "minutes": "5"}),
        ("/admin/devices/phone/", {"action": "set_sip_server"}),
    ],
)  # fmt: skip
def test_nothing_is_on_record_of_what_was_not_done(boss_page, path, fields):
    answer = boss_page.post(path, fields, REMOTE_ADDR="10.0.0.9")  # from elsewhere, without TLS: no passwords
    assert answer.status_code < 500
    assert deeds() == []


def test_a_question_about_deleting_an_extension_and_a_preview_of_a_file_are_no_deeds(boss_page, tmp_path):
    pk = directory.add(Entry("", "1002", "Otto", "secret-1"))
    assert boss_page.post(f"/extensions/{pk}/delete/").status_code == 200
    file = tmp_path / "some.csv"
    file.write_text("number,name\n1003,Ida\n")
    with file.open("rb") as opened:
        assert boss_page.post("/extensions/import/", {"file": opened}).status_code == 200
    assert deeds() == []


@pytest.mark.parametrize("kind", ["check", "forget", "confirm"])
def test_the_question_before_an_order_is_no_deed(boss_page, kind):
    question = boss_page.post(f"/orders/{kind}/", by_hand(list(Phone.objects.all())))
    assert question.status_code == 200 and deeds() == []


def test_a_button_of_a_job_that_is_over_is_no_deed(boss_page):
    job = runner.start("Test", {"site": "nowhere"}, by="tess")
    runner.cancel(job.pk)
    assert boss_page.post(f"/jobs/{job.pk}/pause/").status_code == 302
    assert deeds() == []


def test_a_decoy_is_named_by_its_mac_and_leads_to_no_phone(boss_page):
    boss_page.post("/alarms/decoys/add/", {"mac": "00-0b-82-de-c0-01", "note": "trap"})
    boss_page.post(f"/alarms/decoys/{DECOY}/remove/")
    assert deeds() == [("decoy_add", "00:0B:82:DE:C0:01", ""), ("decoy_remove", "00:0B:82:DE:C0:01", "")]
    assert not Decoy.objects.exists() and not Phone.objects.filter(mac=DECOY).exists()
    assert f"/phones/{DECOY}/" not in boss_page.get("/changes/").content.decode()
    added = Change.objects.get(deed="decoy_add")
    assert added.after == {"decoy": "00:0B:82:DE:C0:01", "note": "trap"}
    decoys.add(DECOY, by="tess")


def test_no_entry_names_an_address_of_the_console(boss_page):
    boss_page.post("/alarms/decoys/make/", {"count": "2"})
    boss_page.post("/phones/export/", {"kind": "csv"})
    boss_page.post("/phones/add/", {"mac": "00-0B-82-11-22-33", "model": "GXP1628", "site": ""})
    assert deeds() == [
        ("decoys_make", "", ""), ("export", "", ""), ("add_phone", "00:0B:82:11:22:33", "000B82112233"),
    ]  # fmt: skip
    assert not any(re.search("^/", what) for _, what, _ in deeds())
