"""Python imports this first in processes that run under libfaketime (tests/support/faked_clock.py).

Told to leave CLOCK_MONOTONIC alone, libfaketime (0.9.10) still takes a moment of it for one of the clock that it fakes:
clock_nanosleep(2), which is time.sleep, fails with EINVAL then, and a timer of timerfd_settime(2) never rings. So the
first becomes select(2), which counts from now, and who calls the C library by ctypes gets that library itself.
"""

import ctypes
import select
import time
from typing import Any


class _Library(ctypes.CDLL):
    def __init__(self, name: str | None, *arguments: Any, **more: Any) -> None:
        super().__init__("libc.so.6" if name is None else name, *arguments, **more)


def _sleep(seconds: float) -> None:
    if seconds < 0:
        raise ValueError("sleep length must be non-negative")
    select.select([], [], [], seconds)


ctypes.CDLL = _Library  # type: ignore[misc]
time.sleep = _sleep
