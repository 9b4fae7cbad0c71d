"""Making a backup: the data into one archive, the keys into a folder elsewhere."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings
from django.db import connection
from django.db.migrations.recorder import MigrationRecorder
from django.utils import timezone

from devices import crypto
from gspnp import keys
from gspnp.backup import archive, database
from gspnp.backup.archive import BackupError
from gspnp.env import SettingError
from provisioning.firmware import images
from provisioning.models import FirmwareImage


@dataclass(frozen=True)
class Made:
    """Where the archive is, and the folder of its keys; how many of its secrets are opened by none of them."""

    archive: Path
    keys: Path | None
    lost: int
    stays: tuple[Path, ...] = ()
    """Which of the two lie on the file system of the data folder, and are lost with it."""


def make(folder: Path, keys_folder: Path | None) -> Made:
    """Back up into these two folders. Raises BackupError.

    Without `keys_folder` no key is written.
    """
    name = f"gspnp-{timezone.now():%Y%m%dT%H%M%SZ}"
    data = Path(settings.GSPNP_DATA_DIR)
    if keys_folder is not None:
        _apart(folder, keys_folder)
    for place in filter(None, (folder, keys_folder)):
        _outside(place, data)
    try:
        for place in filter(None, (folder, keys_folder)):
            _there(place)
        with keys.alone(data, waiting=True):  # the keys must be those of the copy
            settings.GSPNP_FIELD_KEYS = keys.read_again(data)
            made, lost = _archive(folder, f"{name}{archive.SUFFIX}")
            kept = None if keys_folder is None else _keys(keys_folder / name)
            on = data.stat().st_dev
            return Made(made, kept, lost, tuple(one for one in (made, kept) if one and one.stat().st_dev == on))
    except SettingError as error:
        raise BackupError(str(error)) from error
    except OSError as error:
        raise BackupError(f"The backup cannot be written ({error}).") from error


def beside(folder: Path) -> Path:
    """Where the keys go if nobody says where."""
    return folder.resolve().with_name(f"{folder.resolve().name}-keys")


def _outside(folder: Path, data: Path) -> None:
    if data.resolve() in (folder.resolve(), *folder.resolve().parents):
        raise BackupError(
            f"{folder} lies in the data folder {data}, and is lost with it. Name a folder on another disk, or one that "
            "is copied to another machine."
        )


def _there(folder: Path) -> None:
    """Make it where there is a folder to make it in: a whole path is made by a typing error, or where no disk is
    mounted. Raises BackupError."""
    if not folder.is_dir() and not folder.parent.is_dir():
        raise BackupError(f"There is no folder {folder.parent}. Is the disk mounted? If it is meant, make it first.")
    folder.mkdir(mode=0o700, exist_ok=True)


def _apart(folder: Path, keys_folder: Path) -> None:
    data, apart = folder.resolve(), keys_folder.resolve()
    if data == apart or data in apart.parents or apart in data.parents:
        raise BackupError(
            f"{keys_folder} and {folder} lie in one another: whoever copies the one has both. Choose another place for "
            "the keys (--keys)."
        )


def _archive(folder: Path, name: str) -> tuple[Path, int]:
    target = folder / name
    if target.exists():
        raise BackupError(f"{target} is there already. Try again in a second.")
    with tempfile.TemporaryDirectory(prefix=".gspnp-", dir=folder) as place:
        files = {database.kind(): Path(place) / "database"}
        database.copy_to(files[database.kind()])
        for image in FirmwareImage.objects.order_by("pk"):
            path = images.path_of(image)
            if not path.is_file():
                raise BackupError(f"The firmware image {image} is not in {path.parent}. Remove it or upload it again.")
            files[f"firmware/{path.name}"] = path
        ring = tuple(settings.GSPNP_FIELD_KEYS)
        said = archive.Manifest(
            made_at=timezone.now().isoformat(),
            database=database.kind(),
            migrations=sorted(f"{app}.{one}" for app, one in MigrationRecorder(connection).applied_migrations()),
            key_ids=crypto.key_ids(ring),
            probes=[crypto.probe(key) for key in ring],
            lost=database.unopened(files[database.kind()]),
        )
        beside = Path(place) / name
        archive.write(beside, said, files)
        beside.chmod(0o600)
        archive.settle(beside)
        os.replace(beside, target)
    return target, said.lost


def _keys(folder: Path) -> Path:
    folder.mkdir(mode=0o700)
    keys.write_private(folder / keys.FIELD_KEYS_FILE, "\n".join(settings.GSPNP_FIELD_KEYS))
    keys.write_private(folder / keys.SECRET_KEY_FILE, settings.SECRET_KEY)
    return folder
