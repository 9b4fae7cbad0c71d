"""Starts of phones: judged by when they were heard, however late that is looked at, and a whole storm at once."""

from datetime import timedelta

import pytest

from devices import inventory
from devices.models import LiveEvent, Phone
from provisioning import outbox, repeats, starts
from provisioning.door import again
from provisioning.models import ConfigFile, Notify
from tests import cast

pytestmark = [pytest.mark.db, pytest.mark.django_db, pytest.mark.usefixtures("clock")]
STORM = 40
FEW_QUERIES = 20  # whatever the size of the batch; fewer than a query for each phone


@pytest.fixture
def version():
    return cast.assigned()


@pytest.fixture
def storm() -> list[ConfigFile]:
    """Phones that have each been assigned; their NOTIFYs wait."""
    return [cast.assigned(f"000B82{n:06X}", f"10.0.1.{n}") for n in range(STORM)]


def applied(versions: list[ConfigFile]) -> None:
    """They have all come through."""
    at = cast.NOON
    ConfigFile.objects.update(fetched_at=at, applied_at=at, steady_at=at)
    Phone.objects.update(stage="applied")
    Notify.objects.update(state="delivered", first_sent_at=at, settled_at=at)


def sent_today(version: ConfigFile, clock, times: int) -> None:
    """It was notified of its own accord so many times, the last one 11 minutes ago."""
    Notify.objects.filter(phone_id=version.phone_id).update(state="delivered", first_sent_at=clock.at)
    for minutes in range(11, 11 * (times + 1), 11):
        at = clock.at - timedelta(minutes=minutes)
        Notify.objects.create(phone_id=version.phone_id, config_file=version, origin="automatic", state="delivered",
                              created_at=at, next_at=at, first_sent_at=at)  # fmt: skip


def due_rows(clock) -> list[outbox.Due]:
    return outbox.due(clock.at, cast.LEGS, 250)


def openings(rows: list[outbox.Due]) -> list[tuple[outbox.Due, outbox.Opening]]:
    return [(row, cast.opening(str(row.pk), row.source_host)) for row in rows]


def texts(kind: str) -> list[tuple[str, str, str]]:
    return list(LiveEvent.objects.filter(kind=kind).order_by("id").values_list("mac", "stage", "text"))


class TestHeardAt:
    """The worker may look at a SUBSCRIBE a while after it was heard."""

    def test_a_phone_that_fetched_by_its_own_path_since_is_owed_nothing(self, version, clock):
        cast.applied(version)
        heard_at = clock.forward(hours=1)
        clock.forward(20)
        cast.download(cast.steady_path(version))
        clock.forward(20)
        starts.owe_after_start(version.phone_id, heard_at)
        assert cast.owed(version.phone_id) is None

    def test_an_expected_restart_that_is_looked_at_when_it_is_over_is_owed_nothing(self, version, clock):
        cast.fetched(version)
        heard_at = clock.forward(30)
        clock.forward(5)
        cast.download(cast.steady_path(version))
        assert cast.stage(version) == "applied"
        starts.owe_after_start(version.phone_id, heard_at)
        assert cast.owed(version.phone_id) is None

    @pytest.mark.parametrize(("status", "reason"), [(200, "OK"), (489, "Bad Event")])
    def test_a_notify_that_it_answered_after_that_was_under_way_then(self, version, clock, status, reason):
        """Looked at while that NOTIFY was sent, this start would have been owed nothing either."""
        notify = cast.sent(version)
        heard_at = clock.forward(1)
        clock.forward(1)
        assert cast.answered(notify, status, reason)
        clock.forward(minutes=20)
        starts.owe_after_start(version.phone_id, heard_at)
        assert cast.owed(version.phone_id) is None
        starts.owe_after_start(version.phone_id, clock.at)  # the next start
        assert cast.owed(version.phone_id) is not None

    def test_an_answer_from_before_that_start_is_no_answer_to_it_however_late_it_is_recorded(self, version, clock):
        """The store was away: it answered, was switched off and on, and both are told to the store afterwards."""
        notify = cast.sent(version)
        answered_at = clock.forward(1)
        heard_at = clock.forward(60)
        clock.forward(600)
        assert cast.answered(notify, 200, "OK", answered_at)
        starts.owe_after_start(version.phone_id, heard_at)
        assert cast.owed(version.phone_id) is not None

    def test_a_start_from_before_the_notify_left_is_no_start_during_it(self, version, clock):
        heard_at = clock.forward(1)
        clock.forward(1)
        assert cast.answered(cast.sent(version), 200, "OK", clock.forward(1))
        starts.owe_after_start(version.phone_id, heard_at)
        assert cast.owed(version.phone_id) is not None

    def test_its_minute_counts_from_when_it_was_heard(self, version, clock):
        cast.applied(version)
        heard_at = clock.forward(hours=1)
        clock.forward(40)
        starts.owe_after_start(version.phone_id, heard_at)
        notify = cast.owed(version.phone_id)
        assert (notify.unless_steady_since, notify.next_at - clock.at) == (heard_at, timedelta(seconds=22))

    def test_what_it_fetches_in_the_last_moment_is_written_before_it_is_told_to(self, version, clock):
        """The door writes such a fetch up to a second later; a NOTIFY in between would restart a phone for nothing."""
        cast.applied(version)
        heard_at = clock.forward(hours=1)
        starts.owe_after_start(version.phone_id)
        fetched_at = clock.forward(59.9)
        clock.forward(again.FLUSH_SECONDS + 1)
        assert outbox.due(clock.at, [("eth0", cast.OURS)], 1) == []
        repeats.record([repeats.Again(version.phone_id, version.pk, "cfg", 200, cast.HOST, "", fetched_at, cast.MAC)])
        assert cast.owed(version.phone_id) is None and clock.at < heard_at + timedelta(seconds=62)

    def test_one_that_was_heard_long_ago_is_notified_now_and_not_before(self, version, clock):
        cast.applied(version)
        heard_at = clock.forward(hours=1)
        clock.forward(minutes=5)
        starts.owe_after_start(version.phone_id, heard_at)
        notify = cast.owed(version.phone_id)
        assert (notify.unless_steady_since, notify.next_at) == (heard_at, clock.at)

    def test_an_older_start_that_is_told_late_takes_nothing_from_a_newer_one(self, version, clock):
        cast.applied(version)
        older = clock.forward(hours=1)
        newer = clock.forward(30)
        starts.owe_after_start(version.phone_id, newer)
        clock.forward(5)
        starts.owe_after_start(version.phone_id, older)
        notify = cast.owed(version.phone_id)
        assert (notify.unless_steady_since, notify.next_at) == (newer, newer + timedelta(seconds=62))

    def test_a_start_of_a_time_to_come_counts_as_now(self, version, clock):
        """The clock went back between hearing and looking."""
        cast.applied(version)
        clock.forward(hours=1)
        starts.owe_after_start(version.phone_id, clock.at + timedelta(days=400))
        notify = cast.owed(version.phone_id)
        assert (notify.unless_steady_since, notify.next_at) == (clock.at, clock.at + timedelta(seconds=62))

    def test_a_check_from_before_the_clock_went_back_counts_from_the_new_start(self, version, clock):
        cast.applied(version)
        clock.forward(hours=1)
        starts.owe_after_start(version.phone_id)
        clock.forward(days=-400)
        starts.owe_after_start(version.phone_id)
        assert cast.owed(version.phone_id).unless_steady_since == clock.at

    def test_each_of_a_batch_is_judged_by_its_own_time(self, storm, clock):
        applied(storm)
        clock.forward(hours=1)
        heard = {version.phone_id: clock.at - timedelta(seconds=n) for n, version in enumerate(storm)}
        starts.owe_after_starts(heard)
        assert dict(Notify.objects.filter(state="waiting").values_list("phone_id", "unless_steady_since")) == heard


class TestStorm:
    """A batch costs the same few statements, however many phones there are in it, and tells each of them."""

    def test_starts_that_are_held_back_are_explained_once_each(self, storm, clock, django_assert_max_num_queries):
        for version in storm:
            sent_today(version, clock, 0)
        Notify.objects.update(origin="automatic")
        clock.forward(62)
        heard = dict.fromkeys((version.phone_id for version in storm), clock.at)
        with django_assert_max_num_queries(FEW_QUERIES):
            starts.owe_after_starts(heard)
        assert len(texts("reason")) == STORM
        assert all("Notify again" in phone.stage_reason for phone in Phone.objects.all())
        starts.owe_after_starts(heard)
        assert len(texts("reason")) == STORM, "an unchanged reason is no news"

    def test_too_many_of_many_phones_raise_one_alarm_each(self, storm, clock, django_assert_max_num_queries):
        clock.forward(hours=1)
        for version in storm:
            sent_today(version, clock, starts.AUTOMATIC_PER_DAY)
        inventory.raise_alarm(storm[0].phone_id, "Something else.")
        heard = dict.fromkeys((version.phone_id for version in storm), clock.at)
        for _ in range(2):
            with django_assert_max_num_queries(FEW_QUERIES):
                starts.owe_after_starts(heard)
        alarms = [text for _, _, text in texts("alarm")]
        assert alarms == ["Something else.", *[starts.LOOP_ALARM] * STORM]
        assert len(texts("reason")) == STORM
        first, *others = Phone.objects.order_by("mac")
        assert first.alarm.split("\n") == [starts.LOOP_ALARM, "Something else."]
        assert {(phone.alarm, phone.alarm_at, phone.stage_reason) for phone in others} == {
            (starts.LOOP_ALARM, clock.at, starts.LOOP_REASON)
        }

    def test_due_rows_over_the_limits_are_dropped_or_put_off_together(
        self, storm, clock, django_assert_max_num_queries
    ):
        clock.forward(hours=1)
        over, soon, free = storm[:15], storm[15:30], storm[30:]
        for version in (*over, *soon):
            sent_today(version, clock, starts.AUTOMATIC_PER_DAY if version in over else 0)
        Notify.objects.filter(phone_id__in=[one.phone_id for one in soon]).update(origin="automatic")
        for version in (*over, *soon):
            outbox.enqueue(version, "automatic", clock.at)
        rows = due_rows(clock)
        assert len(rows) == STORM
        with django_assert_max_num_queries(FEW_QUERIES):
            leaving = starts.hold_to_limits(rows, clock.at)
        assert {row.phone_id for row in leaving} == {version.phone_id for version in free}
        assert {cast.owed(version.phone_id) for version in over} == {None}
        assert {cast.owed(version.phone_id).next_at for version in soon} == {clock.at + timedelta(minutes=10)}
        assert [text for _, _, text in texts("alarm")] == [starts.LOOP_ALARM] * len(over)

    def test_reset_phones_start_over_together(self, storm, clock, django_assert_max_num_queries):
        applied(storm)
        clock.forward(hours=1)
        starts.owe_after_starts(dict.fromkeys((version.phone_id for version in storm), clock.at))
        clock.forward(62)
        rows = due_rows(clock)
        LiveEvent.objects.all().delete()
        with django_assert_max_num_queries(FEW_QUERIES):
            assert len(outbox.claim(openings(rows), "pbx#1")) == STORM
        assert set(Phone.objects.values_list("stage", "stage_reason", "stage_at")) == {("assigned", "", clock.at)}
        assert not ConfigFile.objects.exclude(fetched_at=None, applied_at=None).exists()
        assert {(stage, text) for _, stage, text in texts("stage")} == {
            ("assigned", "It started up without its configuration: notified again.")
        }
        assert len(texts("stage")) == len(texts("notify")) == STORM
