"""What the worker has its helper processes do: plain synchronous calls to inventory and outbox.

Nothing here knows sockets or the event loop; tests call these functions as they are. What goes in and out is pickled.
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
from django.db import InterfaceError, OperationalError, transaction
from django.utils import timezone

from devices import crypto, inventory, trust
from devices.choices import EventKind
from devices.inventory import Heard
from devices.mac import colons
from devices.models import Phone
from devices.newcomers import NewPhones
from devices.sighting import Sighting
from devices.trust import Standing, Verdict
from provisioning import logins, outbox, settling, starts, url_forms
from provisioning.assignment import base_url_changed
from provisioning.models import Notify, NotifyKind, NotifyOrigin
from provisioning.outbox import Due
from sipmcast import calls, neighbours
from sipmcast.calls import Send
from sipmcast.events import Leg, NotifyAnswered, NotifyTimedOut
from sipmcast.neighbours import Neighbours
from sipmcast.sip.digest import choose
from sipmcast.sip.errors import SipSerialiseError

log = logging.getLogger(__name__)

DUE_LIMIT = 250  # NOTIFYs opened in one transaction: some 10 ms under SQLite's lock
STORE_AT_ONCE = 250  # sightings in one transaction: a few milliseconds under SQLite's lock
PROBES = 3  # how often the kernel is made to ask for an address before it counts as unknown
PROBE_SECONDS = 0.7
ORPHAN_SECONDS = 45.0  # a transaction ends after 32 s; one that is older belongs to a listener that is gone
LOOPBACK_PREFIX = "127."
NO_USER = (404, 481)  # RFC 3261 21.4.5, 21.4.19: the phone knows nobody of that address

# Locked for too long, or gone, or a helper process has died; any other error is a fault of ours.
STORE_AWAY = (OperationalError, InterfaceError, ConnectionError)
BURSTS_TOLD = 10  # sources of new phones that are told of at a time
BURST_LOOK_SECONDS = 2.0

LegKey = tuple[str, str]  # interface name, our address on it


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


class Stored(NamedTuple):
    """What a batch of sightings did, and which sources announce new phones in bursts."""

    heard: list[Heard]
    bursts: list[tuple[str, int]]


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
            transaction.set_rollback(True)
    except STORE_AWAY as error:
        log.warning("the database is away (%s)", error)


def store(sightings: Sequence[Sighting]) -> Stored:
    """Commit what was heard, at most STORE_AT_ONCE sightings, in one transaction."""
    heard = inventory.record_sightings(sightings, neighbours.snapshot().verify, newcomers().bound)
    return Stored(heard, newcomers().bursts())


def owe(started: Mapping[int, datetime]) -> None:
    """Ask for each of these phones, which were heard starting up at that time, whether it is owed a NOTIFY now."""
    starts.owe_after_starts(started)


def settle(events: Sequence[NotifyAnswered | NotifyTimedOut], legs: Mapping[LegKey, Leg]) -> list[Send]:
    """Record how transactions ended, and what is to be sent because of it.

    One that cannot be recorded is logged; a store that is away is the caller's.
    """
    answers = [event for event in events if isinstance(event, NotifyAnswered)]
    fine = [event for event in answers if 200 <= event.status < 300]
    if fine:
        settling.delivered([(event.token, event.status, event.reason) for event in fine])
    sends: list[Send] = []
    for event in events:
        if isinstance(event, NotifyAnswered) and 200 <= event.status < 300:
            continue
        try:
            send = _settle_one(event, legs)
        except STORE_AWAY:
            raise
        except Exception:
            log.exception("NOTIFY %d: its end cannot be recorded", event.token)
        else:
            sends += [send] if send is not None else []
    return sends


def _settle_one(event: NotifyAnswered | NotifyTimedOut, legs: Mapping[LegKey, Leg]) -> Send | None:
    """Answer a challenge, or ask once more by the user's name, if that is what is left to do; else record the end."""
    status = event.status if isinstance(event, NotifyAnswered) else None
    log.info("NOTIFY %d: %s", event.token, f"{status} {event.reason}" if status else "no answer")  # type: ignore[union-attr]
    notify = Notify.objects.select_related("phone").defer("datagram").filter(pk=event.token).first()
    if notify is None or (isinstance(event, NotifyAnswered) and event.branch not in ("", notify.branch)):
        return None  # forgotten, or the end of an earlier transaction that was settled already
    leg = legs.get((notify.interface, notify.local_host or ""))
    why = ""
    try:
        if isinstance(event, NotifyAnswered) and status in (401, 407):
            send, why = _answer_challenge(notify, event, leg)
        else:
            send = _ask_the_user(notify, leg) if status is None or status in NO_USER else None
    except (crypto.CannotDecrypt, SipSerialiseError) as error:
        send, why = None, f"Nothing more can be sent to it: {error}."
    if send is not None:
        return send
    if isinstance(event, NotifyAnswered):
        settling.refused(event.token, event.status, event.reason, why)
    else:
        settling.unanswered(event.token)
    return None


def _answer_challenge(notify: Notify, event: NotifyAnswered, leg: Leg | None) -> tuple[Send | None, str]:
    """The next try to log in, or (None, why there is none): a challenge is also a way to collect hashes."""
    now = timezone.now()
    if notify.challenged_at is None:
        Notify.objects.filter(pk=notify.pk).update(challenged_at=now)
        inventory.tell(notify.phone_id, EventKind.NOTIFY, f"Asked for a password ({event.status}).")
    challenge = choose(event.challenges)
    if challenge is None:
        return None, f"It asked for a password in a way that we do not know ({event.status} {event.reason})."
    if not _still_trusted(notify, now):
        return None, f"A password was asked for at {notify.target_host}, which nobody has confirmed; none was sent."
    known = logins.accounts(notify.phone_id)
    renewing = challenge.stale and not notify.renewed and notify.logins_tried > 0
    place = notify.logins_tried - 1 if renewing else notify.logins_tried
    if leg is None:
        return None, f"It asked for a password, but {notify.interface} is gone meanwhile. Try again."
    if place >= len(known):
        used_up = challenge.stale and "It finds every login of ours too old; its clock or its nonces are out of order."
        return None, used_up or ""
    opening = calls.with_login(notify, leg, challenge, known[place])
    tried = {"logins_tried": place + 1, "renewed": notify.renewed or renewing}
    return _reopened(notify, opening, leg, **tried), ""


def _still_trusted(notify: Notify, now: datetime) -> bool:
    """May the address that this NOTIFY went to be told a secret, or a login, now? Design 5.2."""
    phone = notify.phone
    if str(notify.target_host) != phone.source_host:
        return False
    verdict = neighbours.verify(str(notify.target_host), phone.mac, notify.interface)
    return verdict is not Verdict.MISMATCH and trust.objection(_standing(notify, phone, now), verdict) is None


def _ask_the_user(notify: Notify, leg: Leg | None) -> Send | None:
    """A configured phone that does not know the device's address is asked once by its user's name."""
    user = "" if notify.to_user else logins.user_id(notify.phone_id)
    if leg is None or not user:
        return None
    if notify.kind == NotifyKind.PROFILE and (
        settling.superfluous(notify) or not _still_trusted(notify, timezone.now())
    ):
        return None
    return _reopened(notify, calls.to_user(notify, leg, user), leg, logins_tried=0, renewed=False)


def _reopened(notify: Notify, opening: outbox.Opening, leg: Leg, **changes: object) -> Send | None:
    if not outbox.reopen(notify, opening, **changes):
        return None
    return Send(notify.pk, opening.branch, opening.datagram, opening.target, leg)


def look(legs: Mapping[LegKey, Leg], claimed_by: str, probed: dict[int, int], room: int) -> Plan:
    """What is due in the outbox, and taken by us: at most `room` NOTIFYs to open."""
    now = timezone.now()
    plan = Plan(probed=probed)
    due = outbox.due(now, legs, min(DUE_LIMIT, room))
    if due:
        plan.more = len(due) == DUE_LIMIT
        _open(due, legs, claimed_by, neighbours.snapshot(), plan, now)
    return plan


def upkeep(legs: Mapping[LegKey, Leg], claimed_by: str, sending: Collection[int]) -> Plan:
    """What is rare: phones ignored meanwhile, claims that are ripe, transactions to give up or to go on with."""
    now = timezone.now()
    plan = Plan()
    outbox.drop_unwanted()
    outbox.expire_commands(now)
    moved = inventory.judge_claims(neighbours.snapshot().verify)
    if moved:
        heard = Phone.objects.filter(pk__in=moved).values_list("pk", "subscribed_at")
        starts.owe_after_starts({pk: at or now for pk, at in heard})
    mine = outbox.still_sending(claimed_by)
    plan.cancelled = [notify_id for notify_id in sending if notify_id not in mine]
    _resume(legs, claimed_by, mine.difference(sending), plan, now)
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
    outbox.drop_all([row.pk for row in due if _fetched_meanwhile(row)], "The phone fetched by its own path.")
    leaving = starts.hold_to_limits([row for row in due if not _fetched_meanwhile(row)], now)
    forms = url_forms.choose(leaving, now)
    opened: list[tuple[Due, outbox.Opening]] = []
    doubtful: list[Due] = []
    for row in leaving:
        leg = legs[row.interface, row.local_host or ""]
        verdict = table.verify(row.source_host or "", row.mac, row.interface)
        if row.kind == NotifyKind.PROFILE and not _may_leave(row, verdict, leg, plan, now):
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
            plan.sends.append(Send(row.pk, opening.branch, opening.datagram, opening.target, leg))
    for row in doubtful:
        words = f"Sent as asked, although the neighbour table shows another device's MAC at {row.source_host}."
        inventory.tell(row.phone_id, EventKind.ALARM, words)


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
    standing = _standing(row, row, now)
    not_asked = verdict is Verdict.UNKNOWN and not trust.attended(standing)
    if not_asked and _can_probe(host) and plan.probed.get(row.pk, 0) < PROBES:
        # Unknown may only mean that the kernel has not asked yet: make it ask before anything is decided.
        plan.probed[row.pk] = plan.probed.get(row.pk, 0) + 1
        plan.probes.append((leg, host))
        outbox.put_off(row.pk, now + timedelta(seconds=PROBE_SECONDS))
        return False
    plan.probed.pop(row.pk, None)
    objection = trust.objection(standing, verdict)
    if objection is None:
        return True
    log.warning("%s: NOTIFY withheld: %s", colons(row.mac), objection)
    outbox.withhold(row, objection, alarm=verdict is Verdict.MISMATCH)
    return False


def _standing(row: Due | Notify, phone, now: datetime) -> Standing:
    """`phone` is whatever has the phone's columns: the row itself, or its phone."""
    times = (phone.subscribed_at, phone.approved_at)
    ages = [(now - one).total_seconds() if one else float("inf") for one in times]
    age = max(ages) if min(ages) >= -trust.CLOCK_SLACK_SECONDS else float("inf")  # a time to come proves nothing
    by_person = row.origin != NotifyOrigin.AUTOMATIC
    return Standing(phone.source_host, phone.approved_host, phone.steady_host, age, by_person)


def _can_probe(host: str) -> bool:
    return bool(host) and not host.startswith(LOOPBACK_PREFIX)


def _resume(legs: Mapping[LegKey, Leg], claimed_by: str, lost: Collection[int], plan: Plan, now: datetime) -> None:
    """Transactions that were under way when a listener died: the same bytes go on for what is left of their time."""
    left_before = now - timedelta(seconds=ORPHAN_SECONDS)
    for notify in outbox.adoptable(claimed_by, lost, left_before):
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
        target = (str(notify.target_host), notify.target_port or 0)
        elapsed = min(elapsed, outbox.TRANSACTION_SECONDS)
        plan.sends.append(Send(notify.pk, notify.branch, datagram, target, leg, elapsed))
