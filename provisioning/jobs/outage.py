"""The database away, as the loops of one process say it together: one line when it goes, one when it is back."""

import logging
import threading
import time
from collections.abc import Callable

log = logging.getLogger(__name__)


class Outage:
    """Whether the database is away, as far as several threads know. Times are monotonic seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._lock = clock, threading.Lock()
        self._since: float | None = None
        self._back_at = clock()

    def gone(self, error: Exception, began: float, again_seconds: float) -> None:
        """A try that began then found no database. One that has waited since before it came back says nothing new."""
        with self._lock:
            if self._since is not None or began < self._back_at:
                return
            self._since = self._clock()
        log.error("the database is away (%s); trying again every %.0f s", error, again_seconds)

    def back(self, began: float) -> None:
        """A try that began then found it. One that is older than the outage proves nothing."""
        with self._lock:
            if self._since is None or began < self._since:
                return
            self._back_at = self._clock()
            seconds, self._since = self._back_at - self._since, None
        log.info("the database is back after %.0f s", seconds)
