"""`manage.py rotate_keys`: every secret under the first key, bite by bite, whatever happens meanwhile."""

import io

import pytest
from cryptography.fernet import Fernet
from django.core.management import CommandError, call_command
from django.db import connection
from django.utils import timezone

from devices import crypto, rekeying
from devices.models import Account
from gspnp import keys
from gspnp.env import env
from provisioning.layers import store
from provisioning.models import ConfigFile, ImportRow, Notify, Phonebook, PhoneImport
from provisioning.phonebook import books
from sipmcast.models import ListenerStatus
from tests import cast

pytestmark = pytest.mark.django_db
OLD, NEW = Fernet.generate_key().decode(), Fernet.generate_key().decode()


@pytest.fixture
def file(settings, tmp_path, monkeypatch):
    """Keys in a file of the data folder, as they are by default."""
    settings.GSPNP_DATA_DIR = tmp_path
    settings.GSPNP_FIELD_KEYS = [OLD]
    monkeypatch.setattr(env, "ENVIRON", {})
    keys.write_private(tmp_path / "field-keys", OLD)
    return tmp_path / "field-keys"


@pytest.fixture
def version(file):
    """A secret of every kind, under the old key."""
    store.save(store.find("model", "GXP1628"), {"xsi_password": cast.PASSWORD, "file_format": "encrypted"}, by="tess")
    books.switch("", True)
    one = PhoneImport.objects.create(title="x", created_by="tess", created_at=timezone.now())
    ImportRow.objects.create(of=one, number=2, mac=cast.MAC, outcome="new", before=b"before", after=None)
    made = cast.applied(cast.assigned())
    with connection.cursor() as cursor:  # as releases before wrote the paths
        cursor.execute("UPDATE provisioning_configfile SET first_secret = %s", [crypto.seal_text(made.first_secret)])
    return made


@pytest.fixture
def use(file, settings):
    """Write these keys into the file, and have this process know them."""

    def written(*named: str) -> None:
        keys.replace_private(file, "\n".join(named))
        settings.GSPNP_FIELD_KEYS = list(named)

    return written


def run(*arguments: str) -> str:
    out = io.StringIO()
    call_command("rotate_keys", *arguments, stdout=out, stderr=out)
    return out.getvalue()


def all_secrets() -> list:
    found = [one.password for one in Account.objects.order_by("pk")]
    for file in ConfigFile.objects.order_by("pk"):
        found += [bytes(file.content), file.body, file.bootstrap, file.first_secret, file.steady_secret]
    found += [one.datagram for one in Notify.objects.order_by("pk")]
    found += [(one.before, one.after) for one in ImportRow.objects.all()]
    return [*found, Phonebook.objects.get().secret, dict(store.find("model", "GXP1628").values)]


def test_the_whole_way_to_a_new_key_and_away_from_the_old_one(version, file, settings):
    before = all_secrets()
    run("--new-key")
    assert file.read_text().split() == settings.GSPNP_FIELD_KEYS and settings.GSPNP_FIELD_KEYS[1] == OLD
    assert file.stat().st_mode & 0o777 == 0o600
    assert all_secrets() == before
    said = run("--count")
    assert ", none under an older key" in said and said.count("under an older key") == 1
    assert "taken away" in run("--drop-old")
    (line,) = run("--drop-old").splitlines()
    assert line.endswith("none under an older key: there is one key only, and nothing to take away.")
    (left,) = file.read_text().split()
    assert left != OLD
    settings.GSPNP_FIELD_KEYS = [left]
    assert all_secrets() == before
    assert sorted(path.name for path in file.parent.iterdir()) == ["field-keys"]


def test_every_encrypted_column_takes_part():
    kinds = {f"{model._meta.label}.{name}" for model, name in rekeying.kinds()}
    assert {
        "devices.Account.password", "devices.Extension.secret", "provisioning.ConfigFile.content",
        "provisioning.ConfigFile.body", "provisioning.ConfigFile.steady_secret", "provisioning.SettingsLayer.sealed",
        "provisioning.Notify.datagram", "provisioning.Phonebook.secret", "provisioning.ImportRow.after",
    } <= kinds  # fmt: skip


def test_a_second_run_writes_nothing_and_a_broken_off_one_goes_on(version, use, monkeypatch):
    use(NEW, OLD)
    done: list[str] = []
    keep = rekeying.renew

    def broken(model, name, told):
        if len(done) == 3:
            raise KeyboardInterrupt
        done.append(name)
        return keep(model, name, told)

    monkeypatch.setattr(rekeying, "renew", broken)
    with pytest.raises(KeyboardInterrupt):
        run("--force")
    monkeypatch.setattr(rekeying, "renew", keep)
    assert "under an older key" in run("--count")
    assert "written anew" in run("--force")
    assert "written anew" not in run("--force")
    assert "All: " in run("--count") and ", none under an older key" in run("--count")


def test_many_rows_go_in_bites_and_what_others_change_meanwhile_is_kept(version, settings, monkeypatch):
    account = Account.objects.get()
    monkeypatch.setattr(rekeying, "BITE_ROWS", 2)
    for number in range(2, 4):
        Account.objects.create(phone=account.phone, number=number, user_id="1", sip_server="h", password=f"p{number}")
    settings.GSPNP_FIELD_KEYS = [NEW, OLD]
    keep, raced = rekeying._write, []

    def overtaken(model, name, rows):
        if model is Account and not raced:
            raced.append(True)
            settings.GSPNP_FIELD_KEYS = [OLD]
            Account.objects.filter(pk=account.pk).update(password="somebody else's")
            settings.GSPNP_FIELD_KEYS = [NEW, OLD]
        return keep(model, name, rows)

    monkeypatch.setattr(rekeying, "_write", overtaken)
    found = rekeying.renew(Account, "password")
    assert (found.values, found.renewed, found.left, found.lost) == (3, 3, 0, 0)
    settings.GSPNP_FIELD_KEYS = [NEW]
    assert sorted(one.password for one in Account.objects.all()) == ["p2", "p3", "somebody else's"]


def test_what_no_key_opens_is_counted_and_left_alone(version, use):
    with connection.cursor() as cursor:
        cursor.execute("UPDATE devices_account SET password = 'gAAAAnonsense'")
    use(NEW, OLD)
    assert "devices.Account.password: 1 values, 1 that no key opens" in run("--force")
    with connection.cursor() as cursor:
        cursor.execute("SELECT password FROM devices_account")
        assert cursor.fetchall() == [("gAAAAnonsense",)]


def test_it_refuses_beside_processes_that_know_other_keys(version, file, use):
    now = timezone.now()
    ListenerStatus.objects.create(name="lab", started_at=now - timezone.timedelta(days=1), heartbeat_at=now)
    with pytest.raises(CommandError, match=r"listen \(lab, last heard \d+ s ago; if you .* wait 15 s\)"):
        run("--new-key")
    assert file.read_text().split() == [OLD]
    use(NEW, OLD)
    with pytest.raises(CommandError, match="Start all of gspnp anew"):
        run()
    ListenerStatus.objects.update(started_at=now + timezone.timedelta(days=1))
    assert "written anew" in run()


def test_keys_in_the_environment_are_not_ours_to_change(version, file, monkeypatch):
    monkeypatch.setattr(env, "ENVIRON", {"GSPNP_FIELD_KEYS": OLD})
    for option in ("--new-key", "--drop-old"):
        with pytest.raises(CommandError, match="GSPNP_FIELD_KEYS"):
            run(option)
    assert file.read_text().split() == [OLD]


def test_a_run_that_began_with_older_keys_throws_no_newer_one_away(version, file, settings):
    """Two at once: whoever comes second goes on from what the first has left, and not from what it had read."""
    before = all_secrets()
    run("--new-key")
    first = file.read_text().split()
    settings.GSPNP_FIELD_KEYS = [OLD]  # as a process has them that was started earlier
    run("--new-key")
    assert file.read_text().split()[1:] == first
    settings.GSPNP_FIELD_KEYS = [first[0], OLD]
    run("--drop-old")
    settings.GSPNP_FIELD_KEYS = file.read_text().split()
    assert all_secrets() == before


def test_only_one_at_a_time_changes_the_keys(version, file):
    with keys.alone(file.parent), pytest.raises(CommandError, match="at work"):
        run("--new-key")
    assert file.read_text().split() == [OLD]
    run("--new-key")
