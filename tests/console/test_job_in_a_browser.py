"""A job's page while it changes by itself: what one presses stays under the finger."""

import pytest
from django.conf import settings
from playwright.sync_api import expect

from provisioning.importing import applying, planning
from provisioning.jobs import orders, runner
from provisioning.models import Job, Notify, PhoneImport
from tests import cast
from tests.console.conftest import signed_in
from tests.console.test_settings_in_a_browser import browser_page, elsewhere

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def session(live_server, administrator, listener) -> str:
    cast.assigned()
    return signed_in(administrator).cookies[settings.SESSION_COOKIE_NAME].value


def test_a_button_stays_the_same_while_figures_change_and_a_slow_press_counts(live_server, session):
    job = runner.start("Settings of site berlin", {}, by="tess")
    with browser_page(live_server.url, session) as page:
        page.goto(f"{live_server.url}/jobs/{job.pk}/")
        page.evaluate("document.querySelector('[data-button=cancel]').mine = true")
        elsewhere(lambda: Job.objects.filter(pk=job.pk).update(total=120, done=37))
        expect(page.get_by_test_id("done")).to_have_text("37")
        assert page.evaluate("document.querySelector('[data-button=cancel]').mine")
        box = page.locator("[data-button=cancel]").bounding_box()
        page.mouse.move(box["x"] + 5, box["y"] + 5)
        page.mouse.down()
        # Meanwhile the job is paused by somebody else: its buttons are others, and come after this press.
        elsewhere(lambda: runner.pause(job.pk))
        for _twice in range(2):
            page.wait_for_event("requestfinished", lambda request: request.url.endswith("/live/"))
        page.mouse.up()
        expect(page.locator("#job")).to_have_attribute("data-state", "cancelled")
        expect(page.locator("#job-buttons button")).to_have_count(0)


def test_a_link_keeps_the_focus_when_what_stands_around_it_changes(live_server, session):
    planning.read_file("phones.csv", f"mac,name\n{cast.MAC},Front desk\n".encode(), by="tess")
    job = applying.apply(PhoneImport.objects.get(), by="tess")
    with browser_page(live_server.url, session) as page:
        page.goto(f"{live_server.url}/jobs/{job.pk}/")
        page.get_by_test_id("of-import").focus()
        elsewhere(lambda: Job.objects.filter(pk=job.pk).update(total=120, done=37))
        expect(page.get_by_test_id("done")).to_have_text("37")
        expect(page.get_by_test_id("of-import")).to_be_focused()
        page.keyboard.press("Enter")
        expect(page.get_by_test_id("import")).to_be_visible()


def test_the_way_to_the_phones_that_wait_looks_like_a_link(live_server, session):
    phone = cast.seen("000B82000001", "10.0.1.1")
    cast.save(phone)
    Notify.objects.all().delete()
    order = orders.start("notify", [(phone.pk, phone.source_host)], by="tess", pace_per_minute=60)
    runner.run.call(order.pk)
    Notify.objects.filter(phone=phone).update(state="withheld", note="Nobody has confirmed that this phone is there.")
    with browser_page(live_server.url, session) as page:
        page.goto(f"{live_server.url}/jobs/{order.pk}/")
        expect(page.get_by_test_id("withheld-phones")).to_have_css("text-decoration-line", "underline")


def test_the_page_says_whether_it_is_still_told_what_becomes_of_the_job(live_server, session):
    job = runner.start("Settings of site berlin", {}, by="tess")
    with browser_page(live_server.url, session) as page:
        page.goto(f"{live_server.url}/jobs/{job.pk}/")
        link = page.get_by_test_id("connection")
        expect(link).to_have_text("live")
        page.route("**/live/", lambda route: route.abort())
        expect(link).to_have_text("reconnecting")
        page.unroute("**/live/")
        expect(link).to_have_text("live")
        page.context.clear_cookies()
        expect(link).to_have_text("signed out")
        asked = []
        page.on("request", lambda request: asked.append(request.url))
        page.wait_for_timeout(2500)
        assert asked == []
