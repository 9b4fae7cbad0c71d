"""The shell around every page: past the menu by keyboard, room where it is narrow, lists that show what is in them."""

import pytest
from django.conf import settings
from django.contrib.auth.models import Group
from playwright.sync_api import expect

from gspnp.console import roles
from provisioning import attempts
from tests import cast
from tests.console.conftest import signed_in
from tests.console.test_settings_in_a_browser import NARROW, WIDE, browser_page
from tests.support.browser import chromium

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
CONTRASTS = """() => {
  const context = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const light = (colour) => {
    context.clearRect(0, 0, 1, 1);
    context.fillStyle = colour;
    context.fillRect(0, 0, 1, 1);
    const [r, g, b] = [...context.getImageData(0, 0, 1, 1).data].map((one) => {
      const part = one / 255;
      return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const contrast = (one, other) => {
    const [low, high] = [light(one), light(other)].sort((a, b) => a - b);
    return (high + 0.05) / (low + 0.05);
  };
  const pop = getComputedStyle(document.getElementById("columns"));
  const empty = document.querySelector("#columns input[type=checkbox]:not(:checked)");
  const ticked = document.querySelector("#columns input[type=checkbox]:checked:not(:disabled)");
  const mark = getComputedStyle(ticked, "::before");
  return {
    edge: contrast(getComputedStyle(empty).borderTopColor, pop.backgroundColor),
    mark: contrast(mark.backgroundColor, getComputedStyle(ticked).backgroundColor),
  };
}"""


@pytest.fixture
def session(administrator, listener) -> str:
    return signed_in(administrator).cookies[settings.SESSION_COOKIE_NAME].value


@pytest.mark.parametrize("width", [WIDE, NARROW])
def test_the_first_tab_offers_to_skip_the_menu(live_server, session, width):
    with browser_page(live_server.url, session, width) as page:
        for path in ("/people/", "/admin/provisioning/notify/"):
            page.goto(live_server.url + path)
            page.keyboard.press("Tab")
            expect(page.locator(".gs-skip")).to_be_focused()
            page.keyboard.press("Enter")
            page.keyboard.press("Tab")
            assert page.evaluate("document.getElementById('content').contains(document.activeElement)"), path


def test_a_narrow_page_names_its_last_step_whole_and_a_list_of_permissions_is_tall(live_server, session):
    group = Group.objects.get(name=roles.TECHNICIAN)
    with browser_page(live_server.url, session, NARROW) as page:
        page.goto(f"{live_server.url}/admin/auth/group/{group.pk}/change/")
        steps = page.locator("#header-inner h1 > .truncate")
        expect(steps.first).to_be_hidden()
        expect(steps.last).to_have_text("Technician")
        assert steps.last.evaluate("one => one.scrollWidth <= one.clientWidth")
        assert page.locator("#id_permissions_to").bounding_box()["height"] > 300
        assert page.evaluate("document.documentElement.scrollWidth") <= NARROW


def test_a_sentence_with_a_time_in_it_stays_in_one_piece(live_server, session):
    cast.applied(cast.assigned())
    attempts._held.clear()
    cast.ask(f"/cfg{cast.MAC}.xml", host=cast.STRANGER)
    attempts.flush()
    with browser_page(live_server.url, session, WIDE) as page:
        page.goto(f"{live_server.url}/phones/{cast.MAC}/")
        asked = page.locator("[data-testid=asked]")
        expect(asked).to_contain_text("asked for by its plain name")
        assert asked.evaluate("one => one.childNodes.length") == 1


def test_each_show_says_of_what(live_server, session):
    cast.applied(cast.assigned())
    with browser_page(live_server.url, session, WIDE) as page:
        page.goto(f"{live_server.url}/phones/{cast.MAC}/settings/")
        for name in ("Show: Admin password", "Show: User password"):
            expect(page.get_by_role("button", name=name)).to_have_count(1)


def test_whoever_comes_to_sign_in_types_at_once(live_server, db):
    with chromium() as browser:
        page = browser.new_page()
        page.goto(f"{live_server.url}/")
        expect(page.locator("input[name=username]")).to_be_focused()
        page.keyboard.type("tess")
        page.keyboard.press("Tab")
        page.keyboard.type("wrong")
        page.keyboard.press("Enter")
        page.wait_for_selector("[role=alert]")
        expect(page.locator("input[name=password]")).to_be_focused()


def test_a_message_of_what_a_phone_gets_now_does_not_outlive_its_coming(live_server, session):
    with browser_page(live_server.url, session, WIDE) as page:
        page.goto(f"{live_server.url}/")
        page.evaluate(
            """async ([mac, other]) => {
              const { toast } = await import("/static/console/toast.js");
              const offer = { label: "Undo", run: () => {} };
              toast("The phone gets its NOTIFY now.", "good", offer, mac);
              toast("That one gets it now.", "good", offer, other);
              const events = [{ mac, kind: "download" }];
              document.dispatchEvent(new CustomEvent("gs:heard", { detail: { type: "live.events", events } }));
            }""",
            [cast.MAC, cast.OTHER_MAC],
        )
        mine = page.locator(f"[data-about='{cast.MAC}']")
        expect(mine).to_contain_text("has come for its file")
        expect(mine.get_by_test_id("toast-button")).to_be_visible()
        expect(page.locator(f"[data-about='{cast.OTHER_MAC}']")).to_contain_text("gets it now")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_box_can_be_told_from_its_background(live_server, session, theme):
    """Its edge, and the mark in it: a contrast of three at least, as WCAG 1.4.11 wants it."""
    with browser_page(live_server.url, session, color_scheme=theme) as page:
        page.goto(f"{live_server.url}/")
        page.click("[data-pop=columns]")
        page.wait_for_selector("#columns:popover-open")
        found = page.evaluate(CONTRASTS)
    assert set(found) == {"edge", "mark"}
    assert all(contrast >= 3 for contrast in found.values()), found
