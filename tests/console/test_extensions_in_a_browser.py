"""The directory, and assigning from it, as a person with a keyboard meets them."""

import pytest
from django.conf import settings
from playwright.sync_api import Page, expect

from devices import directory
from devices.directory import Entry
from devices.models import Account, Extension, Phone
from provisioning.models import Job
from tests import cast
from tests.console.conftest import signed_in
from tests.console.test_settings_in_a_browser import NARROW, browser_page, press

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
SECRET = "s3cr3t-of-the-directory"


@pytest.fixture
def session(live_server, administrator, listener) -> str:
    """Signed in; three extensions, and a phone that has the second of them."""
    directory.add(Entry("", "1001", "Tess Ünal", SECRET, "auth1", "172.18.0.10", "*98"))
    directory.add(Entry("", "1002", "Otto Ohm", SECRET, "", "172.18.0.10"))
    directory.add(Entry("berlin", "2001", "<img src=x onerror=alert(1)>"))
    cast.save(cast.seen(cast.OTHER_MAC, "10.0.0.21"), cast.draft(user_id="1002", display_name="Otto Ohm"))
    cast.seen()
    return signed_in(administrator).cookies[settings.SESSION_COOKIE_NAME].value


def open_drawer(page: Page, url: str) -> None:
    page.goto(url)
    page.focus(f'tr[data-mac="{cast.MAC}"]')
    press(page, "Enter")
    expect(page.locator("#id_account-1-user_id")).to_be_focused()


def value(page: Page, name: str) -> str:
    return page.input_value(f'[name="account-1-{name}"]')


def test_a_new_phone_gets_an_extension_by_a_name_and_the_keyboard_alone(live_server, session):
    with browser_page(live_server.url, session) as page:
        open_drawer(page, live_server.url)
        combo = page.locator("#id_account-1-user_id")
        page.keyboard.type("ünal")
        expect(page.locator("[role=option]")).to_have_count(1)
        expect(combo).to_have_attribute("aria-expanded", "true")
        press(page, "Escape")
        expect(combo).to_have_attribute("aria-expanded", "false")
        assert page.locator("#drawer[open]").count() == 1, "only the list is closed"
        press(page, "ArrowDown")
        expect(combo).to_have_attribute("aria-activedescendant", "account-1-extensions-0")
        expect(page.locator("#account-1-extensions-0")).to_have_attribute("aria-selected", "true")
        press(page, "Enter")
        filled = {name: value(page, name) for name in ("user_id", "display_name", "auth_id", "sip_server", "voicemail")}
        assert filled == {
            "user_id": "1001", "display_name": "Tess Ünal", "auth_id": "auth1", "sip_server": "172.18.0.10",
            "voicemail": "*98",
        }  # fmt: skip
        expect(page.locator('[data-account="1"] [data-from-directory]')).to_be_visible()
        expect(page.locator('[data-account="1"] [data-no-password]')).to_be_hidden()
        assert SECRET not in page.content() and value(page, "password") == ""
        press(page, "Enter")
        expect(page.locator("[data-testid=toast]").last).to_contain_text("Saved.")
    saved = Account.objects.get(phone__mac=cast.MAC)
    assert (saved.user_id, saved.display_name, saved.password) == ("1001", "Tess Ünal", SECRET)


def test_a_name_and_enter_choose_it_and_never_become_the_user_id(live_server, session):
    with browser_page(live_server.url, session) as page:
        open_drawer(page, live_server.url)
        page.keyboard.type("ünal")
        press(page, "Enter")
        expect(page.locator('[name="account-1-display_name"]')).to_have_value("Tess Ünal")
        assert value(page, "user_id") == "1001"
    assert not Account.objects.filter(phone__mac=cast.MAC).exists()


def test_a_whole_number_and_enter_choose_it_however_fast_they_are_typed(live_server, session):
    with browser_page(live_server.url, session) as page:
        open_drawer(page, live_server.url)
        page.keyboard.type("1001")
        press(page, "Enter")
        expect(page.locator('[name="account-1-display_name"]')).to_have_value("Tess Ünal")
        press(page, "Enter")
        expect(page.locator("#drawer")).not_to_have_attribute("open", "")
    assert Account.objects.get(phone__mac=cast.MAC).password == SECRET


def test_another_phone_is_named_at_once_and_a_number_of_nobody_is_taken_as_typed(live_server, session):
    with browser_page(live_server.url, session) as page:
        open_drawer(page, live_server.url)
        held = page.locator('[data-account="1"] .gs-held')
        page.keyboard.type("1002")
        expect(held).to_contain_text("00:0B:82:AA:AA:AA")
        assert held.locator("a").get_attribute("href") == f"/phones/{cast.OTHER_MAC}/"
        press(page, "Enter")
        expect(held).to_contain_text("00:0B:82:AA:AA:AA")
        assert page.input_value('[name="account-1-extension"]') == str(_id("1002", page))
        press(page, "ControlOrMeta+a")
        page.keyboard.type("7777")
        expect(held).to_be_hidden()
        assert value(page, "extension") == "", "a number that is typed takes nobody's secret"
        page.fill('[name="account-1-password"]', "typed")
        page.fill('[name="account-1-sip_server"]', "172.18.0.10")
        page.focus('[name="account-1-display_name"]')
        press(page, "Enter")
        expect(page.locator("#drawer")).not_to_have_attribute("open", "")
    saved = Account.objects.get(phone__mac=cast.MAC)
    assert (saved.user_id, saved.password) == ("7777", "typed")


def _id(number: str, page: Page) -> int:
    """Asked over HTTP: the database cannot be used while Playwright's loop runs."""
    said = page.evaluate(f"fetch('/extensions/find/?q={number}').then((answer) => answer.json())")
    return said["found"][0]["id"]


def test_a_name_of_markup_is_text(live_server, session):
    with browser_page(live_server.url, session) as page:
        page.on("dialog", lambda dialog: pytest.fail("a name was run"))
        open_drawer(page, live_server.url)
        page.keyboard.type("2001")
        expect(page.locator("[role=option]")).to_contain_text("<img src=x")
        press(page, "Enter")
        assert value(page, "display_name") == "<img src=x onerror=alert(1)>"
        press(page, "Control+Enter")  # or leaving the page would be asked about
        page.wait_for_selector("[data-testid=toast]")
        page.goto(f"{live_server.url}/extensions/?q=2001")
        assert page.locator("#directory img").count() == 0


def test_an_extension_is_added_renamed_and_followed_without_leaving_the_list(live_server, session):
    with browser_page(live_server.url, session) as page:
        page.goto(f"{live_server.url}/extensions/")
        page.focus("[data-testid=add]")
        press(page, "Enter")
        expect(page.locator("#id_extension-number")).to_be_focused()
        page.keyboard.type("1003")
        page.click("[data-act=generate]")
        made = page.input_value("#id_extension-secret")
        press(page, "Enter")
        expect(page.locator("[data-testid=toast]").last).to_contain_text("1003")
        expect(page.locator("[data-testid=extensions]")).to_contain_text("1003")
        page.locator("[data-extension] a[data-edit]", has_text="1002").first.click()
        page.fill("#id_extension-name", "Ida")
        press(page, "Enter")
        expect(page.locator("[data-testid=followers] li")).to_have_count(1)
        expect(page.locator("[data-testid=followers]")).to_contain_text("caller name of account 1")
        press(page, "Enter")
        page.wait_for_url("**/jobs/*/")
    assert len(made) == 20 and Extension.objects.get(number="1003").secret == made
    assert Extension.objects.get(number="1002").name == "Ida"
    assert Job.objects.get().scope == {"phones": [Phone.objects.get(mac=cast.OTHER_MAC).pk]}


def test_a_search_narrows_the_list_as_it_is_typed_and_the_export_with_it(live_server, session, tmp_path):
    with browser_page(live_server.url, session) as page:
        page.goto(f"{live_server.url}/extensions/")
        press(page, "/")
        page.keyboard.type("otto")
        expect(page.locator("tr[data-extension]")).to_have_count(1)
        assert page.url.endswith("?q=otto")
        page.click(".gs-export summary")
        with page.expect_download() as started:
            page.click(".gs-export [value=csv]")
        started.value.save_as(tmp_path / "table")
        text = (tmp_path / "table").read_text(encoding="utf-8-sig")
        assert text.splitlines()[1:] == ["1002,Otto Ohm,,,172.18.0.10,"]


def test_it_all_works_without_a_script(live_server, session):
    with browser_page(live_server.url, session, java_script_enabled=False) as page:
        page.goto(f"{live_server.url}/extensions/")
        page.click("[data-testid=add]")
        page.fill("#id_extension-number", "10 03")
        page.click("[data-testid=save]")
        assert "is a blank" in page.inner_text("[data-testid=extension-form]")
        page.fill("#id_extension-number", "1003")
        page.click("[data-testid=save]")
        page.fill("[data-testid=search]", "1002")
        press(page, "Enter")
        page.click("[data-extension] a[data-edit] >> nth=0")
        page.fill("#id_extension-name", "Ida")
        page.click("[data-testid=save]")
        page.click("[data-testid=save]")
        page.wait_for_url("**/jobs/*/")
    assert set(Extension.objects.values_list("number", flat=True)) == {"1001", "1002", "1003", "2001"}


def test_nothing_is_wider_than_a_telephone(live_server, session):
    tess = Extension.objects.get(number="1002").pk
    paths = ["/extensions/", f"/extensions/{tess}/", "/extensions/import/", "/extensions/handout/"]
    widths = {}
    with browser_page(live_server.url, session, NARROW) as page:
        for path in paths:
            page.goto(f"{live_server.url}{path}")
            widths[path] = page.evaluate("document.documentElement.scrollWidth")
        page.goto(f"{live_server.url}/extensions/{tess}/")
        page.fill("#id_extension-name", "Ida")
        page.click("[data-testid=save]")
        page.wait_for_selector("[data-testid=followers]")
        widths["followers"] = page.evaluate("document.documentElement.scrollWidth")
        open_drawer(page, live_server.url)
        page.keyboard.type("100")
        expect(page.locator("[role=option]")).to_have_count(2)
        box = page.locator(".gs-picker-list:not([hidden])").bounding_box()
        widths["list"] = box["x"] + box["width"]
    assert {name: width for name, width in widths.items() if width > NARROW} == {}
