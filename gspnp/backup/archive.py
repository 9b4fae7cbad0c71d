"""The archive of a backup: what is in it, and how it is read by somebody who does not trust it.

A tar file, compressed: `manifest.json` first, then `database.sqlite3` or `database.pgdump`, and then the images as
`firmware/<sha256>.bin`. No key is in it, and nothing that opens anything: sessions of the console are left out.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import tarfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

FORMAT = 1
SUFFIX = ".tar.gz"
MANIFEST = "manifest.json"
SQLITE, POSTGRESQL = "database.sqlite3", "database.pgdump"
IMAGE = re.compile(r"firmware/[0-9a-f]{64}\.bin\Z")
MAX_MANIFEST_BYTES = 10_000_000
CHUNK_BYTES = 1 << 20


class BackupError(Exception):
    """It cannot be done; the text says why and what to do."""


@dataclass
class Manifest:
    """What an archive says of itself. `key_ids` tell keys apart; `probes` are opened by one of them each; `lost` of its
    secrets were opened by none of them."""

    made_at: str
    database: str
    migrations: list[str]
    key_ids: list[str]
    probes: list[str]
    files: dict[str, dict[str, Any]] = field(default_factory=dict)  # name -> sha256, size
    lost: int = 0
    format: int = FORMAT

    def as_bytes(self) -> bytes:
        return json.dumps(asdict(self), indent=1).encode()


def digest_of(path: Path) -> str:
    """SHA-256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def settle(path: Path) -> None:
    """On the disk before it has its name. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write(target: Path, manifest: Manifest, files: Mapping[str, Path]) -> None:
    """Write the archive to a path that does not exist yet. Raises OSError."""
    for name, path in files.items():
        manifest.files[name] = {"sha256": digest_of(path), "size": path.stat().st_size}
    with target.open("xb") as raw, tarfile.open(fileobj=raw, mode="w:gz", compresslevel=6) as tar:
        said = manifest.as_bytes()
        head = tarfile.TarInfo(MANIFEST)
        head.size, head.mode = len(said), 0o600
        tar.addfile(head, io.BytesIO(said))
        for name, path in files.items():
            info = tarfile.TarInfo(name)
            info.size, info.mode = path.stat().st_size, 0o600
            with path.open("rb") as file:
                tar.addfile(info, file)


def unpack(source: Path, folder: Path) -> tuple[Manifest, dict[str, Path]]:
    """Its manifest and its files, in this folder, each as it was when it was written. Raises BackupError."""
    try:
        with tarfile.open(source, mode="r:gz") as tar:
            manifest = _manifest(tar)
            return manifest, _files(tar, manifest, folder)
    except FileNotFoundError as error:
        raise BackupError(f"There is no file {source}.") from error
    except (tarfile.TarError, EOFError, OSError, ValueError, KeyError, TypeError) as error:
        raise BackupError(f"{source} is no whole backup of gspnp ({error}). Take another copy of it.") from error


def _manifest(tar: tarfile.TarFile) -> Manifest:
    head = tar.next()
    if head is None or head.name != MANIFEST or not head.isfile() or head.size > MAX_MANIFEST_BYTES:
        raise ValueError(f"it does not begin with {MANIFEST}")
    file = tar.extractfile(head)
    assert file is not None
    said = json.loads(file.read())
    if not isinstance(said, dict) or said.get("format") != FORMAT:
        raise ValueError("its format is not known to this release; restore it with the release that made it")
    manifest = Manifest(**said)
    if type(manifest.lost) is not int:
        raise ValueError("its manifest makes no sense")
    if manifest.database not in (SQLITE, POSTGRESQL) or manifest.database not in manifest.files:
        raise ValueError("it holds no database")
    return manifest


def _files(tar: tarfile.TarFile, manifest: Manifest, folder: Path) -> dict[str, Path]:
    found: dict[str, Path] = {}
    while (member := tar.next()) is not None:
        said = manifest.files.get(member.name)
        known = member.name == manifest.database or IMAGE.match(member.name)
        if said is None or not known or not member.isfile() or member.name in found or member.size != said["size"]:
            raise ValueError(f"{member.name!r} does not belong there")
        file = tar.extractfile(member)
        assert file is not None
        target = folder / member.name.replace("/", "-")
        digest = hashlib.sha256()
        with target.open("xb") as out:
            while piece := file.read(CHUNK_BYTES):
                digest.update(piece)
                out.write(piece)
        if digest.hexdigest() != said["sha256"]:
            raise ValueError(f"{member.name} is damaged")
        found[member.name] = target
    if missing := manifest.files.keys() - found.keys():
        raise ValueError(f"{', '.join(sorted(missing))} is missing")
    return found
