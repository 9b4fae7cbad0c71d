"""The overview: questions that a technician has of the whole fleet, each answered by a sentence, a list and a picture.

Figures come from `figures`; a script redraws the pictures from the same answer that a page load shows as lists.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from devices.choices import OUT_OF_SIGHT, Stage
from gspnp.console import alarms, figures, narrow, reasons
from gspnp.console.access import VIEW, needs
from gspnp.console.figures import Bucket, Fleet, ModelRuns
from gspnp.console.listening import listening
from gspnp.console.rows import ICONS, OFFLINE, ONLINE
from gspnp.console.shell import shell_context
from gspnp.console.tables import ATTENTION
from provisioning.gxp.firmware import Hole
from provisioning.models import JobState

MODELS_SHOWN = 12
SEES_DOWNLOADS = "provisioning.view_download"
SERIES = ("complete", "unchanged", "partial", "broken_off", "refused")


@dataclass(frozen=True)
class Line:
    """One line of a figure's list: `share` is in percent of all that it counts, `url` leads to those counted."""

    label: str
    count: int
    url: str = ""
    share: float = 0.0
    name: str = ""
    icon: str = ""
    more: str = ""


@require_safe
@needs(VIEW)
def page(request: HttpRequest) -> HttpResponse:
    """Everything at once."""
    context = shell_context(request, _("Overview")) | _context(request)
    return render(request, "console/overview/page.html", context)


@require_safe
@needs(VIEW)
def live_part(request: HttpRequest) -> HttpResponse:
    """The same figures, for the script that renews them."""
    return render(request, "console/overview/_figures.html", _context(request))


def _context(request: HttpRequest) -> dict[str, Any]:
    heard, fleet, parts = listening(), figures.fleet(), figures.parts()
    if not fleet.stages:
        return {"listening": heard, "parts": parts, "drawn": {}, **alarms.standing()}
    by_hour, by_day, fetched = figures.arrivals_by_hour(), figures.arrivals_by_day(), figures.downloads()
    stages, models = _stage_lines(fleet), fleet.models[:MODELS_SHOWN]
    may_see_downloads = request.user.is_staff and request.user.has_perm(SEES_DOWNLOADS)
    return {
        "listening": heard,
        "fleet": fleet,
        "parts": parts,
        "jobs": [Line(str(JobState(state).label), count) for state, count in parts.jobs.items()],
        **alarms.standing(),
        "stages": stages,
        "reach": [
            Line(_("online"), fleet.online, _list_url(reach=ONLINE), name=ONLINE),
            Line(_("offline"), fleet.offline, _list_url(reach=OFFLINE), name=OFFLINE),
        ],
        "applied": fleet.stages.get(Stage.APPLIED, 0),
        "attention_url": _list_url(stage=ATTENTION),
        "alarms": Line(_("Alarms"), fleet.alarms, _list_url(only=narrow.ALARM)),
        "holes": [_hole_line(hole, count, fleet) for hole, count in fleet.holes],
        "models": [_model_line(row, fleet) for row in models],
        "more_models": len(fleet.models) - len(models),
        "stopped": _stopped_lines(fleet),
        "stopped_total": sum(count for kind, count in fleet.stopped if kind.key != reasons.UNPLUGGED),
        "unplugged": sum(count for kind, count in fleet.stopped if kind.key == reasons.UNPLUGGED),
        "arrived": {"hours": _sum(by_hour, "arrived"), "days": _sum(by_day, "arrived")},
        "arrivals": {"hours": _arrival_lines(by_hour, "H:i"), "days": _arrival_lines(by_day, "D j M")},
        "fetched": {name: _sum(fetched, name) for name in (*SERIES, "refused_strangers")},
        "downloads": [_download_line(bucket, may_see_downloads) for bucket in fetched],
        "drawn": _drawn(stages, models, by_hour, by_day, fetched, may_see_downloads),
    }


def _list_url(**asked: str) -> str:
    return f"{reverse('console:phones')}?{urlencode(asked)}"


def _share(count: int, total: int) -> float:
    return round(100 * count / total, 1) if total else 0.0


def _stage_lines(fleet: Fleet) -> list[Line]:
    total = sum(fleet.stages.values())
    return [
        Line(str(stage.label), count, _list_url(stage=stage.value), _share(count, total), stage.value, ICONS[stage])
        for stage in Stage
        if (count := fleet.stages.get(stage.value, 0)) or stage not in OUT_OF_SIGHT
    ]


def _hole_line(hole: Hole, count: int, fleet: Fleet) -> Line:
    more = _("fixed in {version}: {what}").format(version=hole.fixed_in, what=hole.what)
    url = _list_url(only=f"{narrow.HOLE}:{hole.name}")
    return Line(hole.name, count, url, _share(count, fleet.in_sight), more=more)


def _model_line(row: ModelRuns, fleet: Fleet) -> dict[str, Any]:
    url = _list_url(only=f"{narrow.MODEL}:{row.model}") if row.model else ""
    return {"label": row.model or _("unknown model"), "row": row, "url": url}


def _stopped_lines(fleet: Fleet) -> list[Line]:
    most = max((count for _kind, count in fleet.stopped), default=0)
    return [
        Line(str(kind.title), count, _list_url(only=f"{narrow.WHY}:{kind.key}"), _share(count, most), kind.key,
             more=str(kind.step))
        for kind, count in fleet.stopped
    ]  # fmt: skip


def _sum(buckets: list[Bucket], name: str) -> int:
    return sum(bucket.counts[name] for bucket in buckets)


def _arrival_url(bucket: Bucket) -> str:
    return _list_url(only=narrow.arrived(bucket.start, bucket.end))


def _arrival_lines(buckets: list[Bucket], form: str) -> list[Line]:
    return [Line(date_format(bucket.start, form), bucket.counts["arrived"], _arrival_url(bucket)) for bucket in buckets]


def _download_url(bucket: Bucket, may_see: bool) -> str:
    if not may_see:
        return ""
    span = {"at__gte": bucket.start.isoformat(), "at__lt": bucket.end.isoformat()}
    return f"{reverse('admin:provisioning_download_changelist')}?{urlencode(span)}"


def _download_line(bucket: Bucket, may_see: bool) -> dict[str, Any]:
    label = date_format(bucket.start, "H:i")
    return {"label": label, "counts": bucket.counts, "url": _download_url(bucket, may_see)}


def _drawn(
    stages: list[Line],
    models: list[ModelRuns],
    by_hour: list[Bucket],
    by_day: list[Bucket],
    fetched: list[Bucket],
    may_see_downloads: bool,
) -> dict[str, Any]:
    """What the script draws: numbers, words and places to go; no markup."""
    return {
        "stages": {
            "labels": [line.label for line in stages],
            "names": [line.name for line in stages],
            "counts": [line.count for line in stages],
            "urls": [line.url for line in stages],
        },
        "models": {
            "labels": [row.model or _("unknown model") for row in models],
            "unsafe": [row.unsafe for row in models],
            "safe": [row.safe for row in models],
            "unclear": [row.unclear for row in models],
            "urls": [_list_url(only=f"{narrow.MODEL}:{row.model}") if row.model else "" for row in models],
        },
        "hours": _drawn_arrivals(by_hour, "H:i"),
        "days": _drawn_arrivals(by_day, "j M"),
        "downloads": {
            "labels": [date_format(bucket.start, "H:i") for bucket in fetched],
            "urls": [_download_url(bucket, may_see_downloads) for bucket in fetched],
            **{name: [bucket.counts[name] for bucket in fetched] for name in SERIES},
        },
        "zone": timezone.get_current_timezone_name(),
    }


def _drawn_arrivals(buckets: list[Bucket], form: str) -> dict[str, Any]:
    return {
        "labels": [date_format(bucket.start, form) for bucket in buckets],
        "counts": [bucket.counts["arrived"] for bucket in buckets],
        "urls": [_arrival_url(bucket) for bucket in buckets],
    }
