"""The worker, as those see it who watch: a port of its own, what it shows there, and whether its loops go on.

The worker also reads how long phones take from stage to stage, and shows what the database says of the whole
installation: it is the one process that has no second one beside it that phones or people notice.
"""

from __future__ import annotations

import contextlib
import logging
import math
import threading
import time
from collections.abc import Sequence
from datetime import datetime

from django.conf import settings
from django.db import DatabaseError, close_old_connections, connections

from devices import metrics, stage_times
from provisioning import readiness
from provisioning.facts import Facts
from provisioning.jobs import alive
from provisioning.readiness import OK, Check, Checks
from provisioning.side_port import InAThread, Where

log = logging.getLogger(__name__)

PORT = "GSPNP_WORK_METRICS_PORT"
READ_SECONDS = 1.0  # between two looks at the events
AFTER_FAILURE_SECONDS = 5.0
STOP_SECONDS = 2.0

_turned: dict[str, float] = {}  # loop -> when it began its last turn


def turned() -> None:
    """The loop of this thread begins a turn."""
    _turned[threading.current_thread().name] = time.monotonic()


def begin(loops: Sequence[threading.Thread]) -> contextlib.ExitStack:
    """Show how this worker does, until it is closed. Nothing of it can end the worker."""
    closing = contextlib.ExitStack()
    if not settings.GSPNP_WORK_METRICS_PORT:
        return closing
    metrics.watch_database()
    stage_times.show()
    closing.enter_context(metrics.reading(Facts()))
    stopping = threading.Event()
    reader = threading.Thread(target=_read_stages, args=(stopping, _since()), name="stages", daemon=True)
    reader.start()
    closing.callback(reader.join, STOP_SECONDS)
    closing.callback(stopping.set)
    port = InAThread(Where(settings.GSPNP_METRICS_BIND, settings.GSPNP_WORK_METRICS_PORT, PORT), checks(loops))
    closing.callback(port.close)
    return closing


def checks(loops: Sequence[threading.Thread]) -> Checks:
    """The database, and each loop: it runs, and has begun a turn lately."""

    def look(loop: threading.Thread) -> Check:
        since = time.monotonic() - _turned.get(loop.name, -math.inf)
        return Check(OK if loop.is_alive() and since < alive.STALE_SECONDS else "does not go on: its log says why")

    return readiness.STORE | {loop.name: (lambda loop=loop: look(loop)) for loop in loops}


def _since() -> datetime | None:
    with contextlib.suppress(DatabaseError):
        return alive.last_beat()
    return None


def _read_stages(stopping: threading.Event, since: datetime | None) -> None:
    times, failed = stage_times.StageTimes(since), False
    while not stopping.is_set():
        try:
            close_old_connections()
            more, failed = times.look() >= stage_times.READ_ROWS, False
            stopping.wait(0.01 if more else READ_SECONDS)
        except Exception as error:
            if not failed:  # once: whoever works here says what is wrong with the database
                log.warning("how long phones take cannot be read (%s); trying again", type(error).__name__)
            failed = True
            stopping.wait(AFTER_FAILURE_SECONDS)
    connections.close_all()
