"""How long files, NOTIFYs, downloads and jobs are kept: rules for the sweeper (devices/retention.py).

Proofs are never among them: that a phone fetched and applied its file stands in the file's own row.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db.models import Exists, Max, Min, OuterRef, Q, QuerySet
from django_tasks_db.models import DBTaskResult

from devices import retention
from devices.models import Phone
from devices.retention import Rule, before, between, older
from provisioning import outbox
from provisioning.models import (
    OPEN_STATES,
    Attempt,
    ConfigFile,
    Download,
    Job,
    JobFailure,
    JobTarget,
    Notify,
    Release,
)

TASKS_DAYS = 1  # a task of the queue is only a call, and over when it was answered. Our choice


# --- versions -------------------------------------------------------------------------------------------------------


def _old_versions(now: datetime) -> QuerySet | None:
    """Versions beyond the number that is kept for each phone.

    Those stay that a path leads to, that a NOTIFY is owed for, and the newest one that the phone has proven: it is what
    the phone has. No path leads to one that was replaced before the phone had fetched it (downloads.py).
    """
    keep = settings.GSPNP_VERSIONS_KEPT
    if not keep:
        return None
    of_phone = ConfigFile.objects.filter(phone=OuterRef("phone"))
    owed = Notify.objects.filter(config_file=OuterRef("pk"), state__in=OPEN_STATES)
    newer_proof = of_phone.filter(applied_at__isnull=False, number__gt=OuterRef("number"))
    return ConfigFile.objects.filter(
        Exists(of_phone.filter(number__gte=OuterRef("number") + keep)),
        Q(applied_at=None) | Exists(newer_proof),
        Q(retired_at__isnull=False) | Q(fetched_at=None),
        ~Exists(owed),
    )


def _look_for_versions(now: datetime, low: Any, high: Any) -> list[int]:
    """Old versions of the phones with these keys. Who has too many is answered by an index alone: a version is long."""
    spread = Max("number") - Min("number")
    numbers = ConfigFile.objects.filter(between("phone", low, high)).order_by().values("phone").annotate(spread=spread)
    phones = list(numbers.filter(spread__gte=settings.GSPNP_VERSIONS_KEPT).values_list("phone", flat=True))
    rows = _old_versions(now)
    if rows is None or not phones:
        return []
    return list(rows.filter(phone__in=phones).order_by("pk").values_list("pk", flat=True)[: retention.MOST_BITE])


def _remove_versions(rows: QuerySet) -> None:
    outbox.lock_phones(rows.values_list("phone", flat=True))
    rows.only("pk").delete()  # Django reads what it deletes: no file is opened for it, and none need be open to go


# --- NOTIFYs and jobs -----------------------------------------------------------------------------------------------


def _old_notifies(now: datetime) -> QuerySet | None:
    """What is over. The last one of its kind stays: the phone's page, and what is owed next, ask for it."""
    since = before("GSPNP_KEEP_NOTIFYS_DAYS", now)
    if since is None:
        return None
    newer = Notify.objects.filter(phone=OuterRef("phone"), kind=OuterRef("kind"), pk__gt=OuterRef("pk"))
    old = Notify.objects.filter(Q(settled_at=None) | Q(settled_at__lt=since), created_at__lt=since)
    return old.exclude(state__in=OPEN_STATES).filter(Exists(newer))


def _of_old_jobs(rows: QuerySet) -> retention.Rows:
    def old(now: datetime) -> QuerySet | None:
        since = before("GSPNP_KEEP_JOBS_DAYS", now)
        return None if since is None else rows.filter(job__in=Job.objects.filter(ended_at__lt=since).order_by())

    return old


def _old_jobs(now: datetime) -> QuerySet | None:
    """Jobs of which nothing is left but the row itself: it goes at once, however many phones the job had."""
    since = before("GSPNP_KEEP_JOBS_DAYS", now)
    if since is None:
        return None
    left = (model.objects.filter(job=OuterRef("pk")) for model in (JobFailure, JobTarget, Notify))
    return Job.objects.filter(*(~Exists(rows) for rows in left), ended_at__lt=since)


def _old_tasks(now: datetime) -> QuerySet:
    return DBTaskResult.objects.filter(finished_at__lt=now - timedelta(days=TASKS_DAYS))


retention.register(
    Rule("downloads", older(Download, "at", "GSPNP_KEEP_DOWNLOADS_DAYS"), order=("at",)),
    Rule("attempts", older(Attempt, "at", "GSPNP_KEEP_DOWNLOADS_DAYS"), order=("at",)),
    Rule("releases", older(Release, "closed_at", "GSPNP_KEEP_DOWNLOADS_DAYS"), walk=Release),
    Rule("NOTIFYs", _old_notifies, walk=Notify),
    Rule("versions", _old_versions, walk=Phone, look=_look_for_versions, remove=_remove_versions),
    # A job may have had a hundred thousand phones: what hangs on it goes in bites of its own, and before it.
    Rule("failures of jobs", _of_old_jobs(JobFailure.objects.all()), order=("job",)),
    Rule("targets of jobs", _of_old_jobs(JobTarget.objects.all()), order=("job", "id")),
    Rule("NOTIFYs of jobs", _of_old_jobs(Notify.objects.all()), order=("job", "next_at"),
         remove=lambda rows: rows.update(job=None)),
    Rule("jobs", _old_jobs, order=("pk",)),
    Rule("tasks", _old_tasks, walk=DBTaskResult),
)  # fmt: skip
