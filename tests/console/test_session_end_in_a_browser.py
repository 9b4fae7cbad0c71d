"""A session that ends, or a server that is away, while somebody works: it is said, and nothing is lost."""

import pytest
from django.conf import settings
from django.contrib.sessions.models import Session
from playwright.sync_api import Page, expect

from devices.models import Account
from tests import cast
from tests.console.conftest import signed_in
from tests.console.test_settings_in_a_browser import NARROW, WIDE, browser_page, elsewhere

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
PASSWORD = "correct-horse-1"  # noqa: S105


@pytest.fixture
def session(live_server, technician, listener) -> str:
    technician.set_password(PASSWORD)
    technician.is_staff = True
    technician.save()
    cast.seen()
    return signed_in(technician).cookies[settings.SESSION_COOKIE_NAME].value


def in_sight(page: Page, selector: str) -> bool:
    """Whether a finger that is laid on it meets it."""
    return page.locator(selector).evaluate(
        """(one) => {
          const box = one.getBoundingClientRect();
          const there = document.elementFromPoint(box.left + box.width / 2, box.top + box.height / 2);
          return there === one || one.contains(there);
        }"""
    )


@pytest.mark.parametrize("width", [NARROW, pytest.param(WIDE, marks=pytest.mark.long)])
def test_a_save_after_the_session_has_ended_is_made_after_a_new_sign_in(live_server, session, width):
    with browser_page(live_server.url, session, width) as page:
        page.goto(live_server.url)
        page.click(f'tr[data-mac="{cast.MAC}"] [data-act=assign]')
        page.fill("[name=account-1-user_id]", "1001")
        page.fill("[name=account-1-sip_server]", "10.0.0.1")
        page.fill("[name=account-1-password]", "s3cr3t")
        elsewhere(lambda: Session.objects.all().delete())
        page.click("[data-testid=save]")
        link = page.locator("#drawer > [data-testid=session-ended] a")
        expect(link).to_be_visible()
        assert in_sight(page, "#drawer > [data-testid=session-ended] a")
        expect(page.locator("[data-testid=toast]").last).to_contain_text("Nothing was saved")
        expect(page.locator("[data-testid=connection]")).to_have_attribute("data-state", "ended")
        with page.context.expect_page() as opened:
            link.click()
        other = opened.value
        other.wait_for_load_state()
        in_the_form(other, live_server.url)
        page.click("[data-testid=save]")
        expect(page.locator("#drawer")).to_be_hidden()
        expect(page.locator("[data-testid=session-ended]")).to_have_count(0)
    account = Account.objects.get()
    assert (account.user_id, account.password) == ("1001", "s3cr3t")


def in_the_form(page: Page, url: str) -> None:
    page.fill("input[name=username]", "tess")
    page.fill("input[name=password]", PASSWORD)
    page.keyboard.press("Enter")
    page.wait_for_url(f"{url}/")


def test_a_server_that_is_away_is_said_at_once_and_taken_back_by_itself(live_server, session):
    with browser_page(live_server.url, session) as page:
        page.route("**/healthz", lambda route: route.abort())
        page.goto(live_server.url)  # the server of the tests has no sockets: each attempt fails
        away = page.locator("#console > [data-testid=server-away]")
        expect(away).to_be_visible(timeout=2000)
        page.unroute("**/healthz")
        expect(away).to_have_count(0)


def test_settings_that_were_typed_stay_when_the_session_has_ended(live_server, session):
    with browser_page(live_server.url, session) as page:
        page.goto(f"{live_server.url}/settings/layer/?level=site&name=berlin")
        page.fill("#catalogue-search", "vlan tag")
        page.wait_for_selector("[data-testid=found]")
        page.keyboard.press("ArrowDown")
        page.keyboard.press("Enter")
        page.fill("#value-vlan_tag", "42")
        elsewhere(lambda: Session.objects.all().delete())
        page.keyboard.press("Enter")
        expect(page.locator("[data-testid=session-ended]")).to_be_visible()
        assert page.input_value("#value-vlan_tag") == "42"
        with page.context.expect_page() as opened:
            page.click("[data-testid=session-ended] a", modifiers=["ControlOrMeta"])
        opened.value.wait_for_load_state()
        opened.value.fill("input[name=username]", "tess")
        opened.value.fill("input[name=password]", PASSWORD)
        opened.value.keyboard.press("Enter")
        opened.value.wait_for_url("**/settings/**")
        page.focus("#value-vlan_tag")
        page.keyboard.press("Enter")
        expect(page.locator("[data-testid=touches]")).to_be_visible()
