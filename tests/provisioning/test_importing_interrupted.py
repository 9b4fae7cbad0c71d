"""Imports that somebody comes between, or that were not stored completely."""

import pytest

from devices import directory, inventory
from devices.choices import Stage
from devices.directory import Entry
from devices.models import Account, Phone
from provisioning import assignment, outbox
from provisioning.importing import applying, making, undoing
from provisioning.importing.models import ImportState, PhoneImport
from provisioning.jobs import arrivals
from provisioning.jobs.models import Job, JobState
from provisioning.models import ConfigFile, NotifyState
from tests import cast
from tests.support.imports import HEAD, NEW, applied, many, preview, renamed, run, said, undone

pytestmark = [pytest.mark.django_db, pytest.mark.db]


class TestBetweenTwoSteps:
    """What somebody else does while a chunk is read and rendered, or since the preview."""

    @pytest.mark.parametrize("otherwise", ["rotated", "removed"])
    def test_a_secret_of_the_directory_that_is_none_any_more_since_the_preview_goes_to_no_phone(self, otherwise):
        pk = directory.add(Entry("", "1001", "Tess", "leaked", sip_server="pbx.example.com"))
        one = preview(f"mac,model,extension\n{NEW},GXP1628,1001\n")
        if otherwise == "rotated":
            directory.change(pk, 1, Entry("", "1001", "Tess", "new", sip_server="pbx.example.com"))
        else:
            directory.remove(pk, 1)
        job = run(applying.apply(one, by="tess"))
        assert (job.state, job.words) == (JobState.FAILED, applying.OLD_SECRET.format("00:0B:82:00:0E:10"))
        assert not Phone.objects.filter(mac=NEW).exists()
        if otherwise == "rotated":
            applied(f"mac,model,extension\n{NEW},GXP1628,1001\n")
            assert Account.objects.get().password == "new"

    @pytest.fixture
    def meanwhile(self, monkeypatch):
        """Do this once, while the first chunk is rendered."""

        def do(what):
            real, left = making.render, [what]

            def render(*arguments):
                if left:
                    left.pop()()
                return real(*arguments)

            monkeypatch.setattr(making, "render", render)

        return do

    def test_a_file_that_leaves_while_it_is_undone_stays_and_the_phone_gets_its_old_one_anew(self, meanwhile, clock):
        (phone,) = many(1)
        one = applied(renamed([phone]))
        told = outbox.current_file(phone.pk)

        def fetch():
            cast.delivered(told)
            cast.download(f"/p/{told.first_secret}/cfg{phone.mac}", host=phone.source_host)

        meanwhile(fetch)
        assert undone(one).state == ImportState.UNDONE
        assert ConfigFile.objects.filter(pk=told.pk).exists(), "its path stands in the phone"
        assert (outbox.current_file(phone.pk).number, said(phone)["account1_account_name"]) == (3, "Tess")

    def test_a_phone_that_was_taken_out_of_the_list_and_listed_anew_is_another_one(self):
        """Its versions begin anew, so that one of them is the very number that the preview saw."""
        first = applied(HEAD + f"{NEW},GXP1628,1009,pw,Theo,172.18.0.10\n")
        waits = preview(renamed(Phone.objects.all(), "Otto"))
        seen = Phone.objects.get().version
        undone(first)
        phone = inventory.prestage(NEW, "GXP1628", "", "theo")
        assignment.save(phone, cast.draft(display_name="Ada"), by="theo", seen_host=None)
        assert Phone.objects.get().version == seen
        assert run(applying.apply(waits, by="tess")).state == JobState.FAILED
        assert Account.objects.get().display_name == "Ada"

    def test_a_phone_that_is_ignored_meanwhile_stays_ignored(self, meanwhile):
        (phone,) = many(1)
        meanwhile(lambda: inventory.ignore(phone.pk, "theo"))
        assert applied(renamed([phone])).state == ImportState.FAILED
        phone.refresh_from_db()
        assert phone.stage == Stage.IGNORED

    def test_undoing_owes_old_files_at_its_pace(self, clock):
        phones = many(3)
        undone(applied(renamed(phones)))
        turns = sorted(cast.owed(phone.pk).next_at for phone in phones)
        assert len(set(turns)) == 3 and turns[0] == clock.at

    def test_what_a_phone_did_after_the_preview_is_still_true_when_it_is_undone(self, clock):
        phone = inventory.prestage(cast.MAC, "GXP1628", "", "tess")
        assignment.save(phone, cast.draft(), by="tess", seen_host=None)
        one = preview(f"mac,name\n{cast.MAC},Theo\n")
        cast.seen()
        arrivals.provide()
        version = cast.applied(outbox.current_file(phone.pk))
        run(applying.apply(one, by="tess"))
        undone(PhoneImport.objects.get())
        phone.refresh_from_db()
        assert (phone.stage, phone.stage_reason, phone.awaits_file) == (Stage.APPLIED, "", False)
        assert (arrivals.provide(), outbox.current_file(phone.pk)) == (0, version)

    def test_a_preview_that_is_being_deleted_cannot_be_applied(self, monkeypatch, clock):
        phones = many(3)
        one = preview(renamed(phones))
        clock.forward(hours=25)
        monkeypatch.setattr(undoing, "PRUNED_AT_ONCE", 2)
        undoing.prune()
        with pytest.raises(applying.ImportRefused):
            applying.apply(one, by="tess")


class TestBeforeItIsComplete:
    """A phone that starts up while its import runs is told nothing, for the import may be taken back yet."""

    @pytest.fixture
    def half(self, monkeypatch):
        """Store the first row of an import."""

        def do(text: str) -> Job:
            monkeypatch.setattr(making, "STORED_AT_ONCE", 1)
            job = applying.apply(preview(text), by="tess")
            Job.objects.filter(pk=job.pk).update(state=JobState.RUNNING, worker="me")
            job.refresh_from_db()
            assert applying.run_chunk(job)
            Job.objects.filter(pk=job.pk).update(state=JobState.WAITING)
            return job

        return do

    def text(self, phone: Phone) -> str:
        return HEAD + f"{NEW},GXP1628,1009,pw,Theo,172.18.0.10\n{phone.mac},,,,Theo,\n"

    def test_a_listed_phone_that_is_plugged_in_gets_its_file_when_it_is_complete(self, half, clock):
        job = half(self.text(*many(1)))
        new = cast.seen(NEW, "10.0.0.77")
        assert (arrivals.provide(), outbox.current_file(new.pk), cast.owed(new.pk)) == (0, None, None)
        assert run(job).state == JobState.DONE
        assert arrivals.provide() == 1 and cast.owed(new.pk).state == NotifyState.WAITING

    def test_a_listed_phone_that_is_plugged_in_is_a_new_one_if_it_is_taken_back(self, half, clock):
        (phone,) = many(1)
        job = half(self.text(phone))
        new = cast.seen(NEW, "10.0.0.77")
        arrivals.provide()
        cast.save(phone, cast.draft(display_name="Somebody else"))
        assert run(job).state == JobState.FAILED
        new.refresh_from_db()
        assert (new.stage, new.accounts.count(), cast.owed(new.pk), arrivals.provide()) == (Stage.SEEN, 0, None, 0)

    def test_one_that_restarts_is_told_with_all_others(self, half, clock):
        phones = many(2)
        job = half(renamed(phones))
        clock.forward(60)
        first = outbox.current_file(phones[0].pk)
        cast.restarted(first, source_host=phones[0].source_host)
        assert (first.number, cast.owed(phones[0].pk).state) == (2, NotifyState.WITHHELD)
        run(job)
        assert cast.owed(phones[0].pk).state == NotifyState.WAITING
