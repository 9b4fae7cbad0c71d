"""The list as each person likes it: columns of their own, and filters that stand in the URL."""

import re

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from devices.models import Phone
from gspnp.console import columns
from gspnp.console.models import ListColumns
from gspnp.console.tables import PAGE_ROWS, SORTS
from sipmcast.models import ListenerStatus
from tests import cast
from tests.console.conftest import signed_in
from tests.console.test_phone_list import macs, row

pytestmark = pytest.mark.django_db


def heads(answer) -> list[str]:
    thead = re.search(r"<thead>.*?</thead>", answer.content.decode(), re.DOTALL)[0]
    return [name for name in re.findall(r'class="gs-col-(\w+)"', thead) if name not in ("pick", "do")]


def test_columns_are_kept_for_each_person_in_their_order(console, viewer):
    cast.assigned()
    Phone.objects.update(site="berlin")
    assert heads(console.get("/")) == list(columns.DEFAULT)
    assert console.post("/columns/", {"column": ["extension", "mac", "site", "others"]}).status_code == 200
    answer = console.get("/rows/")
    assert heads(answer) == ["extension", "mac", "site", "others"]
    cells = re.findall(r'class="gs-col-(\w+)', row(answer, cast.MAC))
    assert cells == ["pick", "extension", "mac", "site", "others", "do"]
    assert "berlin" in row(answer, cast.MAC)
    assert heads(signed_in(viewer).get("/")) == list(columns.DEFAULT)


def test_the_mac_cannot_be_taken_away_and_what_is_no_column_is_passed_over(console):
    cast.seen()
    console.post("/columns/", {"column": ["site", "password", "site", "<b>"]})
    assert heads(console.get("/")) == ["mac", "site"]


def test_the_usual_columns_come_back(console):
    cast.seen()
    console.post("/columns/", {"column": ["mac"]})
    console.post("/columns/")
    assert heads(console.get("/")) == list(columns.DEFAULT)
    assert not ListColumns.objects.exists()


def test_the_dialog_offers_all_columns_the_shown_ones_first(console):
    cast.seen()
    console.post("/columns/", {"column": ["seen", "mac"]})
    offered = re.findall(
        r'type="checkbox" name="column" value="(\w+)"( checked)?', console.get("/columns/").content.decode()
    )
    assert offered[:2] == [("seen", " checked"), ("mac", " checked")]
    assert {name for name, _ in offered} == set(columns.LABELS)


def test_every_column_shows_and_sorts_without_stumbling_over_a_bare_phone(console):
    cast.seen()
    cast.assigned(cast.OTHER_MAC, "10.0.0.30")
    console.post("/columns/", {"column": list(columns.LABELS)})
    for name in SORTS:
        for sort in (name, f"-{name}"):
            assert sorted(macs(console.get("/", {"sort": sort}))) == sorted([cast.MAC, cast.OTHER_MAC])


def test_who_has_no_extension_stands_last_whichever_way_it_is_sorted(console):
    cast.seen()
    cast.assigned(cast.OTHER_MAC, "10.0.0.30")
    for sort in ("extension", "-extension", "name", "-name"):
        assert macs(console.get("/", {"sort": sort})) == [cast.OTHER_MAC, cast.MAC]


@pytest.fixture
def four(db) -> None:
    for number, (model, site) in enumerate(
        (("GXP1628", ""), ("GXP1628", "lyon"), ("GXP1630", "lyon"), ("GXP1630", ""))
    ):
        cast.seen(f"000B8200000{number}", f"10.0.1.{number}", model=model, firmware=f"1.0.7.{number}")
        Phone.objects.filter(mac=f"000B8200000{number}").update(site=site)


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ({"model": "GXP1628"}, [0, 1]),
        ({"site": "lyon"}, [1, 2]),
        ({"site": "."}, [0, 3]),
        ({"firmware": "1.0.7.3"}, [3]),
        ({"model": "GXP1630", "site": "lyon"}, [2]),
        ({"model": "GXP1630", "q": "10.0.1.3"}, [3]),
        ({"model": "GXP9999"}, []),
        ({"model": "\0"}, [0, 1, 2, 3]),
        ({"site": "' OR 1"}, []),
    ],
)
def test_filters_by_what_a_phone_is_and_where_it_stands(console, four, asked, found):
    assert sorted(macs(console.get("/", asked))) == [f"000B8200000{number}" for number in found]


def test_only_values_that_exist_are_offered_and_each_can_be_removed(console, four):
    words = console.get("/filters/?model=GXP1628&q=x").content.decode()
    assert re.findall(r'data-value="([^"]*)"', words) == [
        "GXP1628", "GXP1630", "1.0.7.0", "1.0.7.1", "1.0.7.2", "1.0.7.3", ".", "lyon"
    ]  # fmt: skip
    assert 'href="?q=x&amp;model=GXP1628&amp;site=lyon"' in words
    chips = console.get("/?model=GXP1628&site=.").content.decode()
    assert re.findall(r'href="([^"]*)"[^>]*data-filter="(\w+)"', chips) == [
        ("?site=.", "model"),
        ("?model=GXP1628", "site"),
    ]
    assert "default site" in chips


def test_a_hostile_model_is_text_everywhere(console):
    evil = '<img src=x onerror="alert(1)">'
    cast.seen(model=evil)
    for path in ("/filters/", f"/?model={evil}", "/"):
        assert evil not in console.get(path).content.decode()
    assert macs(console.get("/", {"model": evil})) == [cast.MAC]


def test_sites_are_offered_only_where_there_is_one(console):
    cast.seen()
    assert "filter-site" not in console.get("/filters/").content.decode()


def test_firmware_versions_are_offered_in_their_order(console):
    for number, version in enumerate(("1.0.7.13", "1.0.7.6", "1.0.10.1")):
        cast.seen(f"000B8200000{number}", f"10.0.1.{number}", firmware=version)
    offered = re.findall(r'data-value="(1[^"]*)"', console.get("/filters/").content.decode())
    assert offered == ["1.0.7.6", "1.0.7.13", "1.0.10.1"]


@pytest.mark.parametrize("sort", ["-new", "mac", "extension", "-seen", "stage", "reach"])
def test_paging_from_either_end_shows_every_phone_once_in_one_order(console, sort):
    seen = [cast.sighting(f"000B82AA{n:04X}", f"10.0.{n // 200}.{n % 200 + 1}") for n in range(4 * PAGE_ROWS + 7)]
    cast.inventory.record_sightings(seen, cast.unknown)
    pages = [macs(console.get("/", {"sort": sort, "page": page})) for page in range(1, 6)]
    assert [len(page) for page in pages] == [PAGE_ROWS] * 4 + [7]
    found = [mac for page in pages for mac in page]
    assert len(set(found)) == len(seen)
    if sort in ("-new", "mac"):
        assert found == sorted(found)
    assert "201–207 of 207" in console.get("/", {"sort": sort, "page": 99}).content.decode()


def test_the_counts_agree_with_what_is_listed(console):
    made = [cast.seen(f"000B820000{number:02X}", f"10.0.1.{number}") for number in range(1, 13)]
    for phone in made[:8]:
        cast.save(phone)
    pks = [phone.pk for phone in made]
    Phone.objects.filter(pk__in=pks[:3]).update(online=True, online_at=cast.NOON)
    Phone.objects.filter(pk__in=pks[3:5]).update(online=False, online_at=cast.NOON.replace(year=2100))
    Phone.objects.filter(pk=pks[5]).update(online=False, online_at=cast.NOON.replace(year=2000))
    Phone.objects.filter(pk=pks[8]).update(stage="ignored", online=True)
    Phone.objects.filter(pk=pks[6]).update(alarm="x", neighbour="mismatch", stage_reason="y")
    words = console.get("/").content.decode()
    counts = dict(re.findall(r'data-chip="(\w+)".*?<b data-count>(\d+)</b>', words))
    for name, parameter in (("online", "reach"), ("offline", "reach"), ("attention", "stage"), ("assigned", "stage")):
        assert counts[name] == str(len(macs(console.get("/", {parameter: name})))), name
    assert (counts["online"], counts["offline"], counts["attention"], counts["all"]) == ("4", "2", "1", "11")


@pytest.mark.parametrize("firmware", ["²", "1.0.7.٣", "①.1"])
def test_digits_that_are_no_number_keep_nobody_from_filtering(console, firmware):
    cast.seen(firmware=firmware)
    assert firmware in console.get("/filters/").content.decode()


def test_an_end_of_all_times_can_be_said_in_every_zone(console):
    console.cookies["gspnp_zone"] = "Pacific/Kiritimati"
    for end in (253_402_300_799, 253_402_214_399):
        assert console.get("/", {"only": f"arrived:0-{end}"}).status_code == 200


def test_the_chips_count_what_a_search_or_another_filter_leaves(console):
    cast.save(cast.seen("000B82000001", "10.0.1.1"))
    cast.seen("000B82000002", "10.0.1.2")
    for number in (3, 4):
        cast.seen(f"000B8200000{number}", f"10.0.2.{number}", model="GXP1610")
    Phone.objects.filter(mac="000B82000002").update(alarm="Claimed.")
    Phone.objects.filter(mac="000B82000001").update(online=True, online_at=cast.NOON)

    def chips(url: str) -> tuple[dict[str, str], list[str]]:
        words = console.get(url).content.decode()
        counts = dict(re.findall(r'data-chip="(\w+)".*?<b data-count>(\d+)</b>', words))
        return counts, re.findall(r'data-chip="(\w+)"[^>]* aria-current', words)

    everything, _ = chips("/")
    assert (everything["all"], everything["seen"], everything["online"]) == ("4", "3", "1")
    for narrowed in ("/?q=10.0.1", "/?model=GXP1628"):
        counts, lit = chips(narrowed)
        assert (counts["all"], counts["seen"], counts["assigned"], counts["attention"]) == ("2", "1", "1", "1")
        assert (counts["online"], counts["offline"], lit) == ("1", "0", ["all"])
    assert chips("/?only=alarm")[0]["all"] == "1"
    nothing = console.get("/?q=nosuchphone").content.decode()
    assert 'data-testid="nothing-found"' in nothing and re.search(r'data-chip="all".*?<b data-count>0<', nothing)


def test_with_listeners_at_two_sites_the_list_says_where_a_phone_is_until_a_person_wants_it_otherwise(
    console, listener
):
    phone = cast.seen()
    assert 'class="gs-col-site"' not in console.get("/").content.decode()
    now = timezone.now()
    ListenerStatus.objects.create(name="annex", site="annex", started_at=now, heartbeat_at=now)
    Phone.objects.filter(pk=phone.pk).update(site="annex")
    page = console.get("/").content.decode()
    assert re.search(r'<td class="gs-col-site"[^>]*>annex</td>', page)
    assert re.search(r'data-testid="site">annex<', console.get(f"/phones/{cast.MAC}/").content.decode())
    console.post("/columns/", {"column": list(columns.DEFAULT)})
    assert 'class="gs-col-site"' not in console.get("/").content.decode()
    console.post("/columns/", {})
    assert 'class="gs-col-site"' in console.get("/").content.decode()


@pytest.mark.parametrize("chosen", [columns.DEFAULT, columns.WITH_SITE])
@pytest.mark.parametrize("sites", [("",), ("", "annex")])
def test_a_choice_stays_one_although_it_is_usual_here_or_elsewhere(console, listener, chosen, sites):
    cast.seen()
    now = timezone.now()
    for number, site in enumerate(sites[1:]):
        ListenerStatus.objects.create(name=f"annex{number}", site=site, started_at=now, heartbeat_at=now)
    assert "<tr data-own>" not in console.get("/").content.decode()
    console.post("/columns/", {"column": list(chosen)})
    assert "<tr data-own>" in console.get("/").content.decode(), "it is shown as it was chosen, whatever room there is"
    ListenerStatus.objects.exclude(pk=listener.pk).delete()
    assert heads(console.get("/")) == list(chosen)
    ListenerStatus.objects.create(name="later", site="later", started_at=now, heartbeat_at=now)
    assert heads(console.get("/")) == heads(console.get("/rows/")) == list(chosen)


@pytest.mark.parametrize("page", ["/", "/rows/"])
def test_the_list_asks_for_the_listeners_once(console, listener, page):
    cast.assigned()
    with CaptureQueriesContext(connection) as made:
        console.get(page)
    assert sum("sipmcast_listenerstatus" in query["sql"] for query in made.captured_queries) == 1
