"""Imports that are undone, and what is forgotten of them."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from devices import inventory
from devices.choices import Stage
from devices.models import Account, Phone
from provisioning import assignment, outbox
from provisioning.importing import applying, making, undoing
from provisioning.importing.models import ImportRow, ImportState, PhoneImport, RowState
from provisioning.jobs import runner
from provisioning.jobs.models import JobState
from provisioning.models import ConfigFile, NotifyState
from tests import cast
from tests.support.imports import HEAD, NEW, applied, many, preview, renamed, run, said, snapshot, taken, undone

pytestmark = [pytest.mark.django_db, pytest.mark.db]


class TestUndo:
    def test_what_was_told_nothing_becomes_exactly_what_it_was(self, clock):
        phones = [*many(2), cast.seen(cast.OTHER_MAC, "10.0.0.21")]
        before = snapshot()
        one = applied(
            HEAD + "".join(f"{phone.mac},,1007,pw,Theo,pbx\n" for phone in phones) + f"{NEW},GXP1628,1009,pw,Ada,pbx\n"
        )
        assert Phone.objects.filter(mac=NEW).exists()
        clock.forward(hours=1)
        one = undone(one)
        assert (one.state, one.kept, one.undone_by) == (ImportState.UNDONE, 0, "theo")
        assert snapshot() == before
        assert not one.rows.filter(before__isnull=False).exists()

    def test_what_was_told_gets_what_it_had_as_a_new_version(self):
        phone = cast.applied(cast.assigned()).phone
        one = applied(renamed([phone]))
        cast.fetched(cast.now(outbox.current_file(phone.pk)))
        undone(one)
        assert said(phone)["account1_display_name"] == "Tess"
        assert outbox.current_file(phone.pk).number == 3
        assert cast.owed(phone.pk).state == NotifyState.WAITING

    def test_what_was_saved_since_stays_and_is_listed(self):
        phones = many(2)
        one = applied(renamed(phones))
        cast.save(phones[0], cast.draft(display_name="Later"))
        one = undone(one)
        assert (one.kept, phones[0].accounts.get().display_name) == (1, "Later")
        assert phones[1].accounts.get().display_name == "Tess"
        (row,) = one.rows.filter(state=RowState.KEPT)
        assert (row.mac, row.note) == (phones[0].mac, undoing.SAVED_SINCE)

    def test_one_that_was_first_assigned_by_it_and_has_its_file_stays_and_says_so(self, clock):
        """It registers with what it has, whatever we say: it must not look like one that nobody has assigned."""
        phone, fetched = cast.seen(), cast.seen(cast.OTHER_MAC, "10.0.0.21")
        untold = cast.seen("000B82BBBBBB", "10.0.0.22")
        rows = enumerate((phone, fetched, untold))
        one = applied(HEAD + "".join(f"{one.mac},GXP1628,{1009 + n},pw,Theo,172.18.0.10\n" for n, one in rows))
        cast.applied(outbox.current_file(phone.pk))
        file = outbox.current_file(fetched.pk)
        cast.delivered(file)
        cast.download(cast.first_path(file, f"cfg{fetched.mac}"), host=fetched.source_host)
        one = undone(one)
        notes = dict(one.rows.values_list("mac", "note"))
        assert notes == {phone.mac: undoing.HAS_ITS_FILE, fetched.mac: undoing.HAS_ITS_FILE, untold.mac: ""}
        phone.refresh_from_db()
        assert (phone.stage, phone.accounts.count(), phone.config_files.count()) == (Stage.APPLIED, 1, 1)
        untold.refresh_from_db()
        assert (untold.stage, untold.accounts.count(), untold.config_files.count(), one.kept) == (Stage.SEEN, 0, 0, 2)

    def test_what_was_put_elsewhere_since_stays_there(self):
        (phone,) = many(1)
        one = applied(renamed([phone]))
        inventory.move(phone.pk, "berlin", "theo")
        one = undone(one)
        phone.refresh_from_db()
        assert (one.kept, phone.site, one.rows.get().note) == (1, "berlin", undoing.SAVED_SINCE)

    def test_a_listed_phone_that_was_plugged_in_since_stays(self):
        one = applied(HEAD + f"{NEW},GXP1628,1009,pw,Ada,pbx\n")
        cast.seen(NEW, "10.0.0.40")
        one = undone(one)
        assert Phone.objects.filter(mac=NEW).exists() and one.kept == 1

    def test_a_phone_that_is_forgotten_before_its_import_is_undone_leaves_nothing_to_do(self):
        phones = many(3)
        one = applied(renamed(phones))
        job = undoing.undo(one, by="theo")
        inventory.forget(phones[1].pk, "theo")
        assert run(job).state == JobState.DONE and (job.done, job.total) == (2, 2)

    def test_it_is_undone_once_and_not_after_a_month(self, clock):
        one, other = applied(renamed(many(1))), applied(renamed(Phone.objects.all(), "Other"))
        undone(other)
        with pytest.raises(undoing.CannotUndo, match="undone"):
            undoing.undo(other, by="tess")
        clock.forward(days=31)
        with pytest.raises(undoing.CannotUndo, match="30 days"):
            undoing.undo(one, by="tess")

    def test_old_previews_and_what_is_too_old_to_undo_are_deleted(self, clock):
        one = applied(renamed(many(1)))
        preview(renamed(Phone.objects.all(), "Other"))
        clock.forward(hours=25)
        while undoing.prune():
            pass
        assert list(PhoneImport.objects.values_list("pk", flat=True)) == [one.pk]
        clock.forward(days=31)
        while undoing.prune():
            pass
        assert ImportRow.objects.count() == 1 and not ImportRow.objects.filter(before__isnull=False).exists()
        clock.forward(days=undoing.KEPT_DAYS)
        while undoing.prune():
            pass
        assert not PhoneImport.objects.exists() and not ImportRow.objects.exists()

    def test_what_is_too_old_to_undo_is_found_by_its_index(self):
        """A year of imports is not read every few seconds."""
        if connection.vendor != "sqlite":
            pytest.skip("PostgreSQL reads a small table whole")
        with CaptureQueriesContext(connection) as queries:
            undoing.prune()
        asked = [one["sql"] for one in queries if "IS NOT NULL" in one["sql"] and one["sql"].startswith("SELECT")]
        with connection.cursor() as cursor:
            plans = [str(cursor.execute(f"EXPLAIN QUERY PLAN {sql}").fetchall()) for sql in asked]
        assert ["import_row_before" in plans[0], "import_row_after" in plans[1], len(plans)] == [True, True, 2]


def test_a_save_by_hand_afterwards_is_as_ever():
    phone = cast.assigned().phone
    applied(renamed([phone]))
    phone.refresh_from_db()
    assert assignment.save(phone, cast.draft(), by="tess", seen_host=phone.source_host).changed
    assert Account.objects.get(phone=phone).display_name == "Tess"
    assert ConfigFile.objects.filter(phone=phone).count() == 3


class TestForgetting:
    def test_what_imports_keep_of_a_phone_goes_with_it(self):
        """Before and after, of every import; those of other phones stay."""
        phones = [cast.assigned().phone, cast.assigned(cast.OTHER_MAC, "10.0.0.21").phone]
        applied(renamed(phones))
        waits = preview(renamed(phones, "Ada"))
        inventory.forget(phones[0].pk, "tess")
        gone = ImportRow.objects.filter(mac=phones[0].mac)
        assert gone.count() == 2 and not gone.exclude(before__isnull=True, after__isnull=True).exists()
        assert ImportRow.objects.filter(mac=cast.OTHER_MAC, before__isnull=False).count() == 2
        run(applying.apply(waits, by="tess"))
        waits.refresh_from_db()
        assert waits.state == ImportState.FAILED and "was changed by somebody" in waits.words

    def test_a_phone_that_came_back_since_gets_nothing_of_what_was_before(self):
        phone = cast.assigned().phone
        one = applied(renamed([phone]))
        inventory.forget(phone.pk, "tess")
        cast.assigned()
        Phone.objects.update(version=ImportRow.objects.get().version)
        undone(one)
        assert (ImportRow.objects.get().state, ImportRow.objects.get().note) == ("kept", "It was forgotten since.")
        assert Account.objects.get().password == cast.PASSWORD

    def test_a_phone_that_was_listed_anew_is_not_taken_out_of_the_list(self):
        """Its versions begin anew, so that they say what those of the import said."""
        one = applied(HEAD + f"{NEW},GXP1628,1001,pw,Tess,pbx.example.com\n")
        inventory.forget(Phone.objects.get().pk, "theo")
        anew = inventory.prestage(NEW, "GXP1628", "", "theo")
        assignment.save(anew, cast.draft(user_id="4242"), by="theo", seen_host=None)
        undone(one)
        assert (one.kept, ImportRow.objects.get().note) == (1, "It was forgotten since.")
        assert Account.objects.get().user_id == "4242"

    def test_a_phone_that_came_anew_keeps_what_it_got_if_the_import_is_cancelled(self):
        macs = [f"000B8200{n:04X}" for n in range(making.STORED_AT_ONCE + 1)]
        text = "".join(f"{mac},GXP1628,{n},pw,T,pbx.example.com\n" for n, mac in enumerate(macs))
        job = taken(applying.apply(preview(HEAD + text), by="tess"))
        applying.run_chunk(job)
        inventory.forget(Phone.objects.get(mac=macs[0]).pk, "theo")
        cast.assigned(macs[0])
        runner.cancel(job.pk)
        while applying.run_chunk(job).ended is None:
            job.refresh_from_db()
        assert Phone.objects.get().accounts.get().user_id == "1001"
        assert ConfigFile.objects.count() == 1

    def test_phones_that_nobody_wanted_take_theirs_along(self, clock):
        cast.seen()
        preview(f"mac,extension,sip_server\n{cast.MAC},1,pbx\n")
        clock.forward(days=1)
        assert inventory.forget_unheard(timezone.now(), 10) == 1
        assert ImportRow.objects.get().after is None
