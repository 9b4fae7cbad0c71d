"""Live events: appended in the writer's own transaction, read by everybody who shows phones as they change.

The rows are the carrier: nothing is lost if a reader or a message broker is away, because each reader says the last
id that it has and gets what came after it.
"""

from collections.abc import Iterable
from datetime import datetime

from devices.choices import EventKind
from devices.models import LiveEvent, Phone

TEXT_CHARS = 300


def event(phone: Phone, kind: EventKind, text: str, at: datetime) -> LiveEvent:
    """An unsaved event of this phone at the stage that it has now."""
    return LiveEvent(phone=phone, mac=phone.mac, kind=kind, stage=phone.stage, text=text[:TEXT_CHARS], at=at)


def append(events: Iterable[LiveEvent]) -> None:
    """Store events; call it inside the transaction whose effect they tell."""
    LiveEvent.objects.bulk_create(events)


def newest_id() -> int:
    """The id of the newest event, 0 if there is none."""
    return LiveEvent.objects.order_by("-id").values_list("id", flat=True).first() or 0


def after(last_id: int, limit: int = 1000) -> list[LiveEvent]:
    """What came after `last_id`, oldest first, at most `limit` rows."""
    return list(LiveEvent.objects.filter(id__gt=last_id).order_by("id")[:limit])


def compact(event_row: LiveEvent) -> dict:
    """What a browser is told of one event: enough to know which row to fetch again, never a secret."""
    return {
        "id": event_row.id,
        "mac": event_row.mac,
        "kind": event_row.kind,
        "stage": event_row.stage,
        "text": event_row.text,
        "at": event_row.at.isoformat(),
    }
