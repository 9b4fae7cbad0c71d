"""Whether assigned phones answer: whom to ask, and what their answers say. Database side, called in a helper.

OPTIONS over UDP is only one sign of life: a SUBSCRIBE or a download since the question counts as well, and a phone
whose applied file chose another transport, a random port or its proxy alone is not offline because it is silent.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db import transaction
from django.db.models import OuterRef, Subquery
from django.utils import timezone

from devices import batch, live
from devices.choices import WAY, EventKind
from devices.models import Phone
from devices.places import of_site
from provisioning.models import ConfigFile
from sipmcast.events import LegKey

BITE = 250
WHOM_AT_ONCE = 2_000  # phones told to the listener at a time: to read so many costs its loop a millisecond
NOBODY_ASKS = "Nobody can ask it any more: {} is gone, where it was heard."


@dataclass(frozen=True, slots=True)
class Reached:
    """How a question ended."""

    phone_id: int
    host: str
    answered: bool
    rtt_ms: float | None
    asked_at: datetime


def whom(places: Collection[LegKey], site: str | None = None, after: int = 0) -> list[tuple[int, str, int, str, str]]:
    """The phones with a configuration of ours that were heard at these places of this site: id, address, port, place.

    Some of them, those with the lowest ids after `after`; none if there are no more. Plain tuples, because thousands of
    them go from process to process.
    """
    there = {name for name, _ in places}
    columns = ("pk", "source_host", "notify_port", "interface", "local_host")
    phones = Phone.objects.filter(
        of_site("heard_site", site), stage__in=WAY, source_host__isnull=False, interface__in=there
    ).order_by("pk")
    while some := list(phones.filter(pk__gt=after).values_list(*columns)[:WHOM_AT_ONCE]):
        if found := [row for row in some if row[3:] in places]:
            return found
        after = some[-1][0]
    return []


def record(ended: Sequence[Reached]) -> None:
    """Write what was learned: round trips quietly, a change between online and offline as an event."""
    for start in range(0, len(ended), BITE):
        _record(ended[start : start + BITE])


def _record(ended: Sequence[Reached]) -> None:
    now = timezone.now()
    with transaction.atomic():
        by_id = {one.phone_id: one for one in ended}
        applied = ConfigFile.objects.filter(phone_id=OuterRef("pk"), applied_at__isnull=False).order_by("-number")
        phones = (
            Phone.objects.select_for_update(of=("self",))
            .filter(pk__in=by_id, stage__in=WAY)
            .annotate(silent_because=Subquery(applied.values("silent_because")[:1]))
            .order_by("pk")
        )
        rows, changed = [], []
        for phone in phones.only("pk", "mac", "stage", "source_host", "online", "online_at", "last_seen_at", "rtt_ms"):
            one = by_id[phone.pk]
            if phone.source_host != one.host:
                continue  # it moved while we asked
            online = _verdict(phone, one, phone.silent_because or "")
            if online is not phone.online:
                phone.online, phone.online_at = online, now
                changed.append(phone)
            seen_at = phone.last_seen_at
            if one.answered:
                seen_at = one.asked_at if seen_at is None else max(seen_at, one.asked_at)
            rtt_ms = one.rtt_ms if one.rtt_ms is not None else phone.rtt_ms
            rows.append((phone.pk, phone.online, phone.online_at, rtt_ms if online else None, seen_at))
        batch.update(Phone, ("pk", "online", "online_at", "rtt_ms", "last_seen_at"), rows)
        live.append(live.event(phone, EventKind.REACH, _words(phone), now) for phone in changed)


def lose(phones: Mapping[int, str]) -> None:
    """We asked these phones on an interface that is gone: whether they are there is not known. Phone -> interface."""
    now = timezone.now()
    with transaction.atomic():
        rows = (
            Phone.objects.select_for_update().filter(pk__in=phones, stage__in=WAY, online__isnull=False).order_by("pk")
        )
        lost = [phone for phone in rows.only("pk", "mac", "stage", "interface") if phone.interface == phones[phone.pk]]
        batch.write(Phone, [phone.pk for phone in lost], online=None, online_at=now, rtt_ms=None)
        live.append(live.event(phone, EventKind.REACH, NOBODY_ASKS.format(phone.interface), now) for phone in lost)


def _verdict(phone: Phone, one: Reached, silent_because: str) -> bool | None:
    """Online, offline, or not to be known (None)."""
    if one.answered or (phone.last_seen_at is not None and phone.last_seen_at > one.asked_at):
        return True
    return None if silent_because else False


def _words(phone: Phone) -> str:
    if phone.online is None:
        return "It cannot be asked over UDP: whether it is online is not known."
    return "Online: it answers." if phone.online else "Offline: it does not answer our OPTIONS any more."
