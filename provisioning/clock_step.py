"""A wall clock that was set back: what was stamped before becomes as old as it really is.

Stored times are compared with this machine's clock. Set back by an hour, it would make a NOTIFY that is due wait for
an hour, an address that a person has just confirmed look unknown, and a transaction look as if it had not begun. So
whoever sends NOTIFYs asks `Steps` whether the clock has moved against CLOCK_MONOTONIC, and calls `went_back` before it
goes on. Several may do so at a time: what is moved once lies in time to come no more. A clock that was put forward
needs nothing: time has passed then. What the slack of a minute bears (devices/trust.py) is left alone.
"""

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any

from django.db import transaction
from django.db.models import F, Max, Min, Model, QuerySet
from django.utils import timezone

from devices import inventory
from devices.models import LiveEvent, Phone
from devices.trust import CLOCK_SLACK_SECONDS
from provisioning import outbox
from provisioning.handout.models import HandedOut, Handout
from provisioning.models import ConfigFile, Notify, NotifyState
from provisioning.starts import AUTOMATIC_PAUSE_MINUTES

log = logging.getLogger(__name__)

AT_ONCE = 500  # rows in one UPDATE: SQLite's lock is held for some milliseconds. Our choice
PAUSE_SECONDS = 0.002  # between two, for those who wait for SQLite's lock
STAMPS: Mapping[type[Model], Sequence[str]] = {
    Phone: ("first_seen_at", "last_seen_at", "subscribed_at", "approved_at", "stage_at", "online_at", "claimed_at",
            "claim_heard_at", "alarm_at"),
    ConfigFile: ("bootstrap_at", "key_known_at", "fetched_at", "applied_at", "steady_at"),
    HandedOut: ("at",),
    Notify: ("unless_steady_since", "first_sent_at", "opened_at", "challenged_at", "settled_at"),
}  # fmt: skip
WORDS = (
    "The clock of this machine was set back by {:.0f} s; what was planned by its former time goes on without a wait. "
    "Look whether it is right now, and whether NTP keeps it so."
)


class Steps:
    """By how much the wall clock of this process was set back since somebody last saw to it."""

    def __init__(self, wall: Callable[[], float] = time.time, steady: Callable[[], float] = time.monotonic) -> None:
        self._wall, self._steady = wall, steady
        self._ahead = wall() - steady()
        self._back_seconds = 0.0

    def back_seconds(self) -> float:
        """0 while it runs as it should. What is found stays until `seen_to`: the database may be away meanwhile."""
        ahead = self._wall() - self._steady()
        if self._ahead - ahead > CLOCK_SLACK_SECONDS:
            self._back_seconds += self._ahead - ahead
            self._ahead = ahead
        self._ahead = max(self._ahead, ahead)
        return self._back_seconds

    def found(self, back_seconds: float) -> None:
        """It was set back before we came."""
        if back_seconds > CLOCK_SLACK_SECONDS:
            self._back_seconds += back_seconds

    def seen_to(self) -> None:
        self._back_seconds = 0.0


def ahead_seconds() -> float:
    """How far the latest stamp lies in time to come: so much at least was the clock set back since, if by anything.

    The newest rows do not tell: others may have stored some after the clock was set back and before we came. Events are
    not made earlier, so they alone do not tell either; but as long as none lies in time to come, one look is enough.
    """
    now = timezone.now()
    soon = now + timedelta(seconds=CLOCK_SLACK_SECONDS)
    if not LiveEvent.objects.filter(at__gt=soon).exists():
        return 0.0
    latest = [rows.aggregate(at=Max(name))["at"] for rows, name in _stamped()]
    return max((at - now).total_seconds() for at in [*latest, now] if at is not None)


def _stamped() -> Iterator[tuple[QuerySet[Any], str]]:
    for model, names in STAMPS.items():
        for name in names:
            yield model._default_manager.order_by(), name


def went_back(seconds: float) -> None:
    """Make all stamps of the time that is to come once more as much earlier. Many short transactions."""
    log.warning(WORDS.format(seconds))
    now, back = timezone.now(), timedelta(seconds=seconds)
    for rows, name in _stamped():
        _make_earlier(rows.filter(**{f"{name}__gt": now, f"{name}__lte": now + back}), back, name)
    # A range of a site, of which there are few: else phones that are new by this clock were there before it began.
    Handout.objects.filter(since__gt=now, since__lte=now + back).update(since=F("since") - back)
    opened = now + timedelta(hours=outbox.FIRST_PATH_HOURS)
    _make_earlier(
        ConfigFile.objects.filter(first_until__gt=opened, first_until__lte=opened + back), back, "first_until"
    )
    # Rows of no job: those made lately, with what they still have to wait; and older ones that were put off.
    alone = Notify.objects.filter(state=NotifyState.WAITING, job=None)
    made = alone.filter(created_at__gt=now, created_at__lte=now + back)
    _make_earlier(made, back, "next_at", "created_at")
    longest = now + timedelta(minutes=AUTOMATIC_PAUSE_MINUTES + 1)
    _make_earlier(alone.filter(next_at__gt=longest, next_at__lte=now + back), back, "next_at")
    # Phones of a job have their turns one after the other: it goes on with the first one now, at its pace.
    late = now + timedelta(seconds=CLOCK_SLACK_SECONDS)
    paced = Notify.objects.filter(state=NotifyState.WAITING, job__isnull=False).order_by()
    for job_id, first in paced.values_list("job").annotate(first=Min("next_at")).filter(first__gt=late):
        _make_earlier(paced.filter(job=job_id, next_at__gte=first), first - now, "next_at")


def _make_earlier(rows: QuerySet[Any], back: timedelta, *names: str) -> None:
    """In bites, phones first as everybody locks them. A row that somebody else has moved meanwhile is passed over."""
    last, owner = 0, "pk" if rows.model is Phone else "phone_id"
    changes = {name: F(name) - back for name in names}
    while bite := list(rows.filter(pk__gt=last).order_by("pk").values_list("pk", owner)[:AT_ONCE]):
        last = bite[-1][0]
        with transaction.atomic():
            outbox.lock_phones(phone_id for _, phone_id in bite)
            found = rows.filter(pk__in=[pk for pk, _ in bite])
            if rows.model is Phone:
                inventory.make_earlier(found, changes)
            else:
                found.update(**changes)
        time.sleep(PAUSE_SECONDS)
