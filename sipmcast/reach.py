"""Whether assigned phones answer: whom to ask, and what their answers say. Database side, called in a helper.

OPTIONS over UDP is only one sign of life: a SUBSCRIBE or a download since the question counts as well, and a phone
whose applied file chose another transport, a random port or its proxy alone is not offline because it is silent.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import OuterRef, Subquery
from django.utils import timezone

from devices import batch, live
from devices.choices import WAY, EventKind
from devices.models import Phone
from provisioning.models import ConfigFile
from sipmcast.events import LegKey

BITE = 250
ROUNDS_MISSED = 4  # of asking, after which nothing is said of a phone any more. Our choice.
NOBODY_ASKS = "Nobody can ask it any more: no listener is where it was heard."


@dataclass(frozen=True, slots=True)
class Reached:
    """How a question ended."""

    phone_id: int
    host: str
    answered: bool
    rtt_ms: float | None
    asked_at: datetime


def whom(places: Collection[LegKey]) -> list[tuple[int, str, int, str, str]]:
    """The phones with a configuration of ours that were heard at these places: id, address, port, place.

    Plain tuples, because thousands of them go from process to process.
    """
    rows = Phone.objects.filter(stage__in=WAY, source_host__isnull=False, interface__in={name for name, _ in places})
    columns = ("pk", "source_host", "notify_port", "interface", "local_host")
    return [row for row in rows.values_list(*columns).iterator() if row[3:] in places]


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
            seen_at = max(phone.last_seen_at, one.asked_at) if one.answered else phone.last_seen_at
            rtt_ms = one.rtt_ms if one.rtt_ms is not None else phone.rtt_ms
            rows.append((phone.pk, phone.online, phone.online_at, rtt_ms if online else None, seen_at))
        batch.update(Phone, ("pk", "online", "online_at", "rtt_ms", "last_seen_at"), rows)
        live.append(live.event(phone, EventKind.REACH, _words(phone), now) for phone in changed)


def doubt(interval_seconds: float) -> None:
    """Phones that were online, and that were neither heard nor asked for several rounds: whoever asked them, or the
    interface towards them, is gone. Whether they are there is not known."""
    now = timezone.now()
    last = Phone.objects.filter(online=True, last_seen_at__lt=now - timedelta(seconds=ROUNDS_MISSED * interval_seconds))
    if not last.exists():
        return
    with transaction.atomic():
        phones = list(last.select_for_update().order_by("pk").only("pk", "mac", "stage")[:BITE])
        batch.write(Phone, [phone.pk for phone in phones], online=None, online_at=now, rtt_ms=None)
        live.append(live.event(phone, EventKind.REACH, NOBODY_ASKS, now) for phone in phones)


def _verdict(phone: Phone, one: Reached, silent_because: str) -> bool | None:
    """Online, offline, or not to be known (None)."""
    if one.answered or phone.last_seen_at > one.asked_at:
        return True
    return None if silent_because else False


def _words(phone: Phone) -> str:
    if phone.online is None:
        return "It cannot be asked over UDP: whether it is online is not known."
    return "Online: it answers." if phone.online else "Offline: it does not answer our OPTIONS any more."
