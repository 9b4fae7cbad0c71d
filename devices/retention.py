"""What grows with time and how long it is kept: rules, and the sweeper that applies them in small bites.

A rule says which rows may go. The sweeper deletes them a bite at a time, each a transaction of its own that is over in
some 20 ms, and rests four times as long in between: whoever else writes does not notice, and a backlog of millions is
gone within the hour. One worker at a time applies a rule: it has a lease, which each bite renews in its own
transaction, so that a bite of whoever lost it is rolled back. What cannot be deleted is passed over.
Apps above this one add rules of their own by `register`. docs/retention.md lists all of them.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import Error, InterfaceError, OperationalError, connection, models, transaction
from django.db.models import F, Q, QuerySet
from django.utils import timezone
from django.utils.crypto import get_random_string

from devices import inventory
from devices.models import Alarm, LiveEvent, Sweep

log = logging.getLogger(__name__)

KEEP_DAYS = 90  # unless a setting says something else
FIRST_BITE, LEAST_BITE, MOST_BITE = 100, 10, 1_000
BITE_SECONDS = 0.020  # under SQLite's lock; beyond it the next bite is smaller
REST_SECONDS, REST_TIMES = 0.020, 4  # after a bite, at least, and as a multiple of what it took
REST_ONE_SECONDS = 0.002  # after a single row, at least
RULE_SECONDS = 60.0  # then the next rule has its turn
WINDOW = 2_000  # rows that are looked at in one go where no index finds the old ones
WINDOWS = 20  # of them in one turn, while nothing is found
LEASE_SECONDS = 60
PASSED_OVER_AT_MOST = 1_000
FORGET_SEEN_DAYS = 30  # unless GSPNP_FORGET_SEEN_DAYS says something else
FORGET_BITE = 100
FORGET_BITES = 10  # in one round; the rest waits for the next one

Ids = Sequence[Any]
Rows = Callable[[datetime], QuerySet | None]


@dataclass(frozen=True)
class Rule:
    """Which rows may go, `rows(now)`; None: none ever. With `order` an index finds them, else `walk` is gone through.

    `look(now, low, high)` finds them by rows of `walk` with these keys, where `walk` is another table. What was found
    is still asked for by `rows` when it is deleted, because it may have changed.
    """

    name: str
    rows: Rows
    order: tuple[str, ...] = ()
    walk: type[models.Model] | None = None
    look: Callable[[datetime, Any, Any], list] | None = None
    remove: Callable[[QuerySet], object] = field(default=lambda rows: rows.delete())


_rules: dict[str, Rule] = {}


def register(*rules: Rule) -> None:
    """Add rules; one of the same name takes the place of the other."""
    _rules.update({rule.name: rule for rule in rules})


def rules() -> list[Rule]:
    """Every rule, in the order in which they have their turn."""
    return list(_rules.values())


def before(setting: str, now: datetime) -> datetime | None:
    """What is older than this may go by that setting, which is in days; None if it is 0, for ever."""
    days = getattr(settings, setting, KEEP_DAYS)
    return now - timedelta(days=days) if days else None


def older(model: type[models.Model], column: str, setting: str) -> Rows:
    """The rows of which that time is longer ago than the setting has days."""

    def rows(now: datetime) -> QuerySet | None:
        since = before(setting, now)
        return None if since is None else model._default_manager.filter(**{f"{column}__lt": since})

    return rows


register(
    Rule("events", older(LiveEvent, "at", "GSPNP_KEEP_EVENTS_DAYS"), order=("at",)),
    Rule("alarms", older(Alarm, "dismissed_at", "GSPNP_KEEP_ALARMS_DAYS"), walk=Alarm),
)


class _LeaseLost(Exception):
    """Another worker applies this rule by now."""


class Sweeper:
    """Applies the rules for one process, which may have several; it remembers how far it came."""

    def __init__(self, stopping: threading.Event | None = None) -> None:
        self._me = get_random_string(16)
        self._stopping = stopping or threading.Event()
        self._places: dict[str, Any] = {}
        self._sizes: dict[str, int] = defaultdict(lambda: FIRST_BITE)
        self._passed_over: dict[str, set] = defaultdict(set)
        self.unfinished = False
        """Whether the last sweep left something for lack of time: the next one may begin at once."""

    def sweep(self) -> list[str]:
        """Give every rule its turn; the names of those that failed. Raises OperationalError or InterfaceError if the
        database is away."""
        self.unfinished, failed = False, []
        for rule in rules():
            if self._stopping.is_set():
                break
            try:
                self._apply(rule)
            except Exception as error:
                if isinstance(error, (OperationalError, InterfaceError)) and _is_away():
                    raise
                log.exception("old %s cannot be deleted; they are tried again in the next round", rule.name)
                failed.append(rule.name)
        return failed

    def _apply(self, rule: Rule) -> int:
        """Delete until nothing is left, or the time of its turn is over; how many rows went."""
        total, until, ids = 0, time.monotonic() + RULE_SECONDS, self._next(rule)
        if not ids or not self._claim(rule):
            return 0
        try:
            while ids and not self._stopping.is_set():
                began = time.monotonic()
                total += self._bite(rule, ids)
                if time.monotonic() > until:
                    self.unfinished = True
                    break
                self._stopping.wait(max(REST_SECONDS, REST_TIMES * (time.monotonic() - began)))
                ids = self._next(rule)
        except _LeaseLost:
            return total
        self._release(rule)
        if total:
            log.info("%d old %s deleted", total, rule.name)
        return total

    # --- what is next ---------------------------------------------------------------------------------------------

    def _next(self, rule: Rule) -> list:
        """The keys of the next bite; none if there is none, or if enough was looked at for now."""
        now = timezone.now()
        rows = rule.rows(now)
        if rows is None:
            return []
        size, passed = self._sizes[rule.name], self._passed_over[rule.name]
        if rule.walk is None:
            found = rows.order_by(*rule.order).values_list("pk", flat=True)[: size + len(passed)]
            return [pk for pk in found if pk not in passed][:size]
        for _ in range(WINDOWS):
            if ids := [pk for pk in self._in_window(rule, rows, now) if pk not in passed]:
                return ids[:size]
            if rule.name not in self._places:
                break  # it was the last one
        return []

    def _in_window(self, rule: Rule, rows: QuerySet, now: datetime) -> list:
        """What may go in the next window. It is left behind when nothing is found in it any more."""
        assert rule.walk is not None
        low = self._places.get(rule.name)
        keys = rule.walk._default_manager.order_by("pk").values_list("pk", flat=True)
        if low is not None:
            keys = keys.filter(pk__gt=low)
        high = keys[WINDOW - 1 : WINDOW].first()
        if rule.look is not None:
            found = rule.look(now, low, high)
        else:
            found = list(rows.filter(between("pk", low, high)).order_by("pk").values_list("pk", flat=True))
        if all(pk in self._passed_over[rule.name] for pk in found):
            if high is None:
                self._places.pop(rule.name, None)
            else:
                self._places[rule.name] = high
        return found

    # --- one bite -------------------------------------------------------------------------------------------------

    def _bite(self, rule: Rule, ids: Ids) -> int:
        """Delete these rows; those that cannot be deleted are passed over from now on. How many went."""
        began = time.monotonic()
        try:
            self._delete(rule, ids)
        except (OperationalError, InterfaceError):
            raise
        except Error as error:
            if len(ids) > 1:
                return sum(self._bite_one(rule, pk) for pk in ids)
            log.warning("one row of %s (%s) cannot be deleted, and is passed over: %s", rule.name, ids[0], error)
            self._pass_over(rule, ids[0])
            return 0
        self._fit(rule, time.monotonic() - began)
        return len(ids)

    def _bite_one(self, rule: Rule, pk: Any) -> int:
        """One row of a bite that could not go as a whole, and then a rest, as after every bite."""
        if self._stopping.is_set():
            return 0
        began = time.monotonic()
        went = self._bite(rule, [pk])
        self._stopping.wait(max(REST_ONE_SECONDS, REST_TIMES * (time.monotonic() - began)))
        return went

    def _delete(self, rule: Rule, ids: Ids) -> None:
        now = timezone.now()
        rows = rule.rows(now)
        assert rows is not None
        with transaction.atomic():
            mine = Sweep.objects.filter(name=rule.name, held_by=self._me)
            if not mine.update(held_until=now + timedelta(seconds=LEASE_SECONDS), removed=F("removed") + len(ids)):
                raise _LeaseLost
            rule.remove(rows.filter(pk__in=ids))

    def _fit(self, rule: Rule, seconds: float) -> None:
        """Smaller bites where they take long, larger ones where they do not."""
        size = self._sizes[rule.name]
        if seconds > BITE_SECONDS:
            size //= 2
        elif seconds < BITE_SECONDS / 2:
            size *= 2
        self._sizes[rule.name] = min(max(size, LEAST_BITE), MOST_BITE)

    def _pass_over(self, rule: Rule, pk: Any) -> None:
        passed = self._passed_over[rule.name]
        if len(passed) >= PASSED_OVER_AT_MOST:
            passed.clear()  # they are tried anew
        passed.add(pk)
        Sweep.objects.filter(name=rule.name).update(trouble=f"{len(passed)} rows cannot be deleted; see the log.")

    # --- the lease ------------------------------------------------------------------------------------------------

    def _claim(self, rule: Rule) -> bool:
        """Whether this process is the one that applies the rule now."""
        now = timezone.now()
        if not Sweep.objects.filter(name=rule.name).exists():
            Sweep.objects.bulk_create([Sweep(name=rule.name)], ignore_conflicts=True)
        lease = timedelta(seconds=LEASE_SECONDS)
        # One that ends absurdly late was given before the clock went back.
        free = Q(held_until=None) | Q(held_until__lt=now) | Q(held_until__gt=now + 2 * lease)
        row = Sweep.objects.filter(free, name=rule.name)
        return bool(row.update(held_by=self._me, held_until=now + lease, ran_at=now, trouble=""))

    def _release(self, rule: Rule) -> None:
        Sweep.objects.filter(name=rule.name, held_by=self._me).update(held_by="", held_until=None)


def between(name: str, low: Any, high: Any) -> Q:
    """Keys above `low` and up to `high`; None is no bound."""
    after = Q() if low is None else Q(**{f"{name}__gt": low})
    return after if high is None else after & Q(**{f"{name}__lte": high})


def _is_away() -> bool:
    """Whether the database answers nothing at all; a row that somebody holds for long is no such case."""
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except Error:
        return True
    return False


def forget_unheard() -> int:
    """Forget phones that were seen, never touched by anybody, and not heard for a long time; how many went."""
    days = getattr(settings, "GSPNP_FORGET_SEEN_DAYS", FORGET_SEEN_DAYS)
    since = timezone.now() - timedelta(days=days)
    total = 0
    for _ in range(FORGET_BITES):
        went = inventory.forget_unheard(since, FORGET_BITE)
        total += went
        if went < FORGET_BITE:
            break
    return total
