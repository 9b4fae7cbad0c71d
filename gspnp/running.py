"""Whether processes of this installation run, and since when: what must not be done beside them asks here."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

from django.conf import settings
from django.utils import timezone

from gspnp import open_port
from provisioning.jobs import alive
from provisioning.models import WorkerStatus
from sipmcast.models import STALE_SECONDS, ListenerStatus, is_fresh_at


def running(started_before: dt.datetime | None = None) -> list[str]:
    """The processes that run, in words; only those that were started before that time, if one is given.

    One that was stopped says so itself; one that was killed is named until its last sign of life is old.
    Doors leave their trace in the data folder: one on another machine is not seen.
    """
    now = timezone.now()
    fresh = now - dt.timedelta(seconds=STALE_SECONDS)
    found = []
    listeners = ListenerStatus.objects.filter(is_fresh_at(now))
    workers = [one for one in WorkerStatus.objects.filter(heartbeat_at__gte=fresh) if alive.is_fresh(one)]
    for words, beating in (("listen", listeners), ("work", workers)):
        for one in beating:
            if started_before is None or one.started_at < started_before:
                ago = max(0, round((now - one.heartbeat_at).total_seconds()))
                found.append(
                    f"{words} ({one}, last heard {ago} s ago; if you have just stopped it, wait {STALE_SECONDS:.0f} s)"
                )
    folder = Path(settings.GSPNP_DATA_DIR)
    for words, name in (("console", open_port.CONSOLE_FILE_NAME), ("phones", open_port.FILE_NAME)):
        for port, opened in open_port.all_found(folder, name):
            if started_before is None or opened < started_before:
                found.append(f"{words} (port {port})")
    return found
