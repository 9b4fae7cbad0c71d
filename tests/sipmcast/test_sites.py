"""Two listeners of two sites with the same interface and the same address: each tells its own phones and no others."""

from datetime import timedelta
from unittest.mock import Mock

import pytest
from django.core.management import CommandError, call_command
from django.db import OperationalError
from django.utils import timezone

from devices import inventory
from devices.choices import AlarmKind
from devices.models import Alarm, LiveEvent, Phone
from gspnp.running import running
from provisioning import stuck
from provisioning.jobs import moves, runner
from provisioning.management.commands import work
from provisioning.models import ConfigFile, Job, Notify
from sipmcast import desk, reach, silence, status
from sipmcast.listener import Options
from sipmcast.management.commands.listen_pnp import instance_name
from sipmcast.models import STALE_SECONDS, ListenerStatus, is_fresh_at
from tests import cast

pytestmark = [pytest.mark.django_db, pytest.mark.db]
HERE, THERE = "pbx/berlin#1", "pbx/munich#1"


@pytest.fixture(autouse=True)
def seen_there():
    with cast.neighbours_say(cast.match("", "")):
        yield


def hear(site: str, **changes) -> None:
    inventory.record_sightings([cast.sighting(**changes)], cast.match, site=site)


def assigned(site: str) -> ConfigFile:
    hear(site)
    return cast.save(Phone.objects.get()).config_file


def look(site: str) -> list[int]:
    return [one.notify_id for one in desk.look(cast.LEGS, f"pbx/{site}#1", {}, 100, site).sends]


def test_only_the_listener_that_heard_it_tells_a_phone():
    assigned("berlin")
    assert look("munich") == []
    assert look("berlin") == [Notify.objects.get().pk]
    assert look("berlin") == look("munich") == []


def test_a_phone_that_moved_is_told_by_the_other():
    assigned("berlin")
    Phone.objects.update(last_seen_at=timezone.now() - timedelta(minutes=5))
    hear("munich", source_host="10.0.0.21")
    assert look("berlin") == []
    assert len(look("munich")) == 1


def test_a_phone_of_before_is_told_by_whoever_has_its_interface():
    assigned("berlin")
    Phone.objects.update(heard_site=None)
    assert len(look("munich")) == 1


def test_what_a_dead_listener_began_is_not_gone_on_with_from_another_site():
    assigned("berlin")
    look("berlin")
    Notify.objects.update(opened_at=timezone.now() - timedelta(minutes=3))
    desk.upkeep(cast.LEGS, THERE, set(), "munich")
    desk.upkeep({}, THERE, set(), "munich")
    assert Notify.objects.get().claimed_by == HERE and Notify.objects.get().state == "sending"
    desk.upkeep(cast.LEGS, "pbx/berlin#2", set(), "berlin")
    assert Notify.objects.get().claimed_by == "pbx/berlin#2"


def test_only_the_listener_that_heard_it_asks_whether_it_is_there():
    version = assigned("berlin")
    assert [one[0] for one in reach.whom(set(cast.LEGS), "berlin")] == [version.phone_id]
    assert reach.whom(set(cast.LEGS), "munich") == []


def test_two_sites_on_one_machine_are_two_listeners_also_where_names_are_long(monkeypatch):
    monkeypatch.setattr("socket.gethostname", lambda: "h" * 60)
    options = Options(["eth0" * 10], "224.0.1.75", 5060, 0, "auto", [], 1, 1)
    names = [instance_name(options, site) for site in ("", "a" * 40, "b" * 40)]
    assert len({name.partition("#")[0] for name in names}) == 3
    assert max(map(len, names)) <= Notify._meta.get_field("claimed_by").max_length
    assert max(len(name.partition("#")[0]) for name in names) <= ListenerStatus._meta.get_field("name").max_length


def test_a_site_that_no_phone_can_have_is_refused_at_once():
    for name in ("a b", "x" * 41, "ü"):
        with pytest.raises(CommandError, match="letters, digits"):
            call_command("listen_pnp", f"--site={name}")


def test_a_phone_that_moved_gets_the_file_of_its_new_site_by_one_job():
    assigned("berlin")
    Phone.objects.update(last_seen_at=timezone.now() - timedelta(minutes=5))
    hear("munich", source_host="10.0.0.21")
    assert moves.follow() == 1 and moves.follow() == 0
    assert Job.objects.count() == 1


def test_the_page_of_a_phone_says_that_it_moved_in_words_for_one_phone():
    assigned("berlin")
    Phone.objects.update(site="munich", heard_site="munich", site_moved_at=timezone.now(), local_host="10.0.1.1")
    moves.follow()
    runner.run.call(Job.objects.get().pk)
    told = LiveEvent.objects.filter(mac=cast.MAC, kind="stage").latest("pk")
    assert told.text == "Heard at site munich: its file is made anew."
    assert ConfigFile.objects.filter(phone__mac=cast.MAC).latest("number").why == "Heard at site munich"


def test_of_many_that_move_no_more_are_told_at_a_time_than_one_job_tells(clock, monkeypatch):
    """Each round would start a job of its own, at a pace of its own, and a PBX would see their sum."""
    monkeypatch.setattr(moves, "AT_ONCE", 2)
    for number in range(1, 5):
        mac = f"000B8200000{number}"
        hear("berlin", mac=mac, source_host=f"10.0.0.{number}")
        cast.save(Phone.objects.get(mac=mac))
    Phone.objects.update(site="munich", heard_site="munich", site_moved_at=timezone.now(), local_host="10.0.1.1")
    assert moves.follow() == 2
    assert moves.follow() == 0, "its job has not begun yet"
    runner.run.call(Job.objects.get().pk)
    assert Job.objects.get().state == "done" and Notify.objects.filter(job=Job.objects.get()).count() == 2
    assert moves.follow() == 0, "the second of the two has its turn in a moment"
    clock.forward(seconds=60)
    assert moves.follow() == 2 and moves.follow() == 0


# --- silence ----------------------------------------------------------------------------------------------------------


class Time:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def beat(name: str = HERE, site: str = "berlin") -> None:
    status.heartbeat(name, site, status.Said(["eth0"], "", {}))


def lapse() -> None:
    ListenerStatus.objects.update(heartbeat_at=timezone.now() - timedelta(minutes=1))


def watch(watches, seconds: float, each=lambda: None) -> None:
    """Look each five seconds, as workers do."""
    for _ in range(int(seconds / 5)):
        each()
        for one in watches:
            one.look()
        Time.now += 5


@pytest.fixture
def watches() -> list[silence.Watch]:
    return [silence.Watch(Time()), silence.Watch(Time())]


def open_alarms() -> list[str]:
    return list(Alarm.objects.filter(kind=AlarmKind.LISTENER, dismissed_at=None).values_list("source", flat=True))


def test_a_silent_listener_is_one_alarm_however_many_workers_look_and_it_ends_by_itself(watches):
    beat()
    watch(watches, 30, each=beat)
    assert open_alarms() == []
    watch(watches, 30)
    assert open_alarms() == ["pbx/berlin"]
    alarm = Alarm.objects.get()
    assert alarm.count == 1
    watch(watches, 10, each=beat)
    assert open_alarms() == [] and Alarm.objects.get().dismissed_by == ""
    assert [row.text for row in LiveEvent.objects.filter(kind="alarm")][-1].endswith("is heard of again.")
    watch(watches, 30)
    assert open_alarms() == ["pbx/berlin"]


def test_who_has_dismissed_the_alarm_is_not_told_again_of_the_same_silence(watches):
    from devices import alarms

    beat()
    watch(watches, 30)
    alarms.dismiss(Alarm.objects.get().pk, "tess")
    watch(watches, 120)
    assert open_alarms() == []
    watch(watches, 10, each=beat)
    watch(watches, 30)
    assert open_alarms() == ["pbx/berlin"]


def test_one_that_was_stopped_in_order_is_no_alarm_and_ends_one(watches):
    beat()
    status.stopped(HERE)
    watch(watches, 60)
    assert open_alarms() == []
    beat()
    watch(watches, 30)
    assert open_alarms()
    status.heartbeat(HERE, "berlin", status.Said([], "", {}))
    status.stopped(HERE)
    watch(watches[:1], 5)
    assert open_alarms() == []


def test_a_clock_that_is_wrong_and_a_database_that_was_away_make_nobody_silent(watches):
    beat()
    watch(watches, 10)
    Time.now += 3600  # nobody could look, and the listener could not write
    watch(watches, 10)
    assert open_alarms() == []

    def beat_an_hour_ago() -> None:
        beat()
        ListenerStatus.objects.update(heartbeat_at=timezone.now() - timedelta(hours=1))

    watch(watches, 60, each=beat_an_hour_ago)
    assert open_alarms() == []


def test_one_that_died_before_the_clock_was_set_back_is_not_shown_as_alive_for_an_hour(watches, clock):
    beat()
    clock.forward(hours=-1)
    watch(watches, 30)
    assert open_alarms() == ["pbx/berlin"]
    row = ListenerStatus.objects.get()
    assert (row.is_fresh, silence.silent_sites(), running()) == (False, {"berlin": "pbx/berlin"}, [])
    assert not ListenerStatus.objects.filter(is_fresh_at(clock.at)).exists()
    status.heartbeat("pbx/berlin#new", "berlin", status.Said([], "eth0 is gone", {}))
    assert ListenerStatus.objects.get().trouble == "eth0 is gone", "who cannot listen now may say so"
    assert ListenerStatus.objects.get().is_fresh


def test_one_whose_clock_is_ahead_is_alive(watches, clock):
    def beat_by_its_own_clock() -> None:
        beat()
        ListenerStatus.objects.update(heartbeat_at=clock.forward(seconds=5) + timedelta(minutes=10))

    watch(watches, 60, each=beat_by_its_own_clock)
    assert open_alarms() == []
    assert ListenerStatus.objects.get().is_fresh
    assert ListenerStatus.objects.filter(is_fresh_at(clock.at)).exists()


def test_one_that_is_gone_for_good_is_forgotten_with_its_alarm_and_one_that_lives_is_not(watches):
    beat()
    assert not silence.forget("pbx/berlin", "tess")
    watch(watches, 30)
    lapse()
    assert silence.forget("pbx/berlin", "tess")
    assert not ListenerStatus.objects.exists() and open_alarms() == []
    assert not silence.forget("pbx/berlin", "tess")


def test_who_was_interrupted_while_one_is_forgotten_asks_again(monkeypatch):
    """Else its phones would wait for a listener that nobody can forget any more."""
    hear("berlin")
    beat()
    lapse()
    with monkeypatch.context() as away, pytest.raises(OperationalError):
        away.setattr(inventory, "leave_site", Mock(side_effect=OperationalError))
        silence.forget("pbx/berlin", "tess")
    assert silence.forget("pbx/berlin", "tess")
    assert Phone.objects.get().heard_site is None


def test_one_that_was_stopped_in_order_after_a_long_silence_is_no_alarm(watches):
    beat()
    lapse()
    status.stopped(HERE)
    watch(watches, 60)
    assert open_alarms() == []
    assert ListenerStatus.objects.get().heartbeat_at < timezone.now() - timedelta(seconds=STALE_SECONDS)


def test_one_that_was_stopped_before_the_clock_was_set_right_does_not_seem_to_run(clock):
    """Stop everything, set the clock back, forget to start: for an hour the page would say that phones are heard."""
    clock.forward(hours=1)
    beat()
    status.stopped(HERE)
    clock.forward(hours=-1)
    assert not ListenerStatus.objects.get().is_fresh
    assert not ListenerStatus.objects.filter(is_fresh_at(clock.at)).exists()
    assert running() == []
    beat()
    assert ListenerStatus.objects.get().is_fresh and running()


def test_the_workers_rounds_look():
    assert silence.look in work.also


def test_the_phone_says_which_listener_is_silent_and_no_other_takes_its_notify():
    version = assigned("berlin")
    beat()
    beat(THERE, "munich")
    ListenerStatus.objects.filter(site="berlin").update(
        heartbeat_at=timezone.now() - timedelta(seconds=STALE_SECONDS + 1)
    )
    Notify.objects.update(next_at=timezone.now() - timedelta(minutes=1))
    stuck.explain_all()
    words = cast.reason(version)
    assert "pbx/berlin" in words and "silent" in words and "site berlin" in words
    assert look("munich") == []
    assert len(look("berlin")) == 1
    assert cast.reason(version) == ""


def test_a_notify_that_died_with_its_listener_says_so_too():
    version = assigned("berlin")
    beat()
    look("berlin")
    lapse()
    Notify.objects.update(opened_at=timezone.now() - timedelta(minutes=2))
    stuck.explain_all()
    assert "pbx/berlin" in cast.reason(version)
