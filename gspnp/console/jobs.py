"""The pages of jobs: which there are, how far one has come, what failed, and its buttons."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.db.models import Count, Q
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from gspnp.console import narrow, withheld
from gspnp.console.access import CHANGE, VIEW, is_fetch, needs
from gspnp.console.refusal import refuse
from gspnp.console.shell import shell_context
from gspnp.console.tables import ListQuery
from provisioning.importing import figures
from provisioning.importing.models import ImportState
from provisioning.jobs import kinds, runner, standing
from provisioning.jobs.models import OPEN_JOBS
from provisioning.models import Job, JobState, Notify, NotifyState

SHOWN_JOBS = 50
SHOWN_FAILURES = 200
SHOWN_WITHHELD = 10  # the list of phones has them all
NOBODY_SECONDS = 10  # a worker looks twice a second
TROUBLES = (NotifyState.REFUSED, NotifyState.UNANSWERED, NotifyState.NOT_NEEDED)
BUTTONS = {"pause": runner.pause, "resume": runner.resume, "cancel": runner.cancel}
ICONS = {
    JobState.WAITING: "hourglass_top", JobState.RUNNING: "sync", JobState.PAUSED: "pause_circle",
    JobState.DONE: "check_circle", JobState.CANCELLED: "cancel", JobState.FAILED: "error",
}  # fmt: skip


@require_safe
@needs(VIEW)
def overview(request: HttpRequest) -> HttpResponse:
    """The newest jobs."""
    jobs = list(Job.objects.defer("scope")[:SHOWN_JOBS])
    stand = standing.of_each(jobs)
    lines = [(job, stand[job.pk], kinds.of(job).order is not None) for job in jobs]
    context = shell_context(request, _("Jobs"), jobs=lines)
    return render(request, "console/jobs/list.html", context)


@require_safe
@needs(VIEW)
def page(request: HttpRequest, job_id: int) -> HttpResponse:
    """One job."""
    job = get_object_or_404(Job, pk=job_id)
    return render(
        request,
        "console/jobs/job.html",
        shell_context(request, _("Job: %(title)s") % {"title": job.title}) | _context(request, job),
    )


@require_safe
@needs(VIEW)
def live_part(request: HttpRequest, job_id: int) -> HttpResponse:
    """What of it changes by itself."""
    return _part(request, job_id)


@require_POST
@needs(CHANGE)
def press(request: HttpRequest, job_id: int, button: str) -> HttpResponse:
    """Pause, resume or cancel; 409 with words if it cannot be done as things stand."""
    job = get_object_or_404(Job, pk=job_id)
    try:
        BUTTONS[button](job.pk)
    except runner.JobError as error:
        if is_fetch(request):
            return JsonResponse({"message": str(error)}, status=409)
        refuse(request, str(error))
    if is_fetch(request):
        return _part(request, job_id)
    return HttpResponseRedirect(reverse("console:job", args=[job.pk]))


def _part(request: HttpRequest, job_id: int) -> HttpResponse:
    return render(
        request, "console/jobs/_job.html", _context(request, get_object_or_404(Job.objects.defer("scope"), pk=job_id))
    )


def _context(request: HttpRequest, job: Job) -> dict[str, Any]:
    kind = kinds.of(job)
    order = _order(job, kind) if kind.order else None
    waits, stands = withheld.of(job), standing.of(job)
    failures, told = job.failures.select_related("phone")[:SHOWN_FAILURES], stands.told
    is_open = job.state in OPEN_JOBS
    unasked = job.total - job.done + told.dropped if order and job.state == JobState.CANCELLED else 0
    return {
        "job": job,
        "stands": stands,
        "icon": "pending" if waits and stands.state == JobState.DONE else ICONS[stands.state],
        "withheld": waits,
        "withheld_phones": withheld.of_jobs([job.pk]).select_related("phone").defer("datagram")[:SHOWN_WITHHELD],
        "more_withheld": max(0, told.withheld - SHOWN_WITHHELD),
        "withheld_url": _narrowed(narrow.WITHHELD, job),
        "unasked": unasked,
        "unasked_url": _narrowed(narrow.UNASKED, job),
        "is_due": told.until is not None and told.until < timezone.now(),
        "next_turn": job.called_at if job.state == JobState.RUNNING and job.called_at > timezone.now() else None,
        "order": order,
        "imported": figures.came(job) if job.kind == kinds.IMPORT else None,
        "after_cancel": kind.words.cancelled if job.state == JobState.CANCELLED else "",
        "cancel_means": _cancel_means(job, kind),
        "is_open": stands.is_open or bool(told.waiting) or bool(order and order.under_way),
        "told": told,
        "may_pause": job.state in (JobState.WAITING, JobState.RUNNING) or bool(told.waiting),
        "may_resume": (job.state == JobState.PAUSED and not kind.not_ready(job)) or bool(told.held),
        "may_cancel": is_open or bool(told.waiting or told.held),
        "failures": failures,
        "more_failures": max(0, job.failures.count() - SHOWN_FAILURES),
        "nobody": _nobody_takes_it(job),
        "may_change": request.user.has_perm(CHANGE),
    }


def _narrowed(kind: str, job: Job) -> str:
    """The list of phones, narrowed to some of this job."""
    return f"{reverse('console:phones')}{ListQuery(only=f'{kind}:{job.pk}').url()}"


@dataclass(frozen=True)
class Asked:
    """What became of the phones that an order has asked; of those that were not asked there are the job's failures."""

    tells: bool
    wanted: int
    answered: int
    under_way: int
    troubles: list[Notify]
    more_troubles: int


def _cancel_means(job: Job, kind: kinds.Kind) -> str:
    """What pressing the button does to what is done already."""
    if kind.order:
        return _("What is done stays done")
    if job.kind == kinds.IMPORT and job.state in OPEN_JOBS:
        if job.imports.filter(state__in=(ImportState.APPLYING, ImportState.RESTORING)).exists():
            return _("What is stored of it is taken back")
        return _("What is undone stays so, and the rest can be undone again")
    return _("Phones that have their new file keep it")


def _order(job: Job, kind: kinds.Kind) -> Asked:
    tells = kind.order is not None and kind.order.tells is not None
    mine = job.notifies.all()
    # What a paused or cancelled job has taken back is no trouble; `told` counts it.
    taken_back = Q(note__in=(kind.words.held, kind.words.dropped))
    trouble = mine.filter(state__in=TROUBLES).exclude(taken_back).order_by("pk")
    counts = mine.aggregate(
        answered=Count("pk", filter=Q(state=NotifyState.DELIVERED)),
        under_way=Count("pk", filter=Q(state__in=(NotifyState.WAITING, NotifyState.SENDING))),
    )
    troubles = list(trouble.select_related("phone").defer("datagram")[:SHOWN_FAILURES])
    more = max(0, trouble.count() - SHOWN_FAILURES)
    return Asked(tells, job.total - job.failed, **counts, troubles=troubles, more_troubles=more)


def _nobody_takes_it(job: Job) -> bool:
    """Whether it waits for a worker that does not seem to be there: for the first one, or for the next turn."""
    waits = job.state == JobState.WAITING or (job.state == JobState.RUNNING and not job.worker)
    return waits and timezone.now() - job.called_at > timedelta(seconds=NOBODY_SECONDS)
