"""Whether a process can do its work: checks by name, each a word of ours and never what the database's library says.

A check that is not fine makes the process not ready, unless it is only told: what works without it says so.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor

from devices.crypto import CannotDecrypt
from provisioning.asked import Shared, apart, has_no_place
from provisioning.models import ConfigFile

log = logging.getLogger(__name__)

DATABASE = "database"
OK = "ok"
AWAY = "cannot be asked"
SLOW = "not answered in time"
NOT_ASKED = "not asked"
# For each check. Whoever asks us waits two seconds (the doctor) or five (a health check); a lost machine would take
# longer.
ASK_SECONDS = 1.5
BEHIND = "not migrated: run manage.py migrate"
LOCKED = "GSPNP_FIELD_KEYS do not open what is stored"


@dataclass(frozen=True)
class Check:
    """A name's verdict, OK or what is wrong. `told_only`: the process is ready all the same."""

    words: str
    told_only: bool = False


Checks = dict[str, Callable[[], Check]]


@dataclass(frozen=True)
class Readiness:
    """All of them together."""

    ready: bool
    checks: dict[str, str]

    @property
    def status(self) -> int:
        """Of the HTTP answer that says it."""
        return 200 if self.ready else 503

    def as_json(self) -> str:
        """For whoever may know why."""
        return json.dumps({"ready": self.ready, "checks": self.checks}) + "\n"

    def as_text(self) -> str:
        """For everybody else."""
        return "ok\n" if self.ready else "not ready\n"


def examine(checks: Checks) -> Readiness:
    """Look at these; it blocks as long as they do, and raises nothing.

    If the database cannot be asked, nothing else is asked of it.
    """
    found: dict[str, Check] = {}
    for name, look in sorted(checks.items(), key=lambda one: one[0] != DATABASE):
        away = name in STORE and found.get(DATABASE, Check(OK)).words == AWAY
        found[name] = Check(NOT_ASKED) if away else _looked_at(name, look)
    ready = all(one.words == OK or one.told_only for one in found.values())
    return Readiness(ready, {name: one.words for name, one in found.items()})


def without_database(checks: Checks) -> Readiness:
    """What `examine` says of checks that all ask the database, when that does not answer."""
    return Readiness(False, {name: AWAY if name == DATABASE else NOT_ASKED for name in checks})


def _looked_at(name: str, look: Callable[[], Check]) -> Check:
    try:
        return look()
    except TimeoutError:
        return Check(SLOW)
    except (DatabaseError, OSError):
        return Check(AWAY)
    except Exception:
        log.exception("whether it is ready cannot be told: %s", name)
        return Check("cannot be told; the log says why")


def _is_there() -> bool:
    def select() -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")

    try:
        apart(select)
    except (DatabaseError, OSError) as error:
        return has_no_place(error)
    return True


_there = Shared(_is_there)


def database() -> Check:
    """Does it answer, within 1.5 s?"""
    return Check(OK if answers() else AWAY)


def answers() -> bool:
    """Does the database answer within 1.5 s? Raises nothing that the database's library does."""
    return bool(_there.within(ASK_SECONDS))


async def answers_here() -> bool:
    """The same for an event loop."""
    try:
        return await asyncio.wait_for(asyncio.shield(asyncio.wrap_future(_there())), ASK_SECONDS)
    except TimeoutError:
        return False


class _Known:
    """A question to a database that is there: what it said last stands while it is slow, or has no place for us.

    A table that a migration has locked must not take all consoles out of their proxy at once.
    """

    def __init__(self, question: Callable[[], bool]) -> None:
        self._question = Shared(question)
        self.last: bool | None = None
        """What it said last; None if it never did."""

    def __call__(self) -> bool:
        """Raises what the question does, or TimeoutError, if it was never answered."""
        try:
            self.last = self._question().result(ASK_SECONDS)
        except (DatabaseError, OSError):
            if self.last is None:
                raise
        return self.last


def _is_migrated() -> bool:
    def plan() -> list[Any]:
        executor = MigrationExecutor(connection)
        return executor.migration_plan(executor.loader.graph.leaf_nodes())

    return not apart(plan)


def _opens() -> bool:
    newest = ConfigFile.objects.order_by("-pk").values_list("first_secret", flat=True)
    try:
        apart(newest.first)  # opened as it is read
    except CannotDecrypt:
        return False
    return True


_all_tables, _our_keys = _Known(_is_migrated), _Known(_opens)


def migrations() -> Check:
    """Has it all the tables of this program? Once it had them nobody takes them away under a running process."""
    return Check(OK if _all_tables.last or _all_tables() else BEHIND)


def keys() -> Check:
    """Do our keys open what was encrypted last?"""
    return Check(OK if _our_keys() else LOCKED)


STORE: Checks = {DATABASE: database, "migrations": migrations, "keys": keys}
"""What every process needs that asks the database itself."""
