"""Decoys: MACs that no phone has. Whoever asks for one by HTTP, or announces one by SIP, raises an alarm.

From outside a decoy is answered as any MAC is. A phone that comes to be listed with such a MAC is a phone from then on.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Collection, Iterable

from django.db import IntegrityError, transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from devices import batch
from devices.mac import MacError, colons, parse_mac
from devices.models import Decoy, Phone

log = logging.getLogger(__name__)

MOST = 500
MADE_AT_MOST = 50  # at once
NEAR = 200  # a made one is at most so far from a real phone: who tries a range of MACs meets it
GRANDSTREAM = int("000B82", 16)  # where there is no phone yet
_TRIES = 40


class CannotBeDecoy(Exception):
    """This MAC is none, or cannot be a decoy. The text says why."""


def among(macs: Collection[str]) -> set[str]:
    """Which of these are decoys; a MAC that a listed phone has is none."""
    found = {mac for (mac,) in batch.select(Decoy, ("mac",), "mac", macs)}
    return found - {mac for (mac,) in batch.select(Phone, ("mac",), "mac", found)} if found else found


def add(mac: str, by: str, note: str = "") -> Decoy:
    """List this MAC, in any usual spelling, as a decoy. Raises CannotBeDecoy."""
    try:
        mac = parse_mac(mac)
    except MacError as error:
        raise CannotBeDecoy(str(error)) from error
    if Phone.objects.filter(mac=mac).exists():
        raise CannotBeDecoy(_("%(mac)s is a phone in the list. Choose a MAC that no phone has.") % {"mac": colons(mac)})
    if Decoy.objects.count() >= MOST:
        raise CannotBeDecoy(_("There are %(most)d decoys already. Remove some first.") % {"most": MOST})
    try:
        with transaction.atomic():
            return Decoy.objects.create(
                mac=mac, note=note.strip()[:100], created_at=timezone.now(), created_by=by[:150]
            )
    except IntegrityError as error:
        raise CannotBeDecoy(_("%(mac)s is a decoy already.") % {"mac": colons(mac)}) from error


def make(count: int, by: str, note: str = "") -> list[Decoy]:
    """Make so many (1 to MADE_AT_MOST), near the MACs of real phones, which none of them has. Raises CannotBeDecoy."""
    if not 1 <= count <= MADE_AT_MOST:
        raise CannotBeDecoy(_("Make 1 to %(most)d at once.") % {"most": MADE_AT_MOST})
    phones = list(Phone.objects.order_by("-listed_at").values_list("mac", flat=True)[:200])
    made: list[Decoy] = []
    with transaction.atomic():
        for _number in range(count):
            made.append(add(_unused(phones), by, note))
    return made


def remove(macs: Iterable[str], by: str) -> int:
    """These are decoys no more; how many were."""
    gone = Decoy.objects.filter(mac__in=list(macs)).delete()[0]
    if gone:
        log.info("%d decoys were removed by %s", gone, by)
    return gone


def _unused(phones: list[str]) -> str:
    for _try in range(_TRIES):
        mac = _somewhere(phones)
        if not Phone.objects.filter(mac=mac).exists() and not Decoy.objects.filter(mac=mac).exists():
            return mac
    raise CannotBeDecoy(_("No MAC that is free was found near those of your phones. List some yourself."))


def _somewhere(phones: list[str]) -> str:
    """A MAC of the same maker as a real phone's, and near it."""
    base = int(secrets.choice(phones), 16) if phones else (GRANDSTREAM << 24) + secrets.randbelow(1 << 24)
    low = ((base & 0xFFFFFF) + secrets.randbelow(2 * NEAR + 1) - NEAR) % (1 << 24)
    return f"{(base >> 24 << 24) + low:012X}"
