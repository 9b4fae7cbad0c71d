"""Orders: each phone of a selection is asked once, at its turn, where the list showed it; all of it can be stopped."""

from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta

import pytest

from devices.choices import Stage
from devices.models import Account, LiveEvent, Phone
from devices.trust import Verdict
from provisioning import outbox
from provisioning.jobs import kinds, orders, runner, standing
from provisioning.jobs.models import Job, JobState, JobTarget
from provisioning.models import Notify, NotifyKind, NotifyOrigin, NotifyState
from sipmcast import desk
from tests import cast
from tests.support.orders import carried_out, ordered, phones, restarts

pytestmark = [pytest.mark.django_db, pytest.mark.db]


def test_phones_are_asked_at_the_pace_and_no_further_ahead_than_can_be_taken_back(clock):
    made = phones(20)
    job = carried_out(ordered("reboot", made))
    assert (job.state, job.worker, job.done, job.changed) == (JobState.RUNNING, "", 8, 8)
    assert [one.next_at - clock.at for one in restarts()] == [timedelta(seconds=2 * place) for place in range(8)]
    assert {one.origin for one in restarts()} == {NotifyOrigin.JOB}
    assert job.called_at == clock.at + timedelta(seconds=16)
    clock.forward(16)
    job = carried_out(job)
    assert job.done == 16
    assert restarts()[8].next_at == clock.at
    clock.forward(60)
    job = carried_out(job)
    assert (job.state, job.done, JobTarget.objects.count()) == (JobState.DONE, 20, 0)
    assert sorted(one.phone_id for one in restarts()) == [phone.pk for phone in made]


def test_a_second_call_before_its_next_turn_does_nothing(clock):
    job = carried_out(ordered("reboot", phones(20)))
    carried_out(job)
    assert len(restarts()) == 8


def test_a_worker_that_dies_leaves_nobody_asked_twice_and_nobody_out(clock, monkeypatch):
    made = phones(20)
    job = ordered("check", made, pace=600)
    whole, bites = orders.run_chunk, []

    def dies(job: Job) -> kinds.Next:
        if bites:
            raise KeyboardInterrupt
        bites.append(job.pk)
        return whole(job)

    monkeypatch.setattr(orders, "run_chunk", dies)
    with pytest.raises(KeyboardInterrupt):
        runner.run.call(job.pk)
    monkeypatch.undo()
    job = carried_out(job)
    assert (job.state, job.done) == (JobState.RUNNING, 10)  # it still belongs to the dead one
    clock.forward(runner.LOST_AFTER_SECONDS + 1)
    assert runner.revive() == 1
    job = carried_out(job)
    assert (job.state, job.done, job.failed) == (JobState.DONE, 20, 0)
    asked = Notify.objects.filter(kind=NotifyKind.CHECK_SYNC)
    assert sorted(asked.values_list("phone", flat=True)) == [phone.pk for phone in made]


def test_paused_it_asks_nobody_and_resumed_nobody_is_lost(clock):
    job = carried_out(ordered("reboot", phones(20)))
    runner.pause(job.pk)
    assert {one.state for one in restarts()} == {NotifyState.WITHHELD}
    assert standing.of(job).told.held == 8
    clock.forward(hours=2)
    assert carried_out(job).done == 8
    runner.resume(job.pk)
    outbox.expire_commands(clock.at)
    assert [one.next_at - clock.at for one in restarts()] == [timedelta(seconds=2 * place) for place in range(8)]
    assert {one.state for one in restarts()} == {NotifyState.WAITING}
    for _ in range(4):
        carried_out(job)
        clock.forward(20)
    job = carried_out(job)
    assert (job.state, job.done) == (JobState.DONE, 20)


def test_cancelled_nobody_more_is_asked_and_whom_it_did_not_come_to_stays_known(clock):
    job = carried_out(ordered("reboot", phones(20)))
    runner.cancel(job.pk)
    assert {one.state for one in restarts()} == {NotifyState.NOT_NEEDED}
    assert {one.note for one in restarts()} == {kinds.ORDERED.dropped}
    clock.forward(60)
    job = carried_out(job)
    assert (job.state, len(restarts()), JobTarget.objects.count()) == (JobState.CANCELLED, 8, 12)


def test_a_phone_that_is_not_where_the_list_showed_it_is_left_out_and_named(clock):
    first, second, third = phones(3)
    job = ordered("reboot", [first, second, third])
    Phone.objects.filter(pk=second.pk).update(source_host=cast.STRANGER)
    job = carried_out(job)
    (failure,) = job.failures.all()
    assert (failure.phone_id, job.changed, job.failed) == (second.pk, 2, 1)
    assert f"In the list it was at {second.source_host}, now it is at {cast.STRANGER}" in failure.message
    assert [one.phone_id for one in restarts()] == [first.pk, third.pk]
    assert restarts()[1].next_at - restarts()[0].next_at == timedelta(seconds=2)  # who is left out takes no turn


def test_who_has_no_configuration_is_a_failure_with_a_next_step(clock):
    (assigned,), newcomer = phones(1), cast.seen(cast.OTHER_MAC, "10.0.0.30")
    job = carried_out(ordered("reboot", [assigned, newcomer]))
    assert [(one.phone_id, one.message) for one in job.failures.all()] == [
        (newcomer.pk, "This phone has no configuration of ours yet. Assign it first.")
    ]


def test_a_second_order_does_not_restart_a_fleet_again(clock):
    made = phones(2)
    job = carried_out(ordered("reboot", made, pace=600))
    clock.forward(1)
    with cast.neighbours_say(Verdict.MATCH):
        assert len(desk.look(cast.LEGS, "pbx#1", {}, 100).sends) == 2
    clock.forward(60)
    second = carried_out(ordered("reboot", made, pace=600))
    assert (second.changed, second.failed) == (0, 2)
    assert "so soon after that it is left out" in second.failures.first().message
    clock.forward(minutes=orders.RESTART_BREAK_MINUTES)
    Notify.objects.update(state=NotifyState.DELIVERED)
    assert carried_out(ordered("reboot", made, pace=600)).changed == 2
    assert job.changed == 2


def test_phones_that_wait_for_the_same_already_are_not_ordered_again(clock):
    made = phones(3)
    ordered("reboot", made[:2])
    assert ordered("reboot", made).total == 1
    with pytest.raises(runner.JobError, match="waits for this already"):
        ordered("reboot", made)
    assert ordered("check", made).total == 3


def test_an_order_confirms_no_address(clock):
    (phone,) = phones(1)
    Phone.objects.update(source_host="10.9.9.9", approved_host=None, approved_at=None, steady_host=None)
    phone.refresh_from_db()
    carried_out(ordered("notify", [phone]))
    with cast.neighbours_say(Verdict.UNKNOWN):
        assert not desk.look(cast.LEGS, "pbx#1", {Notify.objects.get().pk: desk.PROBES}, 100).sends
    notify = Notify.objects.get()
    assert (notify.state, Phone.objects.get().approved_host) == (NotifyState.WITHHELD, None)
    assert "Nobody has confirmed that this phone is at 10.9.9.9" in notify.note


@pytest.mark.parametrize("kind", ["check", "notify"])
def test_nothing_of_an_order_goes_to_a_device_with_another_mac(clock, kind):
    (phone,) = phones(1)
    carried_out(ordered(kind, [phone]))
    with cast.neighbours_say(Verdict.MISMATCH):
        assert not desk.look(cast.LEGS, "pbx#1", {}, 100).sends
    notify = Notify.objects.get()
    assert notify.state == (NotifyState.WITHHELD if kind == "notify" else NotifyState.NOT_NEEDED)
    assert "a different MAC" in notify.note and Phone.objects.get().alarm
    Phone.objects.update(neighbour="mismatch")
    Notify.objects.update(state=NotifyState.NOT_NEEDED)
    job = carried_out(ordered(kind, [phone]))
    assert "another device's MAC" in job.failures.get().message


def test_ignoring_and_heeding_many_is_one_job_each_and_one_look_at_their_files(clock):
    made = phones(25)
    job = carried_out(ordered("ignore", made))
    assert (job.state, job.changed) == (JobState.DONE, 25)
    assert set(Phone.objects.values_list("stage", flat=True)) == {Stage.IGNORED}
    job = carried_out(ordered("heed", made))
    assert (job.state, job.changed) == (JobState.DONE, 25)
    assert not Phone.objects.filter(stage=Stage.IGNORED).exists()
    (files,) = Job.objects.filter(kind="rerender")  # one for all of them, so that there is one pace
    assert files.scope == {"phones": [phone.pk for phone in made]}


def test_whoever_was_heeded_is_looked_at_also_if_the_rest_is_cancelled(clock, monkeypatch):
    """At the pace of one job: what changed while they were ignored has not reached their files."""
    made = phones(12)
    Phone.objects.update(stage=Stage.IGNORED)
    Account.objects.update(display_name="Other")
    whole = orders.run_chunk

    def cancelled_after_the_first_bite(job: Job) -> kinds.Next:
        then = whole(job)
        runner.cancel(job.pk)
        return then

    monkeypatch.setattr(orders, "run_chunk", cancelled_after_the_first_bite)
    job = carried_out(ordered("heed", made))
    assert (job.state, job.done) == (JobState.CANCELLED, 10)
    (files,) = Job.objects.filter(kind="rerender")
    assert (carried_out(files).state, files.total) == (JobState.DONE, 10)
    assert Notify.objects.count() == 10 and Notify.objects.filter(next_at__lte=clock.at).count() == 1


def test_forgetting_many_leaves_none_and_is_told(clock):
    job = carried_out(ordered("forget", phones(12)))
    assert (job.state, job.done, job.total) == (JobState.DONE, 12, 12)
    assert not Phone.objects.exists()
    assert LiveEvent.objects.filter(kind="forgotten", text="Forgotten by tess.").count() == 12


def test_a_phone_that_is_forgotten_meanwhile_is_nobodys_failure(clock):
    made = phones(3)
    job = ordered("reboot", made)
    made[1].delete()
    job = carried_out(job)
    assert (job.state, job.done, job.changed, job.failed) == (JobState.DONE, 3, 2, 0)


def stored_in_part(monkeypatch, made: list[Phone], then: Callable[[Job], None]) -> Job:
    """An order of which something happens after its first two targets are stored."""
    monkeypatch.setattr(orders, "INSERTED_AT_ONCE", 2)
    insert, bites = orders.batch.insert, []

    def noted(model, names, rows, **how):
        if model is JobTarget and bites:
            then(Job.objects.get())
        bites.append(model)
        return insert(model, names, rows, **how)

    with monkeypatch.context() as patch:
        patch.setattr(orders.batch, "insert", noted)
        with suppress(KeyboardInterrupt):
            ordered("check", made)
    return Job.objects.get()


def test_an_order_that_is_not_stored_completely_can_only_be_cancelled(clock, monkeypatch):
    def dies(job: Job) -> None:
        raise KeyboardInterrupt

    job = stored_in_part(monkeypatch, phones(4), dies)
    assert (job.state, job.total, job.targets.count(), job.words) == (JobState.PAUSED, 4, 2, orders.NOT_WHOLE)
    with pytest.raises(runner.JobError, match="cancel it, and order it again"):
        runner.resume(job.pk)
    job = carried_out(job)
    assert (job.state, job.done, Notify.objects.count()) == (JobState.PAUSED, 0, 0)
    runner.cancel(job.pk)
    assert JobTarget.objects.count() == 0
    again = ordered("check", list(Phone.objects.all()))
    assert (again.state, again.words, again.targets.count()) == (JobState.WAITING, "", 4)


def test_an_order_that_is_cancelled_while_it_is_stored_keeps_no_targets(clock, monkeypatch):
    monkeypatch.setattr(orders, "INSERTED_AT_ONCE", 2)
    made, slept = phones(6), []

    def between(seconds: float) -> None:
        if not slept:
            slept.append(seconds)
            runner.cancel(Job.objects.get().pk)

    monkeypatch.setattr(orders.time, "sleep", between)
    with pytest.raises(runner.JobError, match="cancelled"):
        ordered("check", made)
    assert (Job.objects.get().state, JobTarget.objects.count()) == (JobState.CANCELLED, 0)


@pytest.mark.parametrize("pace", [0, 0.5, 601])
def test_a_senseless_pace_is_refused(clock, pace):
    with pytest.raises(runner.JobError, match="a minute"):
        ordered("reboot", phones(1), pace=pace)


def test_more_than_a_day_is_refused(clock):
    with pytest.raises(runner.JobError, match="more than a day"):
        orders.start("reboot", [(number, None) for number in range(1500)], by="tess", pace_per_minute=1)


def test_an_empty_selection_is_refused(clock):
    with pytest.raises(runner.JobError, match="No phone is selected"):
        orders.start("reboot", [], by="tess")


def test_a_fleet_is_not_restarted_twice_by_orders_of_two_kinds(clock):
    made = phones(1)
    carried_out(ordered("reboot", made))
    notify = cast.owed(made[0].pk)
    assert cast.claim(notify) and cast.answered(notify, 200)
    clock.forward(60)
    assert carried_out(ordered("resync", made)).failed == 1


def test_a_phone_that_is_forgotten_while_its_row_is_waited_for_takes_no_other_along(clock, monkeypatch):
    made = phones(3)
    job, real = ordered("reboot", made), outbox.lock_phones

    def lock(ids):
        Phone.objects.filter(pk=made[1].pk).delete()
        real(ids)

    monkeypatch.setattr(outbox, "lock_phones", lock)
    job = carried_out(job)
    assert (job.state, job.done, job.changed, job.failed) == (JobState.DONE, 3, 2, 0)
