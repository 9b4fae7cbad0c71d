"""While the database is away: a page that was asked for comes back by itself, and a list says so once and goes on."""

import json

import pytest
from django.conf import settings
from django.template import loader
from playwright.sync_api import expect

from tests import cast
from tests.console.conftest import signed_in
from tests.support.browser import chromium

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
AWAY = {"message": "The database is away. Try it again in a moment.", "away": True}


@pytest.fixture
def session(live_server, administrator, listener) -> str:
    cast.seen()
    return signed_in(administrator).cookies[settings.SESSION_COOKIE_NAME].value


def test_a_page_that_could_not_be_shown_comes_back_by_itself(live_server, session):
    away = loader.get_template("503.html").render({"words": AWAY["message"], "looks": True, "returns": True})
    with chromium() as browser:
        context = browser.new_context()
        context.add_cookies([{"name": settings.SESSION_COOKIE_NAME, "value": session, "url": live_server.url}])
        page = context.new_page()
        page.clock.install()
        page.route("**/healthz", lambda route: route.fulfill(status=503, body="no database"))
        page.route(
            f"{live_server.url}/?q=1", lambda route: route.fulfill(status=503, body=away, content_type="text/html")
        )
        page.goto(f"{live_server.url}/?q=1")
        with page.expect_response("**/healthz"):
            page.clock.run_for(4000)
        stays = page.get_by_test_id("try-again").is_visible()
        page.unroute("**/healthz")
        page.unroute(f"{live_server.url}/?q=1")
        page.clock.resume()
        page.wait_for_selector("[data-testid=search]")
        came = page.url
    assert stays
    assert came == f"{live_server.url}/?q=1"


def test_a_list_says_that_the_database_is_away_once_and_not_of_what_nobody_did(live_server, session):
    sockets = []

    def hello(socket) -> None:
        sockets.append(socket)
        socket.send(json.dumps({"type": "live.hello", "last": 0}))

    def happen(page) -> None:
        with page.expect_response("**/rows/*"):
            events = [{"mac": cast.MAC, "kind": "stage"}]
            sockets[-1].send(json.dumps({"type": "live.events", "last": 1, "events": events}))

    with chromium() as browser:
        context = browser.new_context()
        context.add_cookies([{"name": settings.SESSION_COOKIE_NAME, "value": session, "url": live_server.url}])
        page = context.new_page()
        page.route_web_socket("**/ws/live", hello)
        page.goto(f"{live_server.url}/?q=000B")
        page.wait_for_selector("[data-testid=connection][data-state=live]")
        page.route("**/rows/*", lambda route: route.fulfill(status=503, json=AWAY))
        happen(page)
        line = page.get_by_test_id("server-away")
        expect(line).to_contain_text("The database is away")
        toasts = page.get_by_test_id("toast").count()
        link = page.get_by_test_id("connection")
        expect(link).to_have_attribute("data-state", "stale")
        said = link.inner_text()
        page.unroute("**/rows/*")
        happen(page)
        expect(line).to_have_count(0)
        expect(link).to_have_attribute("data-state", "live")
    assert toasts == 0
    assert "live" not in said and "not up to date" in said
