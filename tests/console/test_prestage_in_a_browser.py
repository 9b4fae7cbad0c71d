"""Adding a phone and swapping one, as a person with a keyboard meets them."""

import re

import pytest
from django.conf import settings
from playwright.sync_api import expect

from devices import inventory
from devices.models import Phone
from tests import cast
from tests.console.conftest import signed_in
from tests.console.test_settings_in_a_browser import NARROW, browser_page, elsewhere

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
NEW = "000B82AABBCC"


@pytest.fixture
def session(live_server, administrator, listener) -> str:
    """Signed in; one phone is applied, another one of a smaller model was seen."""
    cast.applied(cast.save(cast.seen(), cast.draft(cast.blf("mpk1", "1002", "Reception"))).config_file)
    cast.seen(cast.OTHER_MAC, "10.0.0.30", model="GXP1610")
    return signed_in(administrator).cookies[settings.SESSION_COOKIE_NAME].value


def test_a_phone_is_added_and_assigned_by_keyboard_alone(live_server, session):
    with browser_page(live_server.url, session) as page:
        page.goto(f"{live_server.url}/")
        expect(page.get_by_test_id("add-phone")).to_be_visible()
        page.keyboard.press("n")
        expect(page.locator("#add-phone [name=mac]")).to_be_focused()
        page.keyboard.type("00:11:22")
        expect(page.get_by_test_id("oui-remark")).to_be_visible()
        page.keyboard.press("Enter")
        expect(page.locator("#add-phone [data-error-for=mac]")).to_contain_text("12 hex digits")
        expect(page.locator("#add-phone [name=mac]")).to_be_focused()
        page.fill("#add-phone [name=mac]", "00-0b-82-aa-bb-cc")
        expect(page.get_by_test_id("oui-remark")).to_be_hidden()
        page.select_option("#add-phone [name=model]", "GXP1628")
        page.focus("#add-phone [name=site]")
        page.keyboard.type("berlin")
        page.keyboard.press("Enter")
        expect(page.locator("#drawer [name='account-1-user_id']")).to_be_focused()
        page.keyboard.type("1077")
        page.fill("#drawer [name='account-1-sip_server']", "10.0.0.1")
        page.keyboard.press("Enter")
        row = page.locator(f'tr[data-mac="{NEW}"]')
        expect(row).to_contain_text("It waits to be plugged in.")
        expect(row.get_by_test_id("not-heard")).to_be_visible()
        page.goto(f"{live_server.url}/phones/{NEW}/")
    assert Phone.objects.get(mac=NEW).accounts.get().user_id == "1077"


def test_a_listed_phone_that_is_plugged_in_comes_to_the_top_as_a_new_one_does(live_server, session):
    inventory.prestage(NEW, "GXP1628", "", "root")
    for number in range(50):
        inventory.prestage(f"000B82DD{number:04X}", "GXP1628", "", "root")
    with browser_page(live_server.url, session) as page:
        page.goto(f"{live_server.url}/")
        expect(page.locator("tr[data-mac]")).to_have_count(50)
        assert page.locator(f'tr[data-mac="{NEW}"]').count() == 0
        elsewhere(lambda: inventory.record_sightings([cast.sighting(NEW, "10.0.0.77")], cast.unknown))
        page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
        first = page.locator("tr[data-mac]").first
        expect(first).to_have_attribute("data-mac", NEW, timeout=15000)
        expect(first).to_have_class(re.compile("gs-new"))
        expect(page.locator("#gs-live-region")).to_contain_text("New phone")


@pytest.mark.parametrize("width", [1280, NARROW])
def test_a_phone_is_swapped_from_its_menu(live_server, session, width):
    with browser_page(live_server.url, session, width=width) as page:
        page.goto(f"{live_server.url}/")
        page.click(f'tr[data-mac="{cast.MAC}"] [data-act=menu]')
        page.click("#menu [data-do=swap]")
        page.wait_for_url("**/swap/")
        expect(page.locator("#swap-new")).to_be_focused()
        page.click(f'[data-testid=candidates] [data-mac="{cast.OTHER_MAC}"]')
        expect(page.get_by_test_id("left")).to_contain_text("Reception")
        assert page.evaluate("document.documentElement.scrollWidth") == width
        page.get_by_test_id("swap-yes").press("Enter")
        page.wait_for_url(f"**/phones/{cast.OTHER_MAC}/")
        page.goto(f"{live_server.url}/phones/{cast.MAC}/")
        page.click("[data-do=bring-back]")
        expect(page.get_by_test_id("toast")).to_contain_text("Extension 1001 is on")
    assert Phone.objects.get(mac=cast.MAC).stage == "retired"
