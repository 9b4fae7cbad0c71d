"""The pages of jobs: which there are, how far one has come, what failed, and its buttons."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from gspnp.console.access import CHANGE, VIEW, is_fetch, needs
from gspnp.console.shell import shell_context
from provisioning.jobs import runner, telling
from provisioning.jobs.models import OPEN_JOBS
from provisioning.models import Job, JobState

SHOWN_JOBS = 50
SHOWN_FAILURES = 200
NOBODY_SECONDS = 10  # a worker looks twice a second
BUTTONS = {"pause": runner.pause, "resume": runner.resume, "cancel": runner.cancel}
ICONS = {
    JobState.WAITING: "hourglass_top", JobState.RUNNING: "sync", JobState.PAUSED: "pause_circle",
    JobState.DONE: "check_circle", JobState.CANCELLED: "cancel", JobState.FAILED: "error",
}  # fmt: skip


@require_safe
@needs(VIEW)
def overview(request: HttpRequest) -> HttpResponse:
    """The newest jobs."""
    context = shell_context(request, _("Jobs"), jobs=Job.objects.defer("scope")[:SHOWN_JOBS])
    return render(request, "console/jobs/list.html", context)


@require_safe
@needs(VIEW)
def page(request: HttpRequest, job_id: int) -> HttpResponse:
    """One job."""
    job = get_object_or_404(Job, pk=job_id)
    return render(request, "console/jobs/job.html", shell_context(request, job.title) | _context(request, job))


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
        messages.error(request, str(error))
    if is_fetch(request):
        return _part(request, job_id)
    return HttpResponseRedirect(reverse("console:job", args=[job.pk]))


def _part(request: HttpRequest, job_id: int) -> HttpResponse:
    return render(
        request, "console/jobs/_job.html", _context(request, get_object_or_404(Job.objects.defer("scope"), pk=job_id))
    )


def _context(request: HttpRequest, job: Job) -> dict[str, Any]:
    failures, told = job.failures.select_related("phone")[:SHOWN_FAILURES], telling.told(job)
    is_open = job.state in OPEN_JOBS
    return {
        "job": job,
        "icon": ICONS[JobState(job.state)],
        "is_open": is_open or bool(told.waiting),
        "told": told,
        "may_pause": job.state in (JobState.WAITING, JobState.RUNNING) or bool(told.waiting),
        "may_resume": job.state == JobState.PAUSED or bool(told.held),
        "may_cancel": is_open or bool(told.waiting or told.held),
        "failures": failures,
        "more_failures": max(0, job.failures.count() - SHOWN_FAILURES),
        "nobody": _nobody_takes_it(job),
        "may_change": request.user.has_perm(CHANGE),
    }


def _nobody_takes_it(job: Job) -> bool:
    """Whether it waits for a worker that does not seem to be there."""
    return job.state == JobState.WAITING and timezone.now() - job.called_at > timedelta(seconds=NOBODY_SECONDS)
