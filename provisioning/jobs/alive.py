"""The worker's sign of life, for whoever wants to know whether jobs are done and stuck phones explained."""

import platform
from collections.abc import Sequence
from datetime import datetime, timedelta

from django.db import InterfaceError, OperationalError
from django.utils import timezone

from devices.trust import CLOCK_SLACK_SECONDS
from provisioning.jobs.models import WorkerStatus

STALE_SECONDS = 60.0  # a round is begun every 5 s, and takes longer when there is much to do
# The database cannot be asked, and no other thing would go better. Every other error of it is of one thing.
AWAY = (OperationalError, InterfaceError)
FORGET_HOURS = 24  # after which a machine that has no worker any more is not named


def beat(started_at: datetime, failed: Sequence[str] = ()) -> None:
    """Say that the worker of this machine begins a round; `failed` names what went wrong in the last one."""
    now = timezone.now()
    trouble = f"In its last round this failed: {', '.join(failed)}. Its log says why." if failed else ""
    said = {"started_at": started_at, "heartbeat_at": now, "trouble": trouble[:300]}
    machine = this_machine()
    if not WorkerStatus.objects.filter(machine=machine).update(**said):
        WorkerStatus.objects.update_or_create(machine=machine, defaults=said)
        WorkerStatus.objects.filter(heartbeat_at__lt=now - timedelta(hours=FORGET_HOURS)).delete()


def stopped(started_at: datetime) -> None:
    """Say that this worker is gone: nobody has to wait until its last sign of life is old."""
    gone = timezone.now() - timedelta(seconds=STALE_SECONDS)
    WorkerStatus.objects.filter(machine=this_machine(), started_at=started_at).update(heartbeat_at=gone)


def last_beat() -> datetime | None:
    """The last sign of life of a worker of this machine; None if there never was one."""
    return WorkerStatus.objects.filter(machine=this_machine()).values_list("heartbeat_at", flat=True).first()


def is_fresh(status: WorkerStatus) -> bool:
    """Whether it lives. One that does says so again some seconds after the clock was set back; a sign of life in time
    to come is that of one which ended before."""
    age_seconds = (timezone.now() - status.heartbeat_at).total_seconds()
    return -CLOCK_SLACK_SECONDS <= age_seconds < STALE_SECONDS


def this_machine() -> str:
    """What the row of this machine's worker is called."""
    return platform.node()[:120] or "this machine"
