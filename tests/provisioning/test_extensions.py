"""A file of extensions, and phones that follow a change in the directory."""

from dataclasses import replace

import pytest

from devices import directory, inventory
from devices.choices import Stage
from devices.directory import Entry, VersionConflict
from devices.models import Account, Extension, Key, LiveEvent, Phone
from provisioning import plan
from provisioning.extensions import following, importing, job
from provisioning.extensions.checking import faults
from provisioning.extensions.following import Change
from provisioning.jobs import runner
from provisioning.models import ConfigFile, JobState, Notify, NotifyOrigin, NotifyState
from provisioning.tables.reading import read_table
from provisioning.tables.table import TableError
from tests import cast

pytestmark = [pytest.mark.django_db, pytest.mark.db]
SECRET = "new-s3cr3t-canary"


def rows(text: str) -> list:
    return importing.rows_of(read_table("extensions.csv", text.encode(), max_rows=importing.MAX_ROWS))


def preview(text: str, site: str = "", *, compares_secrets: bool = True) -> importing.Preview:
    return importing.preview(rows(text), site, compares_secrets=compares_secrets)


def store(text: str, mark: str, site: str = "", *, compares_secrets: bool = True) -> None:
    importing.store(rows(text), site, mark, compares_secrets=compares_secrets)


def told(text: str, site: str = "") -> list[tuple[int, str]]:
    return [(one.row, one.action) for one in preview(text, site).rows]


class TestAFile:
    """All of it, or nothing."""

    def test_rows_are_added_changed_or_the_same(self):
        directory.add(Entry("", "1001", "Tess", "old"))
        directory.add(Entry("", "1002", "Otto", "old", voicemail="*97"))
        text = "Extension;Name;Password\n1001;Tess;old\n1002;Ida;\n1003;New;x\n"
        assert told(text) == [(2, "same"), (3, "change"), (4, "add")]
        shown = preview(text)
        store(text, shown.mark)
        stored = [(one.number, one.name, one.secret, one.voicemail, one.version) for one in Extension.objects.all()]
        assert stored == [("1001", "Tess", "old", "", 1), ("1002", "Ida", "old", "*97", 2), ("1003", "New", "x", "", 1)]
        assert {action for _, action in told(text)} == {"same"}

    def test_who_may_not_look_at_secrets_does_not_learn_whether_one_is_right(self):
        directory.add(Entry("", "1001", "Tess", "4711"))
        shown = [preview(f"number,secret\n1001,{guess}\n", compares_secrets=False) for guess in ("0000", "4711")]
        assert shown[0].rows[0].differences == shown[1].rows[0].differences
        assert [one.rows[0].action for one in shown] == ["change", "change"] and shown[0].mark == shown[1].mark
        store("number,secret\n1001,4711\n", shown[1].mark, compares_secrets=False)
        assert (Extension.objects.get().secret, Extension.objects.get().version) == ("4711", 2), "a set is a set"

    def test_every_wrong_row_is_named_and_nothing_is_stored(self):
        shown = preview(
            "number,name,site,sip_server\n10 01,A,,\n,B,,\n1003,C,a b,\n1004,,,http://x\n1005,,,\n1005,,,\n"
        )
        assert [(one.row, one.field) for one in shown.faults] == [
            (2, "number"), (3, "number"), (4, "site"), (5, "sip_server"), (7, "number"),
        ]  # fmt: skip
        assert "Row 6 has the same number" in shown.faults[-1].message
        with pytest.raises(VersionConflict):
            store("number,name\n10 01,A\n1002,B\n", shown.mark)
        assert not Extension.objects.exists()

    def test_what_somebody_changed_after_the_preview_is_not_overwritten(self):
        pk = directory.add(Entry("", "1001", "Tess"))
        text = "number,name\n1001,Otto\n1002,Ida\n"
        shown = preview(text)
        directory.change(pk, 1, Entry("", "1001", "Anna"))
        with pytest.raises(VersionConflict, match="Look at the preview again"):
            store(text, shown.mark)
        assert [(one.number, one.name) for one in Extension.objects.all()] == [("1001", "Anna")]

    def test_a_file_is_for_the_site_that_it_names_or_that_was_chosen(self):
        text = "number,site\n1001,\n1001,hamburg\n"
        store(text, preview(text, "berlin").mark, "berlin")
        assert {(one.site, one.number) for one in Extension.objects.all()} == {("berlin", "1001"), ("hamburg", "1001")}

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ("name\nTess\n", "no column “number”"),
            ("number,sip\n1,2\n", "Unknown column"),
            ("number,extension\n1,2\n", "Two columns mean number"),
        ],
    )
    def test_a_table_that_is_none_of_ours_is_refused(self, text, words):
        with pytest.raises(TableError, match=words):
            rows(text)

    def test_no_secret_is_in_what_is_shown(self):
        directory.add(Entry("", "1001", "Tess", "old"))
        shown = preview(f"number,secret\n1001,{SECRET}\n1002,{SECRET}\n1 3,{SECRET}\n")
        assert SECRET not in repr(shown)
        assert SECRET not in repr(rows(f"number,secret\n1001,{SECRET}\n"))


# --- following ------------------------------------------------------------------------------------------------------


def phone(mac: str, host: str, *keys, site: str = "", **account) -> Phone:
    made = cast.seen(mac, host)
    cast.save(made, cast.draft(*keys, **account))
    inventory.move(made.pk, site, "tess")
    return Phone.objects.get(pk=made.pk)


@pytest.fixture
def otto() -> Change:
    """1001 was called Tess, and is Otto now."""
    pk = directory.add(Entry("", "1001", "Tess", SECRET))
    directory.change(pk, 1, Entry("", "1001", "Otto"))
    return Change(pk, "1001", "", "", "Tess", "Otto")


def carried_out(change: Change, *phones: Phone):
    made = job.start(change, [one.pk for one in phones], by="tess", pace_per_minute=60)
    runner.run.call(made.pk)
    made.refresh_from_db()
    return made


@pytest.fixture
def three() -> list[Phone]:
    """Tess's own phone, one that watches her, and one whose label somebody chose otherwise."""
    return [
        phone(cast.MAC, cast.HOST),
        phone("000B82000002", "10.0.0.22", cast.blf("mpk1", "1001", "Tess"), user_id="1002", display_name="Ida"),
        phone("000B82000003", "10.0.0.23", cast.blf("mpk1", "1001", "Boss"), user_id="1003", display_name="Tess"),
    ]


def test_who_follows_a_rename_is_who_still_says_the_old_name(otto, three):
    own, watching, _ = three
    assert [(one.phone_id, one.what) for one in following.followers(otto)] == [
        (watching.pk, ["label of key 1"]),
        (own.pk, ["caller name of account 1"]),
    ]


def test_followers_get_a_new_file_at_the_pace_and_nothing_else_changes(otto, three, clock):
    own, watching, other = three
    clock.forward(3600)
    before = Phone.objects.get(pk=watching.pk).approved_at
    made = carried_out(otto, own, watching, other)
    assert (made.state, made.done, made.changed, made.failed) == (JobState.DONE, 3, 2, 0)
    assert Account.objects.get(phone=own).display_name == "Otto"
    assert Account.objects.get(phone=own).password == cast.PASSWORD
    assert Key.objects.get(phone=watching).label == "Otto"
    assert (Key.objects.get(phone=other).label, Account.objects.get(phone=other).display_name) == ("Boss", "Tess")
    owed = [Notify.objects.get(job=made, phone=one) for one in (own, watching)]
    assert [(one.origin, one.state) for one in owed] == [(NotifyOrigin.JOB, NotifyState.WAITING)] * 2
    assert abs((owed[0].next_at - owed[1].next_at).total_seconds()) == 1
    assert Phone.objects.get(pk=watching.pk).approved_at == before, "a job confirms no address"
    again = carried_out(otto, own, watching, other)
    assert (again.changed, ConfigFile.objects.count()) == (0, 5), "carried out twice, it changes nothing"


def test_another_number_of_another_place_does_not_follow(otto):
    phone(cast.MAC, cast.HOST, site="berlin")
    phone("000B82000002", "10.0.0.22", cast.blf("mpk1", "1001", "Tess"), site="berlin", user_id="1002")
    assert following.followers(otto) == []


def test_a_retired_phone_does_not_follow(otto):
    own = phone(cast.MAC, cast.HOST)
    Phone.objects.filter(pk=own.pk).update(stage=Stage.RETIRED)
    assert following.followers(otto) == []


def test_a_new_secret_reaches_the_phones_that_have_the_number_and_no_job_row(three):
    own, watching, _ = three
    pk = directory.add(Entry("", "1001", "Tess", SECRET))
    change = Change(pk, "1001", "", "", "Tess", "Tess", secret=True)
    assert [one.what for one in following.followers(change)] == [["password of account 1"]]
    made = carried_out(change, own, watching)
    assert made.changed == 1 and SECRET not in repr(vars(made))
    assert Account.objects.get(phone=own).password == SECRET
    assert Account.objects.get(phone=watching).password == cast.PASSWORD


def test_only_who_was_given_the_secret_is_told_to_have_it(three):
    own, watching, _ = three
    pk = directory.add(Entry("", "1001", "Otto", SECRET))
    carried_out(Change(pk, "1001", "", "", "Tess", "Otto", secret=True), own, watching)
    assert Key.objects.get(phone=watching, value="1001").label == "Otto"
    assert list(LiveEvent.objects.filter(kind="looked").values_list("phone", flat=True)) == [own.pk]


def test_a_phone_that_cannot_follow_is_named_with_the_field(otto):
    own = phone(cast.MAC, cast.HOST)
    Account.objects.filter(phone=own).update(sip_server="not a host")
    made = carried_out(otto, own)
    failure = made.failures.get()
    assert (made.failed, failure.phone_id, failure.field) == (1, own.pk, "account.1.sip_server")


def test_phones_do_not_get_the_secret_of_an_extension_that_has_another_number_by_now():
    pk = directory.add(Entry("", "1001", "Tess", "old"))
    cast.assigned()
    directory.change(pk, 1, Entry("", "1001", "Tess", "new"))
    change = Change(pk, "1001", "", "172.18.0.10", "Tess", "Tess", secret=True)
    waits = job.start(change, [one.phone_id for one in following.followers(change)], by="tess", pace_per_minute=300)
    directory.change(pk, 2, Entry("", "2001", "Boss", SECRET))
    runner.run.call(waits.pk)
    assert Account.objects.get().password == cast.PASSWORD


def test_a_new_secret_goes_to_no_other_server_than_its_own():
    """Neither to one that a phone of the site was given by hand, nor to the one that the extension had before."""
    own = cast.assigned().phone
    change = Change(1, "1001", "", "172.18.0.10", "Tess", "Tess", secret=True, secret_server="pbx.example.com")
    assert following.followers(change) == []
    draft = plan.draft_of(own)
    assert following.applied(draft, change, own.site, SECRET) == draft
    there = replace(change, secret_server="172.18.0.10")
    assert following.applied(draft, there, own.site, SECRET).accounts[0].password == SECRET


class TestRenamedAgain:
    """Another name before the job of the first has run, or while it does: nobody orders anything for those phones."""

    def named(self) -> str:
        return Account.objects.get().display_name

    def test_the_first_job_brings_the_second_name(self, otto):
        there = phone(cast.MAC, cast.HOST, cast.blf("mpk1", "1001", "Tess"))
        made = job.start(otto, [there.pk], by="tess", pace_per_minute=60)
        directory.change(otto.extension, 2, Entry("", "1001", "Ida"))
        assert following.followers(Change(otto.extension, "1001", "", "", "Otto", "Ida")) == []
        runner.run.call(made.pk)
        assert (self.named(), Key.objects.get().label) == ("Ida", "Ida")
        assert ConfigFile.objects.latest("pk").why == "Extension 1001 is now Ida"

    def test_one_that_is_renamed_while_its_phones_are_saved(self, otto, monkeypatch):
        there, real = phone(cast.MAC, cast.HOST), following.applied

        def meanwhile(*arguments):
            monkeypatch.setattr(following, "applied", real)
            directory.change(otto.extension, 2, Entry("", "1001", "Ida"))
            return real(*arguments)

        monkeypatch.setattr(following, "applied", meanwhile)
        carried_out(otto, there)
        assert self.named() == "Ida"

    def test_one_that_has_its_old_name_again_changes_nothing(self, otto):
        there = phone(cast.MAC, cast.HOST)
        directory.change(otto.extension, 2, Entry("", "1001", "Tess"))
        assert (carried_out(otto, there).changed, self.named()) == (0, "Tess")

    def test_what_has_another_number_by_now_is_another_extension(self, otto):
        there = phone(cast.MAC, cast.HOST)
        directory.change(otto.extension, 2, Entry("", "2001", "Boss"))
        assert (carried_out(otto, there).changed, self.named()) == (0, "Tess")

    def test_a_new_secret_brings_no_name_that_nobody_ordered(self, otto):
        there = phone(cast.MAC, cast.HOST)
        carried_out(Change(otto.extension, "1001", "", "", "Tess", "Tess", secret=True), there)
        account = Account.objects.get()
        assert (account.password, account.display_name) == (SECRET, "Tess")


def test_a_name_that_turns_the_reading_direction_does_not_get_into_the_directory():
    found = dict(faults(Entry("", "1001", "Otto\u202ereuaB", "se\u202ecret")))
    assert found == {"name": "The caller name: character 5 turns the reading direction (U+202E); remove it."}
    assert not list(faults(Entry("", "1001", "عمر \U0001f469\u200d\U0001f692")))
