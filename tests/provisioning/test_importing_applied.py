"""Imports that are applied: all or nothing, whoever dies or presses a button meanwhile."""

from datetime import timedelta

import pytest
from django.utils import timezone

from devices.choices import Stage
from devices.models import LiveEvent, Phone
from provisioning import outbox, plan
from provisioning.importing import applying, making, undoing
from provisioning.importing.models import ImportState, PhoneImport, RowState
from provisioning.jobs import arrivals, runner, telling
from provisioning.jobs.models import Job, JobState
from provisioning.layers import store
from provisioning.models import Notify, NotifyState
from tests import cast
from tests.support.imports import HEAD, NEW, applied, ends, many, preview, renamed, run, said, snapshot, taken, undone

pytestmark = [pytest.mark.django_db, pytest.mark.db]


class TestApply:
    def test_new_changed_and_unassigned_phones_in_one_go(self, clock):
        changed, seen = cast.assigned().phone, cast.seen(cast.OTHER_MAC, "10.0.0.21")
        one = applied(
            HEAD.strip() + ",site,mpk1,account2_extension,account2_sip_server\n"
            f"{changed.mac},,,,Theo,,berlin,blf:1002:Reception,,\n"
            f"{seen.mac},gxp1628,1003,pw3,Zoë,pbx.example.com,,,,\n"
            f"00:0b:82:00:0e:10,gxp1625,1004,pw4,Ada,pbx.example.com,berlin,,1005,other\n"
        )
        assert (one.state, one.new, one.changed) == (ImportState.APPLIED, 1, 2)
        changed.refresh_from_db()
        assert (changed.site, changed.stage) == ("berlin", Stage.ASSIGNED)
        assert said(changed)["account1_display_name"] == "Theo"
        assert changed.accounts.get().password == cast.PASSWORD, "an empty cell keeps what is there"
        assert changed.keys.get().label == "Reception"
        assert said(seen)["account1_auth_password"] == "pw3"
        new = Phone.objects.get(mac=NEW)
        assert (new.model, new.site, new.stage, new.awaits_file) == ("GXP1625", "berlin", Stage.ASSIGNED, True)
        assert list(new.accounts.values_list("user_id", flat=True)) == ["1004", "1005"]
        assert not new.config_files.exists()
        assert LiveEvent.objects.filter(mac=NEW, text="Import of phones.csv, by tess.").exists()

    def test_a_listed_phone_gets_its_file_when_it_is_plugged_in(self):
        applied(HEAD + f"{NEW},GXP1628,1009,pw,Ada,pbx.example.com\n")
        phone = cast.seen(NEW, "10.0.0.40")
        assert arrivals.provide() == 1
        assert said(phone)["account1_display_name"] == "Ada"
        assert cast.owed(phone.pk).state == NotifyState.WAITING

    def test_its_phones_are_told_at_the_pace_and_addresses_stay_unconfirmed(self, clock):
        phones = many(3)
        Phone.objects.update(approved_host=None)
        applied(renamed(phones))
        owed = [cast.owed(phone.pk) for phone in phones]
        assert [(one.next_at - clock.at).total_seconds() for one in owed] == [0.0, 0.2, 0.4]
        assert {one.state for one in owed} == {NotifyState.WAITING}
        assert set(Phone.objects.values_list("approved_host", flat=True)) == {None}

    def test_what_was_uploaded_is_deleted_and_what_was_before_is_kept_encrypted(self):
        one = applied(renamed(many(2)))
        assert not one.rows.filter(after__isnull=False).exists()
        assert one.rows.filter(before__isnull=False).count() == 2

    def test_nobody_is_told_before_the_last_chunk_and_a_dead_worker_is_taken_up(self, monkeypatch):
        monkeypatch.setattr(making, "STORED_AT_ONCE", 2)
        phones = many(5)
        job = applying.apply(preview(renamed(phones)), by="tess")
        Job.objects.filter(pk=job.pk).update(state=JobState.RUNNING, worker="died")
        job.refresh_from_db()
        assert applying.run_chunk(job) and applying.run_chunk(job)
        assert [cast.owed(phone.pk).state for phone in phones[:4]] == [NotifyState.WITHHELD] * 4
        Job.objects.filter(pk=job.pk).update(state=JobState.WAITING)
        assert (run(job).state, job.done, job.changed) == (JobState.DONE, 5, 5)
        assert {cast.owed(phone.pk).state for phone in phones} == {NotifyState.WAITING}
        assert {outbox.current_file(phone.pk).number for phone in phones} == {2}, "none was made twice"

    def test_a_worker_that_died_before_telling_is_taken_up(self):
        phones = many(2)
        job = applying.apply(preview(renamed(phones)), by="tess")
        Job.objects.filter(pk=job.pk).update(state=JobState.RUNNING, worker="died")
        job.refresh_from_db()
        assert applying.run_chunk(job) and applying.run_chunk(job)
        assert PhoneImport.objects.get().state == ImportState.APPLIED
        Job.objects.filter(pk=job.pk).update(state=JobState.WAITING)
        run(job)
        assert {cast.owed(phone.pk).state for phone in phones} == {NotifyState.WAITING}

    def test_a_phone_saved_meanwhile_takes_everything_back_and_nobody_was_told(self, monkeypatch, clock):
        monkeypatch.setattr(making, "STORED_AT_ONCE", 2)
        phones = [*many(4), cast.applied(cast.assigned()).phone]
        text = renamed([phones[4], *phones[:4]]) + f"{NEW},Ada\n"
        text = text.replace("mac,name", "mac,name,model,extension,sip_server").replace("Ada", "Ada,GXP1628,1009,pbx")
        job = applying.apply(preview(text.replace("Theo\n", "Theo,,,\n")), by="tess")
        cast.save(phones[3], cast.draft(display_name="Somebody else"))
        before = snapshot()
        assert run(job).state == JobState.FAILED
        assert "00:0B:82:00:00:04 was changed by somebody" in job.words
        one = PhoneImport.objects.get()
        assert (one.state, one.words) == (ImportState.FAILED, job.words)
        assert snapshot() == before
        assert cast.owed(phones[0].pk).state == NotifyState.WAITING, "what was owed before is owed again"
        assert cast.owed(phones[4].pk) is None, "one that had applied its file need not be told anything"
        assert not Notify.objects.filter(job=job, config_file__number__gt=1).exists()

    def test_cancelling_takes_everything_back(self, monkeypatch):
        monkeypatch.setattr(making, "STORED_AT_ONCE", 2)
        phones = many(4)
        before = snapshot()
        job = applying.apply(preview(renamed(phones)), by="tess")
        applying.run_chunk(taken(job))
        runner.pause(job.pk)
        runner.cancel(job.pk)
        assert run(job).state == JobState.CANCELLED and "cancelled" in job.words
        assert snapshot() == before

    def test_pressing_cancel_again_does_not_stop_half_way_back(self, monkeypatch):
        monkeypatch.setattr(making, "STORED_AT_ONCE", 2)
        phones = many(4)
        before = snapshot()
        job = applying.apply(preview(renamed(phones)), by="tess")
        applying.run_chunk(taken(job))
        applying.run_chunk(job)
        PhoneImport.objects.update(state=ImportState.APPLYING)
        for _ in range(2):
            runner.cancel(job.pk)
            applying.run_chunk(job)
        runner.pause(job.pk)
        runner.cancel(job.pk)
        assert run(job).state == JobState.CANCELLED
        assert snapshot() == before

    def test_a_fault_of_ours_takes_everything_back(self, monkeypatch):
        monkeypatch.setattr(making, "STORED_AT_ONCE", 2)
        phones = many(4)
        before = snapshot()
        real, calls = making.render, []

        def broken(*args):
            calls.append(args)
            if len(calls) == 2:
                raise RuntimeError("broken")
            real(*args)

        monkeypatch.setattr(making, "render", broken)
        job = run(applying.apply(preview(renamed(phones)), by="tess"))
        one = PhoneImport.objects.get()
        assert (job.state, one.state, one.words) == (JobState.FAILED, ImportState.FAILED, applying.OUR_FAULT)
        assert snapshot() == before
        assert {cast.owed(phone.pk).state for phone in phones} == {NotifyState.WAITING}

    def test_a_fault_on_the_way_back_keeps_that_row_alone(self, monkeypatch):
        phones = many(4)
        job = applying.apply(preview(renamed(phones)), by="tess")
        applying.run_chunk(taken(job))
        judge = undoing._judge

        def broken(of, made):
            if made.mac == phones[1].mac:
                raise RuntimeError("broken")
            judge(of, made)

        monkeypatch.setattr(undoing, "_judge", broken)
        runner.cancel(job.pk)
        Job.objects.filter(pk=job.pk).update(state=JobState.WAITING)
        assert run(job).state == JobState.CANCELLED
        (row,) = PhoneImport.objects.get().rows.filter(state=RowState.KEPT)
        assert (row.mac, row.note, PhoneImport.objects.get().kept) == (phones[1].mac, undoing.OUR_FAULT, 1)
        names = [plan.draft_of(phone).accounts[0].display_name == "Theo" for phone in Phone.objects.order_by("mac")]
        assert names == [False, True, False, False]
        assert {cast.owed(phone.pk).state for phone in phones} == {NotifyState.WAITING}

    def test_a_fault_that_even_stops_the_way_back_leaves_one_out(self, monkeypatch):
        phones = many(2)
        before = snapshot()
        job = applying.apply(preview(renamed(phones)), by="tess")
        applying.run_chunk(taken(job))
        with monkeypatch.context() as patched:
            patched.setattr(undoing, "_store", lambda *args: 1 / 0)
            runner.cancel(job.pk)
            Job.objects.filter(pk=job.pk).update(state=JobState.WAITING)
            assert run(job).state == JobState.FAILED
        assert undone(PhoneImport.objects.get()).state == ImportState.UNDONE
        assert snapshot() == before

    def test_an_undoing_that_is_cancelled_can_be_ordered_again(self, monkeypatch):
        monkeypatch.setattr(making, "STORED_AT_ONCE", 2)
        phones = many(4)
        before = snapshot()
        one = applied(renamed(phones))
        job = undoing.undo(one, by="theo")
        applying.run_chunk(taken(job))
        runner.cancel(job.pk)
        runner.cancel(job.pk)  # again: what it has undone is not half done by that
        one.refresh_from_db()
        assert (ends(job).state, one.state) == (JobState.CANCELLED, ImportState.APPLIED)
        assert undone(one).state == ImportState.UNDONE
        assert snapshot() == before

    def test_who_was_put_back_before_an_undoing_was_cancelled_is_owed_what_it_was_owed(self, monkeypatch):
        monkeypatch.setattr(making, "STORED_AT_ONCE", 2)
        phones = many(4)
        one = applied(renamed(phones))
        Notify.objects.filter(phone=phones[3]).update(first_sent_at=timezone.now())
        job = undoing.undo(one, by="theo")
        applying.run_chunk(taken(job))
        runner.pause(job.pk)
        runner.cancel(job.pk)
        assert ends(job).state == JobState.CANCELLED
        owed = [cast.owed(phone.pk) for phone in phones[2:]]
        assert [(notify.state, notify.job_id) for notify in owed] == [(NotifyState.WAITING, job.pk)] * 2

    def test_a_worker_that_is_faster_than_who_cancels_an_undoing_does_not_end_it_as_done(self, monkeypatch):
        monkeypatch.setattr(making, "STORED_AT_ONCE", 2)
        one = applied(renamed(many(4)))
        job = taken(undoing.undo(one, by="theo"))
        applying.run_chunk(job)
        assert undoing.stop(one)
        job.refresh_from_db()
        assert applying.run_chunk(job).ended == JobState.CANCELLED

    def test_an_undoing_that_was_cancelled_does_not_go_on_with_one_that_was_ordered_anew(self, monkeypatch):
        monkeypatch.setattr(making, "STORED_AT_ONCE", 2)
        one = applied(renamed(many(4)))
        first = taken(undoing.undo(one, by="theo"))
        applying.run_chunk(first)
        runner.cancel(first.pk)
        undoing.undo(one, by="tess")
        assert ends(first).state == JobState.CANCELLED
        assert one.rows.filter(state=RowState.DONE).count() == 2

    def test_an_undoing_that_we_cannot_go_on_with_leaves_nobody_held_back(self, monkeypatch):
        monkeypatch.setattr(making, "STORED_AT_ONCE", 2)
        phones = many(4)
        job = taken(undoing.undo(applied(renamed(phones)), by="theo"))
        applying.run_chunk(job)
        monkeypatch.setattr(undoing, "_store", lambda *args: 1 / 0)
        assert ends(job).state == JobState.FAILED
        assert {cast.owed(phone.pk).state for phone in phones[2:]} == {NotifyState.WAITING}

    @pytest.mark.parametrize("state", [NotifyState.REFUSED, NotifyState.UNANSWERED, NotifyState.NOT_NEEDED])
    def test_who_rested_until_a_person_acts_rests_again(self, state):
        phones = many(2)
        Notify.objects.filter(phone=phones[0]).update(state=state)
        undone(applied(renamed(phones)))
        assert cast.owed(phones[0].pk) is None
        assert cast.owed(phones[1].pk).state == NotifyState.WAITING

    @pytest.mark.parametrize("at", [1, 2])
    def test_paused_while_its_phones_are_let_go_it_tells_nobody(self, monkeypatch, at, clock):
        """Before the first bite of them, and between two."""
        monkeypatch.setattr(telling, "AT_ONCE", 2)
        phones = many(4)
        job = applying.apply(preview(renamed(phones)), by="tess")
        bites = telling.batch.bites

        def paused(rows, size):
            for number, bite in enumerate(bites(rows, size), start=1):
                if number == at and rows[0][1] == NotifyState.WAITING:
                    runner.pause(job.pk)
                yield bite

        with monkeypatch.context() as patched:
            patched.setattr(telling.batch, "bites", paused)
            assert run(job).state == JobState.PAUSED
        assert {cast.owed(phone.pk).state for phone in phones} == {NotifyState.WITHHELD}
        runner.resume(job.pk)
        assert run(job).state == JobState.DONE
        due = sorted(cast.owed(phone.pk).next_at - clock.at for phone in phones)
        assert due == [timedelta(seconds=place / 5) for place in range(4)], "each has its own turn"

    def test_pausing_in_the_middle_tells_nobody_when_it_goes_on(self, monkeypatch):
        monkeypatch.setattr(making, "STORED_AT_ONCE", 2)
        phones = many(4)
        job = applying.apply(preview(renamed(phones)), by="tess")
        applying.run_chunk(taken(job))
        runner.pause(job.pk)
        runner.resume(job.pk)
        assert cast.owed(phones[0].pk).state == NotifyState.WITHHELD
        assert run(job).state == JobState.DONE

    def test_a_job_that_rendered_in_between_is_read_again(self, monkeypatch):
        phones = many(1)
        job = applying.apply(preview(renamed(phones)), by="tess")
        real = making.render

        def overtaken(*args):
            monkeypatch.setattr(making, "render", real)
            store.save(store.find("site", ""), {"vlan_tag": "9"}, by="theo")
            real(*args)
            runner.run.call(runner.start("Site", {"site": ""}, by="theo").pk)

        monkeypatch.setattr(making, "render", overtaken)
        assert run(job).state == JobState.DONE
        assert (said(phones[0])["vlan_tag"], said(phones[0])["account1_display_name"]) == ("9", "Theo")
