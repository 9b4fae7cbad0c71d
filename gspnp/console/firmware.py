"""The firmware page: who runs what and which of it has a known hole, the images, and the path of each model."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from django.contrib import messages
from django.core.files.uploadedfile import UploadedFile
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from devices.catalog import MODELS
from gspnp.console import narrow
from gspnp.console.access import CHANGE, VIEW, needs
from gspnp.console.shell import shell_context
from provisioning.firmware import images, pins
from provisioning.firmware.models import FirmwareImage
from provisioning.gxp import firmware
from provisioning.gxp.firmware import Hole


@dataclass(frozen=True)
class Runs:
    """How many phones of a model run a version; `share` is in percent of the model's phones."""

    version: str
    count: int
    share: int
    holes: list[Hole]
    is_known: bool  # whether anybody can say that there is no hole


@dataclass(frozen=True)
class ModelRow:
    """A model with what its phones run, and the path that it shall take."""

    name: str
    count: int
    runs: list[Runs]
    path: list[str]
    known: bool

    @property
    def path_text(self) -> str:
        return " ".join(self.path)

    @property
    def vulnerable(self) -> int:
        return sum(one.count for one in self.runs if one.holes)


@dataclass(frozen=True)
class PathForm:
    """The form of a model's path; `touched` is set while somebody is asked whether so many phones shall change."""

    row: ModelRow
    problem: str
    typed: str
    touched: int

    @property
    def holes(self) -> list[Hole]:
        """Known holes of the version at the end of the path."""
        end = _versions(self.typed)[-1:]
        return firmware.holes(self.row.name, end[0]) if end else []


@require_safe
@needs(VIEW)
def page(request: HttpRequest) -> HttpResponse:
    """Everything of firmware on one page."""
    return _show(request)


@require_POST
@needs(CHANGE)
def upload(request: HttpRequest) -> HttpResponse:
    """Take an image; a wrong one is refused with words, and what was typed stays."""
    version, file = request.POST.get("version", ""), request.FILES.get("image")
    if not isinstance(file, UploadedFile):
        return _show(request, upload_problem=_("Choose the file of the image."), version=version)
    try:
        image = images.add(version, file.chunks(), by=request.user.get_username())
    except images.ImageError as error:
        return _show(request, upload_problem=str(error), version=version)
    except OSError as error:
        problem = _("The image cannot be stored: %(why)s.") % {"why": error.strerror}
        return _show(request, upload_problem=problem, version=version)
    words = _("Firmware %(version)s is stored. Put it on the path of a model now.")
    messages.success(request, words % {"version": image.version})
    return redirect("console:firmware")


@require_POST
@needs(CHANGE)
def remove(request: HttpRequest, version: str) -> HttpResponse:
    """Delete an image that no path names."""
    try:
        images.remove(get_object_or_404(FirmwareImage, version=version))
    except images.ImageError as error:
        return _show(request, image_problem=str(error))
    messages.success(request, _("The image of %(version)s is removed.") % {"version": version})
    return redirect("console:firmware")


@require_POST
@needs(CHANGE)
def pin(request: HttpRequest, model: str) -> HttpResponse:
    """Set the path of a model, after a question if phones would fetch another firmware; their files follow within
    seconds."""
    typed = request.POST.get("path", "")
    versions = _versions(typed)
    try:
        touched = 0 if request.POST.get("sure") == "1" else pins.touched(model, versions)
        if touched:
            return _show(request, question={model: touched}, typed={model: typed})
        pins.pin(model, versions)
    except pins.PinError as error:
        return _show(request, pin_problem={model: str(error)}, typed={model: typed})
    words = _("The path of %(model)s is set. Phones that are behind get a new file within seconds.")
    messages.success(request, words % {"model": model})
    return redirect("console:firmware")


def _show(
    request: HttpRequest,
    *,
    upload_problem: str = "",
    image_problem: str = "",
    version: str = "",
    pin_problem: dict[str, str] | None = None,
    question: dict[str, int] | None = None,
    typed: dict[str, str] | None = None,
) -> HttpResponse:
    rows = model_rows()
    context = {
        "images": [
            (image, _holes_of(image.version))
            for image in FirmwareImage.objects.prefetch_related("steps").order_by("-uploaded_at")
        ],
        "rows": rows,
        "forms": [
            PathForm(
                row,
                (pin_problem or {}).get(row.name, ""),
                (typed or {}).get(row.name, row.path_text),
                (question or {}).get(row.name, 0),
            )
            for row in rows
            if row.known
        ],
        "vulnerable": sum(row.vulnerable for row in rows),
        "cut": narrow.RUNS_READ if sum(len(row.runs) for row in rows) >= narrow.RUNS_READ else 0,
        "upload_problem": upload_problem,
        "image_problem": image_problem,
        "version": version,
        "max_mb": images.MAX_BYTES // 2**20,
        "may_change": request.user.has_perm(CHANGE),
    }
    status = 422 if upload_problem or image_problem or pin_problem else 200
    return render(request, "console/firmware.html", shell_context(request, _("Firmware")) | context, status=status)


def _versions(typed: str) -> list[str]:
    """The versions of a path, however they are set apart."""
    return typed.replace(",", " ").replace("→", " ").split()


def _holes_of(version: str) -> list[Hole]:
    """Known holes of a version on any of the models."""
    return list(dict.fromkeys(hole for model in MODELS for hole in firmware.holes(model, version)))


def _is_known(model: str, version: str) -> bool:
    return model in MODELS and not firmware.version_fault(version)


def model_rows() -> list[ModelRow]:
    """Every model that we know or have heard, with what its phones run, the most first; as bounded as narrow.runs."""
    of_model: dict[str, list[tuple[str, int]]] = defaultdict(list)
    for model, version, count in narrow.runs():
        of_model[model.upper() or _("unknown")].append((version or _("unknown"), count))
    steps = pins.paths()
    return [_model_row(model, of_model.get(model, []), steps.get(model, [])) for model in {**MODELS, **of_model}]


def _model_row(model: str, runs: list[tuple[str, int]], path: list[str]) -> ModelRow:
    total = sum(count for _, count in runs)
    rows = [
        Runs(version, count, round(100 * count / total), firmware.holes(model, version), _is_known(model, version))
        for version, count in sorted(runs, key=lambda one: (-one[1], one[0]))
    ]
    return ModelRow(model, total, rows, path, model in MODELS)
