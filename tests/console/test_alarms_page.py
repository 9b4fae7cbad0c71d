"""Alarms that belong to no phone, in the console: shown where people look, dismissed by a person, and decoys."""

import json
from io import StringIO

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.test import Client

from devices import alarms, decoys
from devices.choices import AlarmKind
from devices.models import Alarm, Decoy
from tests import cast
from tests.console.conftest import signed_in

pytestmark = pytest.mark.django_db
SCANNER = "10.0.0.66"
DECOY = "000B82DEC001"
PAGES = ("/", "/rows/", "/overview/", "/overview/live/", "/alarms/", "/alarms/live/")


@pytest.fixture
def alarm(clock) -> Alarm:
    alarms.raise_alarm(AlarmKind.DECOY_HTTP, SCANNER, mac=DECOY)
    return alarms.open_alarms()[0]


@pytest.mark.parametrize("page", PAGES)
def test_an_alarm_stands_where_people_look_also_before_the_first_phone(console, alarm, page):
    words = "10.0.0.66 asked for the file of the decoy 00:0B:82:DE:C0:01"
    assert words in console.get(page).content.decode()
    cast.seen()
    assert words in console.get(page).content.decode()
    alarms.dismiss(alarm.pk, "tess")
    assert (words in console.get(page).content.decode()) == page.startswith("/alarms/")


def test_a_person_dismisses_it_and_the_page_says_who(console, alarm):
    url = f"/alarms/{alarm.pk}/dismiss/"
    assert console.post(url).json()["message"] == "Alarm dismissed."
    assert "settled already" in console.post(url).json()["message"]
    assert console.post(f"/alarms/{10**30}/dismiss/").status_code == 200
    alarm.refresh_from_db()
    assert alarm.dismissed_by == "tess"
    page = console.get("/alarms/").content.decode()
    assert "by tess" in page and f'data-alarm="{alarm.pk}"' not in page


def test_all_that_were_shown_are_dismissed_and_one_that_came_meanwhile_stays(console, alarm):
    alarms.raise_alarm(AlarmKind.FLOOD, SCANNER, count=3)
    shown = [one.pk for one in alarms.open_alarms()]
    alarms.raise_alarm(AlarmKind.NAMES, SCANNER, count=30)
    console.post("/alarms/dismiss/", {"alarm": [*shown, "x", "9" * 40]})
    assert [one.kind for one in alarms.open_alarms()] == [AlarmKind.NAMES]


POSTS = ("/alarms/dismiss/", "/alarms/1/dismiss/", "/alarms/decoys/add/", "/alarms/decoys/make/",
         f"/alarms/decoys/{DECOY}/remove/")  # fmt: skip


@pytest.mark.parametrize("url", POSTS)
def test_who_may_only_look_dismisses_and_changes_nothing(viewer, alarm, url):
    decoys.add(DECOY, by="tess")
    assert signed_in(viewer).post(url, {"alarm": alarm.pk, "mac": cast.MAC, "count": 3}).status_code == 403
    assert Client(headers={"host": "localhost"}).post(url, {"alarm": alarm.pk}).status_code == 302
    assert signed_in(viewer).get(url).status_code == 405
    assert Decoy.objects.count() == 1 and len(alarms.open_alarms()) == 1
    page = signed_in(viewer).get("/alarms/").content.decode()
    assert "<form" not in page.partition('data-testid="decoys"')[2].partition("</section>")[0]


def test_decoys_are_made_listed_and_removed_on_the_page(console):
    cast.seen()
    console.post("/alarms/decoys/make/", {"count": "4"})
    assert Decoy.objects.count() == 4
    console.post("/alarms/decoys/add/", {"mac": "00-0b-82-de-c0-01", "note": "<b>trap</b>"})
    page = console.get("/alarms/").content.decode()
    assert "00:0B:82:DE:C0:01" in page and "&lt;b&gt;trap" in page and "<b>trap" not in page
    console.post(f"/alarms/decoys/{DECOY}/remove/")
    assert not Decoy.objects.filter(mac=DECOY).exists()


def test_a_decoy_that_is_a_phone_by_now_is_said(console):
    decoys.add(cast.MAC, by="tess")
    words = "A phone in the list by now, and no decoy"
    assert words not in console.get("/alarms/").content.decode()
    cast.seen()
    assert words in console.get("/alarms/").content.decode()


@pytest.mark.parametrize(
    ("url", "said", "words"),
    [("add", {"mac": cast.MAC}, "is a phone in the list"), ("add", {"mac": "xyz"}, "hex digit"),
     ("add", {}, "MAC from the phone"),
     ("make", {"count": "51"}, "1 to 50"), ("make", {"count": "-1"}, "1 to 50"), ("make", {"count": "٣"}, "1 to 50")],
)  # fmt: skip
def test_what_cannot_be_done_is_said(console, url, said, words):
    cast.seen()
    answer = console.post(f"/alarms/decoys/{url}/", said, follow=True)
    assert words in answer.content.decode() and Decoy.objects.count() == 0


def test_every_kind_has_words_of_its_own_for_one_source_and_for_several():
    found = {
        alarms.words(Alarm(kind=kind, source=source, mac=DECOY if "decoy" in kind else "", count=1234))
        for kind in AlarmKind
        for source in (SCANNER, "")
    }
    assert len(found) == 2 * len(AlarmKind)
    assert all("1,234" in words or "silent" in words for words in found), "silence is not counted"


def test_alarms_at_the_command_line(alarm):
    call_command("alarms", "--json", stdout=(out := StringIO()))
    (said,) = json.loads(out.getvalue())
    assert said["source"] == SCANNER and said["id"] == alarm.pk
    call_command("alarms", stdout=(out := StringIO()))
    assert "00:0B:82:DE:C0:01" in out.getvalue()
    call_command("alarms", "--dismiss", str(alarm.pk), stdout=(out := StringIO()))
    assert out.getvalue() == "" and "command line" in Alarm.objects.get().dismissed_by
    with pytest.raises(CommandError, match="Not open"):
        call_command("alarms", "--dismiss", str(alarm.pk))


def test_decoys_at_the_command_line():
    call_command("decoys", "--add", DECOY, "--note", "trap", "--make", "2", stdout=StringIO())
    out = StringIO()
    call_command("decoys", "--json", stdout=out)
    assert len(json.loads(out.getvalue())) == 3
    call_command("decoys", "--remove", DECOY, stdout=(out := StringIO()))
    assert "DE:C0:01" not in out.getvalue() and Decoy.objects.count() == 2
    with pytest.raises(CommandError, match="1 to 50"):
        call_command("decoys", "--make", "0")
