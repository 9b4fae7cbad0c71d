"""The doctor's page: what this machine shows at once, and what the network answers when a person asks.

The probes run in this process, so they tell of the machine that the console runs on. They wait in threads of their
own: the page takes some seconds, and no other request waits for it.
"""

from __future__ import annotations

import threading

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_http_methods

from gspnp.console.access import VIEW, is_fetch, needs
from gspnp.console.shell import shell_context
from provisioning.models import MissedAsk
from provisioning.plain.missed import advice
from sipmcast.doctor.dhcp import BY_RELEASE_ONLY
from sipmcast.doctor.examine import examine
from sipmcast.doctor.finding import Report

MISSED_SHOWN = 50
BUSY = gettext_lazy("Somebody is running the checks at this moment. Try again in a few seconds.")
BUSY_STATUS = 429  # RFC 6585 4

# One run at a time: however many people press the button, a LAN gets one decoy after the other.
_running = threading.Lock()


@require_http_methods(["GET", "HEAD", "POST"])
@needs(VIEW)
def page(request: HttpRequest) -> HttpResponse:
    """GET reads this machine and sends nothing; POST runs the probes too. A script gets the findings alone."""
    probe = request.method == "POST"
    if probe and not _running.acquire(blocking=False):
        return _busy(request)
    try:
        report = examine(probe=probe, ask_firewall=probe)
    finally:
        if probe:
            _running.release()
    asked = [(one, advice(one.name)) for one in MissedAsk.objects.all()[:MISSED_SHOWN]]
    context = {"report": report, "sum_words": _sum(report), "by_release_only": BY_RELEASE_ONLY, "missed": asked}
    if is_fetch(request):
        return render(request, "console/_doctor.html", context)
    return render(request, "console/doctor.html", shell_context(request, _("Doctor")) | context)


def _sum(report: Report) -> str:
    """All of it in one sentence."""
    wrong, warnings = report.counts["wrong"], report.counts["warning"]
    if wrong and warnings:
        seen = _("%(wrong)d wrong, %(warnings)d to look at.")
        read = _("%(wrong)d wrong, %(warnings)d to look at as far as can be seen without asking the network.")
    elif wrong:
        seen = _("%(wrong)d wrong.")
        read = _("%(wrong)d wrong as far as can be seen without asking the network.")
    elif warnings:
        seen = _("Nothing is wrong, %(warnings)d to look at.")
        read = _("Nothing is wrong, %(warnings)d to look at as far as can be seen without asking the network.")
    else:
        seen = _("Nothing is wrong.")
        read = _("Nothing is wrong as far as can be seen without asking the network.")
    return (seen if report.probed else read) % {"wrong": wrong, "warnings": warnings}


def _busy(request: HttpRequest) -> HttpResponse:
    if is_fetch(request):
        return JsonResponse({"message": BUSY}, status=BUSY_STATUS)
    report = examine(probe=False, ask_firewall=False)
    context = shell_context(
        request, _("Doctor"), busy=BUSY, report=report, sum_words=_sum(report), by_release_only=BY_RELEASE_ONLY
    )
    return render(request, "console/doctor.html", context, status=BUSY_STATUS)
