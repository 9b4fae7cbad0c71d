"""Sightings in: what a batch of SUBSCRIBEs does to the phones, in one short transaction. A part of the inventory.

A boot storm comes through here: rows are read as plain values, decided on in memory, and only what changes is written,
in a few statements whatever the size of the batch. Source of the rules: design 4 and 5.2.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from operator import attrgetter
from typing import NamedTuple

from django.db import transaction
from django.utils import timezone

from devices import batch, live
from devices.choices import WAY, EventKind, Neighbour, Stage
from devices.claims import ALARM_BREAK, CLAIM_WORDS
from devices.models import Phone
from devices.newcomers import NewPhones
from devices.places import follows, is_one_start, site_words
from devices.sighting import Sighting
from devices.trust import Verdict

Verify = Callable[[str, str, str], Verdict]  # (host, mac, interface) -> what the neighbour table says

NOT_OURS = "Seen, not ours: "
REPEAT_SECONDS = 1.0  # a phone that is heard again so soon makes no second event
_ASSIGNED = frozenset(stage.value for stage in WAY)
_SEEN, _IGNORED, _RETIRED = Stage.SEEN.value, Stage.IGNORED.value, Stage.RETIRED.value
_KIND = EventKind.SEEN.value

# What a sighting may change, in groups that are written together.
DESCRIBED = (
    "vendor", "model", "firmware", "source_host", "notify_port", "contact", "interface", "local_host", "neighbour",
)  # fmt: skip
CLAIMED = (
    "approved_host", "claimed_host", "claimed_port", "claimed_interface", "claimed_local_host", "claimed_site",
    "claimed_at", "claim_heard_at", "alarm", "alarm_at", "steady_host",
)  # fmt: skip
PLACED = ("site", "heard_site", "site_moved_at")
_described, _claimed, _placed = attrgetter(*DESCRIBED), attrgetter(*CLAIMED), attrgetter(*PLACED)
READ = ("pk", "mac", "stage", "stage_reason", "first_seen_at", "last_seen_at", *DESCRIBED, *CLAIMED, *PLACED)
NEW = (
    "mac", *DESCRIBED, "stage", "stage_reason", "stage_at", "version", "claimed_port", "claimed_interface", "alarm",
    "listed_at", "first_seen_at", "last_seen_at", "subscribed_at", "site", "heard_site",
)  # fmt: skip


class Heard(NamedTuple):
    """What a sighting did. `accepted` is false while another address claims to be an assigned phone, and for a new
    phone beyond the bounds: that one is not stored and has no id (`refused`). `also_at` is the other site whose
    listener heard the very same start, if one did: it hears this LAN too."""

    phone_id: int | None
    mac: str
    stage: str
    accepted: bool
    refused: bool = False
    also_at: str | None = None


@dataclass(slots=True)
class _Row:
    """A phone while a batch is taken: the columns READ in their order, and which of them have changed."""

    pk: int | None
    mac: str
    stage: str
    stage_reason: str
    first_seen_at: datetime | None
    last_seen_at: datetime | None
    vendor: str = ""
    model: str = ""
    firmware: str = ""
    source_host: str | None = None
    notify_port: int = 5060
    contact: str = ""
    interface: str = ""
    local_host: str | None = None
    neighbour: str = Neighbour.UNKNOWN.value
    approved_host: str | None = None
    claimed_host: str | None = None
    claimed_port: int = 5060
    claimed_interface: str = ""
    claimed_local_host: str | None = None
    claimed_site: str | None = None
    claimed_at: datetime | None = None
    claim_heard_at: datetime | None = None
    alarm: str = ""
    alarm_at: datetime | None = None
    steady_host: str | None = None
    site: str = ""
    heard_site: str | None = None
    site_moved_at: datetime | None = None
    seen: bool = False
    subscribed: bool = False
    described: bool = False
    claimed: bool = False
    placed: bool = False
    staged: bool = False
    is_new: bool = False
    is_first: bool = False  # listed by a person, and heard now for the first time


@dataclass(slots=True)
class _Batch:
    """One batch on its way."""

    verify: Verify
    bound: NewPhones | None
    now: datetime
    rows: dict[str, _Row] = field(default_factory=dict)
    new: list[_Row] = field(default_factory=list)
    admitted: list[str] = field(default_factory=list)
    told: dict[tuple[str, str], tuple[_Row, str]] = field(default_factory=dict)
    site: str | None = None
    also_at: dict[str, str] = field(default_factory=dict)
    """MAC -> the other site that heard its start too."""


def record_sightings(
    sightings: Sequence[Sighting], verify: Verify, bound: NewPhones | None = None, site: str | None = None
) -> list[Heard]:
    """Store what was heard, in order, in one transaction; at most one event for each phone and address.

    Phones that are not known yet are held to `bound`, if there is one. `site` is the listener's; None if no listener
    heard them.
    """
    if not sightings:
        return []
    taken = _Batch(verify, bound, timezone.now(), site=site)
    try:
        with transaction.atomic():
            macs = sorted({sighting.mac for sighting in sightings})
            for cells in batch.select(Phone, READ, "mac", macs, lock=True):
                taken.rows[cells[1]] = _Row(*cells)
            heard = [_take(sighting, taken) for sighting in sightings]
            # Whoever inserts may wait for a listener that inserts or updates the same phone: in this order, and each in
            # a fixed order of rows, no two of them ever wait for each other.
            _store_new(taken)
            _store_known(taken)
            _tell(taken)
    except BaseException:
        if bound is not None:
            for source in taken.admitted:
                bound.give_back(source)
        raise
    return [
        Heard(row.pk, row.mac, row.stage, accepted, also_at=taken.also_at.get(row.mac))
        if row
        else Heard(None, sighting.mac, "", False, refused=True)
        for sighting, (row, accepted) in zip(sightings, heard, strict=True)
    ]


def _take(sighting: Sighting, taken: _Batch) -> tuple[_Row | None, bool]:
    """One sighting, in memory: its phone (None: refused), and whether it is accepted."""
    row = taken.rows.get(sighting.mac)
    host = sighting.source_host
    if row is None:
        row = _new_row(sighting, taken)
        if row is not None:
            taken.told[row.mac, host] = (row, f"Seen for the first time, at {host}.")
        return row, row is not None
    if row.first_seen_at is None:
        _arrive(row, sighting, taken)
        return row, True
    elsewhere = _is_elsewhere(row, taken.site)
    if elsewhere and host == row.source_host and _stays(row, sighting, taken):
        return row, False
    moved = elsewhere or host != row.source_host or (sighting.interface not in ("", row.interface))
    if moved and not _may_move(row, sighting, taken.verify, elsewhere):
        if not (host == row.claimed_host and _is_repeat(row.claim_heard_at, taken.now)):
            taken.told.setdefault((row.mac, host), (row, f"A SUBSCRIBE with this MAC came from {host}."))
        _claim(row, sighting, taken)
        return row, False
    told = moved or not _is_repeat(row.last_seen_at, taken.now)
    if row.stage == _IGNORED and sighting.ours and row.stage_reason.startswith(NOT_OURS):
        row.stage, row.stage_reason, row.staged, told = _SEEN, "", True, True
    if not moved:
        _settle_claim_of_the_same_start(row, taken)
    _describe(row, sighting)
    _place(row, taken)
    row.seen, row.last_seen_at = True, taken.now
    row.subscribed = row.subscribed or sighting.origin == "pnp"
    if told:
        where = f"{host}, {site_words(taken.site)}" if elsewhere else host
        taken.told.setdefault((row.mac, host), (row, f"Started up at {where}.{_if_retired(row)}"))
    return row, True


def _is_elsewhere(row: _Row, site: str | None) -> bool:
    """Is this listener of another site than the one that heard it last? Two LANs may have the same addresses."""
    return site is not None and row.heard_site is not None and site != row.heard_site


def _stays(row: _Row, sighting: Sighting, taken: _Batch) -> bool:
    """Another site's listener hears the phone at the address that it has where it is: has its own heard this start too,
    or may it do so in a moment? Two that hear one LAN must not send each phone to and fro at each start.

    What its own has not heard yet is a claim, which waits a second (claims.py). While a person is asked about another
    claim, that one stands.
    """
    if row.heard_site is not None and is_one_start(row.last_seen_at, taken.now):
        taken.also_at[row.mac] = row.heard_site
        return True
    if row.claimed_host not in (None, sighting.source_host) or CLAIM_WORDS in row.alarm:
        return False
    if taken.verify(sighting.source_host, row.mac, sighting.interface) is not Verdict.MATCH:
        return False
    _claim(row, sighting, taken)
    return True


def _settle_claim_of_the_same_start(row: _Row, taken: _Batch) -> None:
    """Its own listener hears the start that another one heard first: it stays, and nobody claims anything."""
    other = row.claimed_site
    if other is None or other == taken.site or taken.site != row.heard_site or row.claimed_host != row.source_host:
        return
    if row.claim_heard_at is not None and is_one_start(row.claim_heard_at, taken.now) and CLAIM_WORDS not in row.alarm:
        taken.also_at[row.mac] = other
        _clear_claim(row)


def _place(row: _Row, taken: _Batch) -> None:
    """Note which site heard it; it stands there from now on unless a person has put it elsewhere."""
    if taken.site is None or row.heard_site == taken.site:
        return
    stands = follows(row.site, row.heard_site, taken.site)
    if stands != row.site:
        row.site, row.site_moved_at = stands, taken.now
    row.heard_site, row.placed = taken.site, True


def _arrive(row: _Row, sighting: Sighting, taken: _Batch) -> None:
    """A phone that a person listed is heard for the first time: there is no address of its own to be guarded yet.

    Nobody has seen this one; whether secrets may go there is asked when a NOTIFY is about to leave.
    """
    host = sighting.source_host
    row.neighbour, row.described = taken.verify(host, row.mac, sighting.interface).value, True
    _describe(row, sighting)
    _place(row, taken)
    row.first_seen_at = row.last_seen_at = taken.now
    row.is_first = row.seen = True
    row.subscribed = sighting.origin == "pnp"
    taken.told[row.mac, host] = (row, f"Heard for the first time, at {host}.{_if_retired(row)}")


def _if_retired(row: _Row) -> str:
    return " It is retired: it is answered, and not notified." if row.stage == _RETIRED else ""


def _new_row(sighting: Sighting, taken: _Batch) -> _Row | None:
    """A phone that was never heard before, if there is room for it."""
    if taken.bound is not None:
        if not taken.bound.admit(sighting.source_host, taken.now.timestamp()):
            return None
        taken.admitted.append(sighting.source_host)
    stage, reason = _SEEN, ""
    if not sighting.ours:
        stage, reason = _IGNORED, f"{NOT_OURS}{sighting.vendor or 'unknown vendor'}."
    row = taken.rows[sighting.mac] = _Row(None, sighting.mac, stage, reason, taken.now, taken.now)
    row.site, row.heard_site = taken.site or "", taken.site
    row.neighbour = taken.verify(sighting.source_host, sighting.mac, sighting.interface).value
    _describe(row, sighting)
    row.subscribed, row.is_new = sighting.origin == "pnp", True
    taken.new.append(row)
    return row


def _may_move(row: _Row, sighting: Sighting, verify: Verify, elsewhere: bool) -> bool:
    """May this phone be at another address from now on? An assigned one only where it is verified or was before; an
    address that is familiar at one site says nothing at another.

    One that nobody has assigned must not be drawn to whoever announces it: if the neighbour table showed it where it
    was, the table has to show it there too, and never is it where another device's MAC is.
    """
    host = sighting.source_host
    verdict = verify(host, row.mac, sighting.interface)
    if row.stage in _ASSIGNED:
        familiar = not elsewhere and host in (row.approved_host, row.steady_host) and verdict is Verdict.UNKNOWN
        if verdict is not Verdict.MATCH and not familiar:
            return False
        if host != row.approved_host:
            row.claimed, row.approved_host = True, None
        if elsewhere:
            row.claimed, row.approved_host, row.steady_host = True, None, None
        if host == row.claimed_host:
            _clear_claim(row)
    elif row.stage == _SEEN:
        was_shown = row.neighbour == Verdict.MATCH.value
        if verdict is Verdict.MISMATCH or (was_shown and verdict is Verdict.UNKNOWN):
            return False
        if row.claimed_host is not None:
            _clear_claim(row)
    row.described, row.neighbour = True, verdict.value
    return True


def _is_repeat(last_at: datetime | None, now: datetime) -> bool:
    """Was it heard a moment ago? A clock that went back makes nothing a repeat."""
    return last_at is not None and timedelta(0) <= now - last_at < timedelta(seconds=REPEAT_SECONDS)


def _claim(row: _Row, sighting: Sighting, taken: _Batch) -> None:
    """Another address says that it is this phone; note it, and touch nothing else."""
    now = taken.now
    judged = row.alarm_at is not None and row.claimed_at is not None and row.alarm_at >= row.claimed_at
    if row.claimed_at is None or (judged and row.claimed_host != sighting.source_host):
        # While a claim waits for its judgement its time stands: two that take turns must not put it off for ever.
        row.claimed_at = now
    row.claimed_host, row.claim_heard_at = sighting.source_host, now
    row.claimed_port, row.claimed_interface = sighting.notify_port, sighting.interface
    row.claimed_local_host, row.claimed_site = sighting.local_host, taken.site
    row.claimed = True


def _clear_claim(row: _Row) -> None:
    row.claimed_host = row.claimed_at = row.claim_heard_at = row.claimed_local_host = row.claimed_site = None
    row.claimed_interface = ""
    others = [line for line in row.alarm.split(ALARM_BREAK) if line and CLAIM_WORDS not in line]
    row.alarm = ALARM_BREAK.join(others)
    row.alarm_at = row.alarm_at if others else None
    row.claimed = True


def _describe(row: _Row, sighting: Sighting) -> None:
    """Take what the phone says of itself; what it leaves out this time stays as it was known."""
    said = (
        sighting.vendor or row.vendor,
        sighting.model or row.model,
        sighting.firmware or row.firmware,
        sighting.source_host,
        sighting.notify_port,
        sighting.contact,
        sighting.interface,
        sighting.local_host or None,
    )
    known = (
        row.vendor, row.model, row.firmware, row.source_host, row.notify_port, row.contact, row.interface,
        row.local_host,
    )  # fmt: skip
    if said != known:
        row.described = True
        (row.vendor, row.model, row.firmware, row.source_host, row.notify_port, row.contact, row.interface,
         row.local_host) = said  # fmt: skip


def _store_new(taken: _Batch) -> None:
    """Insert the phones that are new. One that another listener has added in this very moment is left as it is there.

    Not even an event is told of it: to store that would mean to wait for the other listener's lock.
    """
    now = taken.now
    rows = [
        (row.mac, *_described(row), row.stage, row.stage_reason, now, 0, 5060, "", "", now, now, now,
         now if row.subscribed else None, row.site, row.heard_site)
        for row in taken.new
    ]  # fmt: skip
    for mac, pk in batch.insert(Phone, NEW, rows, unique="mac", returning=("mac", "pk")):
        taken.rows[mac].pk = pk
    others = [row.mac for row in taken.new if row.pk is None]
    if others:
        taken.told = {place: told for place, told in taken.told.items() if told[0].pk is not None}
        for mac, pk, stage in batch.select(Phone, ("mac", "pk", "stage"), "mac", others):
            taken.rows[mac].pk, taken.rows[mac].stage = pk, stage


def _store_known(taken: _Batch) -> None:
    """Write what has changed of phones that were there; mostly that is only when they were heard."""
    now = taken.now
    known = [row for row in taken.rows.values() if not row.is_new and (row.seen or row.claimed)]
    subscribed = [row.pk for row in known if row.subscribed and row.seen]
    batch.write(Phone, subscribed, last_seen_at=now, subscribed_at=now)
    batch.write(Phone, [row.pk for row in known if row.seen and not row.subscribed], last_seen_at=now)
    # Plugged in, it stands where a new phone stands: the list is sorted by this, from an index.
    batch.write(Phone, [row.pk for row in known if row.is_first], first_seen_at=now, listed_at=now)
    batch.write(Phone, [row.pk for row in known if row.staged], stage=_SEEN, stage_reason="", stage_at=now)
    batch.update(Phone, ("pk", *DESCRIBED), [(row.pk, *_described(row)) for row in known if row.described])
    batch.update(Phone, ("pk", *CLAIMED), [(row.pk, *_claimed(row)) for row in known if row.claimed])
    batch.update(Phone, ("pk", *PLACED), [(row.pk, *_placed(row)) for row in known if row.placed])


def _tell(taken: _Batch) -> None:
    live.append_rows(
        [(row.pk, row.mac, _KIND, row.stage, text[: live.TEXT_CHARS], taken.now) for row, text in taken.told.values()]
    )
