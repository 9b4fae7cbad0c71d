"""The database away, as all that one process tries say it together: once when it goes, once when it is back."""

import threading
import time
from collections.abc import Callable


class Outage:
    """Whether the database is away, as far as this process knows, from whatever thread. Times are monotonic seconds.

    It says what is news; in which words is for whoever asks.
    """

    def __init__(self, clock: Callable[[], float] | None = None) -> None:
        self._clock = clock or time.monotonic
        self._lock = threading.Lock()
        self._since: float | None = None
        self.back_at = self._clock()
        """When it came back last, or was seen first."""

    @property
    def is_on(self) -> bool:
        """Is it away?"""
        return self._since is not None

    def gone(self, began: float) -> bool:
        """A try that began then found no database: is that news? One that has waited since before it came back learns
        late what is over."""
        with self._lock:
            if self._since is not None or began < self.back_at:
                return False
            self._since = self._clock()
            return True

    def back(self, began: float) -> float | None:
        """A try that began then found it: for how many seconds it was away, if it is news that it is back. A try that
        is older than the outage proves nothing."""
        with self._lock:
            if self._since is None or began < self._since:
                return None
            self.back_at = self._clock()
            seconds, self._since = self.back_at - self._since, None
            return seconds
