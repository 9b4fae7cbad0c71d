"""Phones that ask by their plain name before anybody knows them (DHCP option 66, a stored path) appear in the list.

Only in allowed networks, only with a Grandstream's User-Agent that names the very MAC of the file, and within the
bounds that hold for SUBSCRIBEs too. Nothing is answered otherwise for it: held in memory, stored a moment later. A
phone that is known already stays where it is: its attempt is noted (attempts.py), and moves nothing. What a request
says of itself is chosen by whoever sends it: a decoy stays one, and who invents many phones raises an alarm.
"""

from __future__ import annotations

import logging
import re
import threading
import time

from django.conf import settings
from django.db import DatabaseError
from django.utils import timezone

from devices import alarms, batch, decoys, inventory, networks
from devices.choices import AlarmKind
from devices.mac import MacError, parse_oui
from devices.models import Phone
from devices.newcomers import NewPhones
from devices.sighting import Sighting
from devices.trust import Verdict
from provisioning.door.later import Later
from provisioning.paths import Ask

log = logging.getLogger(__name__)

VENDOR = "Grandstream"
SIP_PORT = 5060  # a GET tells nothing of SIP; the next SUBSCRIBE does
HELD_AT_MOST = 200  # different MACs between two flushes; more ask again
HELD_PER_SOURCE = 100  # so that one address leaves room for the phone beside it
STORED_AT_ONCE = 20
BURSTS_TOLD = 10  # sources of new phones that are told of at a time
ORIGIN = "plain name"
# `Grandstream Model HW GXP1628 V1.2A SW 1.0.4.138 DevId c074ad2bd859`; formats.md, "User-Agent on HTTP".
_AGENT = re.compile(
    r"Grandstream Model HW ([A-Z]{2,4}[0-9]{2,5}[A-Z]?) {1,3}(?:V[0-9A-Z.]{1,8} )?"
    r"SW ([0-9][0-9.]{2,30}) DevId ([0-9a-fA-F]{12})"
)

_lock = threading.Lock()
_held: dict[str, Sighting] = {}
_later = Later(lambda: bool(_held), lambda: flush())
_bound: NewPhones | None = None


def note(ask: Ask, agent: str, host: str, local_host: str) -> None:
    """Somebody asked for a phone's file by its plain name. Call it in the event loop; it only touches memory."""
    seen = read(ask, agent, host, local_host)
    if seen is None:
        return
    with _lock:
        if seen.mac in _held or len(_held) >= HELD_AT_MOST:
            return
        if sum(one.source_host == host for one in _held.values()) >= HELD_PER_SOURCE:
            return
        _held[seen.mac] = seen
    _later.start()


def read(ask: Ask, agent: str, host: str, local_host: str) -> Sighting | None:
    """What this request tells of a phone of ours; None if it is none, or does not say what it is."""
    said = _AGENT.fullmatch(agent) if len(agent) <= 200 else None
    if ask.secret or not ask.mac or said is None or said[3].upper() != ask.mac or not _is_served(ask.mac):
        return None
    return Sighting(
        mac=ask.mac,
        vendor=VENDOR,
        model=said[1],
        firmware=said[2],
        source_host=host,
        source_port=0,
        contact="",
        notify_port=SIP_PORT,
        interface="",
        local_host=networks.plain_host(local_host),
        ours=True,
        heard_at=time.time(),
        origin=ORIGIN,
    )


def flush() -> int:
    """Store what was heard; of how many phones that were not known."""
    with _lock:
        taken = dict(_held)
        _held.clear()
    stored = 0
    try:
        for bite in batch.bites(sorted(taken), STORED_AT_ONCE):
            known = Phone.objects.filter(mac__in=bite, first_seen_at__isnull=False).values_list("mac", flat=True)
            there = set(known) | decoys.among(bite)
            new = [taken[mac] for mac in bite if mac not in there]
            heard = inventory.record_sightings(new, _not_looked_up, _newcomers())
            stored += sum(not one.refused for one in heard)
        for source, count in _newcomers().bursts(timezone.now().timestamp())[:BURSTS_TOLD]:
            alarms.raise_alarm(AlarmKind.PHONES, source, count=count)
    except DatabaseError as error:
        log.warning("phones that asked by their plain name are not stored (%s); they ask again", error)
    return stored


def _not_looked_up(host: str, mac: str, interface: str) -> Verdict:
    """The neighbour table is for the listener to read; it does so when it looks at the phones next."""
    return Verdict.UNKNOWN


def _newcomers() -> NewPhones:
    global _bound
    if _bound is None:
        _bound = NewPhones(settings.GSPNP_NEW_PHONES_PER_SOURCE, settings.GSPNP_NEW_PHONES)
    return _bound


def _is_served(mac: str) -> bool:
    vendors = {vendor.lower() for vendor in settings.GSPNP_VENDORS}
    try:
        ouis = [parse_oui(text) for text in settings.GSPNP_OUIS]
    except MacError:
        return False  # sipmcast/checks.py says so when the listener starts
    return VENDOR.lower() in vendors and (not ouis or mac[:6] in ouis)
