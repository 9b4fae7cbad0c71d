"""What the worker does in its writer thread: plain synchronous calls to inventory and outbox.

Nothing here knows sockets or the event loop; tests call these functions as they are.
"""

import logging
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.core.exceptions import ObjectDoesNotExist
from django.db import InterfaceError, OperationalError, transaction
from django.utils import timezone

from devices import crypto, inventory, trust
from devices.choices import WAY, EventKind
from devices.mac import colons
from devices.sighting import Sighting
from devices.trust import Standing, Verdict
from provisioning import outbox
from provisioning.assignment import base_url_changed, notify_url
from provisioning.models import Notify, NotifyOrigin
from sipmcast import neighbours
from sipmcast.events import Leg, NotifyAnswered, NotifyTimedOut
from sipmcast.models import STALE_SECONDS, ListenerStatus
from sipmcast.pnp import NotifyIds, notify_request
from sipmcast.sip.errors import SipSerialiseError

log = logging.getLogger(__name__)

DUE_LIMIT = 50
STORE_AT_ONCE = 50  # sightings in one transaction: a few milliseconds under SQLite's lock
OWE_AT_ONCE = 10
PROBES = 3  # how often the kernel is made to ask for an address before it counts as unknown
PROBE_SECONDS = 0.7
ORPHAN_SECONDS = 45.0  # a transaction ends after 32 s; one that is older belongs to a listener that is gone
LOOPBACK_PREFIX = "127."

STORE_AWAY = (OperationalError, InterfaceError)  # locked for too long, or gone; any other error is a fault of ours

LegKey = tuple[str, str]  # interface name, our address on it


@dataclass(frozen=True)
class Send:
    """A NOTIFY transaction to open or, with `elapsed_seconds`, to go on with after a restart."""

    notify_id: int
    datagram: bytes = field(repr=False)
    target: tuple[str, int]
    leg: Leg
    elapsed_seconds: float = 0.0


@dataclass
class Plan:
    """What the agent is to do next."""

    sends: list[Send] = field(default_factory=list)
    cancelled: list[int] = field(default_factory=list)
    probes: list[tuple[Leg, str]] = field(default_factory=list)


def store(sightings: Sequence[Sighting]) -> None:
    """Commit what was heard, then ask for each phone of ours whether it is owed a NOTIFY."""
    for start in range(0, len(sightings), STORE_AT_ONCE):
        if start:
            time.sleep(inventory.WRITER_PAUSE_SECONDS)
        heard = inventory.record_sightings(sightings[start : start + STORE_AT_ONCE], neighbours.verify)
        ours = list(dict.fromkeys(one.phone_id for one in heard if one.accepted and one.stage in WAY))
        for first in range(0, len(ours), OWE_AT_ONCE):
            time.sleep(inventory.WRITER_PAUSE_SECONDS)
            with transaction.atomic():
                for phone_id in ours[first : first + OWE_AT_ONCE]:
                    outbox.owe_after_start(phone_id)


def settle(events: Sequence[NotifyAnswered | NotifyTimedOut]) -> None:
    """Record how transactions ended. One that cannot be recorded is logged; a store that is away is the caller's."""
    for event in events:
        try:
            if isinstance(event, NotifyAnswered):
                log.info("NOTIFY %d answered %d %s", event.token, event.status, event.reason)
                outbox.settle_answered(event.token, event.status, event.reason)
            else:
                log.info("NOTIFY %d not answered in %.0f s", event.token, outbox.TRANSACTION_SECONDS)
                outbox.settle_unanswered(event.token)
        except STORE_AWAY:
            raise
        except Exception:
            log.exception("NOTIFY %d: its end cannot be recorded", event.token)


def look(legs: Mapping[LegKey, Leg], claimed_by: str, sending: Collection[int], probed: dict[int, int]) -> Plan:
    """One look at the outbox: what to open, what to go on with, what to give up."""
    now = timezone.now()
    plan = Plan()
    outbox.drop_unwanted()
    _judge_claims()
    for notify in outbox.due(now, legs, DUE_LIMIT):
        leg = legs[notify.phone.interface, str(notify.phone.local_host)]
        try:
            _open(notify, leg, now, claimed_by, probed, plan)
        except ObjectDoesNotExist:
            continue  # forgotten in this very moment
        except (crypto.CannotDecrypt, SipSerialiseError) as error:
            log.error("NOTIFY %d cannot be sent: %s", notify.pk, error)
            outbox.withhold(notify, f"It cannot be notified: {error}. Save the assignment again.", alarm=False)
    plan.sends += _resumed(legs, claimed_by, {*sending, *(send.notify_id for send in plan.sends)}, now)
    wanted = outbox.still_sending(list(sending)) if sending else set()
    plan.cancelled = [notify_id for notify_id in sending if notify_id not in wanted]
    return plan


def _judge_claims() -> None:
    """Phones that really moved are owed what they lack."""
    for phone_id in inventory.judge_claims(neighbours.verify):
        with transaction.atomic():
            outbox.owe_after_start(phone_id)


def _open(notify: Notify, leg: Leg, now: datetime, claimed_by: str, probed: dict[int, int], plan: Plan) -> None:
    """Send one due NOTIFY, if it is still wanted and its phone's address may be told a secret."""
    phone, config_file, host = notify.phone, notify.config_file, notify.phone.source_host or ""
    since = notify.unless_steady_since
    if since and config_file.steady_at and config_file.steady_at >= since:
        outbox.drop(notify.pk, "The phone fetched by its own path.")
        return
    if not outbox.hold_to_limits(notify, now):
        return
    moved = base_url_changed(phone, config_file)
    if moved is not None:
        outbox.withhold(notify, f"This server is now reached at {moved}. Save the assignment again.", alarm=False)
        return
    verdict = neighbours.verify(host, phone.mac)
    standing = _standing(notify, now)
    not_asked = verdict is Verdict.UNKNOWN and not trust.attended(standing)
    if not_asked and _can_probe(host) and probed.get(notify.pk, 0) < PROBES:
        # Unknown may only mean that the kernel has not asked yet: make it ask before anything is decided.
        probed[notify.pk] = probed.get(notify.pk, 0) + 1
        plan.probes.append((leg, host))
        outbox.put_off(notify, now + timedelta(seconds=PROBE_SECONDS))
        return
    probed.pop(notify.pk, None)
    objection = trust.objection(standing, verdict)
    if objection is None:
        _claim(notify, leg, claimed_by, plan)
        if verdict is Verdict.MISMATCH:
            words = f"Sent as asked, although the neighbour table shows another device's MAC at {host}."
            inventory.tell(phone.pk, EventKind.ALARM, words)
    else:
        log.warning("%s: NOTIFY withheld: %s", colons(phone.mac), objection)
        outbox.withhold(notify, objection, alarm=verdict is Verdict.MISMATCH)


def _standing(notify: Notify, now: datetime) -> Standing:
    phone = notify.phone
    times = (phone.subscribed_at, phone.approved_at)
    ages = [(now - one).total_seconds() if one else float("inf") for one in times]
    age = max(ages) if min(ages) >= -trust.CLOCK_SLACK_SECONDS else float("inf")  # a time to come proves nothing
    by_person = notify.origin != NotifyOrigin.AUTOMATIC
    return Standing(phone.source_host, phone.approved_host, phone.steady_host, age, by_person)


def _can_probe(host: str) -> bool:
    return bool(host) and not host.startswith(LOOPBACK_PREFIX)


def _claim(notify: Notify, leg: Leg, claimed_by: str, plan: Plan) -> None:
    target = (str(notify.phone.source_host), notify.phone.notify_port)
    ids = NotifyIds.fresh()
    request = notify_request(phone=target, ours=(leg.host, leg.port), url=notify_url(notify.config_file), ids=ids)
    opening = outbox.Opening(
        call_id=ids.call_id,
        branch=ids.branch,
        from_tag=ids.tag,
        datagram=request.to_bytes(),
        target=target,
        interface=leg.interface,
        local_host=leg.host,
    )
    if outbox.claim(notify, opening, claimed_by):
        plan.sends.append(Send(notify.pk, opening.datagram, target, leg))


def _resumed(legs: Mapping[LegKey, Leg], claimed_by: str, sending: Collection[int], now: datetime) -> list[Send]:
    """Transactions that were under way when a listener died: the same bytes go on for what is left of their time."""
    sends = []
    mine = claimed_by.partition("#")[0] + "#"
    for notify in outbox.under_way():
        if notify.pk in sending or notify.first_sent_at is None:
            continue
        elapsed = max(0.0, (now - notify.first_sent_at).total_seconds())
        leg = legs.get((notify.interface, notify.local_host or ""))
        orphan = notify.claimed_by.startswith(mine) or elapsed > ORPHAN_SECONDS
        if leg is None and elapsed > ORPHAN_SECONDS:
            outbox.settle_unanswered(notify.pk)  # our address there is gone for good
        if leg is None or not orphan or not outbox.take_over(notify, claimed_by):
            continue
        try:
            datagram = bytes(notify.datagram or b"")
        except crypto.CannotDecrypt as error:
            log.error("NOTIFY %d cannot go on: %s", notify.pk, error)
            outbox.settle_unanswered(notify.pk)
            continue
        log.info("NOTIFY %d goes on after %.1f s", notify.pk, elapsed)
        target = (str(notify.target_host), notify.target_port or 0)
        sends.append(Send(notify.pk, datagram, target, leg, min(elapsed, outbox.TRANSACTION_SECONDS)))
    return sends


def heartbeat(name: str, site: str, interfaces: list[str], trouble: str, counters: dict[str, int]) -> None:
    """Say that this listener lives, where it listens, and what hinders it."""
    now = timezone.now()
    place, _, instance = name.partition("#")
    others = ListenerStatus.objects.filter(name=place).exclude(instance=instance)
    if not interfaces and others.filter(heartbeat_at__gt=now - timedelta(seconds=STALE_SECONDS)).exists():
        return  # a second one that hears nothing must not speak over the first
    said = {
        "site": site,
        "heartbeat_at": now,
        "interfaces": interfaces,
        "trouble": trouble[:300],
        "counters": counters,
    }
    if not ListenerStatus.objects.filter(name=place, instance=instance).update(**said):
        said |= {"instance": instance, "started_at": now}
        ListenerStatus.objects.update_or_create(name=place, defaults=said)
