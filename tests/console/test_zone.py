"""Times in the reader's zone: what a browser says of itself is believed only as far as it is a zone."""

import re
from datetime import UTC, datetime, timedelta

import pytest
from django.conf import settings
from django.utils import timezone

from devices.models import LiveEvent, Phone
from gspnp.console.zone import COOKIE, zone_of
from provisioning import starts
from tests import cast
from tests.console.conftest import signed_in
from tests.console.test_settings_in_a_browser import browser_page

pytestmark = pytest.mark.django_db
EVENTS = "/admin/devices/liveevent/"
NOON = datetime(2026, 7, 1, 12, 0, tzinfo=UTC)


@pytest.fixture
def told(db) -> LiveEvent:
    return LiveEvent.objects.create(mac=cast.MAC, kind="seen", text="Seen.", at=NOON)


def said(html: str) -> str:
    """In which zone the page says that its times are."""
    return re.sub("<[^>]*>", "", re.search(r'<p class="gs-zone".*?</p>', html)[0])


@pytest.mark.parametrize("text", ["Europe/Berlin", "Europe%2FBerlin", "Etc/UTC", "America%2FArgentina%2FBuenos_Aires"])
def test_a_zone_of_this_machine_is_taken(text):
    assert str(zone_of(text)) == text.replace("%2F", "/")


@pytest.mark.parametrize(
    "text",
    ["", "Berlin", "europe/berlin ", "../../etc/passwd", "%2e%2e%2fetc%2fpasswd", "/etc/localtime", "Europe", "Europe/",
     "Europe/Berlin\0", "Europe%2FBerlin%00", "UTC;x", "A" * 5000, "%" * 100, "\ud800"],
)  # fmt: skip
def test_anything_else_is_no_zone(text):
    assert zone_of(text) is None


def test_the_admin_writes_times_in_the_readers_zone_and_says_which(administrator, told):
    client = signed_in(administrator)
    html = client.get(EVENTS).content.decode()
    assert "2026-07-01 12:00:00 UTC" in html and said(html) == "Times in UTC"
    client.cookies[COOKIE] = "Europe%2FBerlin"
    html = client.get(EVENTS).content.decode()
    assert "2026-07-01 14:00:00 CEST" in html and said(html) == "Times in Europe/Berlin"
    client.cookies[COOKIE] = "<script>alert(1)</script>"
    html = client.get(EVENTS).content.decode()
    assert "2026-07-01 12:00:00 UTC" in html and "<script>alert(1)" not in html


def test_one_readers_zone_is_not_the_next_ones(administrator, told):
    client, other = signed_in(administrator), signed_in(administrator)
    client.cookies[COOKIE] = "Asia%2FKolkata"
    assert "2026-07-01 17:30:00 IST" in client.get(EVENTS).content.decode()
    assert "2026-07-01 12:00:00 UTC" in other.get(EVENTS).content.decode()


def test_today_is_the_readers_today(administrator, told):
    client = signed_in(administrator)
    with cast.stopped_clock(NOON - timedelta(hours=1)):
        for zone, shown in (("UTC", 1), ("Pacific%2FKiritimati", 0)):  # there the day began an hour ago
            client.cookies[COOKIE] = zone
            LiveEvent.objects.update(at=NOON - timedelta(hours=3))
            filters = client.get(EVENTS).context["cl"].filter_specs
            links = [
                one for spec in filters if spec.title == "at" for one in spec.choices(client.get(EVENTS).context["cl"])
            ]
            today = next(link["query_string"] for link in links if link["display"] == "Today")
            assert client.get(f"{EVENTS}{today}").context["cl"].result_count == shown


def test_a_sentence_that_is_kept_names_its_zone_whoever_caused_it(clock):
    version = cast.assigned()
    cast.sent(version)
    done = starts._Batch([], [], {}, [])
    with timezone.override("Europe/Berlin"):
        now = timezone.now()
        starts._say_when(version.phone_id, now + timedelta(minutes=10), now, done)
    assert "it is asked again at 12:10 UTC." in done.reasons[version.phone_id]


@pytest.mark.browser
@pytest.mark.django_db(transaction=True)
def test_a_browser_says_where_it_is_before_anybody_signs_in(live_server, administrator, told):
    session = signed_in(administrator).cookies[settings.SESSION_COOKIE_NAME].value
    Phone.objects.all().delete()
    with browser_page(live_server.url, session, timezone_id="America/New_York") as page:
        page.context.clear_cookies()
        page.goto(f"{live_server.url}/admin/login/")
        names = {cookie["name"]: cookie["value"] for cookie in page.context.cookies()}
        assert names[COOKIE] == "America%2FNew_York"
        page.context.add_cookies([{"name": settings.SESSION_COOKIE_NAME, "value": session, "url": live_server.url}])
        page.goto(f"{live_server.url}{EVENTS}")
        assert "2026-07-01 08:00:00 EDT" in page.content()
        assert page.inner_text("[data-testid=times-in]") == "Times in America/New_York"
