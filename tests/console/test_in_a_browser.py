"""What only a browser shows: the width of the pages before the icon font has come, and what a click sends."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest
from django.conf import settings
from django.utils import timezone
from playwright.sync_api import Page

from devices.models import Phone
from tests import cast
from tests.console.conftest import signed_in
from tests.support.browser import chromium

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
NARROW = 360
CLAIM = {"alarm": "It now claims 10.0.0.99.", "claimed_host": cast.STRANGER}


@pytest.fixture
def session(live_server, administrator, listener) -> str:
    """Signed in; one assigned phone has an alarm, another one was seen."""
    cast.assigned()
    cast.seen(cast.OTHER_MAC, "10.0.0.30")
    Phone.objects.filter(mac=cast.MAC).update(alarm_at=timezone.now(), **CLAIM)
    return signed_in(administrator).cookies[settings.SESSION_COOKIE_NAME].value


@contextmanager
def narrow_page(url: str, session: str) -> Iterator[Page]:
    """A page as wide as a small telephone. The database cannot be used in here: Playwright has its loop running."""
    with chromium() as browser:
        context = browser.new_context(viewport={"width": NARROW, "height": 800})
        context.add_cookies([{"name": settings.SESSION_COOKIE_NAME, "value": session, "url": url}])
        yield context.new_page()


def test_without_its_icon_font_nothing_is_wider_than_the_window(live_server, session):
    widths = {}
    with narrow_page(live_server.url, session) as page:
        page.route("**/*.woff2", lambda route: route.abort())

        def measure(name: str) -> None:
            widths[name] = page.evaluate("document.documentElement.scrollWidth")

        page.goto(f"{live_server.url}/")
        measure("list")
        page.click(f'tr[data-mac="{cast.MAC}"] [data-act=assign]')
        page.wait_for_selector("#drawer [name='account-1-user_id']")
        measure("drawer")
        page.goto(f"{live_server.url}/phones/{cast.MAC}/")
        measure("phone")
    assert widths == dict.fromkeys(("list", "drawer", "phone"), NARROW)


def test_the_state_of_the_connection_can_be_read_on_a_telephone(live_server, session):
    with narrow_page(live_server.url, session) as page:
        page.goto(f"{live_server.url}/")
        state = page.wait_for_selector(
            "[data-testid=connection][data-state=reconnecting]"
        )  # there is no WebSocket here
        box = state.bounding_box()
    assert box["x"] + box["width"] <= NARROW


def test_a_click_sends_the_address_that_the_person_saw(live_server, session):
    sent = {}
    with narrow_page(live_server.url, session) as page:

        def click(name: str, path: str, selector: str) -> None:
            if path == "accept":  # such a click is followed by a question
                page.click(selector)
                selector = "[data-confirm=yes]"
            page.route(f"**/{path}/", lambda route: route.fulfill(status=409, json={"message": "Look again."}))
            with (
                page.expect_request(f"**/{path}/") as asked,
                page.expect_response("**/*rows/*" if "list" in name else "**/live/"),
            ):
                page.click(selector)
            sent[name] = asked.value.post_data

        page.goto(f"{live_server.url}/")
        click("list accept", "accept", "[data-act=accept]")
        page.click(f'tr[data-mac="{cast.MAC}"] [data-act=menu]')
        # The row changes below the open menu: the person has not seen that.
        page.evaluate(f"""document.querySelector('tr[data-mac="{cast.MAC}"]').dataset.host = "10.0.5.66" """)
        click("list notify", "notify", "#menu [data-do=notify]")
        page.goto(f"{live_server.url}/phones/{cast.MAC}/")
        click("phone accept", "accept", "[data-act=accept]")
        click("phone notify", "notify", "[data-do=notify]")
    accept, notify = f"host={cast.STRANGER}", f"host={cast.HOST}"
    assert sent == {
        "list accept": accept, "list notify": notify, "phone accept": accept, "phone notify": notify
    }  # fmt: skip


def test_an_arrow_goes_to_the_newest_phone_until_somebody_has_been_on_a_row(live_server, session):
    with narrow_page(live_server.url, session) as page:
        page.goto(f"{live_server.url}/?q={cast.MAC}")
        page.fill("#search-text", "")
        page.wait_for_selector(f'tr[data-mac="{cast.OTHER_MAC}"]')
        first = page.evaluate("document.querySelector('#rows tr').dataset.mac")
        page.locator("#search-text").press("ArrowDown")
        assert (first, page.evaluate("document.activeElement.dataset.mac")) == (cast.OTHER_MAC, cast.OTHER_MAC)


def test_a_page_that_said_too_much_waits_longer_before_it_connects_again(live_server, session):
    tried, waits = [], {}
    with narrow_page(live_server.url, session) as page:
        page.clock.install()

        def refuse(socket) -> None:
            tried.append(socket.url)
            socket.close(code=4429)

        def tries(seconds: int) -> int:
            before = len(tried)
            page.clock.run_for(seconds * 1000)
            page.evaluate("() => 0")
            return len(tried) - before

        page.route_web_socket("**/ws/live", refuse)
        page.goto(f"{live_server.url}/")
        page.wait_for_selector("[data-testid=connection][data-state=reconnecting]")
        waits["soon"] = tries(35)
        waits["later"] = tries(60)
    assert waits["soon"] == 0
    assert waits["later"] >= 1


def test_a_list_waits_for_nothing_that_it_shows(live_server, session):
    """Of a phone that is not shown the list as it comes first has counts alone: these it fetches once a second."""
    sockets, asked, answered = [], [], []
    with narrow_page(live_server.url, session) as page:
        page.clock.install()

        def hello(socket) -> None:
            sockets.append(socket)
            socket.send(json.dumps({"type": "live.hello", "last": 0}))

        def happen(kind: str, mac: str, milliseconds: int) -> int:
            """How often the rows were fetched within this time after such an event."""
            before = len(asked)
            page.evaluate("document.addEventListener('gs:heard', () => (window.heard = true), { once: true })")
            sockets[-1].send(json.dumps({"type": "live.events", "last": 1, "events": [{"mac": mac, "kind": kind}]}))
            page.wait_for_function("window.heard")
            page.evaluate("window.heard = false")
            page.clock.run_for(milliseconds)
            page.evaluate("() => 0")
            while len(answered) < len(asked):
                page.wait_for_event("requestfinished")
            page.evaluate("() => 0")
            return len(asked) - before

        page.on("request", lambda request: "/rows/" in request.url and asked.append(request.url))
        page.on("requestfinished", lambda request: "/rows/" in request.url and answered.append(request.url))
        page.route_web_socket("**/ws/live", hello)
        page.goto(f"{live_server.url}/")
        page.wait_for_selector("[data-testid=connection][data-state=live]")
        page.clock.pause_at(timezone.now() + timedelta(seconds=2))
        first = happen("stage", "000B82FFFFFF", 100)
        again = happen("stage", "000B82FFFFFF", 500), happen("stage", "000B82FFFFFF", 1000)
        shown, new = happen("stage", cast.MAC, 200), happen("seen", "000B82FFFFFF", 200)
        page.goto(f"{live_server.url}/?sort=-seen")
        page.wait_for_selector("[data-testid=connection][data-state=live]")
        sorted_by_it = happen("stage", "000B82FFFFFF", 200)
    assert (first, again) == (1, (0, 1))
    assert (shown, new, sorted_by_it) == (1, 1, 1)
