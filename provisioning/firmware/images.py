"""Images on disk: put there whole or not at all, named by what is in them, read in pieces."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path

from django.conf import settings
from django.db import IntegrityError
from django.db.models import ProtectedError
from django.utils import timezone
from django.utils.translation import gettext

from provisioning.firmware.models import FirmwareImage, FirmwareStep
from provisioning.gxp.firmware import version_fault

MAX_BYTES = 64 * 1024 * 1024  # the image of these models has some 14 MB (formats.md d10); our choice
LEAST_BYTES = 4096
FILE_NAME = "gxp1600fw.bin"  # of all six models (formats.md d10)
CHUNK_BYTES = 65_536


class ImageError(ValueError):
    """The image cannot be taken; the text says what to do."""


def folder() -> Path:
    """Where images lie."""
    return Path(settings.GSPNP_DATA_DIR) / "firmware"


def path_of(image: FirmwareImage) -> Path:
    return folder() / f"{image.sha256}.bin"


def add(version: str, pieces: Iterable[bytes], *, by: str) -> FirmwareImage:
    """Store an image under its version. Raises ImageError; nothing is left behind then."""
    version = version.strip()
    wrong = version_fault(version)
    if wrong:
        raise ImageError(f"{version!r} {wrong}.")
    if FirmwareImage.objects.filter(version=version).exists():
        words = gettext("There is an image of %(version)s already; remove it first if it was the wrong one.")
        raise ImageError(words % {"version": version})
    folder().mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=folder(), suffix=".part", delete=False) as file:
        try:
            size, digest = _write(file, pieces)
            os.chmod(file.name, 0o644)
            os.replace(file.name, folder() / f"{digest}.bin")
        except BaseException:
            os.unlink(file.name)
            raise
    try:
        return FirmwareImage.objects.create(
            version=version,
            sha256=digest,
            size_bytes=size,
            file_name=FILE_NAME,
            uploaded_by=by[:150],
            uploaded_at=timezone.now(),
        )
    except IntegrityError:
        words = gettext("Somebody else has just uploaded %(version)s; reload the page.")
        raise ImageError(words % {"version": version}) from None


def remove(image: FirmwareImage) -> None:
    """Delete an image that no path names. Raises ImageError."""
    used = FirmwareStep.objects.filter(image=image).values_list("model", flat=True)
    if used:
        words = gettext("%(image)s is on the path of %(models)s; take it from there first.")
        raise ImageError(words % {"image": image, "models": ", ".join(used)})
    try:
        image.delete()
    except ProtectedError:
        words = gettext("Somebody has just put %(image)s on a path; take it from there first.")
        raise ImageError(words % {"image": image}) from None
    if not FirmwareImage.objects.filter(sha256=image.sha256).exists():
        path_of(image).unlink(missing_ok=True)


def _write(file, pieces: Iterable[bytes]) -> tuple[int, str]:
    size, digest, head = 0, hashlib.sha256(), b""
    for piece in pieces:
        size += len(piece)
        if size > MAX_BYTES:
            words = gettext("This file is larger than %(megabytes)d MB, which no phone could take.")
            raise ImageError(words % {"megabytes": MAX_BYTES // 2**20})
        head = head or bytes(piece[:512])
        digest.update(piece)
        file.write(piece)
    if size < LEAST_BYTES:
        words = gettext("This file has only %(size)d bytes; it is no firmware. Download it again.")
        raise ImageError(words % {"size": size})
    if head.startswith(b"PK\x03\x04"):
        words = gettext("This is a ZIP archive; unpack it, and upload the %(file)s that is in it.")
        raise ImageError(words % {"file": FILE_NAME})
    if head.lstrip().lower().startswith((b"<!doctype", b"<html", b"<?xml")):
        raise ImageError(gettext("This is a web page and no firmware; download the file again."))
    file.flush()
    os.fsync(file.fileno())
    return size, digest.hexdigest()
