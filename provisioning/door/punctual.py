"""Waiting until a moment, to the microsecond.

asyncio waits in epoll, which counts whole milliseconds from when it begins to wait: what leaves after such a wait tells
how long the look-ups before it took, modulo one millisecond. A timer of the kernel that was set to a moment does not.
Sources: timerfd_create(2), epoll_wait(2).
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import sys
import time

TFD_FLAGS = os.O_NONBLOCK | getattr(os, "O_CLOEXEC", 0)
TFD_TIMER_ABSTIME = 1


class _Setting(ctypes.Structure):
    """struct itimerspec: it rings once, at a moment in seconds and nanoseconds."""

    _fields_ = tuple((name, ctypes.c_long) for name in ("every_s", "every_ns", "at_s", "at_ns"))


async def wait_until(moment: float) -> None:
    """Until this time in seconds of the loop's clock, which is CLOCK_MONOTONIC; at once if it is over."""
    loop = asyncio.get_running_loop()
    if moment <= loop.time():
        return
    try:
        timer = _timer(moment)
    except OSError:  # no descriptor is left, or this is not Linux
        await asyncio.sleep(moment - loop.time())
        return
    rung = asyncio.Event()
    try:
        loop.add_reader(timer, rung.set)
        await rung.wait()
    finally:
        loop.remove_reader(timer)
        os.close(timer)


def _timer(moment: float) -> int:
    """The descriptor of a timer that becomes readable then. Raises OSError."""
    if sys.platform != "linux":
        raise OSError("timerfd is Linux's")
    libc = ctypes.CDLL(None, use_errno=True)
    timer = int(libc.timerfd_create(time.CLOCK_MONOTONIC, TFD_FLAGS))
    if timer < 0:
        raise OSError(ctypes.get_errno(), "timerfd_create")
    setting = _Setting(0, 0, *divmod(int(moment * 1e9), 1_000_000_000))
    if libc.timerfd_settime(timer, TFD_TIMER_ABSTIME, ctypes.byref(setting), None):
        os.close(timer)
        raise OSError(ctypes.get_errno(), "timerfd_settime")
    return timer
