"""Settings, jobs and passwords as a person with a keyboard meets them."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from django.conf import settings
from django.db import connection
from playwright.sync_api import Page, expect

from devices.models import Phone
from provisioning import rendering
from provisioning.jobs import runner
from provisioning.layers import store
from provisioning.models import ConfigFile, Job, Notify, SettingsLayer
from tests import cast
from tests.console.conftest import signed_in
from tests.support.browser import chromium

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
WIDE, NARROW = 1280, 360


@pytest.fixture
def session(live_server, administrator, listener) -> str:
    """Signed in; a phone at the site berlin is applied."""
    version = cast.applied(cast.assigned())
    Phone.objects.filter(pk=version.phone_id).update(site="berlin")
    return signed_in(administrator).cookies[settings.SESSION_COOKIE_NAME].value


@contextmanager
def browser_page(url: str, session: str, width: int = WIDE, **options) -> Iterator[Page]:
    """The database cannot be used in here: Playwright has its loop running."""
    with chromium() as browser:
        context = browser.new_context(viewport={"width": width, "height": 800}, **options)
        context.add_cookies([{"name": settings.SESSION_COOKIE_NAME, "value": session, "url": url}])
        yield context.new_page()


def elsewhere(work: Callable[[], None]) -> None:
    """Do it in another thread, as the worker is another process."""

    def run() -> None:
        try:
            work()
        finally:
            connection.close()

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(20)
    assert not thread.is_alive()


def press(page: Page, *keys: str) -> None:
    for key in keys:
        page.keyboard.press(key)


def test_a_site_gets_its_country_and_its_phone_is_told_by_keyboard_alone(live_server, session):
    with browser_page(live_server.url, session) as page:
        page.goto(f"{live_server.url}/settings/")
        page.focus("#new-site")
        page.keyboard.type("berlin")
        press(page, "Enter")
        page.wait_for_url("**/settings/layer/?level=site&name=berlin")  # with its script
        page.focus("#value-country")
        page.keyboard.type("Germ")
        page.focus("#catalogue-search")
        page.keyboard.type("vlan tag")
        page.wait_for_selector("[data-testid=found]")
        press(page, "ArrowDown", "Enter")
        expect(page.locator("#value-vlan_tag")).to_be_focused()
        page.keyboard.type("99999")
        press(page, "Enter")
        expect(page.locator("#value-vlan_tag[aria-invalid=true]")).to_be_focused()  # with its problem beside it
        assert "0 to 4094" in page.inner_text('[data-error-for="vlan_tag"]')
        press(page, "ControlOrMeta+a")
        page.keyboard.type("42")
        press(page, "Enter")
        assert page.get_attribute("[data-testid=touches]", "data-touched") == "1"
        assert "00:0B:82:27:3B:89" in page.inner_text("[data-testid=phones]")
        page.focus("#pace")
        press(page, "Enter")
        page.wait_for_url("**/jobs/*/")
        assert page.get_attribute("[role=progressbar]", "aria-valuenow") == "0"
        elsewhere(lambda: runner.run.call(Job.objects.get().pk))
        expect(page.locator("#job")).to_have_attribute("data-state", "running")  # its phone is not told yet
        elsewhere(lambda: cast.sent(ConfigFile.objects.latest("pk")))
        expect(page.locator("#job")).to_have_attribute("data-state", "done")  # by itself, without a reload
        assert page.get_attribute("[role=progressbar]", "aria-valuenow") == "100"
        assert page.inner_text("[data-testid=changed]") == "1"
    layer = SettingsLayer.objects.get(level="site")
    assert (layer.name, layer.values) == ("berlin", {"country": "DE", "vlan_tag": "42"})
    newest = ConfigFile.objects.latest("number")
    texts = rendering.texts_of(newest)
    assert (texts["display_language"], texts["vlan_tag"]) == ("de", "42")
    assert Notify.objects.get(state="sending").config_file_id == newest.pk


def test_it_all_works_without_a_script(live_server, session):
    with browser_page(live_server.url, session, java_script_enabled=False) as page:
        page.goto(f"{live_server.url}/settings/layer/?level=site&name=berlin")
        page.select_option("#value-country", "DE")
        page.fill("#catalogue-search", "P51")
        page.click("[data-act=search]")
        page.click('[data-name="vlan_tag"] >> nth=0')
        page.fill("#value-vlan_tag", "42")
        page.click("[data-testid=preview]")
        page.click("[data-testid=save]")
        assert page.get_attribute("#job", "data-state") == "waiting"
        elsewhere(lambda: runner.run.call(Job.objects.get().pk))
        elsewhere(lambda: cast.sent(ConfigFile.objects.latest("pk")))
        page.reload()
        assert page.get_attribute("#job", "data-state") == "done"
    assert SettingsLayer.objects.get(level="site").values == {"country": "DE", "vlan_tag": "42"}


def test_a_password_is_shown_for_a_moment_and_a_version_brought_back_after_a_question(live_server, session):
    version = ConfigFile.objects.get()
    password = rendering.texts_of(version)["admin_password"]
    cast.save(version.phone, cast.draft(display_name="Otto"))
    with browser_page(live_server.url, session) as page:
        page.goto(f"{live_server.url}/phones/{cast.MAC}/settings/")
        assert password not in page.content()
        page.focus('[data-effective="admin_password"] button')
        press(page, "Enter")
        expect(page.locator('[data-effective="admin_password"] output')).to_have_text(password)
        page.fill("#effective-filter", "display_name")
        assert page.locator("[data-effective]:visible").count() == 2
        page.click("[data-testid=tab-history]")
        page.wait_for_url("**/history/")  # loaded: before that the button leads to a page that asks
        page.click("[data-testid=back-1]")
        page.wait_for_selector("#confirm[open]")
        assert "Go back to version 1?" in page.inner_text("#confirm")
        page.click("[data-confirm=no]")
        assert page.locator("[data-version]").count() == 2
        page.click("[data-testid=back-1]")
        page.click("[data-confirm=yes]")
        page.wait_for_selector('[data-version="3"]')
        assert "Version 3 says what version 1 said." in page.inner_text("body")


def test_nothing_is_wider_than_a_telephone_even_without_the_icon_font(live_server, session):
    store.save(store.find("site", "berlin"), {"country": "DE", "accounts_ring_match_rule_1_tone": "1"}, by="tess")
    cast.save(Phone.objects.get(), cast.draft(display_name="Otto"))
    job = runner.start("Settings of site berlin", {}, by="tess")
    job.failures.create(phone=Phone.objects.get(), field="setting.accounts_ring_match_rule_1_tone", message="x" * 90)
    phone, layer = f"/phones/{cast.MAC}", "/settings/layer/?level=site&name=berlin"
    paths = ["/settings/", layer, "/settings/opinions/", "/jobs/", f"/jobs/{job.pk}/", f"{phone}/settings/",
             f"{phone}/history/?before=1&after=2", f"{phone}/"]  # fmt: skip
    widths = {}
    with browser_page(live_server.url, session, NARROW) as page:
        page.route("**/*.woff2", lambda route: route.abort())

        def measure(name: str) -> None:
            widths[name] = page.evaluate("document.documentElement.scrollWidth")

        for path in paths:
            page.goto(f"{live_server.url}{path}")
            measure(path)
        page.goto(f"{live_server.url}{layer}")
        for group in range(page.locator(".gs-quick summary").count()):
            page.locator(".gs-quick summary").nth(group).click()
            measure(f"group {group}")
        press(page, "Escape")
        page.click("[data-testid=preview]")
        page.wait_for_selector("[data-testid=touches]")
        measure("preview")
    assert {name: width for name, width in widths.items() if width > NARROW} == {}
