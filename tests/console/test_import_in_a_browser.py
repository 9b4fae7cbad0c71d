"""Import & export as a person with a keyboard meets them, on a telephone and on a desk."""

import pytest
from django.conf import settings
from playwright.sync_api import expect

from devices.models import Phone
from provisioning.importing import planning
from provisioning.jobs import runner
from provisioning.models import Job, PhoneImport
from tests import cast
from tests.console.conftest import signed_in
from tests.console.test_settings_in_a_browser import NARROW, WIDE, browser_page, elsewhere

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
NEW = "000B82000E10"
HOSTILE = "<img src=x onerror=document.title='hacked'>"
FILE = f"mac,model,extension,password,name,sip_server\n{NEW},GXP1628,1009,pw,{HOSTILE},pbx\n{cast.MAC},,,,Theo,\n"


@pytest.fixture
def session(live_server, administrator, listener) -> str:
    cast.assigned()
    return signed_in(administrator).cookies[settings.SESSION_COOKIE_NAME].value


def carry_out() -> None:
    runner.run.call(Job.objects.latest("pk").pk)


def test_from_the_file_to_the_phones_and_back_by_the_keyboard(live_server, session):
    with browser_page(live_server.url, session) as page:
        page.goto(f"{live_server.url}/phones/import/")
        page.get_by_label("File with phones").set_input_files(
            {"name": "phones.csv", "mimeType": "text/csv", "buffer": FILE.encode()}
        )
        page.get_by_role("button", name="Look at the changes").press("Enter")
        expect(page.get_by_test_id("rows")).to_contain_text(HOSTILE)
        assert page.title() != "hacked"
        assert "pw" not in page.get_by_test_id("rows").inner_text().split()
        page.get_by_test_id("apply").press("Enter")
        expect(page.get_by_test_id("of-import")).to_be_visible()
        elsewhere(carry_out)
        page.get_by_test_id("of-import").press("Enter")
        expect(page.get_by_test_id("import")).to_have_attribute("data-state", "applied")
        page.get_by_test_id("undo").press("Enter")
        expect(page.get_by_test_id("sure")).to_contain_text("1 phone that it listed is taken out")
        page.get_by_test_id("undo-sure").press("Enter")
        expect(page.get_by_test_id("of-import")).to_be_visible()
        elsewhere(carry_out)
        page.get_by_test_id("of-import").press("Enter")
        expect(page.get_by_test_id("import")).to_have_attribute("data-state", "undone")
    assert list(Phone.objects.values_list("mac", flat=True)) == [cast.MAC]


def test_nothing_is_wider_than_a_telephone_and_what_is_exported_is_a_file(live_server, session, tmp_path):
    planning.read_file("a file with a long name for a narrow screen.csv", b"mac,name\nnonsense,\n", by="tess")
    number = PhoneImport.objects.get().pk
    widths = {}
    with browser_page(live_server.url, session, NARROW) as page:
        for path in ("/phones/import/?stage=assigned", f"/phones/import/{number}/", f"/phones/edit/?mac={cast.MAC}"):
            page.goto(live_server.url + path)
            widths[path] = page.evaluate("document.documentElement.scrollWidth")
        page.goto(f"{live_server.url}/phones/import/")
        with page.expect_download() as download:
            page.get_by_test_id("export").click()
        assert download.value.suggested_filename == "phones.csv"
        download.value.save_as(tmp_path / "table")
        assert cast.MAC in (tmp_path / "table").read_text("utf-8-sig")
    assert set(widths.values()) == {NARROW}, widths


def test_chosen_fields_are_set_by_the_keyboard(live_server, session):
    with browser_page(live_server.url, session, WIDE) as page:
        page.goto(f"{live_server.url}/phones/edit/?mac={cast.MAC}")
        page.get_by_role("checkbox", name="Voicemail number").press("Space")
        page.get_by_role("textbox", name="Voicemail number").fill("*98")
        page.keyboard.press("Enter")
        expect(page.get_by_test_id("rows")).to_contain_text("*98")


@pytest.mark.parametrize("path", ["/phones/import/", "/extensions/import/", "/firmware/"])
def test_choosing_a_file_troubles_no_script_of_the_shell(live_server, session, path, tmp_path):
    file = tmp_path / "phones.csv"
    file.write_text("mac\n")
    with browser_page(live_server.url, session) as page:
        troubles: list[str] = []
        page.on("pageerror", lambda error: troubles.append(str(error)))
        page.goto(live_server.url + path)
        page.evaluate("document.body.append('')")  # the shell looks for such fields whenever the page changes
        page.set_input_files("input[type=file]", file)
        assert page.evaluate("document.querySelector('input[type=file]').files.length") == 1
    assert not troubles


def test_what_is_entered_is_ticked_and_what_is_emptied_again_is_not(live_server, session):
    with browser_page(live_server.url, session) as page:
        page.goto(f"{live_server.url}/phones/edit/?mac={cast.MAC}")
        box, field = page.locator("[name=set-voicemail]"), page.locator("input[name=voicemail]")
        field.fill("*98")
        expect(box).to_be_checked()
        field.fill("")
        expect(box).not_to_be_checked()
        box.check()
        field.fill("*98")
        field.fill("")
        expect(box).to_be_checked()
