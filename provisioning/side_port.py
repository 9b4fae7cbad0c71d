"""A small HTTP port of a process that has no door: /metrics, /healthz and /readyz, and nothing else.

It is served by the phones' door's own HTTP (provisioning/door/wire.py). A port that cannot be had is a warning: nobody
stops hearing phones because somebody watches.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import ParamSpec, TypeVar

from django.db import connections

from devices import metrics
from provisioning import readiness
from provisioning.door.http import NO_STORE, REFUSED, Answer, Request, plain
from provisioning.door.wire import Connection, Room
from provisioning.readiness import Readiness

log = logging.getLogger(__name__)

CONNECTIONS = 20  # at once
STOP_SECONDS = 5.0

P = ParamSpec("P")
T = TypeVar("T")
Show = Callable[[str], Awaitable[tuple[str, bytes]]]
Ready = Callable[[], Awaitable[Readiness]]


@dataclass(frozen=True)
class Where:
    """An address of ours, and the setting that says the port."""

    host: str
    port: int
    setting: str


async def shown(accept: str) -> tuple[str, bytes]:
    """The metrics of a process that asks no database for them."""
    return metrics.exposition(accept)


async def opened(where: Where, ready: Ready, show: Show = shown) -> asyncio.Server | None:
    """Serve in this event loop; None if there is no port to serve on."""
    if not where.port:
        return None
    room = Room(most=CONNECTIONS)

    async def answer(request: Request) -> Answer:
        return await answer_to(request, ready, show)

    try:
        return await asyncio.get_running_loop().create_server(lambda: Connection(answer, room), where.host, where.port)
    except OSError as error:
        log.warning(
            "no metrics are shown: port %d on %s cannot be opened (%s). Set %s to a free port, or to 0 for none.",
            where.port, where.host, error.strerror or error, where.setting,
        )  # fmt: skip
        return None


async def answer_to(request: Request, ready: Ready, show: Show = shown) -> Answer:
    """What each of the paths says, and to whom."""
    said = await of_itself(request, ready, show)
    if said is None and request.path == "/healthz" and request.method in ("GET", "HEAD"):
        return plain("ok\n", 200)
    return said or REFUSED


async def of_itself(request: Request, ready: Ready, show: Show = shown) -> Answer | None:
    """/metrics to whoever may read them, and /readyz; None: this request is as any other."""
    if request.method not in ("GET", "HEAD"):
        return None
    if request.path == "/metrics" and metrics.may_read(request.peer, request.headers):
        content_type, body = await show(request.header("accept"))
        return Answer(200, content_type, body, headers=(NO_STORE,))
    if request.path == "/readyz":
        return _ready_answer(await ready(), is_reader=metrics.may_read(request.peer, request.headers))
    return None


def _ready_answer(found: Readiness, *, is_reader: bool) -> Answer:
    """Why it is not ready is for those who watch; to everybody else it says no more than whether."""
    if not is_reader:
        return plain(found.as_text(), found.status)
    return Answer(found.status, "application/json", found.as_json().encode(), headers=(NO_STORE,))


class InAThread:
    """The same for a process that has no event loop, with what the database says. It ends with the process."""

    def __init__(self, where: Where, checks: readiness.Checks) -> None:
        self._where, self._checks = where, checks
        self._asking = ThreadPoolExecutor(1, thread_name_prefix="metrics")
        self._looking = ThreadPoolExecutor(1, thread_name_prefix="ready")  # it waits for no metrics
        self._loop = asyncio.new_event_loop()
        self._stopping = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="side port", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Give the port back."""
        with contextlib.suppress(RuntimeError):  # it could not be opened, and has ended
            self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join(STOP_SECONDS)
        self._asking.shutdown(wait=False, cancel_futures=True)
        self._looking.shutdown(wait=False, cancel_futures=True)

    def _run(self) -> None:
        try:
            self._loop.run_until_complete(self._serve())
        except Exception:  # whatever it is: the work goes on
            log.exception("metrics are not shown any more")
        finally:
            self._loop.close()

    async def _serve(self) -> None:
        server = await opened(self._where, self._ready, self._show)
        if server is None:
            return
        await self._stopping.wait()
        server.close()

    async def _ready(self) -> Readiness:
        return await self._ask(self._looking, readiness.examine, self._checks)

    async def _show(self, accept: str) -> tuple[str, bytes]:
        return await self._ask(self._asking, metrics.exposition, accept)

    async def _ask(self, by: Executor, question: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._loop.run_in_executor(by, partial(_asked, question, *args, **kwargs))


def _asked(question: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Ask the database; the connection is closed afterwards, for the next question may be a minute away."""
    try:
        return question(*args, **kwargs)
    finally:
        connections.close_all()
