"""Live events: appended in the writer's own transaction, read by everybody who shows phones as they change.

The rows are the carrier: nothing is lost if a reader or a message broker is away, because each reader says the last
id that it has and gets what came after it. On PostgreSQL ids are given at INSERT and seen at COMMIT, so a higher one
may be seen before a lower one: a writer says by a shared advisory lock which ids it may still be given, and a reader
goes no further than the oldest of them. The lock ends with the writer's transaction; writers never wait for it.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime

from django.db import connections, router, transaction

from devices import batch, wake
from devices.choices import EventKind
from devices.models import LiveEvent, Phone

TEXT_CHARS = 300
COLUMNS = ("phone", "mac", "kind", "stage", "text", "at")
EventRow = tuple[int | None, str, str, str, str, datetime]

# The key of the advisory lock is this number and, in its lower 48 bits, the newest id when the writer began.
LOCK_SPACE = 0x6773  # "gs"; our choice. Advisory locks belong to one database, and gspnp has its own
_ID_BITS = 48
_BEGIN = """
    SELECT pg_advisory_xact_lock_shared((%s::bigint << %s) | COALESCE((SELECT max(id) FROM devices_liveevent), 0))
"""
_OLDEST = """
    SELECT min((classid::bigint & 65535) << 32 | objid::bigint) FROM pg_locks
    WHERE locktype = 'advisory' AND objsubid = 1 AND classid::bigint >> 16 = %s
      AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) AND pid <> pg_backend_pid()
"""


def event(phone: Phone, kind: EventKind, text: str, at: datetime) -> LiveEvent:
    """An unsaved event of this phone at the stage that it has now."""
    return LiveEvent(phone=phone, mac=phone.mac, kind=kind, stage=phone.stage, text=text[:TEXT_CHARS], at=at)


def append(events: Iterable[LiveEvent]) -> None:
    """Store events; call it inside the transaction whose effect they tell."""
    append_rows([(one.phone_id, one.mac, one.kind, one.stage, one.text, one.at) for one in events])


def append_rows(rows: Sequence[EventRow]) -> None:
    """The same for a batch of values in the order of COLUMNS."""
    if not rows:
        return
    alias = router.db_for_write(LiveEvent)
    wake.after_commit(alias)
    if connections[alias].vendor != "postgresql":
        batch.insert(LiveEvent, COLUMNS, rows)
        return
    with transaction.atomic(using=alias, savepoint=False):
        with connections[alias].cursor() as cursor:
            cursor.execute(_BEGIN, [LOCK_SPACE, _ID_BITS])
        batch.insert(LiveEvent, COLUMNS, rows)


def newest_id() -> int:
    """The id of the newest event below which nothing can come any more, 0 if there is none."""
    newest = LiveEvent.objects.order_by("-id").values_list("id", flat=True)
    found = newest.first() or 0
    unsettled = _oldest_unsettled()
    return found if unsettled is None else min(found, unsettled)


def after(last_id: int, limit: int = 1000) -> list[LiveEvent]:
    """What came after `last_id`, oldest first, at most `limit` rows; what might still get a predecessor waits."""
    rows = list(LiveEvent.objects.filter(id__gt=last_id).order_by("id")[:limit])
    if not rows or rows[-1].pk - last_id == len(rows):
        return rows  # none is missing
    # A gap: rolled back or pruned, or not committed yet. Only ids up to `end` were given before we look at the locks,
    # and of those every one that no lock covers is to be seen by now.
    end, unsettled = rows[-1].pk, _oldest_unsettled()
    if unsettled is not None:
        end = min(end, unsettled)
    return list(LiveEvent.objects.filter(id__gt=last_id, id__lte=end).order_by("id")[:limit])


def _oldest_unsettled() -> int | None:
    """The newest id when the oldest running writer began; None if none runs. On SQLite there is one writer."""
    connection = connections[router.db_for_read(LiveEvent)]
    if connection.vendor != "postgresql":
        return None
    with connection.cursor() as cursor:
        cursor.execute(_OLDEST, [LOCK_SPACE])
        return cursor.fetchone()[0]


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
