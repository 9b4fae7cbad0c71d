"""Orders: each phone of a selection is asked once, at its turn, where the list showed it; all of it can be stopped."""

from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta

import pytest

from devices.choices import Stage
from devices.models import Account, LiveEvent, Phone
from devices.trust import Verdict
from provisioning import outbox
from provisioning.jobs import kinds, orders, replaced, runner, standing, telling
from provisioning.jobs.models import Job, JobState, JobTarget
from provisioning.layers import store
from provisioning.models import OPEN_STATES, Notify, NotifyKind, NotifyOrigin, NotifyState
from sipmcast import desk
from tests import cast

pytestmark = [pytest.mark.django_db, pytest.mark.db]


@pytest.fixture
def clock():
    with cast.stopped_clock() as clock:
        yield clock


def phones(count: int) -> list[Phone]:
    """Phones that have applied their files; nothing is owed."""
    made = [cast.seen(f"000B82{number:06X}", f"10.0.1.{number}") for number in range(1, count + 1)]
    for phone in made:
        cast.save(phone)
    Notify.objects.all().delete()
    Phone.objects.update(stage=Stage.APPLIED)
    return made


def phones_more(count: int) -> list[Phone]:
    """Further ones of whom nothing is owed."""
    made = [cast.seen(f"000B82AA{number:04X}", f"10.0.2.{number}") for number in range(1, count + 1)]
    for phone in made:
        cast.save(phone)
    Notify.objects.filter(phone__in=made).delete()
    return made


def ordered(kind: str, made: list[Phone], pace: float = 30, by: str = "tess") -> Job:
    return orders.start(kind, [(phone.pk, phone.source_host) for phone in made], by=by, pace_per_minute=pace)


def carried_out(job: Job) -> Job:
    runner.run.call(job.pk)
    job.refresh_from_db()
    return job


def restarts() -> list[Notify]:
    return list(Notify.objects.filter(kind=NotifyKind.REBOOT).order_by("next_at"))


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


class TestCancelledItTakesNothingAway:
    """An order supersedes what a save or an import still owed; one that is cancelled must not make that not needed."""

    def owed(self, clock, verdict=Verdict.UNKNOWN) -> tuple[Phone, Notify]:
        phone = cast.seen("000B82000001", "10.0.1.1")
        cast.save(phone)
        Phone.objects.update(approved_host=None, approved_at=None)
        notify = Notify.objects.get()
        Notify.objects.update(origin=NotifyOrigin.JOB)
        with cast.neighbours_say(verdict):
            desk.look(cast.LEGS, "pbx#1", {notify.pk: desk.PROBES}, 100)
        phone.refresh_from_db()
        return phone, Notify.objects.get()

    def test_what_was_withheld_for_its_address_is_withheld_again_with_its_reason(self, clock):
        phone, before = self.owed(clock)
        assert before.state == NotifyState.WITHHELD and "Nobody has confirmed" in phone.stage_reason
        job = carried_out(ordered("notify", [phone, *phones_more(20)]))
        before.refresh_from_db()
        assert before.state == NotifyState.SUPERSEDED
        runner.cancel(job.pk)
        before.refresh_from_db()
        assert (before.state, before.settled_at) == (NotifyState.WITHHELD, None)
        assert Phone.objects.get(pk=phone.pk).stage_reason == before.note

    def test_also_if_the_order_was_withheld_itself(self, clock):
        phone, before = self.owed(clock)
        job = carried_out(ordered("notify", [phone, *phones_more(20)]))
        with cast.neighbours_say(Verdict.UNKNOWN):
            asked = Notify.objects.get(phone=phone, job=job)
            desk.look(cast.LEGS, "pbx#1", {asked.pk: desk.PROBES}, 100)
        asked.refresh_from_db()
        assert asked.state == NotifyState.WITHHELD
        runner.cancel(job.pk)
        assert [one.pk for one in Notify.objects.filter(phone=phone, state__in=OPEN_STATES)] == [before.pk]
        assert "Nobody has confirmed" in Phone.objects.get(pk=phone.pk).stage_reason

    def test_what_waited_for_its_turn_waits_again(self, clock):
        phone = cast.seen("000B82000001", "10.0.1.1")
        cast.save(phone)
        Notify.objects.update(next_at=clock.at + timedelta(minutes=5))
        before = Notify.objects.get()
        job = ordered("notify", [phone, *phones_more(20)])
        job = carried_out(job)
        runner.cancel(job.pk)
        again = Notify.objects.get(phone=phone, state__in=OPEN_STATES)
        assert (again.pk, again.state, again.next_at) == (before.pk, NotifyState.WAITING, before.next_at)

    @pytest.mark.parametrize(("resumed", "state"), [(False, NotifyState.WITHHELD), (True, NotifyState.WAITING)])
    def test_what_a_paused_job_holds_back_goes_on_with_that_job(self, clock, resumed, state):
        (phone,) = phones(1)
        others = phones_more(20)
        store.save(store.find("site", ""), {"vlan_tag": "9"}, by="tess")
        files = carried_out(runner.start("Settings", {}, by="tess"))
        Notify.objects.filter(job=files).update(next_at=clock.at + timedelta(seconds=9), state=NotifyState.WAITING)
        runner.pause(files.pk)
        before = Notify.objects.get(phone=phone, job=files)
        assert (before.state, before.note) == (NotifyState.WITHHELD, kinds.RERENDERING.held)
        Job.objects.filter(pk=files.pk).update(state=JobState.PAUSED)
        order = carried_out(ordered("notify", [phone, *others]))
        if resumed:
            runner.resume(files.pk)
        runner.cancel(order.pk)
        again = Notify.objects.get(phone=phone, state__in=OPEN_STATES)
        assert (again.pk, again.state) == (before.pk, state)

    @pytest.mark.parametrize(
        ("first", "button", "state"),
        [
            (True, "pause", NotifyState.WITHHELD),
            (False, "pause", NotifyState.WITHHELD),
            (True, "resume", NotifyState.WAITING),
            (False, "cancel", NotifyState.SUPERSEDED),
        ],
    )
    def test_what_was_stopped_of_a_job_that_is_done_stays_stopped(self, clock, first, button, state):
        """Paused before the order or after it; paused before and resumed after it; cancelled after it."""
        phone, other = phones(2)
        others = phones_more(20)
        store.save(store.find("site", ""), {"vlan_tag": "9"}, by="tess")
        files = carried_out(runner.start("Settings", {}, by="tess"))
        assert files.state == JobState.DONE
        if first:
            runner.pause(files.pk)
        before = Notify.objects.get(phone=phone, job=files)
        order = carried_out(ordered("notify", [phone, *others]))
        if (first, button) != (True, "pause"):
            {"pause": runner.pause, "resume": runner.resume, "cancel": runner.cancel}[button](files.pk)
        runner.cancel(order.pk)
        before.refresh_from_db()
        assert before.state == state
        if state == NotifyState.WITHHELD:
            assert before.note == kinds.RERENDERING.held
            runner.resume(files.pk)
            before.refresh_from_db()
            assert before.state == NotifyState.WAITING

    def test_the_second_of_two_orders_gives_back_what_the_first_replaced(self, clock):
        phone, before = self.owed(clock)
        others = phones_more(20)
        first = carried_out(ordered("notify", [phone, *others]))
        second = carried_out(ordered("notify", [phone, *others[:1]]))
        runner.cancel(first.pk)
        assert not telling.drop(first)
        runner.pause(second.pk)
        runner.cancel(second.pk)
        assert Notify.objects.get(phone=phone, state__in=OPEN_STATES).pk == before.pk

    def test_what_waits_again_says_nothing_of_what_held_it_back_then(self, clock):
        """An import was not complete when the order came, and is when it is cancelled."""
        phone, before = self.owed(clock)
        Notify.objects.filter(pk=before.pk).update(note="Its import is not complete yet.")
        Phone.objects.update(stage_reason="")
        order = ordered("notify", [phone])
        carried_out(order)
        runner.cancel(order.pk)
        again = Notify.objects.get(pk=before.pk)
        assert (again.state, again.note) == (NotifyState.WAITING, "")

    def test_all_of_many_get_back_what_they_were_owed_in_short_transactions(self, clock, monkeypatch):
        """Looking up what each was owed takes time, and a listener waits for it."""
        monkeypatch.setattr(telling, "GIVEN_BACK_AT_ONCE", 2)
        made = phones(5)
        for one in made:
            outbox.notify_again(one.pk, "tess", one.source_host)
        before = set(Notify.objects.filter(state__in=OPEN_STATES).values_list("pk", flat=True))
        bites, give_back = [], replaced.give_back

        def noted(job: Job, dropped: set[int]) -> None:
            bites.append(len(dropped))
            give_back(job, dropped)

        monkeypatch.setattr(replaced, "give_back", noted)
        runner.cancel(carried_out(ordered("notify", made)).pk)
        assert bites == [2, 2, 1]
        assert set(Notify.objects.filter(state__in=OPEN_STATES).values_list("pk", flat=True)) == before

    def test_who_was_owed_nothing_is_owed_nothing_and_keeps_its_reason(self, clock):
        made = phones(20)
        Phone.objects.update(stage=Stage.ASSIGNED, stage_reason="It did not answer our NOTIFY.")
        job = carried_out(ordered("notify", made))
        runner.cancel(job.pk)
        assert not Notify.objects.filter(state__in=OPEN_STATES).exists()
        assert set(Phone.objects.values_list("stage_reason", flat=True)) == {"It did not answer our NOTIFY."}


class TestConfirmed:
    """A person has looked at each phone with its address, and says so: that counts for what they saw, and no longer."""

    def unconfirmed(self, count: int = 1) -> list[Phone]:
        phones(count)
        Phone.objects.update(approved_host=None, approved_at=None, steady_host=None, stage=Stage.ASSIGNED)
        return list(Phone.objects.order_by("pk"))

    def sends(self, verdict: Verdict = Verdict.UNKNOWN) -> int:
        probed = dict.fromkeys(Notify.objects.values_list("pk", flat=True), desk.PROBES)
        with cast.neighbours_say(verdict):
            return len(desk.look(cast.LEGS, "pbx#1", probed, 100).sends)

    def test_it_leaves_to_the_very_address_that_was_seen(self, clock):
        (phone,) = self.unconfirmed()
        job = carried_out(ordered("confirm", [phone]))
        phone.refresh_from_db()
        assert (phone.approved_host, phone.approved_at) == (phone.source_host, job.created_at)
        assert self.sends() == 1

    def test_a_phone_that_has_moved_is_left_out_and_not_confirmed(self, clock):
        first, second = self.unconfirmed(2)
        job = ordered("confirm", [first, second])
        Phone.objects.filter(pk=second.pk).update(source_host=cast.STRANGER)
        job = carried_out(job)
        assert (job.changed, job.failed) == (1, 1)
        assert "now it is at" in job.failures.get().message
        assert Phone.objects.get(pk=second.pk).approved_host is None

    @pytest.mark.parametrize("doubt", [{"neighbour": "mismatch"}, {"alarm": "Somebody else claims it."}])
    def test_nothing_is_confirmed_of_a_phone_in_doubt_at_its_turn(self, clock, doubt):
        (phone,) = self.unconfirmed()
        job = ordered("confirm", [phone])
        Phone.objects.update(**doubt)
        job = carried_out(job)
        assert (job.failed, Phone.objects.get().approved_host, Notify.objects.count()) == (1, None, 0)

    def test_it_never_goes_against_the_neighbour_table(self, clock):
        (phone,) = self.unconfirmed()
        carried_out(ordered("confirm", [phone]))
        assert self.sends(Verdict.MISMATCH) == 0
        assert Notify.objects.get().state == NotifyState.WITHHELD

    def test_who_has_no_configuration_is_not_confirmed_either(self, clock):
        newcomer = cast.seen(cast.OTHER_MAC, "10.0.0.30")
        assert carried_out(ordered("confirm", [newcomer])).failed == 1
        assert Phone.objects.get(pk=newcomer.pk).approved_host is None

    def test_what_somebody_confirmed_since_stays_as_young_as_it_is(self, clock):
        (phone,) = self.unconfirmed()
        job = ordered("confirm", [phone])
        clock.forward(minutes=10)
        outbox.notify_again(phone.pk, "theo", phone.source_host)
        carried_out(job)
        assert Phone.objects.get(pk=phone.pk).approved_at == clock.at

    def test_what_was_seen_before_a_long_pause_is_confirmed_no_more(self, clock):
        made = self.unconfirmed(20)
        job = carried_out(ordered("confirm", made))
        runner.pause(job.pk)
        clock.forward(minutes=16)
        Phone.objects.update(subscribed_at=clock.at)
        runner.resume(job.pk)
        job = carried_out(job)
        assert self.sends() == 0, "eight had their turn before the pause"
        for _ in range(3):
            clock.forward(60)
            job = carried_out(job)
        assert (job.done, job.failed) == (20, 12)
        assert "more than 15 minutes ago" in job.failures.first().message

    def test_a_pace_at_which_it_would_be_too_late_and_too_many_are_refused(self, clock):
        targets = [(number, "10.0.0.1") for number in range(500)]
        with pytest.raises(runner.JobError, match="enter 42 or more"):
            orders.start("confirm", targets, by="tess")
        with pytest.raises(runner.JobError, match="At most 500"):
            orders.start("confirm", [*targets, (500, "10.0.0.1")], by="tess", pace_per_minute=600)
        assert orders.start("confirm", targets, by="tess", pace_per_minute=42).total == 500
