"""The question mark shows, on every page of the console, the keys that work there."""

import pytest
from django.conf import settings
from playwright.sync_api import expect

from tests import cast
from tests.console.conftest import signed_in
from tests.console.test_settings_in_a_browser import browser_page

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def session(live_server, administrator, listener) -> str:
    cast.assigned()
    return signed_in(administrator).cookies[settings.SESSION_COOKIE_NAME].value


@pytest.mark.parametrize(
    ("path", "sections"),
    [
        ("/", ["Move", "One phone", "Many phones", "Everywhere"]),
        (f"/phones/{cast.MAC}/", ["One phone", "Everywhere"]),
        ("/overview/", ["Everywhere"]),
        ("/settings/", ["Everywhere"]),
        ("/extensions/", ["Everywhere"]),
        ("/jobs/", ["Everywhere"]),
    ],
)
def test_the_question_mark_shows_the_keys_of_this_page(live_server, session, path, sections):
    with browser_page(live_server.url, session) as page:
        page.goto(f"{live_server.url}{path}")
        expect(page.locator("main#console")).to_be_visible()
        page.keyboard.press("?")
        expect(page.locator("#keys")).to_be_visible()
        assert page.locator("#keys h3").all_inner_texts() == sections
        page.keyboard.press("Escape")
        expect(page.locator("#keys")).to_be_hidden()
