"""The page of listeners, and where else a silent one is told of: wherever somebody would wait for phones in vain."""

import json
from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from devices import alarms, inventory
from devices.choices import AlarmKind
from devices.models import Alarm, Phone
from gspnp.console.models import Change
from provisioning.models import Notify
from sipmcast.models import ListenerStatus
from tests import cast

pytestmark = pytest.mark.django_db
ANNEX = "pbx/annex/all/224.0.1.75:5060"
HOSTILE = "<script>alert(1)</script>"
WAITS = ("/", "/rows/", "/overview/", "/overview/live/", "/phones/import/", "/extensions/", "/jobs/", "/settings/")


@pytest.fixture
def annex(listener) -> ListenerStatus:
    """A second one, of another site, that has been silent for a minute."""
    then = timezone.now() - timedelta(minutes=1)
    return ListenerStatus.objects.create(
        name=ANNEX, site="annex", started_at=then, heartbeat_at=then, interfaces=["eth0 (10.1.0.1)"],
        counters={"sighted": 1234, "held": 2, "a_count_of_tomorrow": 3}, heard_at={"eth0": then.isoformat(), "x": "?"},
    )  # fmt: skip


@pytest.fixture
def phone_of_annex() -> Phone:
    inventory.record_sightings([cast.sighting()], cast.unknown, site="annex")
    cast.save(Phone.objects.get())
    return Phone.objects.get()


@pytest.mark.parametrize("page", ["/listeners/", "/listeners/live/"])
def test_listeners_are_shown_by_site_with_what_they_say(console, annex, page):
    ListenerStatus.objects.filter(name="lab").update(warnings=[HOSTILE], trouble="eth9 is gone")
    words = console.get(page).content.decode()
    assert words.index("Default site") < words.index("Site annex") < words.index(ANNEX)
    for said in ("Silent", "1,234", "eth0 (10.1.0.1)", "a count of tomorrow", "eth9 is gone", "Last SUBSCRIBE on eth0"):
        assert said in words, said
    assert HOSTILE not in words and "&lt;script&gt;" in words
    assert words.count('data-testid="forget-listener"') == 1, "one that lives is not forgotten"


@pytest.mark.parametrize("page", WAITS)
def test_a_silent_listener_is_told_of_wherever_somebody_would_wait(console, annex, page):
    cast.seen()
    assert f"The listener {ANNEX} of site annex is silent" in console.get(page).content.decode()
    ListenerStatus.objects.filter(pk=annex.pk).update(stopped_at=timezone.now())
    assert ANNEX not in console.get(page).content.decode().replace(f"<b>{ANNEX}", "").split("ov-parts")[0]


def test_who_has_dismissed_its_alarm_is_not_told_on_every_page(console, annex):
    ListenerStatus.objects.filter(pk=annex.pk).update(alarmed_at=timezone.now())
    alarms.raise_alarm(AlarmKind.LISTENER, ANNEX)
    assert ANNEX in console.get("/jobs/").content.decode()
    assert "no phone is heard or told anything where it ran" in console.get("/alarms/").content.decode()
    alarms.dismiss(Alarm.objects.get().pk, "tess")
    assert ANNEX not in console.get("/jobs/").content.decode()
    assert "Silent" in console.get("/listeners/").content.decode()


def test_an_alarm_that_ended_by_itself_names_nobody(console):
    alarms.raise_alarm(AlarmKind.LISTENER, ANNEX)
    alarms.end(AlarmKind.LISTENER, ANNEX, "It is heard of again.")
    assert "by itself" in console.get("/alarms/").content.decode()


@pytest.mark.parametrize("page", ["/rows/", f"/phones/{cast.MAC}/"])
def test_a_phone_of_the_silent_site_says_which_listener_it_waits_for(console, annex, phone_of_annex, page):
    assert f"Waiting for the listener {ANNEX}, which heard it last" in console.get(page).content.decode()
    ListenerStatus.objects.filter(pk=annex.pk).update(heartbeat_at=timezone.now())
    assert "Waiting for the listener" not in console.get(page).content.decode()


def test_whoever_asks_a_phone_there_is_told_that_it_waits(console, annex, phone_of_annex):
    Notify.objects.update(state="refused", settled_at=timezone.now())
    answer = console.post(f"/phones/{cast.MAC}/notify/", {"host": cast.HOST})
    assert ANNEX in answer.json()["message"]


def test_a_phone_that_is_set_up_for_another_site_says_who_tells_it(console, listener, phone_of_annex):
    inventory.move(phone_of_annex.pk, "berlin", "tess")
    assert "by the listener of site annex" in console.get(f"/phones/{cast.MAC}/").content.decode()


def test_one_that_is_gone_is_forgotten_and_its_phones_are_told_by_whoever_reaches_them(console, annex, phone_of_annex):
    answer = console.post("/listeners/forget/", {"name": ANNEX}, follow=True)
    assert f"The listener {ANNEX} is forgotten." in answer.content.decode()
    assert not ListenerStatus.objects.filter(name=ANNEX).exists()
    assert Phone.objects.get().heard_site is None
    entry = Change.objects.get(deed="listener_forget")
    assert entry.after == {"name": ANNEX}


def test_one_that_lives_is_not_forgotten(console, listener):
    answer = console.post("/listeners/forget/", {"name": "lab"}, follow=True)
    assert "stop it first" in answer.content.decode()
    assert ListenerStatus.objects.filter(name="lab").exists()
    assert not Change.objects.filter(deed="listener_forget").exists()


def test_at_the_command_line(annex):
    call_command("listeners", "--json", stdout=(out := StringIO()))
    assert [(one["site"], one["state"]) for one in json.loads(out.getvalue())] == [("", "well"), ("annex", "away")]
    call_command("listeners", stdout=(out := StringIO()))
    assert ANNEX in out.getvalue()
    with pytest.raises(CommandError, match="lab"):
        call_command("listeners", "--forget", ANNEX, "--forget", "lab", stdout=StringIO())
    assert list(ListenerStatus.objects.values_list("name", flat=True)) == ["lab"]
