"""The outbox: which NOTIFY is owed when, who takes it, how it ends; never a reboot loop, never two at once."""

from datetime import timedelta

import pytest
from django.db import IntegrityError, transaction

from devices import inventory
from devices.models import LiveEvent, Phone
from provisioning import commands, outbox, settling, starts
from provisioning.models import ConfigFile, Notify, NotifyKind, NotifyOrigin
from tests import cast

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("clock")]


@pytest.fixture
def version():
    return cast.assigned()


def again(notify) -> Notify:
    return Notify.objects.get(pk=notify.pk)


def is_due(notify, clock) -> bool:
    return notify.pk in [row.pk for row in outbox.due(clock.at, cast.LEGS, 50)]


def due_row(notify) -> outbox.Due:
    return outbox.read(Notify.objects.filter(pk=notify.pk))[0]


def seconds_until(notify, clock) -> float:
    return (notify.next_at - clock.at).total_seconds()


class TestClaim:
    def test_of_two_claims_one_wins_and_its_transaction_stays(self, version):
        notify = cast.owed(version.phone_id)
        assert cast.claim(notify, cast.opening("a"), "pbx#1")
        assert not cast.claim(notify, cast.opening("b"), "pbx#2")
        row = again(notify)
        assert (row.state, row.claimed_by, row.branch, row.datagram) == ("sending", "pbx#1", "z9hG4bKa", b"NOTIFY")

    def test_a_superseded_row_cannot_be_claimed(self, version):
        notify = cast.owed(version.phone_id)
        cast.save(version.phone, cast.draft(display_name="Other"))
        assert not cast.claim(notify, cast.opening(), "pbx#1")

    def test_a_forgotten_phones_row_cannot_be_claimed(self, version):
        notify = cast.owed(version.phone_id)
        inventory.forget(version.phone_id, "tess")
        assert not cast.claim(notify, cast.opening(), "pbx#1")

    def test_take_over_is_won_once(self, version):
        notify = cast.sent(version)
        assert outbox.take_over(notify, "pbx#2")
        assert not outbox.take_over(notify, "pbx#3")
        assert again(notify).claimed_by == "pbx#2"

    def test_two_open_rows_for_one_phone_are_impossible(self, version, clock):
        row = {"phone_id": version.phone_id, "config_file": version, "origin": "save", "created_at": clock.at,
               "next_at": clock.at}  # fmt: skip
        for state in ("waiting", "sending", "withheld"):
            with pytest.raises(IntegrityError), transaction.atomic():
                Notify.objects.create(state=state, **row)
        Notify.objects.create(state="delivered", **row)


class TestSettle:
    def test_a_2xx_moves_the_phone_to_notified(self, version):
        notify = cast.delivered(version)
        assert (notify.state, notify.status, cast.stage(version)) == ("delivered", 200, "notified")

    def test_nothing_is_settled_before_it_was_sent(self, version):
        notify = cast.owed(version.phone_id)
        assert not cast.answered(notify, 200, "OK")
        assert not settling.unanswered(notify.pk)
        assert (again(notify).state, cast.stage(version)) == ("waiting", "assigned")

    def test_a_late_timeout_after_a_2xx_changes_nothing(self, version):
        notify = cast.delivered(version)
        events = LiveEvent.objects.count()
        assert not settling.unanswered(notify.pk)
        assert not cast.answered(notify, 500, "late")
        assert (again(notify).state, cast.reason(version)) == ("delivered", "")
        assert LiveEvent.objects.count() == events

    def test_a_late_2xx_of_a_superseded_transaction_does_not_move_the_new_version(self, version):
        notify = cast.sent(version)
        cast.save(version.phone, cast.draft(display_name="Other"))
        assert not cast.answered(notify, 200, "OK")
        assert (again(notify).state, cast.stage(version)) == ("superseded", "assigned")

    def test_a_forgotten_phone_is_settled_without_error(self, version):
        notify = cast.sent(version)
        inventory.forget(version.phone_id, "tess")
        assert not cast.answered(notify, 200, "OK")
        assert not settling.unanswered(notify.pk)

    @pytest.mark.parametrize(
        ("status", "words", "retried"),
        [
            (302, "302 Why", False),
            (401, "belongs to another system", False),
            (403, "403 Why", False),
            (407, "belongs to another system", False),
            (489, "plug and play is off", False),
            (500, "500 Why", True),
            (503, "503 Why", True),
            (603, "603 Why", False),
        ],
    )
    def test_a_refusal_is_said_in_words_and_the_work_is_kept(self, version, clock, status, words, retried):
        notify = cast.sent(version)
        assert cast.answered(notify, status, "Why")
        assert (again(notify).state, cast.stage(version)) == ("refused", "assigned")
        assert words in cast.reason(version)
        retry = cast.owed(version.phone_id)
        assert (retry is not None) == retried == ("asked again" in cast.reason(version))
        if retry:
            assert (retry.origin, seconds_until(retry, clock)) == ("automatic", 600)

    def test_no_answer_owes_one_timed_retry_and_no_second(self, version, clock):
        settling.unanswered(cast.sent(version).pk)
        assert "did not answer" in cast.reason(version) and "asked again" in cast.reason(version)
        assert not is_due(cast.owed(version.phone_id), clock)
        clock.forward(minutes=10)
        retry = cast.owed(version.phone_id)
        assert is_due(retry, clock)
        settling.unanswered(cast.sent(version).pk)
        assert cast.owed(version.phone_id) is None
        assert "asked again" not in cast.reason(version)

    def test_a_hostile_reason_phrase_is_bounded(self, version):
        notify = cast.sent(version)
        cast.answered(notify, 403, "x" * 5000)
        assert len(again(notify).reason) <= 100
        assert len(cast.reason(version)) <= 300

    def test_a_phone_that_has_fetched_is_not_said_to_be_silent(self, version):
        """Its 200 was lost; that it fetched proves that it heard us."""
        notify = cast.sent(version)
        cast.download(cast.first_path(version))
        cast.download(cast.steady_path(version))
        settling.unanswered(notify.pk)
        assert (cast.stage(version), cast.reason(version)) == ("applied", "")
        assert cast.owed(version.phone_id) is None

    def test_a_person_who_notifies_an_applied_phone_is_told_that_it_did_not_answer(self, version, clock):
        cast.applied(version)
        clock.forward(hours=1)
        outbox.notify_again(version.phone_id, "tess", cast.HOST)
        notify = cast.sent(version)
        clock.forward(32)
        settling.unanswered(notify.pk)
        told = [cast.reason(version), *LiveEvent.objects.filter(at=clock.at).values_list("text", flat=True)]
        assert any("did not answer" in words for words in told)

    def test_a_2xx_takes_back_the_words_of_an_earlier_failure(self, version, clock):
        cast.delivered(version)
        outbox.notify_again(version.phone_id, "tess", cast.HOST)
        settling.unanswered(cast.sent(version).pk)
        assert "did not answer" in cast.reason(version)
        clock.forward(minutes=11)
        cast.delivered(version)
        assert (cast.stage(version), cast.reason(version)) == ("notified", "")


class TestStart:
    """A SUBSCRIBE of a phone in each stage: what is owed after it."""

    def test_a_phone_without_assignment_is_owed_nothing(self):
        phone = cast.seen()
        starts.owe_after_start(phone.pk)
        assert cast.owed(phone.pk) is None

    def test_an_ignored_phone_is_owed_nothing(self, version):
        cast.delivered(version)
        inventory.ignore(version.phone_id, "tess")
        assert cast.restarted(version) is None

    def test_a_waiting_row_stays_the_only_one(self, version, clock):
        notify = cast.owed(version.phone_id)
        assert cast.restarted(version) == notify
        assert is_due(notify, clock)

    def test_a_transaction_under_way_is_left_alone(self, version):
        notify = cast.sent(version)
        assert cast.restarted(version) == notify
        assert again(notify).state == "sending"

    def test_the_timed_retry_is_brought_forward(self, version, clock):
        settling.unanswered(cast.sent(version).pk)
        clock.forward(62)
        retry = cast.restarted(version)
        assert is_due(retry, clock)

    def test_a_phone_that_said_200_and_starts_again_waits_for_the_32_seconds(self, version, clock):
        cast.delivered(version)
        clock.forward(10)
        notify = cast.restarted(version)
        assert (notify.origin, seconds_until(notify, clock)) == ("automatic", 22)
        clock.forward(22)
        assert is_due(notify, clock)

    @pytest.mark.parametrize("status", [403, 489, 500])
    def test_a_refused_transaction_is_not_followed_by_another_within_its_32_seconds(self, version, clock, status):
        """Issue 2: no save ever opens two different NOTIFY transactions within 32 s."""
        cast.answered(cast.sent(version), status, "No")
        clock.forward(2)
        notify = cast.restarted(version)
        assert not is_due(notify, clock)
        clock.forward(30)
        assert is_due(notify, clock)

    def test_a_fetched_phone_restarts_as_expected_and_is_owed_nothing(self, version):
        cast.fetched(version)
        assert cast.restarted(version) is None

    def test_an_applied_phone_that_comes_back_by_its_steady_path_is_left_alone(self, version, clock):
        cast.applied(version)
        clock.forward(hours=1)
        notify = cast.restarted(version)
        assert (notify.unless_steady_since, seconds_until(notify, clock)) == (clock.at, 62)
        clock.forward(61)
        cast.download(cast.steady_path(version))
        assert (again(notify).state, cast.stage(version)) == ("not_needed", "applied")

    def test_an_applied_phone_that_was_reset_is_notified_and_starts_over(self, version, clock):
        cast.applied(version)
        clock.forward(hours=1)
        notify = cast.restarted(version)
        clock.forward(62)
        assert is_due(notify, clock)
        assert cast.claim(notify, cast.opening(), "pbx#1")
        assert cast.proofs(version)[:3] == ("assigned", False, False)
        cast.answered(notify, 200, "OK")
        cast.download(cast.first_path(version))
        assert cast.proofs(version)[:3] == ("fetched", True, False)
        cast.download(cast.steady_path(version))
        assert cast.proofs(version)[:3] == ("applied", True, True)

    def test_a_steady_download_wins_over_a_claim_that_comes_after_it(self, version, clock):
        cast.applied(version)
        clock.forward(hours=1)
        notify = cast.restarted(version)
        clock.forward(62)
        cast.download(cast.steady_path(version))
        assert not cast.claim(notify, cast.opening(), "pbx#1")
        assert cast.stage(version) == "applied"

    def test_the_60_seconds_count_from_the_last_start(self, version, clock):
        """Plugged in, pulled out, plugged in: the second boot has its own 60 s to fetch."""
        cast.applied(version)
        clock.forward(hours=1)
        notify = cast.restarted(version)
        clock.forward(50)
        cast.restarted(version)
        clock.forward(15)
        assert not is_due(again(notify), clock)
        clock.forward(47)
        assert is_due(again(notify), clock)

    def test_a_withheld_reset_check_is_looked_at_again_when_the_phone_is_seen(self, version, clock):
        cast.applied(version)
        clock.forward(hours=1)
        notify = cast.restarted(version)
        clock.forward(62)
        outbox.withhold(due_row(notify), "The address is not verified.", alarm=False)
        clock.forward(hours=1)
        cast.restarted(version)
        clock.forward(62)
        assert is_due(again(notify), clock)

    def test_a_withheld_row_of_a_save_is_looked_at_again_when_the_phone_is_seen(self, version, clock):
        notify = cast.owed(version.phone_id)
        outbox.withhold(due_row(notify), "The address is not verified.", alarm=False)
        assert not is_due(notify, clock)
        cast.restarted(version)
        assert is_due(notify, clock)


class TestLimits:
    """No fleet may ever be put into a reboot loop."""

    def automatic(self, version, clock) -> bool:
        """The phone starts up; is an automatic NOTIFY sent at once?"""
        notify = cast.restarted(version)
        if notify is None or not is_due(notify, clock):
            return False
        cast.delivered(version)
        return True

    def test_one_in_10_minutes_three_in_a_day_then_an_alarm(self, version, clock):
        cast.delivered(version)
        sent_at = []
        for minute in range(0, 24 * 60 - 1, 2):
            clock.at = cast.NOON + timedelta(minutes=1 + minute)
            if self.automatic(version, clock):
                sent_at.append(1 + minute)
        assert len(sent_at) == 3
        assert all(later - earlier >= 10 for earlier, later in zip(sent_at, sent_at[1:], strict=False))
        phone = Phone.objects.get()
        assert "restarts without keeping its configuration" in phone.stage_reason.lower()
        assert "without keeping" in phone.alarm
        assert LiveEvent.objects.filter(kind="alarm").count() == 1
        clock.forward(days=1)
        assert self.automatic(version, clock)

    def test_a_new_version_has_its_own_limits(self, version, clock):
        cast.delivered(version)
        for _ in range(5):
            clock.forward(minutes=11)
            self.automatic(version, clock)
        newer = cast.save(version.phone, cast.draft(display_name="Other")).config_file
        assert is_due(cast.owed(newer.phone_id), clock)

    def test_a_reset_loop_of_an_applied_phone_is_limited_too(self, version, clock):
        cast.applied(version)
        sent = 0
        for _ in range(60):
            clock.forward(minutes=15)
            if cast.restarted(version):
                clock.forward(62)
                notify = cast.owed(version.phone_id)
                if is_due(notify, clock) and starts.hold_to_limits([due_row(notify)], clock.at):
                    cast.fetched(version)
                    cast.download(cast.steady_path(version))
                    sent += 1
        assert sent == 3


class TestNotifyAgain:
    def test_it_confirms_the_address_and_clears_the_reason(self, version, clock):
        outbox.withhold(due_row(cast.owed(version.phone_id)), "Nobody has confirmed it.", alarm=False)
        Phone.objects.update(approved_host=None)
        notify = outbox.notify_again(version.phone_id, "tess", cast.HOST)
        assert (notify.origin, is_due(notify, clock)) == ("person", True)
        assert (Phone.objects.get().approved_host, cast.reason(version)) == (cast.HOST, "")

    def test_while_one_is_sending_it_returns_that_one(self, version):
        notify = cast.sent(version)
        assert outbox.notify_again(version.phone_id, "tess", cast.HOST) == notify
        assert again(notify).state == "sending"
        assert Notify.objects.count() == 1

    def test_a_phone_without_a_file_or_an_ignored_one_gets_none(self, version):
        assert outbox.notify_again(cast.seen(cast.OTHER_MAC).pk, "tess", cast.HOST) is None
        inventory.ignore(version.phone_id, "tess")
        assert outbox.notify_again(version.phone_id, "tess", cast.HOST) is None


class TestCommands:
    """A command that no listener could send: it is not sent long after the click."""

    def test_it_expires_after_two_minutes_and_says_so(self, version, clock):
        cast.applied(version)
        notify = commands.send(version.phone_id, NotifyKind.REBOOT, "tess", cast.HOST)
        clock.forward(120)
        outbox.expire_commands(clock.at)
        assert again(notify).state == "waiting"
        clock.forward(1)
        outbox.expire_commands(clock.at)
        ended = again(notify)
        assert (ended.state, ended.note, ended.settled_at) == ("not_needed", outbox.TOO_LATE, clock.at)
        told = LiveEvent.objects.latest("id")
        assert (told.kind, told.mac, told.text) == ("notify", cast.MAC, f"Restart: {outbox.TOO_LATE}")
        assert not is_due(notify, clock)

    def test_a_configuration_waits_for_its_phone_as_long_as_it_takes(self, version, clock):
        clock.forward(days=1)
        outbox.expire_commands(clock.at)
        assert is_due(cast.owed(version.phone_id), clock)

    def test_one_that_has_left_is_not_taken_back(self, version, clock):
        cast.applied(version)
        notify = commands.send(version.phone_id, NotifyKind.REBOOT, "tess", cast.HOST)
        assert cast.claim(notify)
        clock.forward(minutes=10)
        outbox.expire_commands(clock.at)
        assert again(notify).state == "sending"

    def test_nothing_to_expire_is_one_question(self, version, clock, django_assert_num_queries):
        with django_assert_num_queries(1):
            outbox.expire_commands(clock.at)


def test_an_ignored_phone_is_sent_nothing_more(version, clock):
    other = cast.assigned(cast.OTHER_MAC, "10.0.0.21")
    inventory.ignore(version.phone_id, "tess")
    outbox.drop_unwanted()
    assert cast.owed(version.phone_id) is None
    assert is_due(cast.owed(other.phone_id), clock)


class TestClock:
    def test_a_row_absurdly_far_ahead_is_due_because_the_clock_went_back(self, version, clock):
        notify = cast.owed(version.phone_id)
        clock.forward(days=-400)
        assert is_due(notify, clock)
        clock.forward(days=399)
        assert not is_due(notify, clock)

    def test_limits_do_not_block_a_phone_for_ever_when_the_clock_went_back(self, version, clock):
        cast.delivered(version)
        for _ in range(3):
            clock.forward(minutes=11)
            cast.restarted(version)
            cast.delivered(version)
        clock.forward(days=-400)
        notify = cast.restarted(version)
        assert notify is not None and is_due(notify, clock)

    def test_the_first_path_does_not_stay_open_for_years_when_the_clock_went_back(self, version, clock):
        cast.sent(version)
        clock.forward(days=-400)
        assert cast.ask(cast.first_path(version)).status == 404


def test_an_unsent_row_of_an_old_version_never_opens_after_a_new_save(version, clock):
    for number in range(5):
        cast.save(version.phone, cast.draft(display_name=f"Name {number}"))
        clock.forward(0.1)
    assert len(outbox.due(clock.at, cast.LEGS, 50)) == 1
    (due,) = outbox.due(clock.at, cast.LEGS, 50)
    assert ConfigFile.objects.get(pk=due.config_file_id).number == ConfigFile.objects.count() == 6


def test_enqueue_supersedes_a_transaction_under_way_and_the_agent_is_told(version, clock):
    notify = cast.sent(version)
    outbox.enqueue(version, NotifyOrigin.SAVE, clock.at)
    assert outbox.still_sending(notify.claimed_by) == set()
    assert outbox.adoptable("pbx#2", [notify.pk], clock.at) == []


def test_notify_again_confirms_only_the_address_that_was_shown(version):
    Phone.objects.update(source_host="10.0.0.66")
    with pytest.raises(outbox.AddressMoved, match="10.0.0.66"):
        outbox.notify_again(version.phone_id, "tess", cast.HOST)
    assert Phone.objects.get().approved_host == cast.HOST


def test_an_ordinary_restart_after_three_automatic_notifys_raises_no_alarm(version, clock):
    """They did help, in the end: the phone is applied and merely restarts."""
    cast.delivered(version)
    for _ in range(3):
        clock.forward(minutes=11)
        cast.restarted(version)
        cast.delivered(version)
    cast.download(cast.first_path(version))
    cast.download(cast.steady_path(version))
    clock.forward(minutes=30)
    cast.restarted(version)
    clock.forward(20)
    cast.download(cast.steady_path(version))
    assert (cast.stage(version), cast.reason(version), Phone.objects.get().alarm) == ("applied", "", "")


def test_a_phone_that_started_up_during_a_dead_transaction_is_told_once_it_is_over(version, clock):
    """It was switched off and on as it was asked to be: it must not wait for the timed retry."""
    notify = cast.sent(version)
    clock.forward(17)
    Phone.objects.update(subscribed_at=clock.at)
    clock.forward(16)
    settling.unanswered(notify.pk)
    assert is_due(cast.owed(version.phone_id), clock)


def test_what_waited_is_forgotten_when_it_leaves(version):
    inventory.explain(version.phone_id, "No listener runs.")
    cast.sent(version)
    assert cast.reason(version) == ""


def test_a_notify_that_is_held_back_says_until_when_and_what_helps(version, clock):
    cast.delivered(version)
    clock.forward(minutes=1)
    cast.restarted(version)
    cast.delivered(version)
    clock.forward(minutes=2)
    cast.restarted(version)
    assert "12:11 UTC" in cast.reason(version) and "Notify again" in cast.reason(version)
