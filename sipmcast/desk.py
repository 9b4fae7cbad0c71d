"""What the worker has its helper processes do: plain synchronous calls to inventory and outbox.

Nothing here knows sockets or the event loop; tests call these functions as they are. What goes in and out is pickled.
That is the seam for a listener without access to the database: what `worker.py` has its helpers call (here, in `reach`,
`transcripts`, `status` and `roll_call`) are all the questions that it has, each with plain values, and no row or
connection goes through. Only the neighbour table is read on this side of it, and belongs to the listener's machine.
Whatever a boot storm brings is done for a whole batch at once; whatever is rare, row by row.
"""

import logging
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cache
from typing import NamedTuple

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from devices import alarms, crypto, decoys, inventory, trust
from devices.choices import WAY, AlarmKind, EventKind
from devices.inventory import Heard
from devices.mac import colons
from devices.models import Phone
from devices.newcomers import NewPhones
from devices.sighting import Sighting
from devices.trust import Verdict
from provisioning import clock_step, outbox, settling, starts, url_forms
from provisioning.assignment import base_url_changed
from provisioning.models import OPEN_STATES, Notify, NotifyKind, NotifyOrigin, NotifyState
from provisioning.outbox import Due
from sipmcast import calls, neighbours
from sipmcast.calls import Send
from sipmcast.endings import STORE_AWAY, settle, standing
from sipmcast.events import Leg, LegKey
from sipmcast.neighbours import Neighbours
from sipmcast.sip.errors import SipSerialiseError

__all__ = ["STORE_AWAY", "Plan", "Stored", "alarm", "look", "owe", "settle", "store", "upkeep", "warm_up"]

log = logging.getLogger(__name__)

DUE_LIMIT = 250  # NOTIFYs opened in one transaction: some 10 ms under SQLite's lock
STORE_AT_ONCE = 250  # sightings in one transaction: a few milliseconds under SQLite's lock
PROBES = 3  # how often the kernel is made to ask for an address before it counts as unknown
PROBE_SECONDS = 0.7
ORPHAN_SECONDS = 45.0  # a transaction ends after 32 s; one that is older belongs to a listener that is gone
LOOPBACK_PREFIX = "127."
UNATTENDED = (NotifyOrigin.JOB, NotifyOrigin.AUTOMATIC)  # of commands: no person looks at the one phone
BURSTS_TOLD = 10  # sources of new phones that are told of at a time
BURST_LOOK_SECONDS = 2.0


@dataclass
class Plan:
    """What the agent is to do next."""

    sends: list[Send] = field(default_factory=list)
    cancelled: list[int] = field(default_factory=list)
    probes: list[tuple[Leg, str]] = field(default_factory=list)
    probed: dict[int, int] = field(default_factory=dict)
    """How often the kernel was made to ask for the address of each NOTIFY's phone."""
    more: bool = False
    """Is there probably more that is due already?"""
    set_back_seconds: float = 0.0
    """By how much the clock was found set back; what it stamped before has been seen to."""


class Stored(NamedTuple):
    """What a batch of sightings did, which sources announce new phones in bursts, and who announced which decoys."""

    heard: list[Heard]
    bursts: list[tuple[str, int]]
    decoys: Sequence[tuple[str, str]] = ()
    """(source, MAC) of each; nothing is stored of them, and they are answered as all others are."""


class _Newcomers:
    """The count of phones never seen before; it lives in the process that stores."""

    def __init__(self) -> None:
        self.bound = NewPhones(settings.GSPNP_NEW_PHONES_PER_SOURCE, settings.GSPNP_NEW_PHONES)
        self._bursts: list[tuple[str, int]] = []
        self._looked_at = 0.0

    def bursts(self) -> list[tuple[str, int]]:
        """Counted now and then: it means looking at every source."""
        if time.monotonic() - self._looked_at >= BURST_LOOK_SECONDS:
            self._looked_at = time.monotonic()
            self._bursts = self.bound.bursts(time.time())[:BURSTS_TOLD]
        return self._bursts


@cache
def newcomers() -> _Newcomers:
    return _Newcomers()


def warm_up() -> None:
    """What the first phone would else have to wait for: imports, the connection, every statement once. It is undone."""
    nobody = Sighting("0" * 12, "", "", "", "", 0, "", 0, "", "", True, 0.0)
    try:
        with transaction.atomic():
            inventory.record_sightings([nobody], neighbours.snapshot().verify)
            outbox.due(timezone.now(), [], 1)
            _steps()  # the clock is watched from here on
            transaction.set_rollback(True)
    except STORE_AWAY as error:
        log.warning("the database is away (%s)", error)


def store(sightings: Sequence[Sighting], site: str) -> Stored:
    """Commit what was heard at this site, at most STORE_AT_ONCE sightings, in one transaction."""
    traps = decoys.among({one.mac for one in sightings})
    phones = [one for one in sightings if one.mac not in traps] if traps else sightings
    heard = inventory.record_sightings(phones, neighbours.snapshot().verify, newcomers().bound, site)
    return Stored(heard, newcomers().bursts(), [(one.source_host, one.mac) for one in sightings if one.mac in traps])


def alarm(bursts: Mapping[str, int], announced: Mapping[tuple[str, str], int], over_limit: Mapping[str, int]) -> None:
    """Raise alarms for sources that announce new phones in bursts, that announced decoys, that sent too much."""
    for (source, mac), count in announced.items():
        log.warning("%s announced itself with the MAC of the decoy %s", source, colons(mac))
        alarms.raise_alarm(AlarmKind.DECOY_SIP, source, mac=mac, count=count)
    for source, count in bursts.items():
        alarms.raise_alarm(AlarmKind.PHONES, source, count=count)
    for source, count in over_limit.items():
        alarms.raise_alarm(AlarmKind.FLOOD_SIP, source, count=count)


def owe(started: Mapping[int, datetime]) -> None:
    """Ask for each of these phones, which were heard starting up at that time, whether it is owed a NOTIFY now."""
    starts.owe_after_starts(started)


@cache
def _steps() -> clock_step.Steps:
    steps = clock_step.Steps()
    steps.found(clock_step.ahead_seconds())
    return steps


def see_to_clock(steps: clock_step.Steps) -> float:
    """If the clock was set back, what it stamped before comes to its real age first. By how many seconds it was."""
    if back := steps.back_seconds():
        clock_step.went_back(back)
        steps.seen_to()
    return back


def look(
    legs: Mapping[LegKey, Leg], claimed_by: str, probed: dict[int, int], room: int, site: str | None = None
) -> Plan:
    """What is due in the outbox for phones of our site, and taken by us: at most `room` NOTIFYs to open."""
    set_back = see_to_clock(_steps())
    now = timezone.now()
    plan = Plan(probed=probed, set_back_seconds=set_back)
    due = outbox.due(now, legs, min(DUE_LIMIT, room), site)
    if due:
        plan.more = len(due) == DUE_LIMIT
        _open(due, legs, claimed_by, neighbours.snapshot(), plan, now)
    return plan


def upkeep(
    legs: Mapping[LegKey, Leg],
    claimed_by: str,
    sending: Collection[int],
    site: str | None = None,
    thorough: bool = True,
) -> Plan:
    """What is rare: phones ignored meanwhile, claims that are ripe, transactions to give up or to go on with.

    `thorough`: look through all that waits too, and not only what is under way.
    """
    now = timezone.now()
    plan = Plan()
    outbox.drop_unwanted(OPEN_STATES if thorough else [NotifyState.SENDING])
    outbox.expire_commands(now)
    moved = inventory.judge_claims(neighbours.snapshot().verify, site)
    if moved:
        heard = Phone.objects.filter(pk__in=moved).values_list("pk", "subscribed_at")
        starts.owe_after_starts({pk: at or now for pk, at in heard})
    mine = outbox.still_sending(claimed_by)
    plan.cancelled = [notify_id for notify_id in sending if notify_id not in mine]
    left_before = now - timedelta(seconds=ORPHAN_SECONDS)
    found = outbox.adoptable(claimed_by, mine.difference(sending), left_before, site)
    _resume(legs, claimed_by, found, plan, now)
    return plan


def _open(
    due: Sequence[Due],
    legs: Mapping[LegKey, Leg],
    claimed_by: str,
    table: Neighbours,
    plan: Plan,
    now: datetime,
) -> None:
    """Send the due NOTIFYs that are still wanted, and whose phones' addresses may be told a secret."""
    leaving = starts.hold_to_limits(_wanted(due, now), now)
    forms = url_forms.choose(leaving, now)
    opened: list[tuple[Due, outbox.Opening]] = []
    doubtful: list[Due] = []
    for row in leaving:
        leg = legs[row.interface, row.local_host or ""]
        verdict = table.verify(row.source_host or "", row.mac, row.interface)
        if row.kind == NotifyKind.PROFILE and not _may_leave(row, verdict, leg, plan, now):
            continue
        if row.kind != NotifyKind.PROFILE and verdict is Verdict.MISMATCH and row.origin in UNATTENDED:
            _leave_out(row, now)
            continue
        try:
            secret = crypto.open_token(row.first_token) if row.kind == NotifyKind.PROFILE else ""
            opened.append((row, calls.first(row, leg, forms[row.pk], secret)))
        except (crypto.CannotDecrypt, SipSerialiseError) as error:
            log.error("NOTIFY %d cannot be sent: %s", row.pk, error)
            outbox.withhold(row, f"It cannot be notified: {error}. Save the assignment again.", alarm=False)
            continue
        if verdict is Verdict.MISMATCH:
            doubtful.append(row)
    if not opened:
        return
    won = outbox.claim(opened, claimed_by)
    for row, opening in opened:
        if row.pk in won:
            leg = legs[row.interface, row.local_host or ""]
            about = (row.phone_id, row.kind)
            plan.sends.append(Send(row.pk, about, opening.branch, opening.datagram, opening.target, leg))
    for row in doubtful:
        words = f"Sent as asked, although the neighbour table shows another device's MAC at {row.source_host}."
        inventory.tell(row.phone_id, EventKind.ALARM, words)


def _wanted(due: Sequence[Due], now: datetime) -> list[Due]:
    """Those that are wanted still; the others are ended, or looked at again if they are wanted after all."""
    if any(outbox.is_too_late(row, now) for row in due):  # its listener was away since it was clicked
        outbox.expire_commands(now)
    if any(row.stage not in WAY for row in due):
        outbox.drop_unwanted([NotifyState.WAITING])
    ours = [row for row in due if row.stage in WAY and not outbox.is_too_late(row, now)]
    outbox.drop_all([row.pk for row in ours if _fetched_meanwhile(row)], "The phone fetched by its own path.")
    return [row for row in ours if not _fetched_meanwhile(row)]


def _fetched_meanwhile(row: Due) -> bool:
    since = row.unless_steady_since
    return since is not None and row.steady_at is not None and row.steady_at >= since


def _may_leave(row: Due, verdict: Verdict, leg: Leg, plan: Plan, now: datetime) -> bool:
    """May this phone's present address be told a URL that leads to secrets? If not, the row says why it waits."""
    host = row.source_host or ""
    moved = base_url_changed(row.local_host, row.base_url)
    if moved is not None:
        outbox.withhold(row, f"This server is now reached at {moved}. Save the assignment again.", alarm=False)
        return False
    stands = standing(row, row, now, verdict)
    not_asked = verdict is Verdict.UNKNOWN and not trust.attended(stands)
    if not_asked and _can_probe(host) and plan.probed.get(row.pk, 0) < PROBES:
        # Unknown may only mean that the kernel has not asked yet: make it ask before anything is decided.
        plan.probed[row.pk] = plan.probed.get(row.pk, 0) + 1
        plan.probes.append((leg, host))
        outbox.put_off(row.pk, now + timedelta(seconds=PROBE_SECONDS))
        return False
    plan.probed.pop(row.pk, None)
    objection = trust.objection(stands, verdict)
    if objection is None:
        return True
    log.warning("%s: NOTIFY withheld: %s", colons(row.mac), objection)
    outbox.withhold(row, objection, alarm=verdict is Verdict.MISMATCH)
    return False


def _leave_out(row: Due, now: datetime) -> None:
    """A command that would reach another device, of an order or by itself: a person who asks one phone may know better,
    nobody looks at those."""
    objection = trust.objection(standing(row, row, now, Verdict.MISMATCH), Verdict.MISMATCH) or ""
    log.warning("%s: %s left out: %s", colons(row.mac), row.kind, objection)
    with transaction.atomic():
        outbox.lock_phones([row.phone_id])
        outbox.drop(row.pk, objection)
        inventory.raise_alarm(row.phone_id, objection)


def _can_probe(host: str) -> bool:
    return bool(host) and not host.startswith(LOOPBACK_PREFIX)


def _resume(legs: Mapping[LegKey, Leg], claimed_by: str, found: Sequence[Notify], plan: Plan, now: datetime) -> None:
    """Transactions that were under way when a listener died: the same bytes go on for what is left of their time."""
    for notify in found:
        opened_at = notify.opened_at or notify.first_sent_at or now
        elapsed = max(0.0, (now - opened_at).total_seconds())
        leg = legs.get((notify.interface, notify.local_host or ""))
        if leg is None and elapsed > ORPHAN_SECONDS:
            settling.unanswered(notify.pk)  # our address there is gone for good
        if leg is None or not outbox.take_over(notify, claimed_by):
            continue
        try:
            datagram = bytes(notify.datagram or b"")
        except crypto.CannotDecrypt as error:
            log.error("NOTIFY %d cannot go on: %s", notify.pk, error)
            settling.unanswered(notify.pk)
            continue
        log.info("NOTIFY %d goes on after %.1f s", notify.pk, elapsed)
        elapsed = min(elapsed, outbox.TRANSACTION_SECONDS)
        about = (notify.phone_id, notify.kind)
        plan.sends.append(Send(notify.pk, about, notify.branch, datagram, notify.target, leg, elapsed))
