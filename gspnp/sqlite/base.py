"""SQLite with a queue: a transaction that writes waits for its turn at a file lock, and only then asks SQLite.

SQLite's own way of waiting is to sleep and ask again, 1 to 100 ms at a time: a busy writer keeps others out for half a
second, and a lock that is free is noticed late. The kernel wakes whoever waits for a file lock at once, and gives the
lock back when a process dies. One more lock is the head of the queue: who waits for the turn holds it, so that nobody
has two turns in a row while another one waits. SQLite's lock stays what protects the data; these only order who asks.
Source: sqlite.org/c3ref/busy_timeout.html; flock(2).
"""

import contextlib
import fcntl
import os

from django.db.backends.sqlite3 import base

TURN, HEAD = "-turn", "-head"


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
            head = self._locked(HEAD)
            try:
                self._turn = self._locked(TURN)
            finally:
                os.close(head)

    def _locked(self, suffix):
        """A descriptor that holds the lock of this file."""
        descriptor = os.open(f"{self.settings_dict['NAME']}{suffix}", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor

    def _give_turn_back(self):
        if self._turn is not None:
            turn, self._turn = self._turn, None
            with contextlib.suppress(OSError):
                os.close(turn)
