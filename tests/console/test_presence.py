"""Is a phone there, and is it itself: the words, the one rule behind them, and the filters."""

import re
from datetime import timedelta

import pytest
from django.utils import timezone

from devices.choices import Neighbour
from devices.mac import colons
from devices.models import Phone
from provisioning import commands
from provisioning.models import ConfigFile, NotifyKind
from sipmcast.models import ListenerStatus
from tests import cast
from tests.console.conftest import signed_in
from tests.console.test_admin_phones import LIST
from tests.console.test_phone_list import macs, row

pytestmark = pytest.mark.django_db
URL = f"/phones/{cast.MAC}/"
AN_HOUR = timedelta(hours=1)


def is_so(online: bool | None, **changes) -> None:
    """What the roll call has written: since an hour ago, and nothing was heard since."""
    now = timezone.now()
    times = {"online_at": now - AN_HOUR, "last_seen_at": now - 2 * AN_HOUR}
    Phone.objects.filter(mac=cast.MAC).update(**({"online": online} | times | changes))


def reach(answer) -> tuple[str, str]:
    """State and words, as the page shows them."""
    found = re.search(r'data-testid="reach" data-reach="(\w+)".*?</span></span>', answer.content.decode(), re.DOTALL)
    return (found[1], re.sub(r"<[^>]+>", "", found[0].partition(">")[2])) if found else ("", "")


@pytest.fixture
def phone(listener) -> ConfigFile:
    return cast.applied(cast.assigned())


@pytest.mark.parametrize("page", ["/", URL, f"{URL}live/"])
def test_online_offline_and_not_known_stand_in_words(console, phone, page):
    is_so(True, rtt_ms=3.2)
    state, words = reach(console.get(page))
    assert state == "online"
    assert words.startswith("Online 3 ms, since ")
    is_so(False)
    state, words = reach(console.get(page))
    assert state == "offline"
    assert words.startswith("Offline since ")
    is_so(None, online_at=None)
    assert reach(console.get(page)) == ("unknown", "Not asked yet")


def test_what_cannot_be_asked_says_why(console, phone):
    is_so(None)
    ConfigFile.objects.update(silent_because="its configuration uses SIP over TCP")
    assert reach(console.get(URL)) == ("unknown", "Not known: it cannot be asked: its configuration uses SIP over TCP")
    assert reach(console.get("/")) == ("unknown", "Not known: its configuration uses SIP over TCP")


def test_the_reason_is_that_of_the_applied_version(console, phone):
    is_so(None)
    ConfigFile.objects.update(silent_because="its configuration uses SIP over TLS")
    cast.save(phone.phone, cast.draft(display_name="Other"))
    assert "SIP over TLS" in reach(console.get(URL))[1]


def test_a_sign_of_life_makes_offline_stale(console, phone, administrator):
    is_so(False, last_seen_at=timezone.now())
    state, words = reach(console.get("/"))
    assert (state, words.startswith("Online since ")) == ("online", True)
    assert macs(console.get("/", {"reach": "online"})) == [cast.MAC]
    assert macs(console.get("/", {"reach": "offline"})) == []
    admin_browser = signed_in(administrator)
    assert "00:0B:82:27:3B:89" in admin_browser.get(LIST, {"reach": "online"}).content.decode()


def test_without_a_listener_what_was_known_is_past(console, phone):
    is_so(True, rtt_ms=3.2)
    ListenerStatus.objects.update(heartbeat_at=timezone.now() - timedelta(minutes=5))
    state, words = reach(console.get("/"))
    assert state == "unknown"
    assert words.startswith("Was online since ")
    assert "no listener runs" in words


def test_where_nobody_asks_it_is_said(console, phone, settings):
    settings.GSPNP_OPTIONS_SECONDS = 0
    is_so(None)
    assert "GSPNP_OPTIONS_SECONDS is 0" in reach(console.get(URL))[1]


def test_a_phone_without_a_configuration_of_ours_is_neither(console, listener):
    cast.seen()
    is_so(True)
    assert reach(console.get("/")) == ("", "")
    assert 'data-reach="online"' not in console.get("/").content.decode()
    assert macs(console.get("/", {"reach": "online"})) == []


@pytest.fixture
def four(phone) -> dict[str, str]:
    """An online, an offline, an unknown phone, and one that was only seen."""
    found = {"online": cast.MAC, "offline": "000B82000002", "unknown": "000B82000003", "seen": "000B82000004"}
    for name in ("offline", "unknown"):
        cast.assigned(found[name], f"10.0.0.2{len(name)}")
    cast.seen(found["seen"], "10.0.0.29")
    is_so(True, rtt_ms=1)
    now = timezone.now()
    Phone.objects.filter(mac=found["offline"]).update(online=False, online_at=now, last_seen_at=now - AN_HOUR)
    return found


def test_the_list_is_filtered_by_online_and_offline_beside_the_stage(console, four):
    assert macs(console.get("/", {"reach": "online"})) == [four["online"]]
    assert macs(console.get("/", {"reach": "offline"})) == [four["offline"]]
    assert macs(console.get("/", {"reach": "offline", "stage": "applied"})) == []
    assert len(macs(console.get("/", {"reach": "nonsense"}))) == 4
    words = console.get("/", {"reach": "offline", "stage": "assigned", "q": "10.0"}).content.decode()
    chips = dict(re.findall(r'data-chip="(online|offline)".*?<b data-count>(\d+)</b>', words))
    assert chips == {"online": "1", "offline": "1"}
    pressed = re.search(r'href="([^"]*)"[^>]*data-chip="offline" aria-current="true"', words)
    assert "reach" not in pressed[1] and "stage=assigned" in pressed[1] and "q=10.0" in pressed[1]


def test_the_admin_shows_and_filters_both(administrator, four):
    browser = signed_in(administrator)
    Phone.objects.filter(mac=four["offline"]).update(neighbour=Neighbour.MISMATCH)
    whole = browser.get(LIST).content.decode()
    assert "Online" in whole and "Offline" in whole and "Another device" in whole
    for query, name in (
        ({"reach": "online"}, "online"),
        ({"reach": "offline"}, "offline"),
        ({"reach": "unknown"}, "unknown"),
        ({"neighbour__exact": "mismatch"}, "offline"),
    ):
        words = browser.get(LIST, query).content.decode()
        shown = [mac for mac in four.values() if colons(mac) in words]
        assert shown == [four[name]], query
    pk = Phone.objects.get(mac=four["online"]).pk
    assert "Online, 1 ms, since" in re.sub(r"<[^>]+>", "", browser.get(f"{LIST}{pk}/change/").content.decode())


@pytest.mark.parametrize(
    ("verdict", "words"),
    [(Neighbour.MATCH, "MAC verified"), (Neighbour.MISMATCH, "another device"), (Neighbour.UNKNOWN, "not known")],
)
def test_the_neighbour_tables_verdict_stands_on_the_page_and_only_a_mismatch_in_the_list(
    console, phone, verdict, words
):
    Phone.objects.update(neighbour=verdict)
    page = console.get(URL).content.decode()
    assert words in re.search(r'data-testid="neighbour".*?</dd>', page, re.DOTALL)[0]
    assert ('data-testid="mismatch"' in row(console.get("/"), cast.MAC)) == (verdict is Neighbour.MISMATCH)


def test_a_list_asks_the_database_no_more_often_for_many_phones(console, listener, django_assert_max_num_queries):
    for number in range(12):
        version = cast.assigned(f"000B8200010{number:X}", f"10.0.0.{30 + number}")
        commands.send(version.phone_id, NotifyKind.REBOOT, "tess", f"10.0.0.{30 + number}")
    with django_assert_max_num_queries(24):
        assert len(macs(console.get("/rows/"))) == 12
