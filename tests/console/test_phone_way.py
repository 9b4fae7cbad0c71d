"""The way as a picture: what is reached, what is waited for, where it stopped, how long it took; and beside it."""

import html
import re

import pytest

from devices import inventory
from devices.models import Phone
from provisioning import stuck
from sipmcast.models import ListenerStatus
from tests import cast

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("clock")]
URL = f"/phones/{cast.MAC}/"
STATION = re.compile(r'<li class="gs-way-(\w+)([^"]*)"[^>]*><span class="gs-way-icon">(.*?)</li>', re.DOTALL)


def stations(console) -> dict[str, tuple[str, str]]:
    """Station -> its state, and what a person can read there."""
    words = html.unescape(console.get(URL).content.decode())
    found = {}
    for name, classes, inner in STATION.findall(words):
        state = [one.removeprefix("gs-") for one in classes.split() if one != "gs-current"]
        found[name] = (state[0] if state else "ahead", " ".join(re.sub(r"<[^>]*>", " ", inner).split()))
    return found


def states(console) -> str:
    return " ".join(f"{name}:{state}" for name, (state, _) in stations(console).items())


@pytest.fixture
def listening(db, clock):
    """A listener that goes on beating."""

    def beat():
        ListenerStatus.objects.update_or_create(
            name="lab", defaults={"started_at": cast.NOON, "heartbeat_at": clock.at, "interfaces": ["eth0 (10.0.0.1)"]}
        )

    beat()
    return beat


def test_nothing_is_waited_for_before_somebody_assigns_it(console, listening):
    cast.seen()
    assert states(console) == "seen:done assigned:ahead notified:ahead fetched:ahead applied:ahead online:ahead"


def test_what_comes_next_is_alive_and_says_since_when(console, listening):
    cast.delivered(cast.assigned())
    assert states(console) == "seen:done assigned:done notified:done fetched:waiting applied:ahead online:ahead"
    assert "waited for" in stations(console)["fetched"][1]
    assert "waiting since" in stations(console)["fetched"][1]


def test_each_station_says_how_long_it_took_the_phone(console, clock, listening):
    version = cast.assigned()
    clock.forward(3)
    cast.delivered(version)
    clock.forward(30)
    cast.download(cast.first_path(version))
    clock.forward(minutes=2)
    cast.download(cast.steady_path(version))
    found = stations(console)
    assert "after 3 seconds" in found["notified"][1]
    assert "after 30 seconds" in found["fetched"][1]
    assert "after 2 minutes" in found["applied"][1]
    assert "after" not in found["seen"][1] + found["assigned"][1]


def test_where_it_stopped_is_marked_with_the_reason_below(console, clock, listening):
    cast.delivered(cast.assigned())
    clock.forward(minutes=6)
    listening()
    stuck.explain_all()
    assert stations(console)["fetched"][0] == "stopped"
    assert "stopped before this" in stations(console)["fetched"][1]
    assert "asked this server for nothing" in console.get(URL).content.decode()


def test_a_lost_answer_is_not_seen_and_not_still_to_come(console, listening):
    version = cast.assigned()
    cast.sent(version)
    cast.download(cast.first_path(version))
    assert stations(console)["notified"][0] == "done"
    assert "not seen" in stations(console)["notified"][1]


def test_an_encrypted_file_has_a_station_for_its_key(console, settings, listening):
    settings.GSPNP_FILE_FORMAT = "encrypted"
    version = cast.assigned()
    cast.delivered(version)
    assert "key:waiting fetched:ahead" in states(console)
    assert cast.ask(cast.first_path(version)).status == 200
    assert "key:done fetched:waiting" in states(console)
    assert "starts up once more" in console.get(URL).content.decode()


def test_a_key_that_the_phone_has_is_passed_when_it_is_notified(console, clock, settings, listening):
    settings.GSPNP_FILE_FORMAT = "encrypted"
    first = cast.assigned()
    cast.delivered(first)
    for path in (cast.first_path(first), cast.first_path(first, f"cfg{cast.MAC}.xml"), cast.steady_path(first)):
        cast.ask(path)
    clock.forward(minutes=5)
    listening()
    second = cast.save(first.phone, cast.draft(display_name="Tess II")).config_file
    assert "notified:waiting key:ahead fetched:ahead" in states(console)
    cast.delivered(second)
    assert "notified:done key:done fetched:waiting" in states(console)
    assert "has the key of its file already" in stations(console)["key"][1]
    clock.forward(3)
    cast.ask(cast.first_path(second, f"cfg{cast.MAC}.xml"))
    assert "after 3 seconds" in stations(console)["fetched"][1], "counted from the NOTIFY, not from the old key"


def test_an_applied_phone_that_answers_has_come_to_the_end(console, listening):
    cast.applied(cast.assigned())
    assert states(console).endswith("applied:done online:ahead")
    Phone.objects.update(online=True, online_at=cast.NOON, rtt_ms=3.4)
    assert states(console).endswith("applied:done online:done")
    assert "answers, 3 ms" in stations(console)["online"][1]


def test_one_that_answers_before_its_turn_says_so_and_nothing_ahead_reads_as_done(console, listening):
    cast.assigned()
    Phone.objects.update(online=True, online_at=cast.NOON, rtt_ms=3.4)
    assert states(console).endswith("applied:ahead online:already")
    found = {name: words for name, (_, words) in stations(console).items()}
    assert "answers, 3 ms" in found["online"] and "not yet" not in found["online"]
    assert "has to answer our NOTIFY" in found["notified"] and "has to take its file" in found["fetched"]
    assert "has to prove that it uses it" in found["applied"]


def test_one_that_went_away_says_what_to_look_at(console, clock, listening):
    cast.applied(cast.assigned())
    clock.forward(60)
    listening()
    Phone.objects.update(online=False, online_at=clock.at)
    assert states(console).endswith("applied:done online:stopped")
    assert 'data-testid="offline-words"' in console.get(URL).content.decode()


def test_a_phone_beside_the_way_says_so_and_how_it_comes_back(console):
    phone = cast.seen()
    inventory.ignore(phone.pk, "tess")
    words = console.get(URL).content.decode()
    assert stations(console) == {}
    assert "heard and answered, and never notified" in words and "Ignored by tess." in words
    cast.save(phone)
    inventory.ignore(phone.pk, "tess")
    assert "Its configuration is kept" in console.get(URL).content.decode()
    Phone.objects.update(stage="retired", stage_reason="")
    assert "It is out of use" in console.get(URL).content.decode()


def test_a_phone_that_was_never_heard_is_to_be_plugged_in(console, listening):
    phone = inventory.prestage(cast.MAC, "GXP1628", "", "tess")
    assert "Assign it, or plug it in." in console.get(URL).content.decode()
    cast.save(phone)
    words = console.get(URL).content.decode()
    assert "plugged in" in words and "about to be sent" not in words
    assert re.search(r'class="gs-way-seen[^"]*gs-waiting', words)
