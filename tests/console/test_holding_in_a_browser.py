"""Phones that come while somebody points at a row: it stays that phone; whoever points no more sees all of them."""

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import timedelta

import pytest
from django.conf import settings
from django.test import Client
from django.utils import timezone
from playwright.sync_api import Page, Route, WebSocketRoute

from devices.models import Phone
from tests import cast
from tests.console.conftest import signed_in
from tests.support.browser import chromium

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
NEW_MACS = ["000B82000001", "000B82000002"]
POINTED = """([x, y]) => document.elementFromPoint(x, y)?.closest("tr")?.dataset.mac"""


@dataclass
class List:
    """The list, and what the server says of it when it is told of new phones."""

    page: Page
    sockets: list[WebSocketRoute]
    says: list[str]

    def point_at(self, mac: str) -> tuple[float, float]:
        box = self.page.locator(f'tr[data-mac="{mac}"] .gs-col-mac').bounding_box()
        x, y = box["x"] + box["width"] - 4, box["y"] + box["height"] / 2
        self.page.mouse.move(x - 3, y)
        self.page.mouse.move(x, y)
        return x, y

    def hear(self, html: str, mac: str = NEW_MACS[0], kind: str = "seen") -> None:
        """The server has this from now on, tells of it, and it is on the page."""
        self.says[:] = [html]
        with self.page.expect_response("**/*rows/*"):
            events = [{"mac": mac, "kind": kind}]
            self.sockets[-1].send(json.dumps({"type": "live.events", "last": 1, "events": events}))
            self.page.clock.run_for(500)
        self.page.clock.run_for(50)

    def macs(self) -> list[str]:
        return self.page.evaluate("[...document.querySelectorAll('#rows tr')].map((row) => row.dataset.mac)")

    def shows(self, macs: list[str]) -> bool:
        """Whether these come to stand there; the page's clock goes on while it is waited for them."""
        for _ in range(100):
            if self.macs() == macs:
                return True
            self.page.clock.run_for(100)
        return False


@pytest.fixture
def client(administrator, listener) -> Client:
    cast.seen()
    cast.seen(cast.OTHER_MAC, "10.0.0.30")
    return signed_in(administrator)


@pytest.fixture
def opened(live_server, client) -> Callable[[], AbstractContextManager[List]]:
    session = client.cookies[settings.SESSION_COOKIE_NAME].value

    @contextmanager
    def list_page() -> Iterator[List]:
        sockets: list[WebSocketRoute] = []
        says: list[str] = []

        def hello(socket: WebSocketRoute) -> None:
            sockets.append(socket)
            socket.send(json.dumps({"type": "live.hello", "last": 0}))

        with chromium() as browser:
            context = browser.new_context(viewport={"width": 1400, "height": 800})
            context.add_cookies([{"name": settings.SESSION_COOKIE_NAME, "value": session, "url": live_server.url}])
            page = context.new_page()
            page.clock.install()
            page.route_web_socket("**/ws/live", hello)
            page.route("**/rows/*", lambda route: route.fulfill(body=says[0], content_type="text/html"))
            page.route("**/rows/", lambda route: route.fulfill(body=says[0], content_type="text/html"))
            page.goto(f"{live_server.url}/")
            page.wait_for_selector("[data-testid=connection][data-state=live]")
            page.clock.pause_at(timezone.now() + timedelta(seconds=2))
            yield List(page, sockets, says)

    return list_page


def with_new_phones(client: Client, alarm: bool = False) -> str:
    """What the server says once two phones more were heard and one that was there has come further, perhaps with an
    alarm; all is as before after it."""
    for number, mac in enumerate(NEW_MACS):
        cast.seen(mac, f"10.0.0.{40 + number}")
    Phone.objects.filter(mac=cast.OTHER_MAC).update(stage="fetched", **({"alarm": "It claims."} if alarm else {}))
    html = client.get("/rows/").content.decode()
    Phone.objects.filter(mac__in=NEW_MACS).delete()
    Phone.objects.filter(mac=cast.OTHER_MAC).update(stage="seen", alarm="")
    return html


def test_a_row_that_a_mouse_points_at_stays_that_phone(opened, client):
    after = with_new_phones(client, alarm=True)
    before = [cast.OTHER_MAC, cast.MAC]
    with opened() as here:
        point = here.point_at(cast.OTHER_MAC)
        here.hear(after)
        stays = here.page.evaluate(POINTED, point), here.macs()
        bar = here.page.locator("#held")
        said = bar.inner_text()
        stage = here.page.locator(f'tr[data-mac="{cast.OTHER_MAC}"] .gs-col-stage').get_attribute("data-stage")
        box = bar.bounding_box()
        here.page.mouse.move(box["x"] + 20, box["y"] + 10)
        over_the_bar = here.macs()
        bar.click()
        taken_in = here.shows([*reversed(NEW_MACS), *before])
        gone = bar.is_hidden() and here.page.locator("#notices .gs-notice").count() == 1
    assert stays == (cast.OTHER_MAC, before)
    assert said.splitlines()[-1] == "2 new phones · other notices"
    assert stage == "fetched", "what changes in a row is shown"
    assert over_the_bar == before
    assert taken_in and gone


@pytest.mark.parametrize("how", ["elsewhere", "rests", "key", "finger"])
def test_whoever_points_no_more_sees_all(opened, client, how):
    after = with_new_phones(client)
    with opened() as here:
        here.point_at(cast.OTHER_MAC)
        here.hear(after)
        held = here.macs()
        if how == "elsewhere":
            here.page.mouse.move(5, 5)
        elif how == "rests":
            here.page.clock.run_for(1_500)
        elif how == "key":
            here.page.keyboard.press("ArrowDown")
        else:
            here.page.evaluate(
                "document.querySelector('#rows tr').dispatchEvent("
                "new PointerEvent('pointerdown', { bubbles: true, pointerType: 'touch' }))"
            )
        seen = here.shows([*reversed(NEW_MACS), cast.OTHER_MAC, cast.MAC])
    assert seen
    assert held == [cast.OTHER_MAC, cast.MAC]


@pytest.mark.parametrize("how", ["late", "at the second attempt"])
def test_what_was_asked_for_is_shown_although_a_mouse_has_come_onto_the_rows(opened, client, how):
    found = client.get(f"/rows/?q={cast.OTHER_MAC}").content.decode()
    with opened() as here:
        asked: list[Route] = []
        here.page.route("**/rows/?q=*", lambda route: asked.append(route))
        here.page.locator("#search-text").fill(cast.OTHER_MAC)
        with here.page.expect_request("**/rows/?q=*"):
            here.page.clock.run_for(250)
        here.point_at(cast.MAC)
        if how == "late":
            with here.page.expect_response("**/rows/?q=*"):
                asked[0].fulfill(body=found, content_type="text/html")
        else:
            here.page.unroute("**/rows/?q=*")
            with here.page.expect_response("**/rows/?q=*"):
                asked[0].fulfill(status=503, body="{}", content_type="application/json")
            here.hear(found)
        here.page.clock.run_for(100)
        shown = here.macs()
        bar = here.page.locator("#held").is_hidden()
    assert shown == [cast.OTHER_MAC]
    assert bar


def test_a_phone_that_is_forgotten_below_a_mouse_is_seen_to_be_gone_and_leaves_nothing_to_click(opened, client):
    Phone.objects.filter(mac=cast.OTHER_MAC).delete()
    after = client.get("/rows/").content.decode()
    cast.seen(cast.OTHER_MAC, "10.0.0.30")
    with opened() as here:
        x, y = here.point_at(cast.OTHER_MAC)
        here.hear(after, cast.OTHER_MAC, "forgotten")
        stays = here.page.evaluate(POINTED, (x, y))
        said = here.page.locator("#held").inner_text()
        gone = here.page.locator("tr[data-gone]").get_attribute("data-mac")
        here.page.locator(f'tr[data-mac="{cast.OTHER_MAC}"] [data-key=page]').click()
        told = here.page.get_by_test_id("toast").inner_text()
        address = here.page.url
        here.page.mouse.move(5, 5)
        left = here.shows([cast.MAC])
    assert stays == gone == cast.OTHER_MAC
    assert said.splitlines()[-1] == "1 phone less"
    assert "not listed any more" in told
    assert address.endswith("/"), "the list was left for a page that does not exist"
    assert left


def test_where_nobody_points_phones_come_in_at_once(opened, client):
    after = with_new_phones(client)
    with opened() as here:
        here.hear(after)
        assert here.shows([*reversed(NEW_MACS), cast.OTHER_MAC, cast.MAC])
        assert here.page.locator("#held").is_hidden()
