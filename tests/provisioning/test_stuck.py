"""Why a phone stands still, in plain words, once, and only while it is true."""

import pytest
from django.core.management import call_command

from devices import inventory
from devices.models import LiveEvent, Phone
from provisioning import stuck
from provisioning import stuck_words as words
from provisioning.models import Attempt, AttemptKind, Notify
from tests import cast

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("clock")]


@pytest.fixture
def version():
    return cast.assigned()


def test_a_phone_that_was_only_seen_is_not_stuck(clock):
    cast.seen()
    clock.forward(days=30)
    assert stuck.explain_all() == 0


def test_an_assigned_phone_whose_notify_nobody_sends_says_so(version, clock):
    clock.forward(stuck.UNSENT_SECONDS - 1)
    assert stuck.explain_all() == 0
    clock.forward(1)
    assert stuck.explain_all() == 1
    assert "no listener runs on eth0" in cast.reason(version)


def test_the_words_about_the_listener_go_with_the_phones_200(version, clock):
    clock.forward(stuck.UNSENT_SECONDS)
    stuck.explain_all()
    cast.delivered(version)
    assert (cast.stage(version), cast.reason(version)) == ("notified", "")


def test_a_notified_phone_that_does_not_fetch_for_6_minutes_names_the_address(version, clock):
    cast.delivered(version)
    clock.forward(minutes=6, seconds=-1)
    assert stuck.explain_all() == 0
    clock.forward(1)
    assert stuck.explain_all() == 1
    assert f"http://{cast.OURS}:5481" in cast.reason(version)
    assert version.first_secret not in cast.reason(version)


@pytest.mark.parametrize("kind", [None, AttemptKind.BROKEN])
def test_a_phone_that_agreed_and_did_not_get_its_file_is_told_once_more_by_itself(version, clock, kind):
    cast.delivered(version)
    if kind is not None:
        clock.forward(1)
        Attempt.objects.create(
            phone_id=version.phone_id, kind=kind, name="cfg", source_host=cast.HOST, size=9, at=clock.at
        )
    clock.forward(minutes=7)
    stuck.explain_all()
    assert cast.reason(version).endswith(words.TOLD_AGAIN)
    again = cast.owed(version.phone_id)
    assert (again.origin, again.config_file_id) == ("automatic", version.pk) and again.next_at <= clock.at
    cast.delivered(version)
    assert (cast.stage(version), cast.reason(version)) == ("notified", "")
    clock.forward(minutes=30)
    stuck.explain_all()
    assert cast.reason(version) and words.TOLD_AGAIN not in cast.reason(version)
    assert cast.owed(version.phone_id) is None, "once a day"


@pytest.mark.parametrize("kind", [AttemptKind.NAME, AttemptKind.ELSEWHERE, AttemptKind.LOGIN])
def test_a_phone_that_would_fail_again_is_not_told_again(version, clock, kind):
    cast.delivered(version)
    clock.forward(1)
    Attempt.objects.create(phone_id=version.phone_id, kind=kind, name="cfg", source_host=cast.HOST, size=9, at=clock.at)
    clock.forward(minutes=7)
    stuck.explain_all()
    assert cast.reason(version) and cast.owed(version.phone_id) is None


def test_many_that_did_not_get_their_files_are_told_again_a_few_a_second(clock):
    versions = [cast.assigned(f"000B82C0000{n}", f"10.0.1.{n + 1}") for n in range(6)]
    for one in versions:
        cast.delivered(cast.now(one))
    clock.forward(minutes=7)
    stuck.explain_all()
    waits = sorted((cast.owed(one.phone_id).next_at - clock.at).total_seconds() for one in versions)
    assert waits == [0, 0.2, 0.4, 0.6, 0.8, 1.0]


def test_a_fetched_phone_that_does_not_come_back_says_so(version, clock):
    cast.fetched(version)
    clock.forward(minutes=5, seconds=-1)
    assert stuck.explain_all() == 0
    clock.forward(1)
    assert stuck.explain_all() == 1
    assert "has not come back" in cast.reason(version)


def test_an_applied_phone_is_never_stuck(version, clock):
    cast.applied(version)
    clock.forward(days=365)
    assert stuck.explain_all() == 0


def test_a_reason_is_told_once(version, clock):
    cast.delivered(version)
    clock.forward(minutes=7)
    assert [stuck.explain_all() for _ in range(3)] == [1, 0, 0]
    assert LiveEvent.objects.filter(kind="reason").count() == 1


def test_the_reason_goes_when_the_phone_goes_on(version, clock):
    cast.delivered(version)
    clock.forward(minutes=7)
    stuck.explain_all()
    cast.download(cast.first_path(version))
    assert cast.reason(version) == ""
    clock.forward(minutes=7)
    stuck.explain_all()
    cast.download(cast.steady_path(version))
    assert (cast.stage(version), cast.reason(version)) == ("applied", "")


def test_a_more_precise_reason_is_not_overwritten(version, clock):
    cast.delivered(version)
    inventory.explain(version.phone_id, "It refused our NOTIFY (403).")
    clock.forward(minutes=7)
    assert stuck.explain_all() == 0


def test_an_ignored_phone_is_left_in_peace(version, clock):
    cast.delivered(version)
    inventory.ignore(version.phone_id, "tess")
    clock.forward(days=1)
    assert stuck.explain_all() == 0
    assert Phone.objects.get().stage_reason == "Ignored by tess."


def test_work_does_one_round_and_ends(version, clock):
    cast.delivered(version)
    clock.forward(days=91)
    call_command("work", "--once")
    assert "has not fetched" in cast.reason(version)
    assert not LiveEvent.objects.filter(at__lt=cast.NOON + (clock.at - cast.NOON) / 2).exists()


def test_a_phone_that_started_without_its_file_says_so_after_a_minute(version, clock):
    cast.fetched(version)
    clock.forward(20)
    cast.seen()
    clock.forward(61)
    stuck.explain_all()
    assert "started up again" in cast.reason(version) and "Notify again" in cast.reason(version)


@pytest.mark.parametrize("kind", [None, AttemptKind.BROKEN])
def test_a_phone_that_started_and_did_not_get_its_file_is_asked_once_to_look_again(version, clock, kind):
    cast.fetched(version)
    clock.forward(20)
    cast.seen()
    if kind is not None:
        Attempt.objects.create(
            phone_id=version.phone_id, kind=kind, name="cfg", source_host=cast.HOST, size=9, at=clock.at
        )
    clock.forward(61)
    stuck.explain_all()
    assert cast.reason(version).endswith(words.ASKED_AGAIN)
    asked = cast.owed(version.phone_id)
    assert (asked.kind, asked.origin, asked.config_file_id) == ("check-sync", "automatic", version.pk)
    assert asked.next_at <= clock.at
    cast.delivered(version)
    cast.download(cast.steady_path(version))
    assert (cast.stage(version), cast.reason(version)) == ("applied", "")


def test_a_phone_is_asked_to_look_again_once_for_a_version(version, clock):
    cast.fetched(version)
    clock.forward(minutes=6)
    stuck.explain_all()
    assert cast.reason(version).startswith(words.NOT_BACK) and cast.owed(version.phone_id) is None, "it is not back yet"
    for _ in range(3):
        cast.seen()
        clock.forward(minutes=30)
        stuck.explain_all()
    assert Notify.objects.filter(kind="check-sync").count() == 1


def test_many_are_asked_to_look_again_a_few_a_second_also_where_more_come_to_it(clock):
    versions = [cast.assigned(f"000B82C0000{n}", f"10.0.1.{n + 1}") for n in range(5)]
    Phone.objects.update(stage="fetched", stage_at=clock.at)
    clock.forward(20)
    for number, one in enumerate(versions):
        if number == 3:
            clock.forward(0.1)
        cast.seen(one.phone.mac, f"10.0.1.{number + 1}")
    clock.forward(60)
    begun = clock.at
    stuck.explain_all()
    clock.forward(0.1)
    stuck.explain_all()
    asked = [Notify.objects.get(phone_id=one.phone_id, kind="check-sync") for one in versions]
    assert sorted((one.next_at - begun).total_seconds() for one in asked) == pytest.approx([0, 0.2, 0.4, 0.6, 0.8])


@pytest.mark.parametrize("kind", [AttemptKind.NAME, AttemptKind.PLAIN, AttemptKind.LOGIN])
def test_a_phone_that_would_fail_again_is_not_asked_to_look_again(version, clock, kind):
    cast.fetched(version)
    clock.forward(20)
    cast.seen()
    Attempt.objects.create(phone_id=version.phone_id, kind=kind, name="cfg", source_host=cast.HOST, size=9, at=clock.at)
    clock.forward(61)
    stuck.explain_all()
    assert cast.reason(version) and cast.owed(version.phone_id) is None
