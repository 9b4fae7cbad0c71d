"""Firmware at the phones' door: which image a request may have, whole or in part, and what a whole one counts for."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import BinaryIO

from django.db import DatabaseError

from devices import inventory
from devices.choices import EventKind
from devices.models import Phone
from provisioning.door.http import Answer, Headers, Request
from provisioning.door.store import in_store
from provisioning.etags import matches
from provisioning.firmware import images, pins
from provisioning.firmware.models import FirmwareImage
from provisioning.gxp.firmware import version_fault
from provisioning.paths import FirmwareAsk

log = logging.getLogger(__name__)

_DEVICE = re.compile(r"DevId ([0-9A-Fa-f]{12})\b")  # formats.md, "User-Agent on HTTP"
CONTENT_TYPE = "application/octet-stream"
_RANGE = re.compile(r"bytes=([0-9]{0,18})-([0-9]{0,18})")


async def firmware(request: Request, ask: FirmwareAsk, source: str) -> Answer | None:
    """The image, a part of it, or None: there is none for this phone. Raises DatabaseError."""
    agent = request.header("user-agent")[:300]
    found = await in_store(_find, ask, agent, source)
    if found is None:
        return None
    image, phone, file = found
    tag = f'"{image.sha256}"'
    headers: Headers = (("ETag", tag), ("Accept-Ranges", "bytes"))
    if matches(request.header("if-none-match"), tag):
        file.close()
        return Answer(304, CONTENT_TYPE, headers=headers)
    wanted = _wanted(request, tag, image.size_bytes)
    if wanted is None:
        file.close()
        return Answer(416, CONTENT_TYPE, headers=(("Content-Range", f"bytes */{image.size_bytes}"), *headers))
    start, end = wanted
    status = 200 if (start, end) == (0, image.size_bytes) else 206
    if status == 206:
        headers = (("Content-Range", f"bytes {start}-{end - 1}/{image.size_bytes}"), *headers)
    if request.method == "HEAD":
        file.close()
        return Answer(status, CONTENT_TYPE, length=end - start, headers=headers)
    pieces = _pieces(file, start, end, phone if status == 200 else None, image.version, source)
    return Answer(status, CONTENT_TYPE, pieces=pieces, length=end - start, headers=headers)


def _find(ask: FirmwareAsk, agent: str, source: str) -> tuple[FirmwareImage, Phone | None, BinaryIO] | None:
    phone = _phone(agent, source)
    version = ask.version
    # A name without a version is the phone's own: from elsewhere its answer would tell which MACs we have.
    if not version and phone is not None and _is_there(phone, source):
        version = pins.next_versions([phone]).get(phone.pk, "")
    image = FirmwareImage.objects.filter(version=version).first() if not version_fault(version) else None
    if image is None:
        return None
    path: Path = images.path_of(image)
    try:
        return image, phone, path.open("rb")
    except OSError as error:
        log.error("the image of firmware %s cannot be read (%s); upload it again", image.version, error.strerror)
        return None


def _phone(agent: str, source: str) -> Phone | None:
    """Who asks: by the MAC that it tells, else by its address."""
    told = _DEVICE.search(agent)
    if told is not None:
        return Phone.objects.filter(mac=told[1].upper()).first()
    return Phone.objects.filter(source_host=source).order_by("-last_seen_at").first()


def _is_there(phone: Phone, source: str) -> bool:
    return source in (phone.source_host, phone.steady_host)


def _wanted(request: Request, tag: str, size: int) -> tuple[int, int] | None:
    """Which bytes, the end not among them; None for a range outside. RFC 9110 14.2: what is no range is ignored."""
    found = _RANGE.fullmatch(request.header("range"))
    if found is None or request.headers.get("if-range", tag) != tag or not (found[1] or found[2]):
        return 0, size
    if not found[1]:
        last = int(found[2])
        return (max(0, size - last), size) if last else None
    start, end = int(found[1]), min(int(found[2]) + 1, size) if found[2] else size
    if found[2] and int(found[2]) < start:
        return 0, size
    return (start, end) if start < size else None


async def _pieces(
    file: BinaryIO, start: int, end: int, phone: Phone | None, version: str, source: str
) -> AsyncGenerator[bytes]:
    """The bytes in pieces, read beside the event loop; a whole image counts as a try before its last piece leaves."""
    try:
        await asyncio.to_thread(file.seek, start)
        left = end - start
        while left:
            piece = await asyncio.to_thread(file.read, min(images.CHUNK_BYTES, left))
            if not piece:
                raise OSError("the image on disk is shorter than it was")
            left -= len(piece)
            if not left and phone is not None:
                await in_store(_count, phone, version, source)
            yield piece
    finally:
        file.close()


def _count(phone: Phone, version: str, source: str) -> None:
    """A MAC in a User-Agent is only a claim: what comes from another address than the phone's is no try of it."""
    if not _is_there(phone, source):
        return
    try:
        if pins.next_versions([phone]).get(phone.pk) == version:
            pins.fetched(phone.pk, version)
        inventory.tell(phone.pk, EventKind.DOWNLOAD, f"Fetched firmware {version}.")
    except (Phone.DoesNotExist, DatabaseError) as error:  # it was forgotten meanwhile; its last bytes are to leave
        log.warning("that %s fetched firmware %s is not stored (%s)", source, version, error)
