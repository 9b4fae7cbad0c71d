"""A release as a person with a keyboard opens and closes it."""

import pytest
from django.conf import settings
from playwright.sync_api import expect

from provisioning.models import Release
from tests import cast
from tests.console.conftest import signed_in
from tests.console.test_settings_in_a_browser import NARROW, WIDE, browser_page

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.mark.parametrize("width", [WIDE, NARROW])
def test_from_the_field_to_the_countdown_and_back(live_server, technician, listener, width):
    version = cast.applied(cast.assigned())
    session = signed_in(technician).cookies[settings.SESSION_COOKIE_NAME].value
    with browser_page(live_server.url, session, width) as page:
        page.goto(f"{live_server.url}/phones/{cast.MAC}/#release")
        expect(page.locator("#release-host")).to_be_focused()
        page.keyboard.press("Tab")
        page.keyboard.type("5")
        page.keyboard.press("Enter")
        expect(page.locator("#confirm")).to_contain_text("10.0.0.20")
        page.locator("[data-confirm=yes]").press("Enter")
        expect(page.locator(".gs-countdown")).to_contain_text(":")
        expect(page.locator("[data-testid=release] [data-key=release]")).to_be_focused()
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        page.goto(live_server.url)
        expect(page.locator("[data-testid=released]")).to_contain_text("from 10.0.0.20")
        page.get_by_role("link", name="To its page").click()
        expect(page.locator("[data-testid=release] [data-key=release]")).to_be_focused()
        page.keyboard.press("Enter")
        expect(page.locator("#release-host")).to_be_visible()
    row = Release.objects.get()
    assert row.ended == "closed" and row.phone_id == version.phone_id
