"""Imports of phones: everything wrong is said before anything is written; all or nothing; and back again."""

import json
from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from devices import directory, inventory
from devices.choices import EventKind, Stage
from devices.directory import Entry
from devices.models import Account, LiveEvent, Phone
from provisioning import assignment, outbox, plan
from provisioning.gxp.document import values
from provisioning.importing import applying, filling, making, planning, undoing
from provisioning.importing.models import ImportRow, ImportState, PhoneImport, RowState
from provisioning.jobs import arrivals, runner, telling
from provisioning.jobs.models import Job, JobState
from provisioning.layers import store
from provisioning.models import ConfigFile, Notify, NotifyState
from provisioning.tables.reading import TableError
from tests import cast

pytestmark = [pytest.mark.django_db, pytest.mark.db]
NEW = "000B82000E10"
HEAD = "mac,model,extension,password,name,sip_server\n"


@pytest.fixture
def clock():
    with cast.stopped_clock() as clock:
        yield clock


def preview(text: str, name: str = "phones.csv") -> PhoneImport:
    return planning.read_file(name, text.encode(), by="tess")


def run(job: Job) -> Job:
    runner.run.call(job.pk)
    job.refresh_from_db()
    return job


def taken(job: Job) -> Job:
    """A worker has it in hand."""
    Job.objects.filter(pk=job.pk).update(state=JobState.RUNNING, worker="me")
    job.refresh_from_db()
    return job


def ends(job: Job) -> Job:
    """Another worker takes it up."""
    Job.objects.filter(pk=job.pk).update(state=JobState.WAITING)
    return run(job)


def applied(text: str) -> PhoneImport:
    one = preview(text)
    assert not one.faulty, faults(one)
    run(applying.apply(one, by="tess"))
    one.refresh_from_db()
    return one


def undone(one: PhoneImport) -> PhoneImport:
    run(undoing.undo(one, by="theo"))
    one.refresh_from_db()
    return one


def faults(one: PhoneImport) -> dict[int, list[str]]:
    rows = one.rows.filter(outcome="faulty")
    return {row.number: [f"{column}: {words}" for column, words in row.shown["faults"]] for row in rows}


def said(phone: Phone) -> dict[str, str]:
    return values(bytes(outbox.current_file(phone.pk).content))


def snapshot() -> dict:
    """Everything of the phones that an import may touch."""
    return {
        phone.mac: (
            phone.stage, phone.stage_reason, phone.stage_at, phone.site, plan.draft_of(phone).in_order(),
            planning.templates_of([phone])[phone.pk],
            list(phone.config_files.values_list("pk", flat=True)),
        )
        for phone in Phone.objects.all()
    }  # fmt: skip


def many(count: int) -> list[Phone]:
    made = [cast.seen(f"000B82{number:06X}", f"10.0.1.{number}") for number in range(1, count + 1)]
    for phone in made:
        cast.save(phone)
    return made


def renamed(phones, name="Theo") -> str:
    return "mac,name\n" + "".join(f"{phone.mac},{name}\n" for phone in phones)


class TestAnotherExtension:
    """A row that gives a phone another extension, and no password."""

    def imported(self, text: str) -> tuple[dict, list]:
        one = preview(text)
        assert not one.faulty, faults(one)
        (row,) = one.rows.all()
        run(applying.apply(one, by="tess"))
        return row.shown, list(Account.objects.values_list("user_id", "sip_server"))

    @pytest.mark.parametrize("filled", [True, False])
    def test_the_old_password_does_not_go_to_another_server(self, filled):
        cast.assigned()
        if filled:
            directory.add(Entry("", "1002", "Theo", None, sip_server="other.example.com"))
        server = "" if filled else "other.example.com"
        shown, accounts = self.imported(f"mac,extension,sip_server\n{cast.MAC},1002,{server}\n")
        assert accounts == [("1002", "other.example.com")] and Account.objects.get().password == ""
        assert ["password", filling.LEFT.format("1001")] in shown["warnings"]
        assert ["password", "set", ""] in shown["changes"]

    def test_at_its_own_server_it_is_kept_and_the_row_says_so(self):
        cast.assigned()
        shown, _ = self.imported(f"mac,extension\n{cast.MAC},1002\n")
        assert shown["warnings"] == [["password", filling.KEPT.format("1001")]]
        assert Account.objects.get().password == cast.PASSWORD

    def test_its_own_password_is_no_news(self):
        cast.assigned()
        directory.add(Entry("", "1002", "Theo", "its own", sip_server="other.example.com"))
        shown, _ = self.imported(f"mac,extension\n{cast.MAC},1002\n")
        assert "warnings" not in shown and Account.objects.get().password == "its own"
        shown, _ = self.imported(f"mac,sip_server\n{cast.MAC},moved.example.com\n")
        assert "warnings" not in shown and Account.objects.get().password == "its own"


class TestPreview:
    def test_keys_of_a_phone_without_an_account_are_looked_at_too(self):
        cast.seen(model="GXP1610")
        listed = inventory.prestage(NEW, "GXP1628", "", "tess")
        text = f"mac,model,mpk1,mpk8\n{cast.MAC},,,blf:1002:R\n{listed.mac},,blf@2:1002:R,blf:1003:S\n"
        one = preview(text + "000B82000E11,GXP1628,blf@7:1002:R,\n")
        assert faults(one) == {
            2: ["mpk8: GXP1610 has no MPK keys; remove mpk8."],
            4: ["mpk1: GXP1628 has 2 accounts; choose another account than 7."],
        }
        applied(f"mac,mpk1,mpk8\n{listed.mac},blf@2:1002:R,blf:1003:S\n")
        assert listed.keys.count() == 2

    def test_every_error_of_every_row_is_said_with_its_column_and_nothing_is_written(self):
        cast.assigned()
        before = snapshot()
        one = preview(
            "MAC,Model,Extension,SIP server,Codecs,mpk1,mpk8,template,site\n"
            "nonsense,GXP1628,1,pbx,,,,,\n"
            f"{NEW},,1,pbx,,,,,\n"
            "000b82000e11,GXP9999,1,pbx,,,,,\n"
            "00-0B-82-00-0E-12,GXP1610,10 01,,opus nope,blf:1002,what:ever,Nobody's,über\n"
            f"000B82000E11,GXP1610,1,pbx,,,,,\n"
            f"{cast.MAC},GXP1610,,,,,,,\n"
        )
        assert (one.total, one.faulty, one.new) == (6, 6, 0)
        found = faults(one)
        assert "12 digits" in found[2][0]
        assert found[3] == [
            f"model: This phone was never heard. Enter its model; choose from {', '.join(planning.MODELS)}."
        ]
        assert "There is no model GXP9999" in found[4][0]
        columns = ["site", "template", "extension", "sip_server", "codecs", "mpk1", "mpk8"]
        assert [line.partition(":")[0] for line in found[5]] == columns
        assert "Row 4 is this phone already" in found[6][0]
        assert "This phone is a GXP1628" in found[7][0]
        assert snapshot() == before and not Phone.objects.filter(mac=NEW).exists()
        with pytest.raises(applying.ImportRefused, match="6 rows have errors"):
            applying.apply(one, by="tess")

    @pytest.mark.parametrize("column", ["mac", "model", "codecs", "template", "site", "mpk1", "sip_server", "auth_id"])
    def test_a_password_in_another_column_is_quoted_nowhere(self, column):
        head = ("mac", "model", "extension", "sip_server", "codecs", "template", "site", "mpk1", "auth_id")
        good = dict(zip(head, (NEW, "GXP1628", "1", "pbx", "PCMA", "", "", "", ""), strict=True))
        rows = [good | {column: secret} for secret in ("hunter2 s3cret!", "hunter2 s3cret!")]
        one = preview("\n".join(map(",".join, (head, *(row.values() for row in rows)))))
        assert one.faulty == 2
        assert "hunter2" not in json.dumps([[row.mac, row.shown] for row in one.rows.all()])
        if column == "mac":
            assert len({words for found in faults(one).values() for words in found}) == 1, (
                "no row is said to be another"
            )

    def test_what_the_drawer_would_refuse_is_refused(self):
        one = preview(
            HEAD.strip() + f",mpk1\n{NEW},GXP1628,10 01,,,http://pbx,blf:\n000B82000E11,GXP1610,1,,,pbx,blf:2\n"
        )
        found = faults(one)
        assert [line.partition(":")[0] for line in found[2]] == ["extension", "sip_server", "mpk1"]
        assert found[2][2] == (
            "mpk1: mpk1 has no value, and BLF needs the extension to watch; enter it or clear the key."
        )
        assert found[3] == ["mpk1: GXP1610 has no MPK keys; remove mpk1."]
        one = preview(HEAD + f"{NEW},GXP1628,10 01,,,http://pbx\n")
        assert [line.partition(":")[0] for line in faults(one)[2]] == ["extension", "sip_server"]

    def test_a_row_of_which_nothing_is_right_is_told_all_of_it_at_once(self):
        head = "mac,model,template,extension,sip_server,codecs,mpk1\n"
        one = preview(head + f"nonsense,GXP9999,Nobody's,31 02,http://pbx,opus,blf\n{NEW},,,31 02,pbx,,\n")
        columns = [[line.partition(":")[0] for line in lines] for lines in faults(one).values()]
        assert columns == [
            ["mac", "model", "template", "extension", "sip_server", "codecs", "mpk1"],
            ["model", "extension"],
        ]

    @pytest.mark.parametrize(
        ("head", "words"),
        [
            ("mac,extention", "“extention” .meant “extension”"),
            ("extension,name", "no column mac"),
            ("mac,user_id,extension", "user_id and extension say the same"),
            ("mac,extension_9", "Unknown column: “extension_9”"),
        ],
    )
    def test_columns_that_cannot_be_understood_are_named(self, head, words):
        with pytest.raises(TableError, match=words):
            preview(head + "\n" + "1," * head.count(",") + "1\n")
        assert not PhoneImport.objects.exists()

    def test_changes_are_shown_without_any_password(self):
        cast.assigned()
        one = preview(f"mac,name,password\n{cast.MAC},Theo,brand-new-s3cret\n")
        (row,) = one.rows.all()
        assert row.shown["changes"] == [["name", "Tess", "Theo"], ["password", "set", "another one"]]
        with connection.cursor() as cursor:
            cursor.execute("SELECT * FROM provisioning_importrow")
            stored = repr(cursor.fetchall())
        assert "brand-new-s3cret" not in stored and cast.PASSWORD not in stored

    def test_an_extension_that_another_phone_has_is_a_warning(self):
        cast.assigned()
        one = preview(HEAD + f"{NEW},GXP1628,1001,pw,Theo,172.18.0.10\n000B82000E11,GXP1628,1002,pw,Theo,172.18.0.10\n")
        assert (one.new, one.warned) == (2, 1)
        (row,) = one.rows.filter(warned=True)
        assert row.shown["warnings"] == [["extension", "Extension 1001 is on 00:0B:82:27:3B:89 too."]]

    def test_a_retired_phone_holds_no_extension_and_its_row_says_so(self):
        phone = cast.assigned().phone
        phone.refresh_from_db()
        inventory.retire(phone, "Broken.", "tess")
        row = HEAD + f"{NEW},GXP1628,1001,pw,Theo,172.18.0.10\n"
        one = preview(row + f"{phone.mac},,1001,,,172.18.0.10\n")
        assert (one.new, one.same, one.warned) == (1, 1, 1)
        assert one.rows.get(warned=True).shown["warnings"] == [["mac", planning.OFF[Stage.RETIRED]]]
        assert preview(row + f"{phone.mac},,1001,,Ada,172.18.0.10\n").faulty == 1, "no row brings it back"

    def test_what_the_file_does_not_say_is_no_change(self):
        head = HEAD.strip() + ",codecs\n"
        one = preview(head + f"{NEW},GXP1628,1001,pw,Theo,pbx,\n000B82000E11,GXP1628,1002,pw,Ada,pbx,PCMU\n")
        told = [{column for column, _, _ in row.shown["changes"]} for row in one.rows.all()]
        assert told[0] == {"model", "extension", "password", "name", "sip_server"}
        assert told[1] == told[0] | {"codecs"}

    def test_what_a_row_leaves_open_comes_from_the_directory_and_the_timeline_tells(self):
        directory.add(Entry("berlin", "1009", "Ada", "d1r-s3cret", sip_server="pbx.example", voicemail="*97"))
        head = "mac,model,extension,site,sip_server\n"
        one = preview(head + f"{NEW},GXP1628,1009,berlin,\n")
        told = {column: after for column, _, after in one.rows.get().shown["changes"]}
        assert told["password"] == "from the directory" and told["name"] == "Ada (from the directory)"
        assert "d1r-s3cret" not in json.dumps(one.rows.get().shown)
        run(applying.apply(one, by="tess"))
        account = Account.objects.get()
        assert (account.password, account.sip_server, account.voicemail) == ("d1r-s3cret", "pbx.example", "*97")
        words = "The secret of extension 1009 was given to this phone by tess."
        assert LiveEvent.objects.filter(mac=NEW, kind=EventKind.LOOKED, text=words).exists()
        assert preview(f"mac,extension\n{NEW},1009\n").same == 1, "it has that extension already"

    def test_a_secret_stays_with_its_site_and_its_server(self):
        directory.add(Entry("berlin", "1009", "Ada", "d1r-s3cret", sip_server="pbx.example"))
        head = "mac,model,extension,site,sip_server\n"
        one = preview(head + f"{NEW},GXP1628,1009,berlin,evil.example\n")
        assert one.warned == 1 and "SIP server" in one.rows.get().shown["warnings"][0][1]
        assert "needs a SIP server" in faults(preview(head + f"{NEW},GXP1628,1009,paris,\n"))[2][0]
        run(applying.apply(one, by="tess"))
        assert Account.objects.get().password == ""
        assert not LiveEvent.objects.filter(kind=EventKind.LOOKED).exists()

    def test_the_same_again_is_no_change_and_nothing_to_apply(self):
        cast.assigned()
        one = preview(f"mac,extension,name,password\n{cast.MAC},1001,Tess,{cast.PASSWORD}\n")
        assert (one.same, one.changed) == (1, 0)
        with pytest.raises(applying.ImportRefused, match="Nothing in it"):
            applying.apply(one, by="tess")

    def test_one_phone_whose_own_layer_cannot_be_opened_takes_no_other_along(self):
        phones = many(2)
        with connection.cursor() as cursor:
            cursor.execute(
                "UPDATE provisioning_settingslayer SET sealed = %s WHERE phone_id = %s", [b"x", phones[0].pk]
            )
        one = preview(renamed(phones))
        assert (one.faulty, one.changed) == (1, 1)
        assert "GSPNP_FIELD_KEYS" in faults(one)[2][0]

    def test_a_template_that_cannot_be_opened_is_said_and_nothing_stored(self):
        template = store.save(store.find("template", "Lobby"), {"vlan_tag": "7"}, by="tess")
        with connection.cursor() as cursor:
            cursor.execute("UPDATE provisioning_settingslayer SET sealed = %s WHERE id = %s", [b"x", template.pk])
        with pytest.raises(TableError, match="GSPNP_FIELD_KEYS"):
            preview(renamed(many(1)))
        assert not PhoneImport.objects.exists()

    def test_ignored_phones_are_refused(self):
        phone = cast.seen()
        inventory.ignore(phone.pk, "tess")
        one = preview(HEAD + f"{phone.mac},,1001,pw,Theo,pbx\n")
        assert "ignored" in faults(one)[2][0]

    def test_a_thousand_rows_cost_few_queries(self):
        rows = "".join(f"000B83{number:06X},GXP1628,{number},pw,Name,pbx\n" for number in range(1000))
        with CaptureQueriesContext(
            connection,
        ) as queries:
            one = preview(HEAD + rows)
        assert one.new == 1000
        assert len(queries) < 120


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


class TestTemplates:
    def template(self, name: str, **settings):
        return store.save(store.find("template", name), settings, by="tess")

    def test_they_are_given_in_order_and_reach_the_file(self):
        self.template("Lobby", vlan_tag="7")
        self.template("Quiet; really", vlan_tag="8")
        phone = cast.assigned().phone
        applied(f"mac,template\n{phone.mac},Quiet; really\n")
        assert said(phone)["vlan_tag"] == "8"
        one = applied(f"mac,template\n{phone.mac},Lobby\n")
        assert said(phone)["vlan_tag"] == "7"
        undone(one)
        assert planning.templates_of([phone])[phone.pk] == ("Quiet; really",)
        applied(f"mac,template\n{phone.mac},-\n")
        assert planning.templates_of([phone])[phone.pk] == ()


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
