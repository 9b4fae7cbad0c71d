"""The Content-Security-Policy in Chromium: nothing that a page needs is refused, and what is planted in a page is."""

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from playwright.sync_api import Page, expect

from provisioning.models import Job
from tests import cast
from tests.console.test_accessibility import furnished, loopback_only, session  # noqa: F401  (fixtures)
from tests.console.test_settings_in_a_browser import browser_page
from tests.support.browser import pages_at_rest

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
# What a page is not allowed to do is said by an event, and in the browser's console.
WATCH = """
    window.refused = [];
    addEventListener("securitypolicyviolation", (event) =>
        window.refused.push(`${event.effectiveDirective} ${event.blockedURI} ${event.sourceFile}:${event.lineNumber}`));
"""


class Watched:
    """A page that keeps what the browser refused it."""

    def __init__(self, page: Page) -> None:
        self.page, self.said = page, []
        page.context.add_init_script(WATCH)
        page.context.on("page", self._listen)
        self._listen(page)

    def _listen(self, page: Page) -> None:
        """To this page, and to all that are opened beside it."""
        page.on("console", lambda message: self._hear(page, message.text))
        page.on("pageerror", lambda error: self.said.append(f"{page.url}: {error}"))

    def _hear(self, page: Page, text: str) -> None:
        if "Content Security Policy" in text or "EvalError" in text:
            self.said.append(f"{page.url}: {text}")

    def settle(self) -> None:
        self.page.wait_for_load_state("networkidle")
        self.read(self.page)

    def read(self, page: Page) -> None:
        """What was refused to this page until now."""
        self.said += [f"{page.url}: {one}" for one in page.evaluate("window.refused")]


def pages(job: int, user: int) -> list[str]:
    phone = f"/phones/{cast.MAC}/"
    return [
        "/", "/?q=zzz", "/overview/", "/doctor/", "/settings/", "/settings/layer/?level=site&name=berlin",
        "/settings/opinions/", "/jobs/", f"/jobs/{job}/", "/firmware/", "/phonebook/", "/extensions/",
        "/extensions/add/", "/extensions/import/", "/extensions/handout/", "/phones/import/",
        "/phones/edit/", "/phones/add/", phone, f"{phone}settings/", f"{phone}history/?before=1&after=2",
        f"{phone}swap/", "/people/", "/changes/", "/alarms/",
        "/admin/", "/admin/password_change/", "/admin/auth/user/", "/admin/auth/user/add/",
        f"/admin/auth/user/{user}/change/", f"/admin/auth/user/{user}/password/", f"/admin/auth/user/{user}/delete/",
        f"/admin/auth/user/{user}/history/", "/admin/auth/group/", "/admin/auth/group/add/",
        "/admin/devices/phone/", "/admin/devices/account/", "/admin/devices/key/", "/admin/devices/extension/",
        "/admin/devices/liveevent/", "/admin/provisioning/contact/add/", "/admin/provisioning/notify/",
        "/admin/provisioning/configfile/", "/admin/provisioning/download/", "/admin/sipmcast/listenerstatus/",
        "/no-such-page", "/phones/000B82FFFFFF/",
    ]  # fmt: skip


@pytest.mark.timeout(300)
def test_no_page_needs_what_its_policy_refuses(live_server, furnished):  # noqa: F811
    paths = pages(Job.objects.get().pk, User.objects.get().pk)
    paths.append(f"/admin/devices/phone/{cast.Phone.objects.get(mac=cast.MAC).pk}/change/")
    with browser_page(live_server.url, furnished) as page:
        watched = Watched(page)
        for path, (one, answer) in zip(
            paths, pages_at_rest(page.context, [live_server.url + path for path in paths]), strict=True
        ):
            assert "content-security-policy" in answer.headers, path
            watched.read(one)
        page.goto(live_server.url)
        page.click(f'tr[data-mac="{cast.OTHER_MAC}"] [data-act=assign]')
        expect(page.locator("[name=account-1-user_id]")).to_be_visible()
        watched.settle()
        page.context.clear_cookies()
        page.goto(f"{live_server.url}/admin/login/")
        watched.settle()
        for _ in range(settings.GSPNP_LOGIN_TRIES):
            page.fill("input[name=username]", "root")
            page.fill("input[name=password]", "wrong")
            with page.expect_navigation():
                page.keyboard.press("Enter")
            watched.settle()
        expect(page.locator("[data-testid=error-page]")).to_contain_text("Too many wrong passwords")
    assert watched.said == []


def test_charts_menus_and_alpine_work_under_it(live_server, furnished):  # noqa: F811
    with browser_page(live_server.url, furnished) as page:
        page.goto(f"{live_server.url}/overview/")
        page.wait_for_load_state("networkidle")
        assert page.evaluate("typeof Alpine.version + typeof Chart + typeof htmx") == "stringfunctionobject"


def test_a_script_that_somebody_plants_does_not_run(live_server, furnished):  # noqa: F811
    with browser_page(live_server.url, furnished) as page:
        watched = Watched(page)
        page.goto(live_server.url)
        page.evaluate("""() => {
            const box = document.createElement("div");
            document.body.append(box);
            box.innerHTML = "<img src=x onerror='window.planted = 1'><a href='javascript:window.planted = 2'>x</a>";
            box.querySelector("a").click();
            const script = document.createElement("script");
            script.textContent = "window.planted = 3";
            document.body.append(script);
        }""")
        page.wait_for_function("window.refused.length >= 3")
        assert page.evaluate("window.planted") is None
        watched.said.clear()
