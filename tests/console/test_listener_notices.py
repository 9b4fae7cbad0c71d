"""What the listeners say of themselves: shown above the list and on a phone's page, put aside, read in the admin."""

import re
from datetime import timedelta

import pytest
from django.conf import settings as configured
from django.utils import timezone

from devices import alarms
from devices.alarms import SEVERAL
from devices.choices import AlarmKind
from devices.models import Alarm
from gspnp.console.shell import is_console
from provisioning.models import ConfigFile
from sipmcast.models import ListenerStatus
from tests import cast
from tests.console.conftest import signed_in
from tests.console.test_admin_phones import LIST
from tests.console.test_in_a_browser import narrow_page

pytestmark = pytest.mark.django_db
URL = f"/phones/{cast.MAC}/"
HOSTILE = "<script>alert(1)</script>"
FLOOD = "10.0.0.66 has announced 3,100 phones never seen before within a minute."
BUFFER = "eth0: the receive buffer is smaller than it should be."


@pytest.fixture
def phone(listener) -> ConfigFile:
    return cast.applied(cast.assigned())


def keys(answer) -> list[str]:
    return re.findall(r'data-hush-key="([^"]*)"', answer.content.decode())


@pytest.mark.parametrize("page", ["/", "/rows/", URL, f"{URL}live/"])
def test_warnings_and_trouble_are_shown_with_the_way_to_the_doctor(console, phone, listener, page):
    ListenerStatus.objects.update(warnings=[FLOOD, HOSTILE], trouble="eth9 is gone")
    words = console.get(page).content.decode()
    assert FLOOD in words and "eth9 is gone" in words
    assert HOSTILE not in words and "&lt;script&gt;" in words
    assert words.count('href="/doctor/"') >= 3


def test_a_listener_that_is_gone_warns_of_nothing_and_one_of_several_is_named(console, phone, listener):
    now = timezone.now()
    ListenerStatus.objects.update(warnings=[BUFFER])
    other = ListenerStatus.objects.create(name="annex", started_at=now, heartbeat_at=now, warnings=[BUFFER])
    assert "2 listeners (annex, lab)" in console.get("/").content.decode()
    ListenerStatus.objects.filter(pk=other.pk).update(heartbeat_at=now - timedelta(minutes=1))
    words = console.get("/").content.decode()
    assert "The listener annex says:" not in words and BUFFER in words


def test_what_several_say_is_said_once_with_their_names(console, phone, listener):
    now = timezone.now()
    ListenerStatus.objects.update(warnings=[BUFFER, FLOOD])
    for name, words in (
        ("annex", FLOOD.replace("3,100", "98")),
        ("berlin", FLOOD),
        ("cellar", FLOOD),
        ("depot", FLOOD),
    ):
        ListenerStatus.objects.create(
            name=name, started_at=now, heartbeat_at=now, warnings=[words], trouble="eth9 is gone"
        )
    page = console.get("/").content.decode()
    assert page.count('data-testid="listener-warning"') == 2
    assert page.count('data-testid="listener-trouble"') == 1
    assert (
        "5 listeners (annex, berlin, cellar, …) say:" in page and "4 listeners (annex, berlin, cellar, …) say:" in page
    )
    assert "The listener lab says:" in page, "what one says alone has its name"


def test_of_several_that_say_the_same_whoever_lost_most_is_quoted(console, phone, listener):
    now, words = timezone.now(), "The database was away for {} s; {} phones were held meanwhile, {} were lost."
    both = ["A listener at site 12 hears the same phones.", "A listener at site 14 hears the same phones."]
    ListenerStatus.objects.update(warnings=[words.format(30, 12, 0), *both])
    said = [words.format(3, 20_000, 5_312)]
    ListenerStatus.objects.create(name="annex", started_at=now, heartbeat_at=now, warnings=said)
    page = console.get("/").content.decode()
    (quoted,) = re.findall(r"data-hush-words[^>]*>(The database[^<]*)<", page)
    assert quoted == said[0]
    assert all(one in page for one in both), "sites may be called by numbers"


@pytest.mark.parametrize("names", [("annex", "berlin"), ("annex", "berlin", "cellar")])
def test_several_that_are_silent_are_one_notice(console, phone, listener, names):
    before = timezone.now() - timedelta(minutes=4)
    for name in names:
        ListenerStatus.objects.create(name=name, started_at=before, heartbeat_at=before, site=f"in-{name}")
    page = console.get("/").content.decode()
    assert page.count('data-testid="listener-silent"') == 1
    assert f"{len(names)} listeners are silent" in page
    assert all(f"{name} of site in-{name}" in page for name in names)
    shown = console.get("/listeners/").content.decode()
    assert (shown.count("Listens on"), shown.count("Listened on")) == (1, len(names))


@pytest.mark.parametrize("source", ["berlin", SEVERAL])
def test_who_has_dismissed_the_silence_of_one_is_told_of_another_one_alone(console, phone, listener, source):
    before = timezone.now() - timedelta(minutes=4)
    for name in ("annex", "berlin"):
        ListenerStatus.objects.create(name=name, started_at=before, heartbeat_at=before, alarmed_at=timezone.now())
    alarms.raise_alarm(AlarmKind.LISTENER, "annex")
    alarms.dismiss(Alarm.objects.get().pk, "tess")
    alarms.raise_alarm(AlarmKind.LISTENER, source)
    page = console.get("/").content.decode()
    assert "The listener berlin is silent" in page
    assert "annex" not in page


def test_a_count_that_grows_is_the_same_warning_and_another_address_is_not(console, phone, listener):
    found = []
    for words in (FLOOD, FLOOD.replace("3,100", "98"), FLOOD.replace(".66", ".67")):
        ListenerStatus.objects.update(warnings=[words])
        found += keys(console.get("/"))
    assert found[0] == found[1] != found[2]


def test_the_listeners_counts_can_be_read(administrator, listener):
    now = timezone.now()
    ListenerStatus.objects.update(
        counters={"sighted": 61000, "kernel_drops": 7, HOSTILE: 1, "a_new_one": 2}, warnings=[BUFFER, HOSTILE],
        heard_at={"eth0": now.isoformat(), HOSTILE: HOSTILE},
    )  # fmt: skip
    page = signed_in(administrator).get(f"/admin/sipmcast/listenerstatus/{listener.pk}/change/").content.decode()
    for words in ("61,000 SUBSCRIBEs of phones that we serve", "7 datagrams thrown away by the kernel", "2 a new one"):
        assert words in page
    assert BUFFER in page and HOSTILE not in page


@pytest.mark.browser
@pytest.mark.django_db(transaction=True)
def test_a_warning_is_put_aside_for_those_who_say_it_and_not_for_others(live_server, administrator, listener):
    cast.seen()
    client, now = signed_in(administrator), timezone.now()

    def page_when(**phones: str) -> str:
        """The list while these listeners tell of a flood of so many phones."""
        ListenerStatus.objects.all().delete()
        for name, count in phones.items():
            said = [FLOOD.replace("3,100", count)]
            ListenerStatus.objects.create(name=name, started_at=now, heartbeat_at=timezone.now(), warnings=said)
        return client.get("/").content.decode()

    pages = [
        page_when(lab="3,100"),
        page_when(annex="98", lab="4,200"),
        page_when(annex="98", berlin="77", lab="4,200"),
        page_when(annex="98", berlin="77", cellar="5", lab="4,200"),
        page_when(annex="98", berlin="500", lab="4,200"),
    ]
    shown = []
    session = client.cookies[configured.SESSION_COOKIE_NAME].value
    with narrow_page(live_server.url, session) as page:
        page.route("**/rows/**", lambda route: route.abort())
        page.route(f"{live_server.url}/", lambda route: route.fulfill(body=pages.pop(0), content_type="text/html"))
        for puts_aside in (True, False, True, False, False):
            page.goto(f"{live_server.url}/")
            page.wait_for_selector("[data-testid=connection]:not([data-state=connecting])")  # the scripts run
            notice = page.get_by_test_id("listener-warning")
            shown.append(notice.locator(".gs-break").inner_text() if notice.is_visible() else "")
            if puts_aside:
                notice.locator("[data-act=hush]").click()
    assert shown == [
        FLOOD,
        f"The listener annex says: {FLOOD.replace('3,100', '98')}",
        f"2 listeners (annex, berlin) say: {FLOOD.replace('3,100', '98')}",
        f"The listener cellar says: {FLOOD.replace('3,100', '5')}",
        "",
    ]


@pytest.mark.browser
@pytest.mark.django_db(transaction=True)
def test_a_warning_that_was_put_aside_stays_away_until_it_begins_anew(live_server, administrator, listener):
    cast.applied(cast.assigned())
    session = signed_in(administrator).cookies[configured.SESSION_COOKIE_NAME].value
    warning = "[data-testid=listener-warning]"
    rows = {"words": ""}

    def fulfil(route):
        body = route.fetch().text().replace("3,100", "4,200")
        route.fulfill(body=body if rows["words"] != "gone" else re.sub(r"data-hush-key=\S+", "", body))

    ListenerStatus.objects.update(warnings=[FLOOD], heartbeat_at=timezone.now() + timedelta(minutes=5))
    with narrow_page(live_server.url, session) as page:
        page.goto(f"{live_server.url}/")
        page.click(f"{warning} [data-act=hush]")
        page.wait_for_selector(warning, state="hidden")
        page.reload()
        after_reload = page.is_visible(warning)
        page.goto(f"{live_server.url}{URL}")
        on_the_phones_page = page.is_visible(warning)
        page.route("**/rows/*", fulfil)
        page.goto(f"{live_server.url}/")
        page.wait_for_selector(f"{warning}:has-text('4,200')", state="attached")  # it came by the next poll
        grown = page.is_visible(warning)
        rows["words"] = "gone"
        page.wait_for_selector(f"{warning}:not([data-hush-key])", state="attached")
        rows["words"] = ""
        page.wait_for_selector(f"{warning}[data-hush-key]", state="visible")
    assert (after_reload, on_the_phones_page, grown) == (False, False, False)


# --- small things ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("path", "active"), [("/", True), (URL, True), ("/doctor/", False), (LIST, False)])
def test_the_sidebar_marks_phones_on_the_pages_of_phones_only(console, phone, path, active, rf):
    assert is_console(rf.get(path)) is active


def test_a_time_in_the_admin_names_its_zone(administrator, phone):
    words = signed_in(administrator).get("/admin/provisioning/notify/").content.decode()
    assert re.search(r"\d\d:\d\d:\d\d UTC", words)


def test_an_account_without_a_password_is_said_to_be_one(console):
    phone = cast.seen()
    hint = r'<p class="gs-hint" data-no-password role="status">No password'
    assert re.search(hint, console.get(f"{URL}assign/").content.decode())
    cast.save(phone)
    assert re.search(r'data-no-password role="status" hidden', console.get(f"{URL}assign/").content.decode())


@pytest.mark.parametrize("page", ["/", "/overview/"])
def test_how_a_listener_is_started_is_said_for_every_way_of_running(console, phone, page):
    ListenerStatus.objects.update(heartbeat_at=timezone.now() - timedelta(hours=1))
    words = console.get(page).content.decode()
    for way in ("<code>gspnp-listen</code>", "<code>listen</code>", "<code>make run</code>"):
        assert way in words
