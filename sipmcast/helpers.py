"""Processes that do the listener's database work, so that Python's one lock never stands between a phone and its 200.

A thread would share that lock: SQLite's driver gives it up and asks for it back at every row, and the pools of the
standard library have threads of their own. A helper is this same program with the same settings behind a pipe; it does
one call at a time, and dies with the process that started it.
"""

import asyncio
import contextlib
import ctypes
import gc
import logging
import math
import multiprocessing
import os
import pickle
import signal
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from typing import Any, Protocol

from django.db import close_old_connections

log = logging.getLogger(__name__)

PR_SET_PDEATHSIG = 1  # prctl(2)
STOP_SECONDS = 30.0
KEEP_SECONDS = 1.0  # how long a database connection is used without asking whether its server, or file, is the same


class Helper(Protocol):
    """Where calls are carried out."""

    async def run(self, call: Callable, *arguments: Any) -> Any:
        """What the call returns or raises over there; ConnectionError if the helper dies meanwhile."""

    def close(self) -> None:
        """Wait for the call that runs, and end."""


class Process:
    """A helper that is a process of its own; a dead one is started anew for the next call."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._turn = asyncio.Lock()
        self._child: multiprocessing.process.BaseProcess | None = None
        self._pipe: Connection | None = None

    async def run(self, call: Callable, *arguments: Any) -> Any:
        async with self._turn:
            try:
                pipe = self._pipe or self._start()
            except OSError as error:
                raise ConnectionError(f"the {self._name} process cannot be started ({error})") from error
            loop = asyncio.get_running_loop()
            answer: asyncio.Future[bytes] = loop.create_future()
            loop.add_reader(pipe.fileno(), _take, pipe, answer)
            try:
                pipe.send_bytes(pickle.dumps((call, arguments)))
                fine, result = pickle.loads(await answer)
            except (EOFError, OSError) as error:
                self._bury(pipe)
                raise ConnectionError(f"the {self._name} process has died") from error
            except asyncio.CancelledError:
                self._bury(pipe)  # its answer would be taken for that of the next call
                raise
            else:
                loop.remove_reader(pipe.fileno())
        if fine:
            return result
        raise result

    def close(self) -> None:
        if self._pipe is not None:
            self._pipe.close()  # the child reads the end of it, after the call that it is at
        if self._child is not None:
            self._child.join(STOP_SECONDS)

    def _start(self) -> Connection:
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        child = context.Process(target=_serve, args=(theirs, os.getpid()), name=self._name, daemon=True)
        try:
            child.start()
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()  # the child has its own by now
        self._pipe, self._child = ours, child
        return ours

    def _bury(self, pipe: Connection) -> None:
        if not pipe.closed:
            asyncio.get_running_loop().remove_reader(pipe.fileno())
            pipe.close()
        if self._pipe is pipe:
            self._pipe = None


class Thread:
    """A helper in this process, for tests that look into it."""

    def __init__(self, name: str) -> None:
        self._executor = ThreadPoolExecutor(1, thread_name_prefix=name)

    async def run(self, call: Callable, *arguments: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._executor, _Connection().run, call, arguments)

    def close(self) -> None:
        self._executor.shutdown(wait=True)


def _take(pipe: Connection, answer: asyncio.Future[bytes]) -> None:
    """The pipe has something to say: the whole answer, or its end."""
    if answer.done():
        return
    try:
        answer.set_result(pipe.recv_bytes())
    except (EOFError, OSError) as error:
        answer.set_exception(error)


def _serve(pipe: Connection, parent: int) -> None:
    """The life of a helper process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's affair
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    if os.getppid() != parent:  # it died before we could ask to die with it
        return
    with contextlib.suppress(OSError):
        # Else the kernel lets us run at once, in the place of the listener that has just asked us something.
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
    import django

    django.setup()
    gc.collect()
    gc.freeze()
    kept = _Connection()
    while True:
        try:
            call, arguments = pickle.loads(pipe.recv_bytes())
        except (EOFError, OSError):
            return
        answer = _answer(kept, call, arguments)
        try:
            pipe.send_bytes(answer)
        except OSError:
            return


def _answer(kept: "_Connection", call: Callable, arguments: tuple) -> bytes:
    try:
        return pickle.dumps((True, kept.run(call, arguments)))
    except Exception as error:
        log.debug("%s failed", getattr(call, "__name__", call), exc_info=True)
        try:
            return pickle.dumps((False, error))
        except Exception:
            return pickle.dumps((False, RuntimeError(f"{type(error).__name__}: {error}")))


class _Connection:
    """This process's database connection: kept from call to call, for to open one costs as much as a batch.

    After an error, and every second, it is given up: the file may have been replaced, or the server restarted.
    """

    def __init__(self) -> None:
        self._until = -math.inf

    def run(self, call: Callable, arguments: tuple) -> Any:
        now = time.monotonic()
        if now >= self._until:
            close_old_connections()
            self._until = now + KEEP_SECONDS
        try:
            return call(*arguments)
        except BaseException:
            self._until = -math.inf
            raise
