"""`manage.py backup` and `restore`: real commands on data folders of their own."""

import errno
import io
import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from cryptography.fernet import Fernet

from gspnp.backup import database
from gspnp.env import BASE_DIR, Env, Layers
from tests.support.canaries import leaks_of_file, leaks_of_folder, leaks_of_rows
from tests.support.deployed import Deployed
from tests.support.manage import Ready, state_of
from tests.support.servers import free_port, postgresql  # noqa: F401
from tests.support.site import COMMAND_SECONDS, wait_for

pytestmark = [pytest.mark.timeout(240), pytest.mark.xdist_group("backup")]  # it is filled and saved once for all
PASSWORD = "s3cr3t-canary-password"  # of tests/cast.py
FILL = """
import sys
from django.contrib.auth.models import User
from django.contrib.sessions.backends.db import SessionStore
from tests import cast
from provisioning.firmware import images
cast.assigned()
images.add("1.0.7.81", [b"firmware" * 1000], by="tess")
session = SessionStore(); session["_auth_user_id"] = "1"; session.create()
print(session.session_key, *cast.ConfigFile.objects.values_list("first_secret", "steady_secret")[0])
"""
TELL = """
from devices.models import Account
from provisioning.models import ConfigFile
print(Account.objects.get().password, len(bytes(ConfigFile.objects.get().content)))
"""

ROWS = """
from django.apps import apps
models = [one for one in apps.get_models() if one._meta.label not in ("sessions.Session", "contenttypes.ContentType")]
for model in models:
    rows = list(model._base_manager.order_by("pk").values())
    print(model._meta.label, [{name: bytes(one) if isinstance(one, memoryview) else one for name, one in row.items()}
                              for row in rows])
"""


WHILE_KEYS_CHANGE = """
import subprocess, sys
from django.core.management import call_command
for option in ("--new-key", "--drop-old"):
    subprocess.run([sys.executable, "manage.py", "rotate_keys", option], check=True)
call_command("backup", {folder!r})
"""


class House:
    """An installation: its data folder, and commands on it."""

    def __init__(self, folder: Path, **settings: str) -> None:
        self.folder = folder
        ours = ("DATABASE_URL", "SECRET_KEY", "DJANGO_SETTINGS_MODULE")
        rest = {name: value for name, value in os.environ.items() if not name.startswith("GSPNP_") and name not in ours}
        self.environment = rest | {"GSPNP_ENV_FILE": "", "GSPNP_DATA_DIR": str(folder), **settings}
        self._ready: Ready | None = None

    def manage(self, *arguments: str, ends: int = 0) -> str:
        if self._ready is None or self._ready.knows != state_of(self.environment):
            self._ready = Ready(self.environment)
        done = self._ready.run(arguments, "", COMMAND_SECONDS)
        assert done.returncode == ends, done.stdout + done.stderr
        self.printed = done.stdout
        return done.stdout + done.stderr

    def shell(self, script: str) -> str:
        self.manage("shell", "--no-imports", "-v", "0", "-c", script)
        return self.printed


@pytest.fixture(scope="module")
def filled(tmp_path_factory) -> tuple[House, list[str]]:
    """A house with a phone, an image and somebody who is signed in; its secrets."""
    house = House(tmp_path_factory.mktemp("filled") / "var")
    house.manage("migrate", "-v", "0")
    return house, house.shell(FILL).split()[-3:]


@pytest.fixture(scope="module")
def backed_up(filled, tmp_path_factory) -> tuple[Path, Path]:
    """The archive and the folder of its keys."""
    place = tmp_path_factory.mktemp("backups")
    (place / "usb").mkdir()
    said = filled[0].manage("backup", str(place / "usb"))
    (archive,), (keys,) = (place / "usb").iterdir(), (place / "usb-keys").iterdir()
    assert str(archive) in said and str(keys) in said
    return archive, keys


def test_the_archive_is_worthless_without_its_keys(filled, backed_up, tmp_path):
    house, (session, first, steady) = filled
    archive, keys = backed_up
    field_key, secret_key = (house.folder / "field-keys").read_text().strip(), (house.folder / "secret-key").read_text()
    canaries = {"password": PASSWORD, "session": session}
    canaries |= {"first": first, "steady": steady, "field key": field_key, "secret key": secret_key.strip()}
    with tarfile.open(archive) as tar:
        names = tar.getnames()
        tar.extractall(tmp_path, filter="data")
    assert names[0] == "manifest.json" and "database.sqlite3" in names and len(names) == 3
    assert leaks_of_folder(tmp_path, canaries) == {} and leaks_of_file(archive, canaries) == set()
    assert leaks_of_rows(tmp_path / "database.sqlite3", canaries) == {}
    assert (keys / "field-keys").read_text().strip() == field_key
    for path in (archive, keys / "field-keys", keys / "secret-key"):
        assert path.stat().st_mode & 0o077 == 0
    assert [path.name for path in archive.parent.iterdir()] == [archive.name], "nothing is left of making it"


def test_it_comes_back_on_another_machine(filled, backed_up, tmp_path):
    archive, keys = backed_up
    other = House(tmp_path / "var")
    assert "The backup is back" in other.manage("restore", str(archive), "--keys", str(keys))
    assert other.shell(TELL) == filled[0].shell(TELL)
    assert (other.folder / "field-keys").read_text() == (filled[0].folder / "field-keys").read_text()
    (image,) = (other.folder / "firmware").iterdir()
    assert image.read_bytes() == b"firmware" * 1000
    left = {path.name for path in other.folder.iterdir()}
    assert not any(name.startswith((".restore", "gspnp.sqlite3.before")) for name in left), left
    assert "already" in other.manage("restore", str(archive), "--keys", str(keys), ends=1)


def test_what_was_there_is_kept_with_its_keys(filled, backed_up, tmp_path):
    archive, keys = backed_up
    other = House(tmp_path / "var")
    other.manage("migrate", "-v", "0")
    old_key = (other.folder / "field-keys").read_text().strip()
    said = other.manage("restore", str(archive), "--keys", str(keys), "--force")
    (database,), (key,) = other.folder.glob("gspnp.sqlite3.before-*"), other.folder.glob("field-keys.before-*")
    assert str(database) in said and key.read_text().strip() == old_key
    assert other.shell(TELL) == filled[0].shell(TELL)


def changed_archive(archive: Path, target: Path, how) -> Path:
    """The archive as somebody made it who wants harm, or a bad disk."""
    with tarfile.open(archive) as source, tarfile.open(target, "w:gz") as out:
        for member in source.getmembers():
            data = source.extractfile(member).read()
            name, data = how(member.name, data)
            if name is None:
                continue
            info = tarfile.TarInfo(name)
            info.size = len(data)
            out.addfile(info, io.BytesIO(data))
    return target


def flipped(name, data):
    return name, data[:5000] + bytes([data[5000] ^ 1]) + data[5001:] if name.startswith("database") else data


def outside(name, data):
    return ("../../evil" if name.startswith("firmware") else name), data


def without_database(name, data):
    return (None if name.startswith("database") else name), data


def newer(name, data):
    if name == "manifest.json":
        said = json.loads(data)
        said["migrations"].append("devices.9999_from_the_future")
        data = json.dumps(said).encode()
    return name, data


@pytest.mark.parametrize(
    ("how", "words"),
    [(flipped, "damaged"), (outside, "does not belong"), (without_database, "missing"), (newer, "newer release")],
)
def test_a_bad_archive_changes_nothing(backed_up, tmp_path, how, words):
    archive, keys = backed_up
    other = House(tmp_path / "var")
    bad = changed_archive(archive, tmp_path / "bad.tar.gz", how)
    assert words in other.manage("restore", str(bad), "--keys", str(keys), ends=1)
    assert {path.name for path in other.folder.iterdir()} <= {"field-keys", "secret-key"}
    assert not (tmp_path / "evil").exists()


def test_wrong_keys_a_cut_archive_and_no_archive_are_refused_in_words(backed_up, tmp_path):
    archive, keys = backed_up
    other = House(tmp_path / "var")
    assert "These keys do not open" in other.manage("restore", str(archive), ends=1)
    wrong = tmp_path / "wrong"
    wrong.mkdir()
    (wrong / "field-keys").write_text(Fernet.generate_key().decode())
    assert "These keys do not open" in other.manage("restore", str(archive), "--keys", str(wrong), ends=1)
    assert "cannot be read" in other.manage("restore", str(archive), "--keys", str(tmp_path), ends=1)
    cut = tmp_path / "cut.tar.gz"
    cut.write_bytes(archive.read_bytes()[:-3000])
    assert "no whole backup" in other.manage("restore", str(cut), "--keys", str(keys), ends=1)
    assert "There is no file" in other.manage("restore", str(tmp_path / "none"), "--keys", str(keys), ends=1)
    assert not (other.folder / "gspnp.sqlite3").exists()


def test_a_database_that_is_in_use_is_not_replaced(filled, backed_up, tmp_path):
    archive, keys = backed_up
    other = House(tmp_path / "var")
    shutil.copytree(filled[0].folder, other.folder)
    with sqlite3.connect(other.folder / "gspnp.sqlite3") as open_elsewhere:
        open_elsewhere.execute("SELECT count(*) FROM devices_phone").fetchall()
        said = other.manage("restore", str(archive), "--keys", str(keys), "--force", ends=1)
        assert "in use" in said
    open_elsewhere.close()
    assert other.shell(TELL) == filled[0].shell(TELL)


def test_beside_a_console_nothing_is_restored_and_no_key_changed(filled, backed_up, tmp_path):
    """It knows the old keys alone: what it wrote with them would be lost when they are taken away."""
    archive, keys = backed_up
    house = House(tmp_path / "var", GSPNP_CONSOLE_BIND="127.0.0.1", GSPNP_CONSOLE_PORT=str(free_port()))
    shutil.copytree(filled[0].folder, house.folder)
    process = subprocess.Popen(
        [sys.executable, "-m", "gspnp.serve", "console"], cwd=BASE_DIR, env=house.environment, stderr=subprocess.PIPE,
        text=True,
    )  # fmt: skip
    try:
        assert "opens on" in process.stderr.readline()
        assert "console (port" in house.manage("restore", str(archive), "--keys", str(keys), "--force", ends=1)
        said = house.manage("restore", str(archive), "--keys", str(keys), ends=1)
        assert "console (port" in said and "--force" in said, "both reasons at once"
        assert "console (port" in house.manage("rotate_keys", "--new-key", ends=1)
        added = Fernet.generate_key().decode() + "\n" + (house.folder / "field-keys").read_text()
        (house.folder / "field-keys").write_text(added)
        os.utime(house.folder / "field-keys", (time.time() + 60, time.time() + 60))
        assert "started before" in house.manage("rotate_keys", "--drop-old", ends=1)
    finally:
        process.terminate()
        process.communicate(timeout=20)
    assert "taken away" in house.manage("rotate_keys", "--drop-old")


def test_what_was_just_stopped_does_not_stand_in_the_way(tmp_path):
    house = House(tmp_path / "var", GSPNP_PNP_PORT=str(free_port()), GSPNP_PNP_INTERFACES="lo")
    house.manage("migrate", "-v", "0")
    commands = (["listen_pnp", "--keep-trying"], ["work", "--keep-trying"])
    processes = [
        subprocess.Popen([sys.executable, "manage.py", *one], cwd=BASE_DIR, env=house.environment) for one in commands
    ]
    beats = "from sipmcast.models import ListenerStatus as L; from provisioning.models import WorkerStatus as W; "
    try:
        wait_for(lambda: house.shell(beats + "print(L.objects.count(), W.objects.count())") == "1 1\n", 60, "both beat")
        said = house.manage("rotate_keys", "--new-key", ends=1)
        assert "listen (" in said and "work (" in said
    finally:
        for one in processes:
            one.terminate()
        assert [one.wait(timeout=20) for one in processes] == [0, 0]
    assert "A new key stands in front" in house.manage("rotate_keys", "--new-key")


def test_a_backup_has_the_keys_of_its_copy_and_not_those_that_it_began_with(filled, tmp_path):
    house, other = House(tmp_path / "var"), House(tmp_path / "other")
    shutil.copytree(filled[0].folder, house.folder)
    (tmp_path / "b").mkdir()
    house.shell(WHILE_KEYS_CHANGE.format(folder=str(tmp_path / "b")))
    (archive,), (keys,) = (tmp_path / "b").iterdir(), (tmp_path / "b-keys").iterdir()
    assert (keys / "field-keys").read_text() == (house.folder / "field-keys").read_text()
    other.manage("restore", str(archive), "--keys", str(keys))
    assert other.shell(TELL) == filled[0].shell(TELL)


def test_a_secret_that_was_lost_before_does_not_stand_in_the_way_of_the_others(filled, tmp_path):
    house, other = House(tmp_path / "var"), House(tmp_path / "other")
    shutil.copytree(filled[0].folder, house.folder)
    with sqlite3.connect(house.folder / "gspnp.sqlite3") as database:
        database.execute("UPDATE devices_account SET password = 'gAAAAnonsense'")
    database.close()
    (tmp_path / "b").mkdir()
    assert "1 secrets in it are opened by none" in house.manage("backup", str(tmp_path / "b"))
    (archive,), (keys,) = (tmp_path / "b").iterdir(), (tmp_path / "b-keys").iterdir()
    assert "1 secrets are opened by none" in other.manage("restore", str(archive), "--keys", str(keys))
    (keys / "field-keys").write_text((keys / "field-keys").read_text() + Fernet.generate_key().decode())
    assert "already" in other.manage("restore", str(archive), "--keys", str(keys), ends=1)


def test_a_full_disk_leaves_the_database_that_was_there(tmp_path, monkeypatch):
    """The copy comes from another file system: it is whole beside the old one before that one is touched."""
    place = tmp_path / "gspnp.sqlite3"
    with sqlite3.connect(place) as old:
        old.execute("CREATE TABLE t (x)")
    old.close()
    before = place.read_bytes()
    monkeypatch.setattr(database, "sqlite_path", lambda: place)
    monkeypatch.setattr(database, "kind", lambda: database.SQLITE)
    monkeypatch.setattr(database, "connection", SimpleNamespace(close=lambda: None))

    def full(source, target):
        Path(target).write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(shutil, "move", full)
    with pytest.raises(OSError, match="No space"):
        database.put_back(tmp_path / "copy", tmp_path / "kept")
    assert place.read_bytes() == before and [path.name for path in tmp_path.iterdir()] == [place.name]


def test_the_tools_of_postgresql_are_given_the_tls_that_the_url_asks_for(tmp_path, monkeypatch):
    said = Env(Layers({})).database("postgres://u:p@db.example/n?sslmode=verify-full&sslrootcert=/ca.pem")
    monkeypatch.setattr(database, "connection", SimpleNamespace(settings_dict=said))
    monkeypatch.setattr(shutil, "which", lambda tool: f"/usr/bin/{tool}")
    ran = []
    monkeypatch.setattr(subprocess, "run", lambda *_, env, **__: ran.append(env) or SimpleNamespace(returncode=0))
    database._postgresql("pg_dump")
    (environment,) = ran
    assert (environment["PGSSLMODE"], environment["PGSSLROOTCERT"]) == ("verify-full", "/ca.pem")
    assert (environment["PGHOST"], environment["PGPASSWORD"]) == ("db.example", "p")


def test_keys_inside_the_folder_of_the_data_are_refused(filled, tmp_path):
    said = filled[0].manage("backup", str(tmp_path / "b"), "--keys", str(tmp_path / "b" / "keys"), ends=1)
    assert "Choose another place" in said
    assert not (tmp_path / "b").exists()
    (tmp_path / "c").mkdir()
    filled[0].manage("backup", str(tmp_path / "c"), "--no-keys")
    assert {path.name for path in tmp_path.iterdir()} == {"c"}


def test_a_path_that_is_not_there_and_the_data_folder_itself_are_refused(filled, tmp_path):
    """Made without a word, it would be the server's own disk that holds the backup."""
    house, there = filled[0], tmp_path / "there"
    there.mkdir()
    for arguments in ([str(tmp_path / "usb" / "a")], [str(there), "--keys", str(tmp_path / "keys" / "a")]):
        assert "There is no folder" in house.manage("backup", *arguments, ends=1)
    before = {path.name for path in house.folder.iterdir()}
    inside = str(house.folder / "sub")
    (house.folder / "sub").mkdir()
    try:
        for arguments in ([inside], [str(there), "--keys", inside], [str(house.folder)]):
            assert "in the data folder" in house.manage("backup", *arguments, ends=1)
    finally:
        (house.folder / "sub").rmdir()
    assert {path.name for path in house.folder.iterdir()} == before
    assert [path.name for path in tmp_path.iterdir()] == ["there"] and not list(there.iterdir())


def test_what_is_lost_with_the_data_folder_is_named(filled, tmp_path):
    house, archives = filled[0], tmp_path / "archives"
    archives.mkdir()
    said = house.manage("backup", str(archives))
    (archive,), (keys,) = archives.iterdir(), (tmp_path / "archives-keys").iterdir()
    assert f"lost with it: {archive} and {keys}." in said and "the archive is worthless" in said
    on = house.folder.stat().st_dev
    other_disk = next(place for place in ("/dev/shm", "/tmp", BASE_DIR) if Path(place).stat().st_dev != on)
    with tempfile.TemporaryDirectory(dir=other_disk) as elsewhere:
        # Each has its own folders: two of one second would have one name.
        more = tmp_path / "more"
        more.mkdir()
        said = house.manage("backup", str(more), "--keys", elsewhere)
        assert "lost with it" in said and "worthless" not in said and f"and {elsewhere}" not in said
        keys = tmp_path / "more-keys"
        said = house.manage("backup", elsewhere, "--keys", str(keys))
        assert f"lost with it: {keys}" in said and "worthless" in said


def test_the_keys_are_found_in_the_folder_where_those_of_several_backups_lie(filled, tmp_path):
    other, usb = House(tmp_path / "var"), tmp_path / "usb"
    usb.mkdir()
    filled[0].manage("backup", str(usb))
    (archive,) = usb.iterdir()
    assert "The backup is back" in other.manage("restore", str(archive), "--keys", str(tmp_path / "usb-keys"))
    assert other.shell(TELL) == filled[0].shell(TELL)


@pytest.mark.xdist_group("postgresql")
def test_postgresql_is_backed_up_and_brought_back_by_its_own_tools(postgresql, tmp_path):  # noqa: F811
    url = postgresql.empty()
    house = House(tmp_path / "var", DATABASE_URL=url)
    house.manage("migrate", "-v", "0")
    session, first, steady = house.shell(FILL).split()[-3:]
    before = house.shell(TELL)
    (tmp_path / "b").mkdir()
    house.manage("backup", str(tmp_path / "b"))
    (archive,), (keys,) = (tmp_path / "b").iterdir(), (tmp_path / "b-keys").iterdir()
    with tarfile.open(archive) as tar:
        tar.extractall(tmp_path / "x", filter="data")
    assert leaks_of_folder(tmp_path / "x", {"p": PASSWORD, "s": session, "f": first, "t": steady}) == {}
    house.manage("rotate_keys", "--new-key")
    assert "taken away" in house.manage("rotate_keys", "--drop-old")
    assert house.shell(TELL) == before
    house.shell("from devices.models import Phone; Phone.objects.all().delete()")
    refused = house.manage("restore", str(archive), "--keys", str(keys), ends=1)
    assert "already" in refused and "gone then: take a backup of it first" in refused and "kept" not in refused
    house.manage("restore", str(archive), "--keys", str(keys), "--force")
    assert house.shell(TELL) == before
    sqlite = House(tmp_path / "other")
    assert "names SQLite" in sqlite.manage("restore", str(archive), "--keys", str(keys), ends=1)
    nowhere = House(tmp_path / "empty", DATABASE_URL=postgresql.empty())
    nowhere.manage("restore", str(archive), "--keys", str(keys))
    assert nowhere.shell(TELL) == before
    house.environment["PATH"] = str(tmp_path)
    assert "pg_dump is not installed" in house.manage("backup", str(tmp_path / "b"), ends=1)


def test_tools_that_are_older_than_the_server_are_named(tmp_path, monkeypatch):
    tool = tmp_path / "pg_dump"
    tool.write_text("#!/bin/sh\necho 'pg_dump: error: aborting because of server version mismatch' >&2; exit 1\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(database.BackupError, match="mismatch Install .* of the server's version or newer"):
        database._postgresql("pg_dump")


@pytest.mark.long
def test_a_backup_of_sqlite_comes_back_into_postgresql(filled, backed_up, postgresql, tmp_path):  # noqa: F811
    """From one machine to many: with what was secret, and with room for what comes next."""
    archive, keys = backed_up
    other = House(tmp_path / "var", DATABASE_URL=postgresql.empty())
    said = other.manage("restore", str(archive), "--keys", str(keys))
    assert "The backup is back" in said
    assert other.shell(TELL) == filled[0].shell(TELL)
    assert other.shell(ROWS) == filled[0].shell(ROWS)
    other.shell("from tests import cast; cast.assigned('000B82000009', '10.0.0.9')")
    assert "already" in other.manage("restore", str(archive), "--keys", str(keys), ends=1)
    other.manage("restore", str(archive), "--keys", str(keys), "--force")
    assert other.shell(ROWS) == filled[0].shell(ROWS)


@pytest.mark.long
@pytest.mark.servers
def test_one_machine_with_sqlite_comes_into_the_containers_as_it_is_written(filled, backed_up, postgresql, tmp_path):  # noqa: F811
    """docs/deploying.md, "From one machine with SQLite": the keys of make-secrets are new ones, and open nothing."""
    archive, keys = backed_up
    text = (BASE_DIR / "docs" / "deploying.md").read_text(encoding="utf-8")
    deployed = Deployed(tmp_path, postgresql)
    refused = deployed.run("work", ["python", "manage.py", "restore", str(archive)])
    assert refused.returncode == 1 and "do not open" in refused.stderr
    (written,) = re.findall(r'sudo (sed -i ".*GSPNP_FIELD_KEYS.*" secrets/gspnp\.env)', text)
    (place,) = re.findall(r"paste -sd, (\S+)/field-keys", written)
    subprocess.run(["sh", "-c", written.replace(place, str(keys))], cwd=tmp_path, check=True)
    assert "The backup is back" in deployed.manage("restore", str(archive))
    assert deployed.run("prepare").returncode == 0
    assert deployed.manage("shell", "--no-imports", "-v", "0", "-c", TELL) == filled[0].shell(TELL)
    again = deployed.run("work", ["python", "manage.py", "restore", str(archive)])
    assert "gone then" in again.stderr
