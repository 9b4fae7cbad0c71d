"""Bringing a backup back: looked through first, put into place last; what was there is kept (SQLite's)."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from django.conf import settings
from django.core.management import call_command
from django.db import DatabaseError, connection
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder
from django.utils import timezone

from devices import crypto, rekeying
from gspnp import keys
from gspnp.backup import archive, crossing, database
from gspnp.backup.archive import BackupError, Manifest
from gspnp.env import SettingError, env
from gspnp.running import running
from provisioning.firmware import images


def restore(source: Path, keys_folder: Path | None, *, force: bool) -> list[str]:
    """Bring this archive back; what a person should know then, in words. Raises BackupError, and nothing is changed."""
    data = Path(settings.GSPNP_DATA_DIR)
    has_data = _has_data()
    there = running() if has_data else []
    refused = [f"gspnp runs: {', '.join(there)}. Stop it first."] if there else []
    if has_data and not force:
        refused.append(
            "There is a database already. "
            + (
                "With --force it is replaced, and kept beside the new one."
                if database.kind() == archive.SQLITE
                else "With --force its content is replaced, and gone then: take a backup of it first."
            )
        )
    if refused:
        raise BackupError(" ".join(refused))
    try:
        with keys.alone(data), tempfile.TemporaryDirectory(prefix=".restore-", dir=data) as place:
            given = _keys(None if keys_folder is None else _keys_of(source, keys_folder))
            manifest, files = archive.unpack(source, Path(place))
            _check(manifest, given, has_data)
            if manifest.database == archive.SQLITE:
                database.check_sqlite(files[archive.SQLITE], manifest.migrations, manifest.lost)
            return _put(manifest, files, given, keys_folder, data, has_data)
    except BlockingIOError as error:
        raise BackupError("A rotate_keys, backup or restore is at work. Run this when it has ended.") from error
    except OSError as error:
        raise BackupError(f"The data folder {data} cannot be written ({error}).") from error


def _has_data() -> bool:
    if database.kind() == archive.SQLITE and not (
        database.sqlite_path().exists() and database.sqlite_path().stat().st_size
    ):
        return False  # to look into it would make it
    try:
        return "django_migrations" in connection.introspection.table_names()
    except DatabaseError:
        return True  # whatever it is, it is not nothing
    finally:
        connection.close()


def _keys_of(source: Path, folder: Path) -> Path:
    """The folder of this very archive's keys, if those of several backups lie in that one."""
    own = folder / source.name.removesuffix(archive.SUFFIX)
    return own if own.is_dir() else folder


def _keys(folder: Path | None) -> list[str]:
    """The field keys of that folder, else those that are set."""
    if folder is None:
        return keys.read_again(Path(settings.GSPNP_DATA_DIR))
    path = folder / keys.FIELD_KEYS_FILE
    try:
        given = keys.parse_field_keys(path.read_text(encoding="utf-8"), str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise BackupError(
            f"{path} cannot be read ({error}). --keys names the folder that backup made for keys."
        ) from error
    except SettingError as error:
        raise BackupError(str(error)) from error
    if env.str("GSPNP_FIELD_KEYS", "") and not set(given) <= set(settings.GSPNP_FIELD_KEYS):
        raise BackupError(
            f"GSPNP_FIELD_KEYS is set, and holds other keys than {path}. Add them there, or take the setting away."
        )
    return given


def _migrations() -> set[str]:
    return {f"{app}.{name}" for app, name in MigrationRecorder(connection).applied_migrations()}


def _check(manifest: Manifest, given: list[str], has_data: bool) -> None:
    if manifest.database == archive.POSTGRESQL and database.kind() == archive.SQLITE:
        raise BackupError(
            f"This backup holds {manifest.database}; DATABASE_URL names SQLite. Set it to a PostgreSQL, as it was."
        )
    known = {f"{app}.{name}" for app, name in MigrationLoader(None, ignore_no_migrations=True).disk_migrations}
    if unknown := sorted(set(manifest.migrations) - known):
        raise BackupError(f"This backup was made by a newer release of gspnp ({unknown[-1]}). Install that one first.")
    if has_data and manifest.database == archive.POSTGRESQL and _migrations() - set(manifest.migrations):
        raise BackupError(
            "This backup is older than the tables in the database, which cannot be taken back. Make an empty database, "
            "name it in DATABASE_URL, and restore there."
        )
    settings.GSPNP_FIELD_KEYS = given
    try:
        for probe in manifest.probes[:1]:  # the first key is the one that encrypts
            crypto.open_token(probe)
    except crypto.CannotDecrypt as error:
        raise BackupError(
            f"These keys do not open this backup: it needs key {manifest.key_ids[0]}, given were "
            f"{', '.join(crypto.key_ids(tuple(given)))}. --keys names the folder that was made for its keys."
        ) from error


def _put(
    manifest: Manifest, files: dict[str, Path], given: list[str], keys_folder: Path | None, data: Path, has_data: bool
) -> list[str]:
    stamp = f"{timezone.now():%Y%m%dT%H%M%SZ}"
    words = []
    for name, path in files.items():
        if name != manifest.database:
            target = images.folder() / name.partition("/")[2]
            target.parent.mkdir(parents=True, exist_ok=True)
            keys.give_to_owner(target.parent, data)
            beside = Path(shutil.copyfile(path, f"{target}.part"))
            beside.chmod(0o644)
            keys.give_to_owner(beside, data)
            os.replace(beside, target)
    file = data / keys.FIELD_KEYS_FILE
    in_files = keys_folder is not None and not env.str("GSPNP_FIELD_KEYS", "")
    before = file.read_text(encoding="utf-8").split() if in_files and file.exists() else []
    if in_files:  # whenever this ends, the keys of what is there then are there
        keys.replace_private(file, "\n".join(dict.fromkeys([*given, *before])))
    kept = data / f"{database.sqlite_path().name}.before-{stamp}"
    if manifest.database == database.kind():
        database.put_back(files[manifest.database], kept if has_data else None)
    else:
        crossing.carry(files[manifest.database])
    if kept.exists():
        words.append(f"The database that was there is {kept}.")
        if in_files and set(before) - set(given):
            keys.write_private(data / f"{keys.FIELD_KEYS_FILE}.before-{stamp}", "\n".join(before))
            words.append(f"Its keys are {data / keys.FIELD_KEYS_FILE}.before-{stamp}.")
    if in_files:
        keys.replace_private(file, "\n".join(given))
    try:
        call_command("migrate", interactive=False, verbosity=0)
    except Exception as error:
        words.insert(0, f"The backup is in its place, but its tables cannot be brought up to date: {error}.")
        raise BackupError(" ".join(words)) from error
    lost = sum(rekeying.count(model, name).lost for model, name in rekeying.kinds())
    if lost:
        words.append(f"{lost} secrets are opened by none of the keys. Look for older keys, and add them to {file}.")
    return words
