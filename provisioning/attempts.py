"""What phones tried at the door without getting their file: noted in memory, understood and stored a moment later.

It never delays an answer, and every refusal stays the same one, made after the same look-ups: why a request came to
nothing is found out afterwards. A row per phone and kind, so a stranger cannot fill the disk; no secret is kept.
"""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import NamedTuple

from django.db import DatabaseError, transaction
from django.db.models import F, Q
from django.utils import timezone

from devices import batch, inventory
from devices.choices import EventKind
from devices.models import Phone
from provisioning import outbox
from provisioning.door.later import Later
from provisioning.gxp import files
from provisioning.gxp.files import Part
from provisioning.models import Attempt, AttemptKind, ConfigFile, Download, PathKind
from provisioning.paths import Ask, hash_of

log = logging.getLogger(__name__)

HELD_AT_MOST = 200  # different ones between two flushes; more are not noted
HELD_PER_SOURCE = 100  # so that one address leaves room for the phone beside it
STORED_AT_ONCE = 20
NAME_CHARS = 40
NO_FILE_NAME = "no file name"
LOGGED_IN_SECONDS = 30.0  # longer than a phone is waited for that was asked for its login (door/guard.py)
TOLD_MINUTES = 60  # between two words of the same in a phone's timeline
TOLD = {
    AttemptKind.LOGIN.value: "Asked for its file ({name}) with a wrong login, from {host}: refused.",
    AttemptKind.NO_LOGIN.value: "Came for its file ({name}) from {host}, was asked for its login, and gave none.",
}
# A secret has no dot, so what stands here is none.
_FILE_NAME = re.compile(r"[A-Za-z0-9_-]{1,30}\.[A-Za-z0-9]{1,5}")
_BELOW = re.compile(r"/p/([A-Za-z0-9_-]{22})(/.*)?", re.DOTALL)

_lock = threading.Lock()
_held: dict[_Seen, tuple[int, datetime]] = {}
_later = Later(lambda: bool(_held), lambda: flush())


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
    times: int
    at: datetime


def refused(ask: Ask, source: str) -> None:
    """A request for a phone's file got the one 404. Call it in the event loop; it only touches memory."""
    if ask.mac:
        digest = hash_of(ask.secret) if ask.secret else ""
        _note(_Seen(ask.mac, ask.name[:NAME_CHARS], ask.suffix, source, digest))


def refused_elsewhere(path: str, source: str) -> None:
    """The same for a path that no phone of ours should ask for; noted if it lies below a secret that may be one's."""
    below = _BELOW.fullmatch(path)
    if below is not None:
        name = (below[2] or "").rpartition("/")[2]
        _note(_Seen("", name if _FILE_NAME.fullmatch(name) else NO_FILE_NAME, "", source, hash_of(below[1])))


def fruitless(kind: AttemptKind, mac: str, name: str, size: int, source: str) -> None:
    """The file was there, and the client did not take it whole. Call it in the event loop."""
    _note(_Seen(mac, name[:NAME_CHARS], "", source, kind=kind.value, size=size))


def _note(seen: _Seen) -> None:
    with _lock:
        mine = sum(one.source == seen.source for one in _held)
        if seen not in _held and (len(_held) >= HELD_AT_MOST or mine >= HELD_PER_SOURCE):
            return
        _held[seen] = (_held[seen][0] + 1 if seen in _held else 1, timezone.now())
    _later.start()


def flush() -> int:
    """Store what was noted; how many attempts of phones that we know."""
    with _lock:
        taken = dict(_held)
        _held.clear()
    if not taken:
        return 0
    try:
        phones = dict(Phone.objects.filter(mac__in={seen.mac for seen in taken if seen.mac}).values_list("mac", "pk"))
        rows = [(seen, said, *_understood(seen, phones.get(seen.mac))) for seen, said in taken.items()]
        found = [_Row(phone_id, kind, seen, *said) for seen, said, phone_id, kind in rows if phone_id and kind]
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
            if row.phone_id in there:
                _tell(row)
            known = Attempt.objects.filter(phone_id=row.phone_id, kind=row.kind)
            said = {"name": row.seen.name, "source_host": row.seen.source, "size": row.seen.size, "at": row.at}
            if row.phone_id in there and not known.update(count=F("count") + row.times, **said):
                Attempt.objects.create(phone_id=row.phone_id, kind=row.kind, count=row.times, **said)


def _tell(row: _Row) -> None:
    """What its timeline has to say of an attempt, now and then; before it is stored."""
    words = TOLD.get(row.kind)
    lately = row.at - timedelta(minutes=TOLD_MINUTES)
    if words and not Attempt.objects.filter(phone_id=row.phone_id, kind=row.kind, at__gt=lately).exists():
        text = words.format(name=row.seen.name, host=row.seen.source)
        inventory.tell(row.phone_id, EventKind.DOWNLOAD, text)


def _understood(seen: _Seen, phone_id: int | None) -> tuple[int | None, str]:
    """Whose request this was and why it came to nothing; "" if it was nobody's, or would be answered by now."""
    if seen.kind == AttemptKind.NO_LOGIN and phone_id and _logged_in_lately(phone_id):
        return phone_id, ""  # it gave its login to another process of the door
    if seen.kind or not seen.digest:
        return phone_id, seen.kind or AttemptKind.PLAIN.value
    found = ConfigFile.objects.defer(*outbox.SEALED).select_related("phone")
    version = found.filter(Q(first_hash=seen.digest) | Q(steady_hash=seen.digest)).first()
    if version is None or seen.mac not in ("", version.phone.mac):
        return None, ""
    return version.phone_id, _kind(seen, version)


def _logged_in_lately(phone_id: int) -> bool:
    since = timezone.now() - timedelta(seconds=LOGGED_IN_SECONDS)
    by_steady = (PathKind.STEADY, PathKind.OLD)  # the first path needs no login, and says nothing of one
    return Download.objects.filter(phone=phone_id, path_kind__in=by_steady, at__gte=since).exists()


def _kind(seen: _Seen, version: ConfigFile) -> str:
    current = outbox.current_file(version.phone_id)
    by_first = version.first_hash == seen.digest
    if current is None or version.pk != current.pk:
        return AttemptKind.OLD.value
    if by_first and version.first_host != seen.source:
        return AttemptKind.ELSEWHERE.value
    if by_first and (version.first_until is None or version.first_until < timezone.now()):
        return AttemptKind.OLD.value
    if not seen.mac:
        return AttemptKind.NAME.value
    part = files.part(current.choice, seen.suffix, by_first=by_first)
    is_there = part is not None and not (part is Part.BOOTSTRAP and current.key_known_at is not None)
    return "" if is_there else AttemptKind.NAME.value
