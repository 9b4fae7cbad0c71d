"""Orders that are cancelled, and such as a person has confirmed the addresses of."""

from datetime import timedelta

import pytest

from devices.choices import Stage
from devices.models import Phone
from devices.trust import Verdict
from provisioning import outbox
from provisioning.jobs import kinds, orders, replaced, runner, telling
from provisioning.jobs.models import Job, JobState
from provisioning.layers import store
from provisioning.models import OPEN_STATES, Notify, NotifyOrigin, NotifyState
from sipmcast import desk
from tests import cast
from tests.support.orders import carried_out, ordered, phones, phones_more

pytestmark = [pytest.mark.django_db, pytest.mark.db]


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
