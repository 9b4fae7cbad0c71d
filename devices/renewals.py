"""A certificate as its files have it now: a renewed one is taken without a restart. Imports no Django, no socket."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable
from typing import Generic, TypeVar

from devices.certificates import CertificateError, Files

log = logging.getLogger(__name__)

LOOK_SECONDS = 1.0  # between two looks whether the files have changed

Context = TypeVar("Context")


class Keeper(Generic[Context]):
    """Makes what a door speaks TLS with, and makes it anew when one of its files changes.

    While what is there cannot be used (a renewal writes two files one after the other), the one before goes on.
    """

    def __init__(
        self, files: Files, make: Callable[[Files], Context], clock: Callable[[], float] = time.monotonic
    ) -> None:
        """`make` raises CertificateError for files that cannot be used, and so does this."""
        self._files, self._make, self._clock = files, make, clock
        self._looked_at = clock()
        self._stamp: object = None
        with contextlib.suppress(OSError):
            self._stamp = files.stamp
        self._context = make(files)

    def current(self) -> Context:
        """For a connection that begins now."""
        now = self._clock()
        if now - self._looked_at >= LOOK_SECONDS:
            self._looked_at = now
            self._look()
        return self._context

    def _look(self) -> None:
        try:
            stamp: object = self._files.stamp
        except OSError as error:
            stamp = str(error)
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            self._context = self._make(self._files)
        except CertificateError as error:
            log.warning("the certificate has changed and cannot be used; the one before goes on: %s", error)
        else:
            log.info("the certificate in %s has changed: it is used from now on", self._files.cert)
