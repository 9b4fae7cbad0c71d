"""Phones that fetch again what they have proved to have, by their own path: one read to answer, many written at once.

Nothing moves by such a download, so that nobody waits for it to be written: a phone whose file is applied starts up
and fetches it. Everything else takes the way of downloads.py, which asks more and writes before the end is sent.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import groupby, islice
from operator import attrgetter
from typing import Any, NamedTuple

from django.db import DataError, Error, IntegrityError, connection, transaction
from django.utils import timezone

from devices import batch, crypto, inventory, live
from devices.choices import EventKind
from devices.mac import colons
from devices.models import Phone
from provisioning import downloads, outbox
from provisioning.downloads import Offer
from provisioning.gxp import files
from provisioning.gxp.files import FileFormat, FormatChoice, Part
from provisioning.models import ConfigFile, Download, Notify, NotifyKind, NotifyState, PathKind
from provisioning.paths import Ask, hash_of

log = logging.getLogger(__name__)

PHONES_AT_ONCE = 300  # in one transaction: with its fsync it holds SQLite's lock for less than 50 ms
PAUSE_SECONDS = 0.002  # between two transactions, for those who wait for SQLite's lock
# The newest version of an applied phone that takes part in nothing else: no login, no key to prove, nothing to end.
FIND = """
    SELECT file.id, file.phone_id, file.format, file.etag, file.base_url, file.body, file.content
    FROM provisioning_configfile file JOIN devices_phone phone ON phone.id = file.phone_id
    WHERE file.steady_hash = {0} AND phone.mac = {0} AND phone.stage = 'applied'
      AND file.fetched_at IS NOT NULL AND file.applied_at IS NOT NULL AND file.retired_at IS NULL
      AND file.login_scheme = '' AND (file.format <> 'encrypted' OR file.key_known_at IS NOT NULL)
      AND NOT EXISTS (SELECT 1 FROM provisioning_configfile newer
                      WHERE newer.phone_id = file.phone_id AND newer.number > file.number)
"""
_FIND = FIND.format("%s")
# The same for many, with what was asked for; PostgreSQL's.
_FIND_ALL = FIND.format("ANY(%s)").replace("SELECT", "SELECT file.steady_hash, phone.mac,", 1)
_CHOICES = {one.value: FormatChoice(one) for one in FileFormat}
Read = Callable[[tuple[str, str]], Sequence[Any] | None]


@dataclass(frozen=True, slots=True)
class Repeat:
    """The file of a phone that has it already."""

    file_id: int
    phone_id: int
    mac: str
    name: str
    etag: str
    path_base: str
    content_type: str
    content: bytes = field(repr=False)


class Again(NamedTuple):
    """A repeat that was taken whole."""

    phone_id: int
    file_id: int
    name: str
    status: int
    host: str
    user_agent: str
    at: datetime
    mac: str


def find(ask: Ask, read: Read) -> Repeat | None:
    """What this path leads to if the phone has it already; None for everything else. Raises CannotDecrypt.

    `read` answers FIND for a digest and a MAC.
    """
    return opened(ask, read(question(ask)))


def question(ask: Ask) -> tuple[str, str]:
    """What FIND is asked for by this path: its digest and the MAC."""
    return hash_of(ask.secret), ask.mac


def opened(ask: Ask, row: Sequence[Any] | None) -> Repeat | None:
    """What `find` gives for this answer of FIND. Raises CannotDecrypt."""
    if row is None:
        return None
    file_id, phone_id, kind, etag, base_url, body, content = row
    choice = _CHOICES[kind]
    if files.part(choice, ask.suffix, by_first=False) is not Part.FINAL:
        return None
    plain = crypto.open_bytes(bytes(content if body is None else body))
    return Repeat(file_id, phone_id, ask.mac, ask.name, etag, base_url, files.content_type(choice, Part.FINAL), plain)


def is_one(offer: Offer) -> bool:
    """Whether finishing this moves nothing, and proves nothing that is not known."""
    if offer.moves or offer.part is not Part.FINAL or offer.path_kind is not PathKind.STEADY:
        return False
    version = offer.config_file
    return not version.choice.is_encrypted or version.key_known_at is not None


def read(parameters: tuple[str, str]) -> Sequence[Any] | None:
    """FIND by Django's connection, whichever database that is. Raises DatabaseError."""
    with connection.cursor() as cursor:
        cursor.execute(_FIND, parameters)
        return cursor.fetchone()


def read_all(questions: list[tuple[str, str]]) -> Mapping[tuple[str, str], Sequence[Any]]:
    """FIND for all of these in one round trip, on PostgreSQL. Raises DatabaseError."""
    with connection.cursor() as cursor:
        cursor.execute(_FIND_ALL, [list(column) for column in zip(*questions, strict=True)])
        return {(row[0], row[1]): row[2:] for row in cursor.fetchall()}


def record(gone_out: list[Again]) -> None:
    """Write down repeats, those of many phones in one transaction; what is written leaves the list.

    Raises django.db.Error if the database cannot be written now. What is the fault of one phone's repeats alone is
    logged, and they leave the list too.
    """
    gone_out.sort(key=attrgetter("phone_id"))
    alone = 0  # so many phones are written each for itself, because one of them cannot be
    while gone_out:
        by_phone = groupby(gone_out, attrgetter("phone_id"))
        bite = [list(group) for _, group in islice(by_phone, 1 if alone else PHONES_AT_ONCE)]
        try:
            with transaction.atomic():
                changed = _record({of_one[-1].phone_id: of_one for of_one in bite})
        except Exception as error:
            if _is_of_all(error):
                raise
            if len(bite) > 1:
                alone = len(bite)
                continue
            log.exception("%s: %d downloads by its steady path cannot be written", colons(bite[0][0].mac), len(bite[0]))
            changed = []
        alone = max(alone - 1, 0)
        # Until each of these is written, it is on the list.
        gone_out[: sum(map(len, bite))] = changed
        for _ in changed:
            _record_alone(gone_out[0])
            del gone_out[0]
        if gone_out:
            time.sleep(PAUSE_SECONDS)


def _is_of_all(error: Exception) -> bool:
    """Is it the database that cannot be written, and not this one row?"""
    return isinstance(error, Error) and not isinstance(error, (DataError, IntegrityError))


def _record(by_phone: dict[int, list[Again]]) -> list[Again]:
    """One transaction; those whose phone or file has changed since they were answered are left over."""
    there = {
        row[0]: row[1:]
        for row in batch.select(
            Phone, ("pk", "mac", "stage", "stage_reason", "source_host"), "pk", list(by_phone), lock=True
        )
    }
    newest = {
        phone: (pk, bool(fetched_at and applied_at))
        for phone, pk, fetched_at, applied_at in batch.newest(
            ConfigFile, ("phone", "pk", "fetched_at", "applied_at"), "phone", list(there), by="number"
        )
    }
    same = {phone: each for phone, each in by_phone.items() if newest.get(phone) == (each[-1].file_id, True)}
    now = max((each[-1].at for each in same.values()), default=None)
    if now is not None:
        room = _room(list(same), now)
        said = {phone: each[: room[phone]] for phone, each in same.items() if room[phone] > 0}
        _store(said)
        _touch(same, newest)
        _tell(said, there, now)
    return [each[-1] for phone, each in by_phone.items() if phone not in same]


def _room(phones: Sequence[int], now: datetime) -> dict[int, int]:
    """How many more of each phone are written down now: see downloads.REPEATS."""
    span = timedelta(minutes=downloads.REPEATS_MINUTES)
    counts = batch.counts(Download, "phone", phones, "at", (now - span, now + span))
    return {phone: downloads.REPEATS - counts.get(phone, 0) for phone in phones}


def _store(said: dict[int, list[Again]]) -> None:
    names = ("phone", "config_file", "name", "status", "source_host", "user_agent", "at", "path_kind", "counts")
    rows = [
        (*one[:2], one.name[:40], one.status, one.host, one.user_agent[:200], one.at, PathKind.STEADY.value, True)
        for each in said.values()
        for one in each
    ]
    batch.insert(Download, names, rows)


def _touch(same: dict[int, list[Again]], newest: dict[int, tuple[int, bool]]) -> None:
    """What downloads.record does for a repeat by the steady path, for many."""
    inventory.touch_all({phone: each[-1].host for phone, each in same.items()})
    current = {newest[phone][0]: each[-1].at for phone, each in same.items()}
    batch.update(ConfigFile, ("pk", "steady_at"), list(current.items()))
    outbox.retire_older(list(same), current.keys(), max(current.values()))
    open_ones = ("state", (NotifyState.WAITING, NotifyState.WITHHELD))
    waiting = batch.select(Notify, ("pk", "kind", "config_file", "created_at"), "config_file", list(current),
                           only_if=open_ones)  # fmt: skip
    # What was asked for after the phone came is still owed: it came without knowing of that. A time to come was
    # written before the clock went back.
    now = timezone.now()
    late = {pk for pk, _, file, created_at in waiting if current[file] < created_at <= now}
    profiles = [pk for pk, kind, *_ in waiting if kind == NotifyKind.PROFILE and pk not in late]
    if profiles:
        outbox.drop_all(profiles, downloads.BY_OWN_PATH)


def _tell(said: dict[int, list[Again]], there: dict[int, tuple], now: datetime) -> None:
    """One word for each phone, however often it has fetched meanwhile."""
    events = []
    for phone, each in said.items():
        mac, stage, _, heard_at = there[phone]
        text = downloads.STILL_APPLIED + downloads.from_elsewhere(heard_at, each[-1].host)
        events.append((phone, mac, EventKind.DOWNLOAD.value, stage, text[: live.TEXT_CHARS], each[-1].at))
    live.append_rows(events)
    inventory.explain_all({phone: "" for phone in said if there[phone][2]})


def _record_alone(one: Again) -> None:
    """Its phone was forgotten, saved, or found without its configuration meanwhile: that is judged as always."""
    version = ConfigFile.objects.defer(*outbox.SEALED).select_related("phone").filter(pk=one.file_id).first()
    if version is None:
        return
    offer = Offer(version.phone.mac, version, b"", Part.FINAL, PathKind.STEADY, one.name, True)
    try:
        downloads.record(offer, one.status, True, one.host, one.user_agent)
    except Exception as error:
        if _is_of_all(error):
            raise
        log.exception("%s: a download by its steady path cannot be written", colons(one.mac))
