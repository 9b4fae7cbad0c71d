"""What strangers try at the door: decoys, names that are none of theirs, floods. Noted in memory, told a moment later.

It never delays an answer. Whose name it was is asked of the database afterwards, for all that came in a second at once;
no path is kept, for it may hold a secret.
"""

from __future__ import annotations

import hashlib
import logging
import threading
import time
from collections import Counter
from datetime import timedelta
from typing import Any

from django.db import DatabaseError
from django.utils import timezone

from devices import alarms, batch, decoys
from devices.alarms import SEVERAL
from devices.choices import WAY, AlarmKind
from devices.limits import named
from devices.mac import colons
from devices.models import Decoy, Phone
from provisioning.door.later import Later
from provisioning.door.lookup import Wanted
from provisioning.door.names import HOUR_SECONDS, Names

log = logging.getLogger(__name__)

HELD_AT_MOST = 5000  # different ones between two flushes
HELD_PER_SOURCE = 1000
FLOODS_AT_MOST = 50  # sources that are told of at once
DECOYS_HELD = 200
LOGINS_HELD = 200
RAISED_AT_ONCE = 50  # between two flushes

_lock = threading.Lock()
_held: dict[str, dict[str, str]] = {}  # source -> name -> MAC ("" if it names none)
_held_count = 0
_decoys_asked: dict[tuple[str, str], int] = {}  # (source, MAC) -> times
_floods: dict[str, int] = {}
_logins: dict[tuple[str, str], int] = {}  # (source, MAC) -> wrong ones
_known_decoys: frozenset[str] = frozenset()
_names = Names()
_later = Later(lambda: bool(_held or _decoys_asked or _floods or _logins), lambda: flush())


def in_vain(wanted: Wanted, path: str, source: str) -> None:
    """This request got the one refusal, or only what leads here. Call it in the event loop; it only touches memory."""
    ask = wanted.config
    mac = ask.mac if ask is not None else ""
    with _lock:
        if mac in _known_decoys:
            _count(_decoys_asked, (source, mac), DECOYS_HELD)
        else:
            _hold(source, _name(wanted, path), mac)
    _later.start()


def limited(source: str, overall: bool = False) -> None:
    """This one was not even looked at. Call it in the event loop."""
    with _lock:
        _count(_floods, SEVERAL if overall else named(source), FLOODS_AT_MOST)
    _later.start()


def wrong_logins(source: str, mac: str, count: int) -> None:
    """So many wrong logins for this phone's file, by a path that it has. Call it in the event loop."""
    with _lock:
        _count(_logins, (source, mac), LOGINS_HELD, count)
    _later.start()


def _name(wanted: Wanted, path: str) -> str:
    """What is the same in all spellings of a name; a secret path is a name of its own, and only its digest is kept."""
    ask = wanted.config
    if ask is not None:
        return _digest(ask.secret) if ask.secret else ask.mac or ask.name.lower()
    if wanted.phonebook:
        return _digest(wanted.phonebook)
    return _digest(path.lower() if path.startswith("/p/") else path.rpartition("/")[2].lower())


def _digest(text: str) -> str:
    return hashlib.blake2s(text.encode("utf-8", "surrogatepass"), digest_size=12).hexdigest()


def _hold(source: str, name: str, mac: str) -> None:
    global _held_count
    mine = _held.get(source)
    if mine is not None and name in mine:
        return
    if _held_count >= HELD_AT_MOST or (mine is not None and len(mine) >= HELD_PER_SOURCE):
        return
    _held.setdefault(source, {})[name] = mac
    _held_count += 1


def _count(counts: dict[Any, int], what: Any, most: int, times: int = 1) -> None:
    if what in counts or len(counts) < most:
        counts[what] = counts.get(what, 0) + times


def flush() -> int:
    """Understand what was noted, and raise alarms; how many were raised or went on."""
    global _held_count, _known_decoys
    with _lock:
        held, asked, floods, logins = dict(_held), dict(_decoys_asked), dict(_floods), dict(_logins)
        _held.clear()
        _logins.clear()
        _decoys_asked.clear()
        _floods.clear()
        _held_count = 0
    try:
        macs = {mac for names in held.values() for mac in names.values() if mac} | {mac for _, mac in asked}
        traps = decoys.among(macs)
        met = Counter(asked)
        met.update((source, mac) for source, names in held.items() for mac in names.values() if mac in traps)
        told = _tell(met, traps, _bursts(held, macs - traps), floods, logins)
        _known_decoys = frozenset(Decoy.objects.values_list("mac", flat=True)[: decoys.MOST])
    except DatabaseError as error:
        log.warning("what strangers tried at the phones' door is not stored yet (%s)", error)
        _take_back(held, asked, floods, logins)
        return 0
    return told


def _take_back(
    held: dict[str, dict[str, str]],
    asked: dict[tuple[str, str], int],
    floods: dict[str, int],
    logins: dict[tuple[str, str], int],
) -> None:
    """Keep it for the next time, as far as there is room: who can make the database busy must not go unseen by that."""
    with _lock:
        for who, count in asked.items():
            _count(_decoys_asked, who, DECOYS_HELD, count)
        for source, count in floods.items():
            _count(_floods, source, FLOODS_AT_MOST, count)
        for who, count in logins.items():
            _count(_logins, who, LOGINS_HELD, count)
        for source, names in held.items():
            for name, mac in names.items():
                _hold(source, name, mac)


def _bursts(held: dict[str, dict[str, str]], macs: set[str]) -> list[tuple[str, int]]:
    """Who tries names, after counting these; a phone that asks for its own file from its own address tries nothing.

    Whoever asks for a new name with a phone's User-Agent has it listed at his own address: that makes it nobody's own.
    """
    columns = ("mac", "stage", "subscribed_at", "first_seen_at", "source_host", "steady_host", "approved_host")
    since = timezone.now() - timedelta(seconds=HOUR_SECONDS)
    own = {
        mac: {str(host) for host in hosts if host}
        for mac, stage, subscribed_at, first_at, *hosts in batch.select(Phone, columns, "mac", macs)
        if stage in WAY or subscribed_at is not None or (first_at is not None and first_at < since)
    }
    now = time.monotonic()
    for source, names in held.items():
        for name, mac in names.items():
            if source not in own.get(mac, ()):
                _names.add(named(source), name, now)
    return _names.bursts({named(source) for source in held}, now)


def _tell(
    asked: dict[tuple[str, str], int],
    traps: set[str],
    bursts: list[tuple[str, int]],
    floods: dict[str, int],
    logins: dict[tuple[str, str], int],
) -> int:
    """Raise what is to be raised; the log has what more than one second's worth of alarms would be."""
    todo = [(AlarmKind.DECOY_HTTP, source, mac, count) for (source, mac), count in asked.items() if mac in traps]
    for _kind, source, mac, _count_of in todo:
        log.warning("%s asked for the file of the decoy %s", source, colons(mac))
    todo += [(AlarmKind.NAMES, source, "", count) for source, count in bursts]
    todo += [(AlarmKind.FLOOD, source, "", count) for source, count in floods.items()]
    todo += [(AlarmKind.LOGINS, source, mac, count) for (source, mac), count in logins.items()]
    for kind, source, mac, count in todo[:RAISED_AT_ONCE]:
        alarms.raise_alarm(kind, source, mac=mac, count=count)
    return len(todo)


def forget() -> None:
    """Begin as a new process does."""
    global _held_count, _known_decoys, _names
    for counted in (_held, _decoys_asked, _floods, _logins):
        counted.clear()
    _held_count, _known_decoys, _names = 0, frozenset(), Names()
