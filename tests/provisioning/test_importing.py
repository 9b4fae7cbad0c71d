"""Previews of imports: everything wrong is said before anything is written."""

import json

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from devices import directory, inventory
from devices.choices import EventKind, Stage
from devices.directory import Entry
from devices.models import Account, LiveEvent, Phone
from provisioning.importing import applying, filling, planning
from provisioning.importing.models import PhoneImport
from provisioning.layers import store
from provisioning.tables.reading import TableError
from tests import cast
from tests.support.imports import HEAD, NEW, applied, faults, many, preview, renamed, run, said, snapshot, undone

pytestmark = [pytest.mark.django_db, pytest.mark.db]


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
