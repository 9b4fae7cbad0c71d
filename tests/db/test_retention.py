"""What grows with time goes when its time is over, in bites, and what anybody still needs stays."""

import threading
import uuid
from datetime import timedelta

import pytest
from django.apps import apps
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.db import IntegrityError, OperationalError, connection
from django.utils import timezone

from devices import live, retention
from devices.choices import AlarmKind, EventKind
from devices.models import Alarm, LiveEvent, Sweep
from devices.retention import Rule, Sweeper
from gspnp.console import audit
from gspnp.console.models import Change
from gspnp.env import BASE_DIR
from provisioning import keeping, outbox  # noqa: F401  (keeping registers its rules)
from provisioning.jobs.models import Job, JobFailure, JobState, JobTarget
from provisioning.models import ConfigFile, Download, Notify, NotifyKind, NotifyState
from sipmcast.models import Transcript
from tests import cast

pytestmark = [pytest.mark.db, pytest.mark.django_db(transaction=True)]


@pytest.fixture(autouse=True)
def no_rest(monkeypatch):
    monkeypatch.setattr(retention, "REST_SECONDS", 0)
    monkeypatch.setattr(retention, "REST_TIMES", 0)


def events(count: int, text: str = "old", at=None) -> None:
    phone = cast.seen()
    live.append([live.event(phone, EventKind.CHANGED, text, at or timezone.now()) for _ in range(count)])


def test_old_events_go_in_bites_and_young_ones_stay(clock, monkeypatch):
    monkeypatch.setattr(retention, "MOST_BITE", 100)
    events(250)
    clock.forward(days=90, seconds=1)
    events(2, "young")
    sizes = []
    bite = Sweeper._bite
    monkeypatch.setattr(Sweeper, "_bite", lambda self, rule, ids: sizes.append(len(ids)) or bite(self, rule, ids))
    sweeper = Sweeper()
    assert sweeper.sweep() == [] and not sweeper.unfinished
    assert sum(sizes) >= 250 and max(sizes) <= 100
    assert not LiveEvent.objects.filter(text="old").exists()
    assert LiveEvent.objects.filter(text="young").count() == 2
    assert Sweep.objects.get(name="events").removed >= 250
    sizes.clear()
    assert Sweeper().sweep() == [] and not sizes, "a sweep that finds nothing writes nothing"


def test_zero_days_keep_for_ever(clock, settings):
    for rule in ("EVENTS", "DOWNLOADS", "NOTIFYS", "TRANSCRIPTS", "JOBS", "ALARMS"):
        setattr(settings, f"GSPNP_KEEP_{rule}_DAYS", 0)
    settings.GSPNP_CHANGES_DAYS = settings.GSPNP_VERSIONS_KEPT = 0
    events(3)
    audit.write("tess", "assign")
    clock.forward(days=10_000)
    Sweeper().sweep()
    assert LiveEvent.objects.count() >= 3 and Change.objects.count() == 1


def test_who_has_lost_the_lease_deletes_nothing_more(clock):
    """Two workers at one rule would wait for each other's rows; one that hung for a minute must not go on."""
    events(5)
    clock.forward(days=91)
    (rule,) = [rule for rule in retention.rules() if rule.name == "events"]
    first, second = Sweeper(), Sweeper()
    ids = first._next(rule)
    assert first._claim(rule) and not second._claim(rule)
    clock.forward(seconds=retention.LEASE_SECONDS + 1)
    assert second._claim(rule)
    with pytest.raises(retention._LeaseLost):
        first._delete(rule, ids)
    assert LiveEvent.objects.filter(text="old").count() == 5
    second._delete(rule, ids)
    assert not LiveEvent.objects.filter(text="old").exists()
    clock.forward(days=-30)  # the clock went back: a lease until then is none
    assert first._claim(rule)


def test_a_row_that_cannot_be_deleted_is_passed_over_and_the_rest_goes(clock, monkeypatch):
    events(7)
    clock.forward(days=91)
    stuck = LiveEvent.objects.filter(text="old").earliest("pk").pk

    def remove(rows):
        if rows.filter(pk=stuck).exists():
            raise IntegrityError("somebody needs it")
        rows.delete()

    rule = Rule("stubborn", retention.older(LiveEvent, "at", "GSPNP_KEEP_EVENTS_DAYS"), order=("at",), remove=remove)
    other = Rule("broken", lambda now: LiveEvent.objects.filter(no_such_column=1), order=("at",))
    tried = []
    away = Rule("held", lambda now: (_ for _ in ()).throw(OperationalError("lock timeout")), order=("at",))
    last = Rule("last", lambda now: tried.append(now), order=("at",))
    monkeypatch.setattr(retention, "_rules", {rule.name: rule for rule in (other, rule, away, last)})
    sweeper, rests = Sweeper(), []
    monkeypatch.setattr(sweeper._stopping, "wait", rests.append)
    assert sweeper.sweep() == ["broken", "held"] and tried
    assert len(rests) >= 7, "whoever else writes has its turn between them too"
    assert list(LiveEvent.objects.filter(text="old").values_list("pk", flat=True)) == [stuck]
    assert "cannot be deleted" in Sweep.objects.get(name="stubborn").trouble
    assert sweeper.sweep() == ["broken", "held"], "it is not tried without end"


def test_a_database_that_is_away_is_said_to_be(monkeypatch):
    gone = Rule("gone", lambda now: (_ for _ in ()).throw(OperationalError("away")), order=("at",))
    monkeypatch.setattr(retention, "_rules", {"gone": gone})
    monkeypatch.setattr(retention, "_is_away", lambda: True)
    with pytest.raises(OperationalError):
        Sweeper().sweep()


def test_a_worker_that_is_stopped_stops(clock):
    events(3)
    clock.forward(days=91)
    stopping = threading.Event()
    stopping.set()
    Sweeper(stopping).sweep()
    assert LiveEvent.objects.filter(text="old").count() == 3


def test_a_long_table_is_looked_through_in_windows(clock, monkeypatch):
    monkeypatch.setattr(retention, "WINDOW", 3)
    monkeypatch.setattr(retention, "WINDOWS", 2)
    now = timezone.now()
    for number in range(20):
        at = now if number != 16 else now - timedelta(days=100)
        Alarm.objects.create(kind=AlarmKind.NAMES, source=f"10.0.0.{number}", dismissed_at=at, first_at=at, last_at=at,
                             told_at=at)  # fmt: skip
    sweeper = Sweeper()
    left = []
    for _ in range(4):
        sweeper.sweep()
        left.append(Alarm.objects.count())
    assert left == [20, 20, 19, 19], "six rows a turn, and it begins anew at the end"


def test_old_versions_go_and_what_a_phone_may_need_stays(settings, clock):
    phone = cast.seen()
    for number in range(8):
        cast.save(phone, cast.draft(display_name=f"Tess {number}"))
        if number == 1:
            cast.applied(outbox.current_file(phone.pk))
    ConfigFile.objects.exclude(number=1).update(fetched_at=timezone.now())
    settings.GSPNP_VERSIONS_KEPT = 2

    def kept() -> list[int]:
        Sweeper().sweep()
        return list(ConfigFile.objects.order_by("number").values_list("number", flat=True))

    assert kept() == [2, 3, 4, 5, 6, 7, 8], "1 is over; to the others steady paths lead"
    ConfigFile.objects.exclude(number=8).update(retired_at=timezone.now())
    Notify.objects.filter(config_file__number=4).update(state=NotifyState.DELIVERED)
    assert kept() == [2, 7, 8], "2 is what the phone has"
    cast.applied(outbox.current_file(phone.pk))
    assert kept() == [7, 8]
    settings.GSPNP_VERSIONS_KEPT = 0
    assert kept() == [7, 8]


def test_a_phone_that_never_fetches_has_no_more_versions_than_others(settings, clock):
    """Nothing retires what it never had; it would gain a file with each change of its layers, for ever."""
    phone = cast.seen()
    for number in range(5):
        cast.save(phone, cast.draft(display_name=f"Tess {number}"))
    settings.GSPNP_VERSIONS_KEPT = 2
    Sweeper().sweep()
    assert list(ConfigFile.objects.order_by("number").values_list("number", flat=True)) == [4, 5]


def test_a_version_that_no_key_opens_goes_as_the_others_do(settings):
    """A lost key must not keep every old version for ever; nor is a file opened, under SQLite's lock, to delete it."""
    phone = cast.seen()
    for number in range(4):
        cast.save(phone, cast.draft(display_name=f"Tess {number}"))
    ConfigFile.objects.exclude(number=4).update(retired_at=timezone.now())
    with connection.cursor() as cursor:
        cursor.execute("UPDATE provisioning_configfile SET content = %s", [b"by a key that is gone"])
        cursor.execute("UPDATE provisioning_notify SET datagram = %s", [b"by a key that is gone"])
    settings.GSPNP_VERSIONS_KEPT = 2
    assert Sweeper().sweep() == []
    assert set(ConfigFile.objects.values_list("number", flat=True)) == {3, 4}


def test_the_last_notify_of_a_phone_and_what_is_owed_stay(clock):
    version = cast.assigned()
    owed = cast.owed(version.phone_id)
    values = {"phone_id": version.phone_id, "config_file": version, "origin": "person", "created_at": timezone.now(),
              "next_at": timezone.now(), "state": NotifyState.DELIVERED, "settled_at": timezone.now()}  # fmt: skip
    _, last = (Notify.objects.create(kind=NotifyKind.REBOOT, **values) for _ in range(2))
    before = Notify.objects.create(kind=NotifyKind.PROFILE, **values)
    clock.forward(days=91)
    Sweeper().sweep()
    assert set(Notify.objects.values_list("pk", flat=True)) == {owed.pk, last.pk, before.pk}


def test_downloads_transcripts_and_what_people_did_go(clock):
    version = cast.applied(cast.assigned())
    user = User.objects.create(username="tess")
    Transcript.objects.create(phone_id=version.phone_id, kind="notify", at=timezone.now())
    LogEntry.objects.create(user=user, action_flag=1, object_repr="x", action_time=timezone.now())
    Session.objects.create(session_key="a", expire_date=timezone.now() + timedelta(days=1))
    audit.write("tess", "assign")
    assert Download.objects.exists()
    Sweeper().sweep()
    assert Download.objects.exists() and Session.objects.exists()
    clock.forward(days=91)
    Session.objects.create(session_key="b", expire_date=timezone.now() + timedelta(days=1))
    Sweeper().sweep()
    assert not Download.objects.exists() and not Transcript.objects.exists()
    assert Change.objects.count() == LogEntry.objects.count() == 1
    assert [one.session_key for one in Session.objects.all()] == ["b"]
    assert cast.stage(version) == "applied", "the proof is in the file's own row"
    clock.forward(days=366)
    kept = audit.write("tess", "assign")
    Sweeper().sweep()
    assert [one.pk for one in Change.objects.all()] == [kept.pk] and not LogEntry.objects.exists()


def test_a_job_goes_after_all_that_hangs_on_it(clock, monkeypatch):
    """Its row takes nothing along: whom it could not do, and whom it told, went in bites."""
    monkeypatch.setattr(retention, "MOST_BITE", 2)
    version, now = cast.assigned(), timezone.now()
    values = {"title": "x", "created_by": "tess", "created_at": now, "called_at": now, "kind": "rerender"}
    over = Job.objects.create(state=JobState.DONE, ended_at=now, **values)
    open_one = Job.objects.create(state=JobState.PAUSED, **values)
    for job in (over, open_one):
        for _ in range(5):
            JobFailure.objects.create(job=job, phone_id=version.phone_id, message="x")
            JobTarget.objects.create(job=job, phone_id=version.phone_id)
    Notify.objects.update(job=over)
    task = apps.get_model("django_tasks_database", "DBTaskResult").objects
    common = {"args_kwargs": {}, "task_path": "x", "queue_name": "default", "backend_name": "default",
              "exception_class_path": "", "traceback": ""}  # fmt: skip
    run_after = now.replace(year=9999)
    for finished_at in (now, None):
        task.create(id=uuid.uuid4(), run_after=run_after, finished_at=finished_at, **common)
    clock.forward(days=91)
    Sweeper().sweep()
    assert list(Job.objects.values_list("pk", flat=True)) == [open_one.pk]
    assert JobFailure.objects.count() == JobTarget.objects.count() == 5
    assert Notify.objects.get().job_id is None
    assert [one.finished_at for one in task.all()] == [None]


def test_every_table_has_a_rule_or_a_reason():
    """Whoever adds a table says how long its rows are kept."""
    said = (BASE_DIR / "docs" / "retention.md").read_text()
    tables = {model._meta.db_table for model in apps.get_models(include_auto_created=True)}
    assert {table for table in tables if f"`{table}`" not in said} == set()
    ours = {table for table in connection.introspection.table_names() if not table.startswith(("sqlite_", "pg_"))}
    assert {table for table in ours if f"`{table}`" not in said} == set()
    assert {rule.name for rule in retention.rules()} >= {"events", "downloads", "NOTIFYs", "versions", "changes"}
