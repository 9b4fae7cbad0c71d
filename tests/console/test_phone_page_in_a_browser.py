"""The page of one phone while a person looks at it: what is open stays open, what changes appears by itself."""

import re

import pytest
from django.conf import settings
from playwright.sync_api import expect

from devices import inventory
from devices.models import Phone
from sipmcast import transcripts
from sipmcast.agent import Agent
from tests import cast
from tests.console.conftest import signed_in
from tests.console.test_settings_in_a_browser import browser_page, elsewhere
from tests.sipmcast.test_transcripts import subscribe

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
BY_ITSELF_MS = 20_000  # without a WebSocket, as here, it asks every 5 s


@pytest.fixture
def session(live_server, administrator, listener) -> str:
    """Signed in; a phone was notified, and what it said is on record."""
    version = cast.assigned()
    cast.delivered(version)
    talk("first")
    for number in range(60):
        inventory.tell(version.phone_id, "notify" if number % 2 else "reach", f"number {number}.")
    return signed_in(administrator).cookies[settings.SESSION_COOKIE_NAME].value


def talk(extra: str) -> None:
    agent = Agent(b"key")
    subscribe(agent, 100.0, extra=extra)
    transcripts.store(agent.journal.ripe(105.0, 9), 105.0, 1_772_366_400.0)


def test_the_timeline_grows_and_is_filtered_without_a_reload(live_server, session):
    with browser_page(live_server.url, session) as page:
        page.goto(f"{live_server.url}/phones/{cast.MAC}/")
        page.evaluate("window.stays = true")
        expect(page.locator("[data-event]")).to_have_count(40)
        page.click("[data-testid=more]")
        expect(page.locator("[data-event]")).to_have_count(64)
        page.focus("[data-kind=notify]")
        page.keyboard.press("Enter")
        expect(page.locator("[data-kind=notify]").first).to_have_attribute("aria-current", "true")
        expect(page.locator("[data-event]")).to_have_count(31)
        expect(page.locator("[data-kind=notify]").first).to_be_focused()
        elsewhere(lambda: inventory.tell(Phone.objects.get().pk, "notify", "It goes on."))
        expect(page.locator("[data-event]").first).to_contain_text("It goes on.", timeout=BY_ITSELF_MS)
        expect(page.locator("[data-event]")).to_have_count(32)
        assert page.evaluate("window.stays")
        page.reload()
        expect(page.locator("[data-event]")).to_have_count(32)


def test_a_new_save_shows_its_file_and_what_differs_and_leaves_open_what_is_open(live_server, session):
    with browser_page(live_server.url, session) as page:
        page.goto(f"{live_server.url}/phones/{cast.MAC}/")
        page.click("[data-testid=file] summary")
        page.click("[data-exchange=subscribe] summary")  # it was open
        expect(page.locator("[data-testid=file] pre")).to_contain_text("Tess")

        def save() -> None:
            cast.download(cast.first_path(Phone.objects.get().config_files.get()))
            cast.download(cast.steady_path(Phone.objects.get().config_files.get()))
            cast.save(Phone.objects.get(), cast.draft(display_name="Otto"))
            talk("second")

        elsewhere(save)
        expect(page.locator("[data-testid=holding]")).to_contain_text("version 2 is the current", timeout=BY_ITSELF_MS)
        expect(page.locator("[data-change=account1_display_name]")).to_contain_text("Otto")
        expect(page.locator("[data-testid=file] pre")).to_contain_text("Otto", timeout=BY_ITSELF_MS)
        expect(page.locator("[data-testid=file]")).to_have_attribute("open", "")
        assert page.get_attribute("[data-exchange=subscribe]", "open") is None
        assert "second" in page.text_content("[data-exchange=subscribe]")


def test_a_phone_that_stops_is_said_to_who_cannot_see_it(live_server, session):
    with browser_page(live_server.url, session) as page:
        page.goto(f"{live_server.url}/phones/{cast.MAC}/")
        expect(page.locator(".gs-waiting")).to_contain_text("Fetched")
        elsewhere(lambda: inventory.explain(Phone.objects.get().pk, "It has stopped. Press “Notify again”."))
        expect(page.locator(".gs-stopped")).to_contain_text("Fetched", timeout=BY_ITSELF_MS)
        expect(page.locator("[data-testid=live-region]")).to_have_text("It has stopped. Press “Notify again”.")


def test_the_sip_messages_are_copied_as_text_with_their_times(live_server, session):
    with browser_page(live_server.url, session) as page:
        page.context.grant_permissions(["clipboard-read", "clipboard-write"])
        page.goto(f"{live_server.url}/phones/{cast.MAC}/")
        page.focus("[data-act=copy-sip]")
        page.keyboard.press("Enter")
        expect(page.locator("[data-testid=toasts]")).to_contain_text("Copied the SIP messages")
        copied = page.evaluate("navigator.clipboard.readText()")
    assert re.match(rf"--- we heard {cast.HOST}:5060 → the group \({cast.OURS}:6060\) 2026-03-01T", copied)
    assert "\nSUBSCRIBE sip:MAC%3A" in copied and "\n--- we sent " in copied and "\nSIP/2.0 200 OK\n" in copied


def test_without_a_script_the_timeline_still_pages(live_server, session):
    with browser_page(live_server.url, session, java_script_enabled=False) as page:
        page.goto(f"{live_server.url}/phones/{cast.MAC}/")
        page.click("[data-testid=more]")
        assert page.locator("[data-event]").count() == 64
        page.click("[data-kind=notify]")
        assert page.locator("[data-event]").count() == 31


def test_on_a_telephone_a_known_hole_has_the_whole_width_for_its_words(live_server, session):
    with browser_page(live_server.url, session, width=360) as page:
        page.goto(f"{live_server.url}/phones/{cast.MAC}/")
        facts, hole = page.locator(".gs-facts").last.bounding_box(), page.get_by_test_id("hole").bounding_box()
    assert hole["width"] > 0.95 * facts["width"]
    assert hole["height"] < 120, "a column of single words"
