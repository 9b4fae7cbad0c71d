"""The selection by keyboard, mouse and finger: it outlives rows that change, pages and order."""

from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import unquote

import pytest
from django.conf import settings
from playwright.sync_api import Page

from devices.models import Account, Phone
from gspnp.console.columns import LABELS
from gspnp.console.models import ListColumns
from gspnp.console.tables import PAGE_ROWS
from provisioning.models import Job, JobTarget
from tests import cast
from tests.console.conftest import signed_in
from tests.support.browser import chromium

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
MORE = 12


@pytest.fixture
def session(live_server, administrator, listener) -> str:
    """A page and a bit of phones; the newest two are assigned."""
    made = [cast.sighting(f"000B82AA{n:04X}", f"10.0.1.{n + 1}") for n in range(PAGE_ROWS + MORE)]
    cast.inventory.record_sightings(made, cast.unknown)
    for mac in ("000B82AA0000", "000B82AA0001"):
        cast.save(Phone.objects.get(mac=mac))
    return signed_in(administrator).cookies[settings.SESSION_COOKIE_NAME].value


@contextmanager
def page_of(url: str, session: str, width: int = 1400, **options) -> Iterator[Page]:
    """The list in a browser. The database cannot be used in here: Playwright has its loop running."""
    with chromium() as browser:
        context = browser.new_context(viewport={"width": width, "height": 800}, **options)
        context.add_cookies([{"name": settings.SESSION_COOKIE_NAME, "value": session, "url": url}])
        page = context.new_page()
        page.goto(f"{url}/?sort=mac")
        page.wait_for_selector("tr[data-mac][tabindex='0']")
        yield page


def says(page: Page, words: str) -> None:
    page.wait_for_function("words => document.querySelector('[data-selected]').textContent === words", arg=words)


def on_page(page: Page, number: int) -> None:
    first = (number - 1) * PAGE_ROWS
    page.wait_for_selector(f"tr[data-mac='000B82AA{first:04X}']")


def row(number: int) -> str:
    return f"tr[data-mac='000B82AA{number:04X}']"


def test_by_keyboard_over_two_pages_to_an_order_that_a_job_has(live_server, session):
    with page_of(live_server.url, session) as page:
        page.focus(row(0))
        page.keyboard.press("Space")
        for _ in range(2):
            page.keyboard.press("Shift+ArrowDown")
        says(page, "3 selected")
        page.keyboard.press("Space")  # the third is taken out again
        page.keyboard.press("]")
        on_page(page, 2)
        page.wait_for_function(f"document.activeElement.dataset.mac === '000B82AA{PAGE_ROWS:04X}'")
        page.keyboard.press("Space")
        says(page, "3 selected")
        page.keyboard.press("[")
        on_page(page, 1)
        checked = "[...document.querySelectorAll('[data-pick]:checked')].map((box) => box.closest('tr').dataset.mac)"
        page.wait_for_function(f"{checked}.length === 2")
        with page.expect_response("**/rows/*"):
            page.click("thead .gs-col-stage a")  # another order
        says(page, "3 selected")
        page.focus("[data-order=reboot]")
        page.keyboard.press("Enter")
        page.wait_for_selector("#order[open]")
        title, pace = page.text_content("#order-title"), page.evaluate("document.activeElement.id")
        page.keyboard.press("Control+a")
        page.keyboard.type("120")
        page.wait_for_function("document.querySelector('[data-takes]').textContent.includes('about 1 second')")
        with page.expect_response("**/orders/reboot/"):
            page.keyboard.press("Enter")
        page.wait_for_selector("#selection[hidden]", state="attached")
        link = page.wait_for_selector("[data-testid=toast] a").get_attribute("href")
    assert "Restart: 2 phones" in title and pace == "order-pace"
    job = Job.objects.get(kind="reboot")
    assert (link, job.pace_per_second) == (f"/jobs/{job.pk}/", 2)
    assert set(JobTarget.objects.values_list("phone__mac", "host")) == {
        ("000B82AA0000", "10.0.1.1"), ("000B82AA0001", "10.0.1.2")
    }  # fmt: skip


def test_all_that_match_is_the_query_and_escape_clears(live_server, session):
    with page_of(live_server.url, session) as page:
        page.focus(row(0))
        page.keyboard.press("Control+a")
        says(page, f"{PAGE_ROWS} selected")
        page.click("[data-select-all]")
        says(page, f"{PAGE_ROWS + MORE} selected")
        page.click(f"{row(3)} [data-pick]")
        says(page, f"{PAGE_ROWS + MORE - 1} selected")
        page.click("#pager [data-key=next]")
        on_page(page, 2)
        assert page.locator("[data-pick]:checked").count() == MORE
        with page.expect_request("**/orders/ignore/") as asked:
            page.click("[data-order=ignore]")
        page.wait_for_selector("#order[open]")
        title, sent = page.text_content("#order-title"), asked.value.post_data
        page.keyboard.press("Escape")
        page.wait_for_selector("#order:not([open])", state="attached")
        page.focus(row(PAGE_ROWS))
        page.keyboard.press("Escape")
        page.wait_for_selector("#selection[hidden]", state="attached")
    assert f"Ignore: {PAGE_ROWS + MORE - 1} phones" in title
    assert "phones=" not in sent and "000B82AA0003" in sent


def test_another_search_ends_all_that_match(live_server, session):
    with page_of(live_server.url, session) as page:
        page.click("thead [data-pick-page]")
        page.click("[data-select-all]")
        page.fill("#search-text", "00:0b:82:aa:00:07")
        page.wait_for_function("document.querySelectorAll('tr[data-mac]').length === 1")
        page.wait_for_selector("#selection[hidden]", state="attached")


def test_rows_that_change_keep_their_mark_and_the_address_that_is_shown_is_what_is_sent(live_server, session):
    with page_of(live_server.url, session) as page:
        page.click(row(2), position={"x": 380, "y": 20}, modifiers=["ControlOrMeta"])
        page.click(row(5), position={"x": 380, "y": 20}, modifiers=["Shift"])
        says(page, "4 selected")

        def moved(route) -> None:
            text = route.fetch().text().replace('data-host="10.0.1.4"', 'data-host="10.9.9.9"')
            route.fulfill(body=text.replace(">10.0.1.4<", ">10.9.9.9<"), content_type="text/html")

        page.route("**/rows/*", moved)
        page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
        page.wait_for_selector(f"{row(3)}[data-host='10.9.9.9']", timeout=15000)
        assert page.locator("[data-pick]:checked").count() == 4
        with page.expect_request("**/orders/forget/") as asked:
            page.click("[data-order=forget]")
        sent = asked.value.post_data
    assert "10.9.9.9" in sent and "10.0.1.4" not in sent


def test_columns_and_filters_and_keys_by_keyboard(live_server, session):
    with page_of(live_server.url, session) as page:
        page.click(f"{row(1)} [data-pick]")
        page.focus("[data-pop=columns]")
        page.keyboard.press("Enter")
        page.wait_for_selector("#columns:popover-open")
        page.focus("#columns [value=site]")
        with page.expect_response("**/rows/*"):
            page.keyboard.press("Space")
        page.wait_for_selector("thead .gs-col-site")
        page.focus("#columns [data-key=up-site]")
        with page.expect_response("**/columns/"):
            page.keyboard.press("Enter")
        page.keyboard.press("Escape")
        page.wait_for_selector("#columns:popover-open", state="detached")
        assert page.is_checked(f"{row(1)} [data-pick]")
        assert page.evaluate("document.activeElement.dataset.pop") == "columns"
        page.click("[data-pop=filters]")
        page.click("#filters [data-value=GXP1628]")
        page.wait_for_selector("[data-filter=model]")
        page.focus("tr[data-mac]")
        page.keyboard.press("?")
        page.wait_for_selector("#keys[open]")
        url = page.url
    assert url.endswith("?model=GXP1628&sort=mac")
    assert "site" in ListColumns.objects.get().names


def test_a_finger_that_rests_opens_the_menu_and_a_box_selects(live_server, session):
    with page_of(live_server.url, session, width=360, has_touch=True, is_mobile=True) as page:
        page.tap(f"{row(0)} [data-pick]")
        says(page, "1 selected")
        assert page.evaluate("document.documentElement.scrollWidth") == 360
        finger = {"pointerType": "touch", "clientX": 60, "clientY": 300, "bubbles": True}
        page.dispatch_event(f"{row(0)} .gs-col-model", "pointerdown", finger)
        page.wait_for_selector("#menu:not([hidden])")
        assert page.text_content("[data-menu-title]") == "00:0B:82:AA:00:00"


@pytest.mark.parametrize("width", [360, 900, 1400])
def test_every_column_at_once_is_no_wider_than_the_window(live_server, session, administrator, width):
    ListColumns.objects.create(user=administrator, names=list(LABELS))
    with page_of(live_server.url, session, width=width) as page:
        box = page.locator(f"{row(0)} [data-act=menu]").bounding_box()
        assert page.evaluate("document.documentElement.scrollWidth") == width
        assert box["x"] + box["width"] <= width  # the actions are in sight, wherever the table was moved


def test_a_button_with_an_address_sends_the_selection_there_as_a_form(live_server, session):
    with page_of(live_server.url, session) as page:
        page.click(f"{row(1)} [data-pick]")
        button = "<button type=button id=mine data-post=/elsewhere/>Export</button>"
        page.evaluate(
            "html => document.querySelector('.gs-selection-do').insertAdjacentHTML('beforeend', html)", button
        )
        page.route("**/elsewhere/", lambda route: route.fulfill(body="here", content_type="text/html"))
        with page.expect_request("**/elsewhere/") as asked:
            page.click("#mine")
        sent = unquote(asked.value.post_data)
    assert 'phones=[["000B82AA0001","10.0.1.2"]]' in sent and "csrfmiddlewaretoken=" in sent


def fits(page: Page) -> None:
    """Every button of the bar can be seen whole, and pressed."""
    page.wait_for_function(
        """() => {  // all at one moment: the bar grows while it appears
          const bar = document.getElementById("selection").getBoundingClientRect();
          const buttons = [...document.querySelectorAll("#selection-do button")];
          return buttons.length > 0 && buttons.every((button) => {
            const box = button.getBoundingClientRect();
            return box.width > 0 && bar.left <= box.left && box.right <= Math.min(innerWidth, bar.right)
              && bar.top <= box.top && box.bottom <= bar.bottom;
          });
        }"""
    )


def test_all_that_can_be_done_to_a_selection_is_seen_or_behind_more(live_server, session):
    for width in (1400, 1280):
        with page_of(live_server.url, session, width) as page:
            page.click(f"{row(1)} [data-pick]")
            says(page, "1 selected")
            fits(page)
    with page_of(live_server.url, session, 360) as page:
        page.click(f"{row(1)} [data-pick]")
        says(page, "1 selected")
        assert page.locator("#selection-do button:visible").count() == 3
        page.click("[data-select-more]")
        fits(page)


def test_columns_stay_where_they_are_while_rows_change_and_a_reason_makes_no_tower(live_server, session):
    def edges(page: Page) -> list[float]:
        return page.locator("thead th").evaluate_all("all => all.map((one) => one.getBoundingClientRect().left)")

    with page_of(live_server.url, session, 1280) as page:
        before = edges(page)
        long = "Nobody has confirmed that this phone is at 10.0.1.2. Check it and press “Notify again”. " * 2
        page.evaluate(
            "([row, words]) => { const place = document.querySelector(row); place.classList.add('gs-new');"
            " place.querySelector('.gs-col-stage').append(words);"
            " place.querySelector('.gs-col-model').prepend(words.slice(0, 40)); }",
            [row(0), long],
        )
        assert edges(page) == before
        assert page.locator(row(1)).bounding_box()["height"] < 110


def test_all_keys_open_at_their_beginning_on_a_telephone(live_server, session):
    with page_of(live_server.url, session, 360) as page:
        page.focus(row(0))
        page.keyboard.press("?")
        page.wait_for_selector("#keys[open]")
        assert page.evaluate("document.getElementById('keys').scrollTop") == 0
        assert page.evaluate("document.activeElement.id") == "keys-title"


def test_a_page_and_all_that_match_can_be_selected_where_the_table_has_no_head(live_server, session):
    with page_of(live_server.url, session, 360, has_touch=True) as page:
        page.locator("[data-testid=pick-page-narrow]").tap()
        says(page, f"{PAGE_ROWS} selected")
        page.locator("[data-select-all]").tap()
        says(page, f"{PAGE_ROWS + MORE} selected")


@pytest.mark.parametrize("width", [1280, 2560])
def test_a_long_name_breaks_between_words_and_makes_no_tall_row(live_server, session, width):
    long = "Department of Rather Long Names and Sundry Affairs"
    Account.objects.update(display_name=long)
    with page_of(live_server.url, session, width) as page:
        name = page.locator(f"{row(0)} .gs-caller")
        shown = name.evaluate(
            """(one) => {  // whether its longest word has room in one line
              const word = document.createElement("span");
              word.style.whiteSpace = "nowrap";
              word.textContent = "Department";
              one.append(word);
              const wide = word.getBoundingClientRect().width;
              word.remove();
              return [wide <= one.getBoundingClientRect().width, one.title];
            }"""
        )
        height = page.locator(row(0)).bounding_box()["height"]
    assert shown == [True, long]
    assert height < 120
