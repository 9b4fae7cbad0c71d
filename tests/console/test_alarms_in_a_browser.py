"""An alarm of a stranger appears by itself, on the page and above the list, and is dismissed by the keyboard."""

import pytest
from django.conf import settings
from playwright.sync_api import expect

from devices import alarms, decoys
from devices.choices import AlarmKind
from devices.models import Alarm
from tests import cast
from tests.console.conftest import signed_in
from tests.console.test_in_a_browser import NARROW, narrow_page
from tests.console.test_settings_in_a_browser import browser_page, elsewhere

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
BY_ITSELF_MS = 20_000  # without a WebSocket, as here, it asks every 5 s
SCANNER = "10.0.0.66"
DECOY = "000B82DEC001"


@pytest.fixture
def session(live_server, administrator, listener) -> str:
    cast.assigned()
    decoys.add(DECOY, by="tess", note="beside the reception")
    alarms.raise_alarm(AlarmKind.NAMES, SCANNER, count=4200)
    return signed_in(administrator).cookies[settings.SESSION_COOKIE_NAME].value


def asked_for_a_decoy() -> None:
    alarms.raise_alarm(AlarmKind.DECOY_HTTP, SCANNER, mac=DECOY)


def test_it_appears_by_itself_and_is_dismissed_by_the_keyboard(live_server, session):
    with browser_page(live_server.url, session) as page:
        page.goto(f"{live_server.url}/alarms/")
        page.evaluate("window.stays = true")
        expect(page.locator("[data-testid=stranger]")).to_have_count(1)
        elsewhere(asked_for_a_decoy)
        expect(page.locator("[data-testid=stranger]")).to_have_count(2, timeout=BY_ITSELF_MS)
        page.locator("[data-testid=stranger] button").first.focus()
        page.keyboard.press("Enter")
        expect(page.locator("[data-testid=stranger]")).to_have_count(1)
        expect(page.locator("[data-testid=over-alarms]")).to_contain_text("00:0B:82:DE:C0:01")
        expect(page.locator("[data-testid=stranger] button")).to_be_focused()
        assert page.evaluate("window.stays")
    assert [one.kind for one in alarms.open_alarms()] == [AlarmKind.NAMES]
    assert Alarm.objects.exclude(dismissed_at=None).get().dismissed_by == "root"


def test_above_the_list_it_appears_and_is_dismissed_where_it_stands(live_server, session):
    with browser_page(live_server.url, session) as page:
        page.goto(live_server.url)
        expect(page.locator("[data-testid=stranger]")).to_have_count(1)
        elsewhere(asked_for_a_decoy)
        expect(page.locator("[data-testid=stranger]")).to_have_count(2, timeout=BY_ITSELF_MS)
        page.locator("[data-testid=stranger] button").first.click()
        expect(page.locator("[data-testid=stranger]")).to_have_count(1)
        expect(page.locator("[data-testid=stranger]")).to_contain_text("4,200 different names")


def test_nothing_is_wider_than_a_small_telephone(live_server, session):
    with narrow_page(live_server.url, session) as page:
        for path in ("/alarms/", "/", "/overview/"):
            page.goto(f"{live_server.url}{path}")
            assert page.evaluate("document.documentElement.scrollWidth") == NARROW
