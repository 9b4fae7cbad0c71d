"""The doctor's page: who may open it, that looking sends nothing, and that what strangers say is only text.

The tests ask on the loopback interface alone: nothing may leave this machine.
"""

import re
import threading

import pytest
from django.test import Client
from django.utils import timezone

from gspnp.console import doctor
from sipmcast.models import ListenerStatus
from tests.console.conftest import person, signed_in
from tests.console.test_in_a_browser import narrow_page

HOSTILE = '<script>alert("x")</script>'
URL = "/doctor/"


@pytest.fixture(autouse=True)
def loopback_only(settings):
    """A port and a door that nobody has here."""
    settings.GSPNP_PNP_INTERFACES = ["lo"]
    settings.GSPNP_PNP_PORT = 5998
    settings.GSPNP_PHONES_PORT = 5999


@pytest.fixture
def stranger(db) -> ListenerStatus:
    """A listener whose words are hostile."""
    now = timezone.now()
    return ListenerStatus.objects.create(
        name=f"{HOSTILE}/all/224.0.1.75:5998", started_at=now, heartbeat_at=now, interfaces=[f"eth0 ({HOSTILE})"],
        trouble=HOSTILE, warnings=[HOSTILE], heard_at={"eth0": now.isoformat()},
    )  # fmt: skip


def section(html: str, key: str) -> str:
    found = re.search(rf'<section [^>]*data-testid="section-{key}".*?</section>', html, re.S)
    assert found, key
    return found[0]


@pytest.mark.django_db
def test_only_who_may_see_phones_may_open_it_or_run_it():
    nobody = signed_in(person("nobody"))
    for client, status in ((Client(headers={"host": "localhost"}), 302), (nobody, 403)):
        assert client.get(URL).status_code == client.post(URL).status_code == status
    script = {"X-Requested-With": "fetch"}
    assert Client(headers={"host": "localhost"}).post(URL, headers=script).status_code == 401


def test_running_it_needs_the_csrf_token(viewer):
    strict = Client(headers={"host": "localhost"}, enforce_csrf_checks=True)
    strict.force_login(viewer)
    assert strict.post(URL).status_code == 403


def test_opening_it_sends_nothing_and_running_it_does(viewer, listener):
    client = signed_in(viewer)
    looked = client.get(URL).content.decode()
    assert 'data-probed="no"' in looked
    assert "<code>manage.py release</code>" in looked and "`" not in looked
    assert "Not tried yet" in section(looked, "echo") and "Not tried yet" in section(looked, "door")
    ran = client.post(URL).content.decode()
    assert 'data-probed="yes"' in ran
    assert "127.0.0.1" in section(ran, "echo") and "127.0.0.1:5999" in section(ran, "door")
    assert "<html" in ran, "without JavaScript the whole page comes back"


def test_a_script_gets_the_findings_alone(viewer, listener):
    part = signed_in(viewer).post(URL, headers={"X-Requested-With": "fetch"}).content.decode()
    assert "<html" not in part and 'data-testid="sum"' in part


def test_what_strangers_say_is_text(viewer, stranger):
    html = signed_in(viewer).get(URL).content.decode()
    assert HOSTILE not in html
    assert "&lt;script&gt;alert(" in html


def test_two_people_do_not_ask_the_network_at_the_same_time(viewer, listener):
    client = signed_in(viewer)
    with doctor._running:
        page = client.post(URL)
        said = client.post(URL, headers={"X-Requested-With": "fetch"})
        assert client.get(URL).status_code == 200, "looking is always possible"
    assert (page.status_code, said.status_code) == (429, 429)
    assert str(doctor.BUSY) in page.content.decode() and said.json()["message"] == doctor.BUSY
    assert client.post(URL).status_code == 200


@pytest.mark.django_db(transaction=True)
@pytest.mark.browser
class TestInABrowser:
    """What only a browser shows."""

    @pytest.fixture
    def session(self, live_server, viewer, stranger) -> str:
        return signed_in(viewer).cookies["sessionid"].value

    def test_the_checks_run_without_a_reload_and_nothing_is_wider_than_a_telephone(self, live_server, session):
        with narrow_page(live_server.url, session) as page:
            errors: list[str] = []
            page.on("pageerror", lambda error: errors.append(str(error)))
            page.goto(f"{live_server.url}{URL}")
            page.evaluate("window.mark = 'not reloaded'")
            page.click("[data-testid=run-checks]")
            page.wait_for_selector('[data-testid=sum][data-probed="yes"]')
            widths = page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
            for details in page.query_selector_all("details"):
                details.evaluate("one => { one.open = true; }")
            opened = page.evaluate("document.documentElement.scrollWidth")
            assert page.evaluate("window.mark") == "not reloaded"
            assert page.inner_text("[data-run-text]") == "Run the checks"
            assert page.inner_text("[data-testid=live-region]") != ""
        assert (widths[0], opened, errors) == (widths[1], widths[1], [])

    def test_a_text_is_copied_by_its_button(self, live_server, session):
        with narrow_page(live_server.url, session) as page:
            page.context.grant_permissions(["clipboard-read", "clipboard-write"])
            page.goto(f"{live_server.url}{URL}")
            place = page.locator("[data-act=copy-text]").first
            text = page.evaluate("id => document.getElementById(id).textContent", place.get_attribute("data-from"))
            place.evaluate("button => { const box = button.closest('details'); if (box) box.open = true; }")
            place.click()
            page.wait_for_selector("[data-testid=toast]")
            assert page.evaluate("navigator.clipboard.readText()") == text

    def test_it_works_without_javascript(self, live_server, session):
        with narrow_page(live_server.url, session) as page:
            context = page.context.browser.new_context(java_script_enabled=False)
            context.add_cookies(page.context.cookies(live_server.url))
            plain = context.new_page()
            plain.goto(f"{live_server.url}{URL}")
            plain.click("[data-testid=run-checks]")
            plain.wait_for_selector('[data-testid=sum][data-probed="yes"]')


def test_the_lock_is_given_back_when_a_look_fails(viewer, listener, monkeypatch):
    client = signed_in(viewer)
    client.raise_request_exception = False
    monkeypatch.setattr(doctor, "examine", lambda **_: 1 / 0)
    assert client.post(URL).status_code == 500
    assert isinstance(doctor._running, type(threading.Lock())) and not doctor._running.locked()
