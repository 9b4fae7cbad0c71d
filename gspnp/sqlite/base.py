"""SQLite with a queue: a transaction that writes waits for its turn at a file lock, and only then asks SQLite.

SQLite's own way of waiting is to sleep and ask again, 1 to 100 ms at a time: a busy writer keeps others out for half a
second, and a lock that is free is noticed late. The kernel wakes whoever waits for a file lock at once, and gives the
lock back when a process dies. SQLite's lock stays what protects the data; this one only orders who asks for it.
Source: sqlite.org/c3ref/busy_timeout.html; flock(2).
"""

import contextlib
import fcntl
import os

from django.db.backends.sqlite3 import base

SUFFIX = "-turn"


class DatabaseWrapper(base.DatabaseWrapper):
    """Django's wrapper; each connection has its own descriptor of the lock file, so threads take turns as well."""

    _turn: int | None = None

    def _start_transaction_under_autocommit(self):
        self._wait_for_turn()
        try:
            super()._start_transaction_under_autocommit()  # type: ignore[misc]
        except BaseException:
            self._give_turn_back()
            raise

    def _commit(self):
        try:
            return super()._commit()  # type: ignore[misc]
        finally:
            self._give_turn_back()

    def _rollback(self):
        try:
            return super()._rollback()  # type: ignore[misc]
        finally:
            self._give_turn_back()

    def _close(self):
        try:
            return super()._close()  # type: ignore[misc]
        finally:
            self._give_turn_back()

    def _wait_for_turn(self):
        if self._turn is None and not self.is_in_memory_db():
            self._turn = os.open(f"{self.settings_dict['NAME']}{SUFFIX}", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(self._turn, fcntl.LOCK_EX)

    def _give_turn_back(self):
        if self._turn is not None:
            turn, self._turn = self._turn, None
            with contextlib.suppress(OSError):
                os.close(turn)
