"""Whether a process can do its work: checks by name, each a word of ours and never what the database's library says.

A check that is not fine makes the process not ready, unless it is only told: what works without it says so.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass

from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor

from devices.crypto import CannotDecrypt
from provisioning.models import ConfigFile

log = logging.getLogger(__name__)

OK = "ok"
AWAY = "cannot be asked"
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
    """Look at these; it blocks as long as they do, and raises nothing."""
    found = {name: _looked_at(name, look) for name, look in checks.items()}
    ready = all(one.words == OK or one.told_only for one in found.values())
    return Readiness(ready, {name: one.words for name, one in found.items()})


def _looked_at(name: str, look: Callable[[], Check]) -> Check:
    try:
        return look()
    except (DatabaseError, OSError):
        return Check(AWAY)
    except Exception:
        log.exception("whether it is ready cannot be told: %s", name)
        return Check("cannot be told; the log says why")


def database() -> Check:
    """Does it answer?"""
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    return Check(OK)


_migrated = False
_lock = threading.Lock()


def migrations() -> Check:
    """Has it all the tables of this program? Once it had them nobody takes them away under a running process."""
    global _migrated
    with _lock:
        if not _migrated:
            executor = MigrationExecutor(connection)
            _migrated = not executor.migration_plan(executor.loader.graph.leaf_nodes())
    return Check(OK if _migrated else BEHIND)


def keys() -> Check:
    """Do our keys open what was encrypted last?"""
    try:
        ConfigFile.objects.order_by("-pk").values_list("first_secret", flat=True).first()  # opened as it is read
    except CannotDecrypt:
        return Check(LOCKED)
    return Check(OK)


STORE: Checks = {"database": database, "migrations": migrations, "keys": keys}
"""What every process needs that asks the database itself."""
