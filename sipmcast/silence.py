"""Listeners that have fallen silent: an alarm for each, once, which ends by itself when it is heard of again.

Looked at by each worker in its rounds. A heartbeat is judged by whether it moves while we watch, by our own monotonic
clock: neither a clock that is set back, nor one that is wrong on the listener's machine, nor a database that was away
for everybody makes a listener silent. A listener without access to the database will be judged the same way: whoever
writes its heartbeat for it speaks for it.
"""

import logging
import time
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

from django.db import transaction
from django.utils import timezone

from devices import alarms, inventory
from devices.choices import AlarmKind
from devices.models import Alarm
from sipmcast.models import STALE_SECONDS, ListenerStatus

log = logging.getLogger(__name__)

WATCH_GAP_SECONDS = 12.0  # we look every 5 s; whoever has not looked for so long begins anew


class Watch:
    """What one process has seen of the heartbeats."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._seen: dict[int, tuple[datetime, float, bool]] = {}
        self._looked_at = float("-inf")

    def look(self) -> None:
        """Raise and end alarms after what has changed since the last look."""
        now, rows = self._clock(), list(ListenerStatus.objects.defer("counters", "warnings", "heard_at"))
        if now - self._looked_at > WATCH_GAP_SECONDS:
            self._seen = {}
        self._looked_at = now
        before, self._seen = self._seen, {}
        for row in rows:
            beat, since, moved = before.get(row.pk, (row.heartbeat_at, now, False))
            if beat != row.heartbeat_at:
                beat, since, moved = row.heartbeat_at, now, True
            self._seen[row.pk] = (beat, since, moved)
            if row.alarmed_at is not None and (row.stopped_at is not None or moved and now - since < STALE_SECONDS):
                _end(row)
            elif row.alarmed_at is None and row.stopped_at is None and now - since >= STALE_SECONDS:
                _raise(row)
        _end_those_of_nobody({row.name for row in rows if row.alarmed_at is not None})


_watch = Watch()


def look() -> None:
    """One look of this process."""
    _watch.look()


def _raise(row: ListenerStatus) -> None:
    """One of several workers does it, and once: who dismisses the alarm is not told again of the same silence."""
    silent = ListenerStatus.objects.filter(pk=row.pk, alarmed_at=None, stopped_at=None, heartbeat_at=row.heartbeat_at)
    with transaction.atomic():
        if silent.update(alarmed_at=timezone.now()):
            alarms.raise_alarm(AlarmKind.LISTENER, row.name)


def _end(row: ListenerStatus) -> None:
    over = f"The listener {row.name} {'was stopped in order' if row.stopped_at is not None else 'is heard of again'}."
    with transaction.atomic():
        if not ListenerStatus.objects.filter(pk=row.pk, alarmed_at=row.alarmed_at).update(alarmed_at=None):
            return
        alarms.end(AlarmKind.LISTENER, row.name, over)
    log.info("%s", over)


def _end_those_of_nobody(alarmed: set[str]) -> None:
    """Alarms whose listener was alarmed of by nobody when we looked: its row was deleted, or a backup brought back."""
    before = timezone.now() - timedelta(seconds=STALE_SECONDS)  # one that is raised at this moment is left alone
    stand = Alarm.objects.filter(kind=AlarmKind.LISTENER, dismissed_at=None, first_at__lt=before)
    for source in stand.values_list("source", flat=True):
        if source not in alarmed if source != alarms.SEVERAL else not alarmed:
            alarms.end(AlarmKind.LISTENER, source, f"The listener {source} is not listed any more.")


def forget(name: str, by: str) -> bool:
    """A person says that this listener is gone for good; False if it is not there, or lives.

    If it was the last of its site, phones that it heard are told by whichever listener reaches them from where they
    were heard, or by the one that hears them next.
    """
    row = ListenerStatus.objects.filter(name=name).first()
    if row is None or row.is_fresh:
        return False
    if not ListenerStatus.objects.filter(site=row.site).exclude(pk=row.pk).exists():
        # Before its row goes: who is interrupted here asks once more, and without a row nobody could.
        inventory.leave_site(row.site)
    as_seen = ListenerStatus.objects.filter(pk=row.pk, instance=row.instance, heartbeat_at=row.heartbeat_at)
    with transaction.atomic():
        if not as_seen.delete()[0]:
            return False
        alarms.end(AlarmKind.LISTENER, name, f"The listener {name} was forgotten by {by}.")
    log.info("the listener %s was forgotten by %s", name, by)
    return True


def silent_sites() -> Mapping[str, str]:
    """Sites of whose listeners none is heard of: site -> the name of the one that was heard of last."""
    last: dict[str, str] = {}
    living: set[str] = set()
    for row in ListenerStatus.objects.order_by("heartbeat_at").defer("counters", "warnings", "heard_at", "interfaces"):
        last[row.site] = row.name
        if row.is_fresh:
            living.add(row.site)
    return {site: name for site, name in last.items() if site not in living}
