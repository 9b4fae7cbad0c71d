"""The use case "assign": a save renders, encrypts, stores and owes one NOTIFY, or it writes nothing at all."""

import io
import json
import re
from dataclasses import fields, replace
from datetime import timedelta
from unittest.mock import patch

import pytest
from django.core.management import CommandError, call_command
from django.db import connection, transaction

from devices import inventory
from devices.models import Account, Key, LiveEvent, Phone
from devices.trust import Verdict
from provisioning import assignment, outbox, plan, rendering, settling, url_forms
from provisioning.gxp.config import AccountConfig, ConfigError, validate
from provisioning.gxp.document import values
from provisioning.layers import stack
from provisioning.models import ConfigFile, Notify, UrlForm
from sipmcast import desk
from tests import cast

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("clock")]
TABLES = (Account, Key, ConfigFile, Notify, LiveEvent)


def everything() -> list:
    """All that a save may write, for "nothing was written"."""
    return [list(table.objects.order_by("pk").values()) for table in (Phone, *TABLES)]


def test_a_save_moves_the_phone_and_owes_one_notify():
    phone = cast.seen()
    saved = cast.save(phone, cast.draft(cast.blf("mpk1", "1002", "Reception")))
    phone.refresh_from_db()
    assert (phone.stage, phone.version, phone.approved_host) == ("assigned", 1, cast.HOST)
    assert (saved.changed, saved.config_file.number, saved.notify.state) == (True, 1, "waiting")
    assert saved.notify == cast.owed(phone.pk)
    assert plan.draft_of(phone) == cast.draft(cast.blf("mpk1", "1002", "Reception"))


def test_both_paths_are_22_characters_and_only_the_steady_one_is_in_the_file():
    version = cast.now(cast.assigned())
    for secret in (version.first_secret, version.steady_secret):
        assert re.fullmatch(r"[A-Za-z0-9_-]{22}", secret)
    assert version.first_secret != version.steady_secret
    assert version.first_secret.encode() not in version.content
    assert version.content.count(version.steady_secret.encode()) == 1
    assert values(version.content)["config_server_path"] == f"{cast.OURS}:5481/p/{version.steady_secret}"
    assert (
        url_forms.url(version.base_url, version.first_secret, cast.MAC, UrlForm.FILE)
        == f"http://{cast.OURS}:5481/p/{version.first_secret}/cfg{cast.MAC}"
    )


def test_every_save_has_new_paths_and_a_higher_version():
    first = cast.assigned()
    second = cast.save(first.phone, cast.draft(display_name="Other")).config_file
    assert (first.number, second.number) == (1, 2)
    assert len({first.first_secret, first.steady_secret, second.first_secret, second.steady_secret}) == 4


def everything_raw() -> bytes:
    """All that the database holds: its pages as they would lie on the disk, and every row as text."""
    connection.ensure_connection()
    if connection.vendor == "sqlite":
        return connection.connection.serialize() + "\n".join(connection.connection.iterdump()).encode()
    with connection.cursor() as cursor:
        texts = []
        for table in connection.introspection.table_names(cursor):
            cursor.execute(f'SELECT one::text FROM "{table}" AS one')  # bytes are in hex
            texts += [text for (text,) in cursor.fetchall()]
    return "\n".join(texts).encode()


def test_no_secret_stands_in_the_raw_database_at_any_time_of_the_way():
    version = cast.assigned()
    first, steady = version.first_secret, version.steady_secret
    with cast.neighbours_say(cast.Verdict.MATCH):
        (send,) = desk.look(cast.LEGS, "pbx#1", {}, 100).sends
    assert first.encode() in send.datagram
    settling.delivered([settling.Answer(send.notify_id, 200, "OK")])
    cast.download(cast.first_path(version))
    cast.download(cast.steady_path(version))
    assert cast.stage(version) == "applied"
    raw = everything_raw()
    assert cast.MAC.encode() in raw and b"172.18.0.10" in raw, "this does not look into the database"
    for secret in (cast.PASSWORD, first, steady, "gs_provision", "<P34>", "P237", "NOTIFY sip:", "application/url"):
        assert secret.encode() not in raw, f"{secret} is readable"
        assert secret.encode().hex().upper().encode() not in raw.upper(), f"{secret} is readable in hex"


def test_repr_of_a_draft_and_of_rows_shows_no_password():
    phone = cast.seen()
    saved = cast.save(phone)
    for shown in (cast.draft(), saved, Account.objects.get(), plan.draft_of(phone), saved.config_file):
        assert cast.PASSWORD not in repr(shown) + str(shown)


def test_a_new_save_supersedes_the_open_notify():
    version = cast.assigned()
    old = cast.owed(version.phone_id)
    new = cast.save(version.phone, cast.draft(display_name="Other")).notify
    assert Notify.objects.get(pk=old.pk).state == "superseded"
    assert cast.owed(version.phone_id) == new


def test_a_stale_save_is_refused_and_writes_nothing():
    stale = cast.seen()
    cast.save(stale)
    before = everything()
    with pytest.raises(assignment.inventory.VersionConflict):
        assignment.save(stale, cast.draft(display_name="Late"), by="tom", seen_host=cast.HOST)
    assert everything() == before


def test_a_save_that_fails_at_its_very_end_writes_nothing():
    phone = cast.seen()
    before = everything()
    with patch.object(outbox, "enqueue", side_effect=RuntimeError), pytest.raises(RuntimeError):
        assignment.save(phone, cast.draft(), by="tess", seen_host=cast.HOST)
    assert everything() == before


class TestRefusals:
    """Each leaves the database as it was."""

    def refused(self, phone, draft=None, seen_host=cast.HOST, error=assignment.AssignmentError) -> str:
        before = everything()
        with pytest.raises(error) as caught:
            assignment.save(phone, draft or cast.draft(), by="tess", seen_host=seen_host)
        assert everything() == before
        return str(caught.value)

    def test_a_phone_that_moved_since_tess_looked(self):
        phone = cast.seen(host="10.0.0.30")
        assert "10.0.0.30" in self.refused(phone)

    def test_an_address_that_tess_never_saw(self):
        assert "unknown address" in self.refused(cast.seen(), seen_host=None)

    @pytest.mark.parametrize("model", ["", "GXP2170", "<script>", "GXP1628 "])
    def test_a_model_that_is_not_in_the_catalogue(self, model):
        phone = cast.seen(model=model)
        if phone.known_model is not None:
            return
        assert "cannot be configured" in self.refused(phone)

    def test_a_phone_whose_way_to_us_is_not_known(self):
        phone = cast.seen()
        phone.local_host = None
        self.refused(phone)

    @pytest.mark.parametrize(
        ("changes", "field"),
        [
            ({"display_name": "a\x01b"}, "account.1.display_name"),
            ({"password": "line\nbreak"}, "account.1.password"),
            ({"password": "\ud800"}, "account.1.password"),
            ({"password": "x" * 129}, "account.1.password"),
            ({"sip_server": ""}, "account.1.sip_server"),
            ({"user_id": ""}, "account.1.user_id"),
            ({"codecs": ("OPUS",)}, "account.1.codecs"),
            ({"number": 3}, "account.3"),
        ],
    )
    def test_what_the_phone_cannot_take(self, changes, field):
        words = self.refused(cast.seen(), cast.draft(**changes), error=ConfigError)
        assert field in words
        assert cast.PASSWORD not in words

    def test_a_key_that_the_model_does_not_have(self):
        assert "mpk9" in self.refused(cast.seen(), cast.draft(cast.blf("mpk9", "1")), error=ConfigError)


def test_an_unchanged_save_makes_no_new_version():
    version = cast.assigned()
    again = cast.save(version.phone)
    assert (again.changed, again.config_file) == (False, version)
    assert ConfigFile.objects.count() == 1
    assert Phone.objects.get().version == 1


def test_an_unchanged_save_of_a_phone_that_has_the_file_owes_nothing():
    version = cast.applied(cast.assigned())
    again = cast.save(version.phone)
    assert (again.changed, again.notify, cast.stage(version)) == (False, None, "applied")


def test_the_order_in_which_keys_are_given_is_no_change():
    keys = (cast.blf("mpk2", "1002"), cast.blf("mpk1", "1001"))
    version = cast.save(cast.seen(), cast.draft(*keys)).config_file
    assert not cast.save(version.phone, cast.draft(*keys)).changed
    assert not cast.save(version.phone, cast.draft(*reversed(keys))).changed


def test_a_password_change_alone_is_a_change():
    version = cast.assigned()
    assert cast.save(version.phone, cast.draft(password="other")).changed
    assert Account.objects.get().password == "other"


def test_saving_twice_in_a_row_opens_no_second_transaction_after_the_phones_200():
    """A double click: the phone has answered in the meantime and is about to fetch."""
    version = cast.assigned()
    first = cast.delivered(version)
    again = cast.save(version.phone).notify
    early = again is not None and again != first and again.next_at < first.first_sent_at + timedelta(seconds=32)
    assert not early, "a second NOTIFY of one save is due at once after its recorded 2xx"


@pytest.mark.parametrize(
    "text",
    ["& < > \" '", "]]>", "<![CDATA[x]]>", "<!--", "&amp;&#0;&lt;", "Žofie Öhlund 📞", "受付", "مكتب", "a\u0301",
     "\U0010fffd", "\ufffd", "\ue000", "عمر\u200f \U0001f469\u200d\U0001f692", " both ends ", "%s {0} $HOME `id`", "\\",
     "'; DROP TABLE x;--"],
)  # fmt: skip
def test_any_text_round_trips_to_bytes_and_to_the_database(text):
    version = cast.save(cast.seen(), cast.draft(cast.blf("mpk1", "1", text[:32]), display_name=text, password=text))
    read = values(cast.now(version.config_file).content)
    assert list(read.values()).count(text) >= 2, "caller name or password was changed on its way"
    assert plan.draft_of(version.config_file.phone).accounts[0].password == text


@pytest.mark.parametrize("char", list("\u202a\u202e\u2066\u2069\u2028\x85"), ids=ascii)
def test_a_name_or_label_that_would_not_read_as_it_is_stored_is_refused_and_a_password_is_not(char):
    phone, bad = cast.seen(), f"a{char}b"
    with pytest.raises(ConfigError) as refused:
        cast.save(phone, cast.draft(cast.blf("mpk1", "1", bad), display_name=bad))
    assert [problem.field for problem in refused.value.problems] == ["account.1.display_name", "key.mpk1.label"]
    assert all("character 2 " in str(problem.message) for problem in refused.value.problems)
    if char != "\x85":
        cast.save(phone, cast.draft(password=bad))


def test_whatever_validation_lets_through_fits_its_column():
    """SQLite does not mind; PostgreSQL raises in the middle of the save."""
    long = ".".join(["a" * 61] * 4) + ".bcde"
    wide = {"sip_server": f"{long}:65535", "user_id": "u" * 128, "auth_id": "a" * 128, "display_name": "d" * 128,
            "voicemail": "1" * 128}  # fmt: skip
    phone = cast.seen()
    account = cast.account(**wide)
    assert set(wide) <= {field.name for field in fields(AccountConfig)}
    problems = validate(
        plan.device_config(
            phone,
            phone.known_model,
            plan.Draft((account,)),
            "http://10.0.0.1:1",
            "s",
            stack.said((), phone.known_model),
        )
    )
    too_wide = {name for name, text in wide.items() if len(text) > Account._meta.get_field(name).max_length}
    assert too_wide <= {problem.field.rpartition(".")[2] for problem in problems}


def test_rendering_happens_before_the_lock_is_taken():
    depth = []
    real = rendering.next_version

    def next_version(*args, **options):
        depth.append(len(connection.savepoint_ids))
        return real(*args, **options)

    with patch.object(rendering, "next_version", next_version), transaction.atomic():
        outside = len(connection.savepoint_ids)
        cast.assigned()
    assert depth and set(depth) == {outside}


class TestCommands:
    """`manage.py assign` and `manage.py phones`."""

    def assign(self, *options, password="from-stdin", mac="00:0b:82:27:3b:89") -> str:
        out = io.StringIO()
        with patch("sys.stdin", io.StringIO(password + "\n")):
            call_command("assign", mac, "--user-id", "1001", "--password-stdin", "--name", "Tess", *options, stdout=out)
        return out.getvalue()

    def test_assign_does_what_the_console_does(self):
        phone = cast.seen()
        words = self.assign("--account", "1", "--sip-server", "172.18.0.10", "--key", "mpk1=blf:1002:Reception: Hall")
        assert "version 1 saved" in words and "from-stdin" not in words
        made = plan.draft_of(phone)
        assert made.accounts[0] == replace(cast.account(password="from-stdin", voicemail=""), user_id="1001")
        assert made.keys == (cast.blf("mpk1", "1002", "Reception: Hall"),)
        assert cast.owed(phone.pk).state == "waiting"

    @pytest.mark.parametrize("verdict", list(Verdict))
    def test_who_assigns_is_told_if_another_device_is_there(self, verdict, capsys):
        cast.seen()
        with cast.neighbours_say(verdict):
            self.assign("--sip-server", "172.18.0.10")
        warned = f"another device's MAC at {cast.HOST}: whoever is there gets this file" in capsys.readouterr().err
        assert warned == (verdict is Verdict.MISMATCH)
        with cast.neighbours_say(verdict, knows_phones=True):
            self.assign("--sip-server", "172.18.0.11")
        warned = f"another device's MAC at {cast.HOST}: nothing is sent there" in capsys.readouterr().err
        assert warned == (verdict is Verdict.MISMATCH)

    @pytest.mark.parametrize("password", ["p $ # = ' \" \\ ", "päß📞", " lead"])
    def test_the_password_is_taken_literally(self, password):
        phone = cast.seen()
        self.assign("--sip-server", "172.18.0.10", password=password)
        assert plan.draft_of(phone).accounts[0].password == password

    def test_the_same_again_changes_nothing(self):
        cast.seen()
        options = ("--sip-server", "h", "--key", "mpk2=blf:1", "--key", "mpk1=blf:2")
        self.assign(*options)
        assert "nothing has changed" in self.assign(*options)
        assert ConfigFile.objects.count() == 1

    @pytest.mark.parametrize(
        ("mac", "options", "words"),
        [
            ("000B82FFFFFF", [], "not seen yet"),
            ("nonsense", [], "hex digit"),
            (cast.MAC, [], "needs a SIP server"),
            (cast.MAC, ["--sip-server", "h", "--key", "mpk1:blf"], "SLOT=MODE"),
            (cast.MAC, ["--sip-server", "h", "--key", "mpk1=blub:1"], "modes:"),
            (cast.MAC, ["--sip-server", "h", "--key", "mpk9=blf:1"], "mpk9"),
            (cast.MAC, ["--sip-server", "h", "--codecs", "OPUS"], "codec"),
            (cast.MAC, ["--sip-server", "h", "--account", "9"], "account 9"),
        ],
    )
    def test_mistakes_are_named_and_nothing_is_written(self, mac, options, words):
        cast.seen()
        before = everything()
        with pytest.raises(CommandError) as caught:
            self.assign(*options, mac=mac)
        assert words in str(caught.value)
        assert "from-stdin" not in str(caught.value)
        assert everything() == before

    def test_phones_lists_the_contracts_fields_and_no_secret(self):
        version = cast.assigned()
        Phone.objects.update(site="berlin")
        out, table = io.StringIO(), io.StringIO()
        call_command("phones", "--json", stdout=out)
        call_command("phones", stdout=table)
        (phone,) = json.loads(out.getvalue())
        assert {"mac", "vendor", "model", "firmware", "stage", "stage_reason", "contact", "first_seen_at",
                "last_seen_at"} <= set(phone)  # fmt: skip
        assert (phone["mac"], phone["stage"]) == (cast.MAC, "assigned")
        assert phone["site"] == "berlin"
        head, line = table.getvalue().splitlines()
        assert line[head.index("SITE") :].split()[:2] == ["berlin", "assigned"]
        for secret in (cast.PASSWORD, version.first_secret, version.steady_secret):
            assert secret not in out.getvalue() + table.getvalue()


STEPS = {"assigned": lambda version: version, "fetched": cast.fetched, "applied": cast.applied}


@pytest.mark.parametrize("step", ["seen", *STEPS])
def test_a_phone_that_is_not_ignored_any_more_goes_on_where_it_was(step):
    phone = cast.seen() if step == "seen" else STEPS[step](cast.assigned()).phone
    inventory.ignore(phone.pk, "tess")
    assert assignment.heed(phone.pk, "tess")
    assert not assignment.heed(phone.pk, "tess")
    phone.refresh_from_db()
    assert phone.stage == step
