"""Going through the pages of a long list: first and last, and a page whose number is typed."""

import pytest
from django.conf import settings
from playwright.sync_api import expect

from devices import directory
from devices.directory import Entry
from devices.inventory import record_sightings
from gspnp.console.paging import PAGE_ROWS
from tests import cast
from tests.console.conftest import signed_in
from tests.console.test_settings_in_a_browser import NARROW, browser_page, press

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
MANY = 3 * PAGE_ROWS + 7


@pytest.fixture
def session(live_server, administrator, listener) -> str:
    return signed_in(administrator).cookies[settings.SESSION_COOKIE_NAME].value


def test_a_page_of_the_list_is_typed_and_the_last_one_is_a_click_away(live_server, session):
    record_sightings([cast.sighting(f"000B82AA{n:04X}", f"10.0.1.{n + 1}") for n in range(MANY)], cast.unknown)
    with browser_page(live_server.url, session, NARROW) as page:
        page.goto(f"{live_server.url}/?q=000B82&sort=mac")
        pager, number = page.get_by_test_id("pager"), page.get_by_test_id("page-number")
        number.fill("3")
        press(page, "Enter")
        expect(pager).to_have_text(f"101–150 of {MANY}")
        expect(number).to_be_focused()
        assert page.url.endswith("?q=000B82&sort=mac&page=3"), "the search and the order stay"
        number.fill("99999")
        press(page, "Enter")
        expect(pager).to_have_text(f"151–{MANY} of {MANY}")
        expect(number).to_have_value("4")
        page.focus("#pager [data-key=first]")
        press(page, "Enter")
        expect(pager).to_have_text(f"1–50 of {MANY}")
        expect(page.locator("#pager [data-key=first]")).to_be_focused()
        page.click("#pager [data-key=last]")
        expect(number).to_have_value("4")
        assert page.evaluate("document.documentElement.scrollWidth") == NARROW


def test_the_directory_has_the_same_pages(live_server, session):
    for n in range(MANY):
        directory.add(Entry("", str(1000 + n)))
    with browser_page(live_server.url, session) as page:
        page.goto(f"{live_server.url}/extensions/?only=free")
        page.get_by_test_id("page-number").fill("2")
        press(page, "Enter")
        expect(page.get_by_test_id("pager")).to_have_text(f"51–100 of {MANY}")
        expect(page.get_by_test_id("page-number")).to_be_focused()
        assert page.url.endswith("?only=free&page=2")
        page.click("[data-key=last]")
        expect(page.get_by_test_id("pager")).to_have_text(f"151–{MANY} of {MANY}")


def test_without_a_script_the_form_leads_to_the_page(console):
    record_sightings([cast.sighting(f"000B82AA{n:04X}", f"10.0.1.{n + 1}") for n in range(MANY)], cast.unknown)
    page = console.get("/", {"q": "000B82", "page": "2"}).content.decode()
    assert '<input type="hidden" name="q" value="000B82">' in page
    assert "51–100 of" in page
