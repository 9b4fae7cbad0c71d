"""A clock that is set back by an hour: nothing waits for an hour, and nothing is forgotten that a person confirmed."""

from datetime import timedelta

import pytest

from devices import trust
from devices.models import LiveEvent, Phone
from provisioning import clock_step, downloads, outbox, settling
from provisioning.models import ConfigFile, Job, Notify
from sipmcast.endings import standing
from tests import cast

HOUR = 3600.0


@pytest.fixture
def version(clock):
    return cast.assigned()


def due_now(clock) -> list[outbox.Due]:
    return outbox.due(clock.at, cast.LEGS, 50)


def everything() -> list[list[dict]]:
    return [list(model.objects.order_by("pk").values()) for model in (Phone, Notify, ConfigFile)]


def set_back(clock) -> None:
    clock.forward(-HOUR)
    clock_step.went_back(HOUR)


@pytest.mark.django_db
class TestAfterAnHourBack:
    def test_an_owed_notify_leaves_at_once_to_the_address_that_was_confirmed(self, version, clock):
        clock.forward(-HOUR)
        assert due_now(clock) == []
        clock_step.went_back(HOUR)
        (row,) = due_now(clock)
        assert trust.attended(standing(row, row, clock.at, trust.Verdict.UNKNOWN))

    def test_what_was_seen_too_long_ago_is_no_younger_for_it(self, version, clock):
        clock.forward(minutes=20)
        set_back(clock)
        (row,) = due_now(clock)
        assert not trust.attended(standing(row, row, clock.at, trust.Verdict.UNKNOWN))

    def test_the_first_path_leads_to_the_file_and_ends_a_day_after_its_notify(self, version, clock):
        sent = cast.sent(version)
        clock.forward(-HOUR)
        version.refresh_from_db()
        assert downloads.first_path_open(version, version.first_host)  # also before anybody has seen to it
        clock_step.went_back(HOUR)
        version.refresh_from_db()
        assert version.first_until == clock.at + timedelta(hours=outbox.FIRST_PATH_HOURS)
        assert Notify.objects.get(pk=sent.pk).first_sent_at == clock.at

    def test_a_next_try_is_as_far_off_as_it_was(self, version, clock):
        assert settling.unanswered(cast.sent(version).pk)
        set_back(clock)
        assert cast.owed(version.phone_id).next_at - clock.at == timedelta(minutes=10)

    def test_a_listener_that_starts_later_finds_it_out_by_what_was_told_last(self, version, clock):
        clock.forward(-HOUR)
        assert clock_step.ahead_seconds() == HOUR
        steps = clock_step.Steps()
        steps.found(clock_step.ahead_seconds())
        assert steps.back_seconds() == HOUR

    def test_it_finds_it_out_also_when_others_have_stored_something_since(self, version, clock):
        clock.forward(-HOUR)
        cast.seen("000B82A00001", "10.0.0.51")
        cast.save(Phone.objects.get(mac="000B82A00001"))
        assert clock_step.ahead_seconds() == HOUR

    def test_a_listener_that_starts_after_it_was_seen_to_finds_nothing(self, version, clock):
        set_back(clock)
        assert LiveEvent.objects.filter(at__gt=clock.at).exists()
        assert clock_step.ahead_seconds() == 0

    def test_it_is_done_once_whoever_else_does_it_too(self, version, clock):
        cast.sent(version)
        set_back(clock)
        before = everything()
        clock_step.went_back(HOUR)
        assert everything() == before

    def test_a_job_goes_on_at_its_pace_and_never_in_a_bunch(self, clock):
        job = Job.objects.create(
            kind="rerender", title="x", scope={}, pace_per_second=0.1, total=3, created_at=clock.at, called_at=clock.at
        )
        for place in range(3):
            version = cast.assigned(f"000B82A0000{place}", f"10.0.0.{place + 50}")
            turn = clock.at + timedelta(hours=2, seconds=10 * place)
            Notify.objects.filter(config_file=version).update(job=job, next_at=turn)
        clock.forward(hours=2)
        set_back(clock)
        clock_step.went_back(HOUR)
        turns = Notify.objects.order_by("next_at").values_list("next_at", flat=True)
        assert [(at - clock.at).total_seconds() for at in turns] == [0, 10, 20]


class TestSteps:
    def test_only_a_clock_that_is_set_back_counts_and_it_stays_until_it_is_seen_to(self):
        wall, steady = [1000.0], [50.0]
        steps = clock_step.Steps(lambda: wall[0], lambda: steady[0])
        for by, expected in ((5, 0.0), (-3, 0.0), (7200, 0.0), (-3600, 3600.0), (1, 3600.0)):
            wall[0] += by
            assert steps.back_seconds() == pytest.approx(expected)
        steps.seen_to()
        assert steps.back_seconds() == 0
        wall[0], steady[0] = wall[0] + 10, steady[0] + 10
        assert steps.back_seconds() == 0
