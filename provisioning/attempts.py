"""What phones tried at the door without getting their file: noted in memory, understood and stored a moment later.

It never delays an answer, and every refusal stays the same one, made after the same look-ups: why a request came to
nothing is found out afterwards. A row per phone and kind, so a stranger cannot fill the disk; no secret is kept.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from asgiref.sync import sync_to_async
from django.db import DatabaseError, transaction
from django.db.models import F, Q
from django.utils import timezone

from devices import batch
from devices.models import Phone
from provisioning import outbox
from provisioning.gxp import files
from provisioning.models import Attempt, AttemptKind, ConfigFile
from provisioning.paths import Ask, hash_of

log = logging.getLogger(__name__)

FLUSH_SECONDS = 1.0
HELD_AT_MOST = 200  # different ones between two flushes; more are not noted
STORED_AT_ONCE = 20
NAME_CHARS = 40

_lock = threading.Lock()
_held: dict[_Seen, tuple[int, datetime]] = {}
_flushes: set[asyncio.Task[None]] = set()


@dataclass(frozen=True)
class _Seen:
    """One request. `digest` finds the path that it used; `kind` is known where the file was there to be had."""

    mac: str
    name: str
    suffix: str
    source: str
    digest: str = field(default="", repr=False)
    kind: str = ""
    size: int = 0


class _Row(NamedTuple):
    """An attempt of a phone that we know."""

    phone_id: int
    kind: str
    seen: _Seen
    count: int
    at: datetime


def refused(ask: Ask, source: str) -> None:
    """A request for a phone's file got the one 404. Call it in the event loop; it only touches memory."""
    if ask.mac:
        digest = hash_of(ask.secret) if ask.secret else ""
        _note(_Seen(ask.mac, ask.name[:NAME_CHARS], ask.suffix, source, digest))


def fruitless(kind: AttemptKind, mac: str, name: str, size: int, source: str) -> None:
    """The file was there, and the client did not take it whole. Call it in the event loop."""
    _note(_Seen(mac, name[:NAME_CHARS], "", source, kind=kind.value, size=size))


def _note(seen: _Seen) -> None:
    with _lock:
        if seen not in _held and len(_held) >= HELD_AT_MOST:
            return
        _held[seen] = (_held[seen][0] + 1 if seen in _held else 1, timezone.now())
    if not _flushes:
        task = asyncio.get_running_loop().create_task(_soon())
        _flushes.add(task)
        task.add_done_callback(_flushes.discard)


async def _soon() -> None:
    await asyncio.sleep(FLUSH_SECONDS)
    await sync_to_async(flush)()


def flush() -> int:
    """Store what was noted; how many attempts of phones that we know."""
    with _lock:
        taken = dict(_held)
        _held.clear()
    if not taken:
        return 0
    try:
        phones = dict(Phone.objects.filter(mac__in={seen.mac for seen in taken}).values_list("mac", "pk"))
        rows = [_Row(phones[one.mac], _kind(one), one, *said) for one, said in taken.items() if one.mac in phones]
        found = [row for row in rows if row.kind]
        for bite in batch.bites(found, STORED_AT_ONCE):
            _store(bite)
    except DatabaseError as error:
        log.warning("what phones tried in vain is not stored (%s)", error)
        return 0
    return len(found)


def _store(rows: Sequence[_Row]) -> None:
    with transaction.atomic():
        # Locked before what belongs to them; one that was forgotten meanwhile is not there any more.
        there = {pk for (pk,) in batch.select(Phone, ("pk",), "pk", {row.phone_id for row in rows}, lock=True)}
        for row in rows:
            known = Attempt.objects.filter(phone_id=row.phone_id, kind=row.kind)
            said = {"name": row.seen.name, "source_host": row.seen.source, "size": row.seen.size, "at": row.at}
            if row.phone_id in there and not known.update(count=F("count") + row.count, **said):
                Attempt.objects.create(phone_id=row.phone_id, kind=row.kind, count=row.count, **said)


def _kind(seen: _Seen) -> str:
    """Why this request came to nothing; "" for one that is none of a phone's, or that would be answered by now."""
    if seen.kind:
        return seen.kind
    if not seen.digest:
        return AttemptKind.PLAIN.value
    found = ConfigFile.objects.defer(*outbox.SEALED).select_related("phone")
    version = found.filter(Q(first_hash=seen.digest) | Q(steady_hash=seen.digest)).first()
    if version is None or version.phone.mac != seen.mac:
        return ""
    current = outbox.current_file(version.phone_id)
    by_first = version.first_hash == seen.digest
    if current is None or version.pk != current.pk:
        return AttemptKind.OLD.value
    if by_first and version.first_host != seen.source:
        return AttemptKind.ELSEWHERE.value
    if by_first and (version.first_until is None or version.first_until < timezone.now()):
        return AttemptKind.OLD.value
    return AttemptKind.NAME.value if files.part(current.choice, seen.suffix, by_first=by_first) is None else ""
