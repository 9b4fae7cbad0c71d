"""SQLite with a queue: a transaction that writes waits for its turn at a file lock, and only then asks SQLite.

SQLite's own way of waiting is to sleep and ask again, 1 to 100 ms at a time: a busy writer keeps others out for half a
second, and a lock that is free is noticed late. The kernel wakes whoever waits for a file lock at once, and gives the
lock back when a process dies. One more lock is the head of the queue: who is next holds it, so that a writer that goes
on and on has no second turn before that one. SQLite's lock stays what protects the data; these only order who asks.
Source: sqlite.org/c3ref/busy_timeout.html; flock(2).
"""

import contextlib
import fcntl
import os

from django.db import OperationalError
from django.db.backends.sqlite3 import base

from gspnp.folding import fold

TURN, HEAD = "-turn", "-head"


class DatabaseWrapper(base.DatabaseWrapper):
    """Django's wrapper; each connection has its own descriptor of the lock file, so threads take turns as well."""

    _turn: int | None = None

    def get_new_connection(self, conn_params):
        """With the function by which names are compared in a search."""
        connection = super().get_new_connection(conn_params)
        connection.create_function("gspnp_fold", 1, fold, deterministic=True)
        return connection

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
        """A descriptor that holds the lock of this file. Raises OperationalError."""
        path = f"{self.settings_dict['NAME']}{suffix}"
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise OperationalError(
                f"cannot open {path} ({error.strerror}): it must be ours, as the database is"
            ) from error
        try:
            self._give_to_owner(descriptor)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor

    def _give_to_owner(self, descriptor):
        """As SQLite does with its own files: what root has made must not lock the service out of its database."""
        with contextlib.suppress(OSError):
            database, lock = os.stat(self.settings_dict["NAME"]), os.fstat(descriptor)
            if os.geteuid() == 0 and (database.st_uid, database.st_gid) != (lock.st_uid, lock.st_gid):
                os.fchown(descriptor, database.st_uid, database.st_gid)

    def _give_turn_back(self):
        if self._turn is not None:
            turn, self._turn = self._turn, None
            with contextlib.suppress(OSError):
                os.close(turn)
