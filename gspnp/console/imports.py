"""Import & export: upload, the preview of every row, applying it as a job, undoing it, and the imports of the past."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.contrib import messages
from django.core.files.uploadedfile import UploadedFile
from django.db.models import Q
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from devices.choices import OUT_OF_SIGHT
from devices.mac import search_digits
from devices.models import Phone
from gspnp.console.access import CHANGE, REVEAL, VIEW, needs
from gspnp.console.paging import PAGE_ROWS, Paged, UrlQuery, page_within
from gspnp.console.refusal import nothing_done
from gspnp.console.shell import OF_PHONES, is_plain_beyond_loopback, shell_context
from provisioning.importing import applying, columns, planning, undoing
from provisioning.importing.figures import Outlook, outlook
from provisioning.importing.models import ImportRow, ImportState, PhoneImport
from provisioning.jobs import runner
from provisioning.jobs.pace import TOLD
from provisioning.tables.reading import MAX_BYTES, TableError
from provisioning.tables.writing import CONTENT_TYPES, MAX_XLSX_ROWS, write_table

SHOWN_IMPORTS = 30
FILTERS: Mapping[str, tuple[Any, Q]] = {
    "faulty": (gettext_lazy("With errors"), Q(outcome="faulty")),
    "warned": (gettext_lazy("With warnings"), Q(warned=True)),
    "new": (gettext_lazy("New phones"), Q(outcome="new")),
    "changed": (gettext_lazy("Changes"), Q(outcome="changed")),
    "same": (gettext_lazy("No change"), Q(outcome="same")),
    "kept": (gettext_lazy("Left as it is"), Q(state="kept")),
}
ICONS = {
    ImportState.PREVIEW: "preview", ImportState.APPLYING: "sync", ImportState.RESTORING: "undo",
    ImportState.APPLIED: "check_circle", ImportState.FAILED: "error", ImportState.UNDOING: "undo",
    ImportState.UNDONE: "undo", ImportState.READING: "hourglass_top",
}  # fmt: skip
UNDER_WAY = (ImportState.APPLYING, ImportState.RESTORING, ImportState.UNDOING)


@require_http_methods(["GET", "HEAD", "POST"])
@needs(VIEW)
def overview(request: HttpRequest) -> HttpResponse:
    """The page of import and export; a POST is a file, which becomes a preview or is refused with words."""
    if request.method == "POST":
        return _upload(request)
    return _overview(request)


@needs(CHANGE)
def _upload(request: HttpRequest) -> HttpResponse:
    file = request.FILES.get("file")
    if not isinstance(file, UploadedFile):
        return _overview(request, _("Choose a file first."))
    try:
        if (file.size or 0) > MAX_BYTES:
            raise TableError(_("The file has more than %(mb)d MB. Split it.") % {"mb": MAX_BYTES // 1_000_000})
        by, may_reveal = request.user.get_username(), request.user.has_perm(REVEAL)
        one = planning.read_file(file.name or "", file.read(), by=by, may_reveal=may_reveal)
    except TableError as error:
        return _overview(request, str(error))
    return redirect("console:import", one.pk)


def _overview(request: HttpRequest, problem: str = "") -> HttpResponse:
    context = shell_context(
        request,
        _("Import & export"),
        problem=problem,
        imports=PhoneImport.objects.exclude(state__in=(ImportState.READING, ImportState.DISCARDED))[:SHOWN_IMPORTS],
        phones=Phone.objects.count(),
        in_sight=Phone.objects.exclude(stage__in=OUT_OF_SIGHT).count(),
        query=request.GET.urlencode(),
        known=columns.KNOWN,
        max_rows=planning.MAX_ROWS,
        max_xlsx=MAX_XLSX_ROWS,
        undo_days=undoing.UNDO_DAYS,
        may_change=request.user.has_perm(CHANGE),
        may_reveal=request.user.has_perm(REVEAL),
        too_plain=is_plain_beyond_loopback(request),
    )
    return render(request, "console/imports/overview.html", context, status=422 if problem else 200)


@require_safe
@needs(VIEW)
def sample(request: HttpRequest, kind: str) -> HttpResponse:
    """A file to begin with."""
    if kind not in CONTENT_TYPES:
        raise Http404
    response = HttpResponse(write_table(kind, *columns.sample()), content_type=CONTENT_TYPES[kind])
    response["Content-Disposition"] = f'attachment; filename="phones-sample.{kind}"'
    return response


@dataclass(frozen=True)
class Chip:
    """A filter of the rows with its count."""

    name: str
    label: str
    count: int
    url: str
    current: bool


@dataclass(frozen=True)
class RowsQuery(UrlQuery):
    """What the URL asks for. `show` is None for what a person should look at first."""

    show: str | None = None
    q: str = ""
    page: int = 1


@dataclass(frozen=True)
class RowsPage(Paged):
    """One page of the rows of a file and where it lies."""

    rows: list[ImportRow]
    number: int
    total: int
    query: RowsQuery

    @property
    def shown(self) -> int:
        return len(self.rows)


@require_safe
@needs(VIEW)
def page(request: HttpRequest, import_id: int) -> HttpResponse:
    """One import: every row with its errors or changes, filtered and paged."""
    return _show(request, get_object_or_404(PhoneImport.objects.select_related("job"), pk=import_id))


def _show(request: HttpRequest, one: PhoneImport, problem: str = "", back: Outlook | None = None) -> HttpResponse:
    rows = one.rows.order_by("pk").defer("before", "after")
    show = request.GET.get("show", "faulty" if one.faulty else "")
    if show in FILTERS:
        rows = rows.filter(FILTERS[show][1])
    q = request.GET.get("q", "").replace("\0", "").strip()[:60]
    if q:
        rows = rows.filter(Q(mac__icontains=search_digits(q) or q) | Q(number=int(q) if _is_number(q) else 0))
    total = rows.count()
    number = page_within(int(text) if _is_number(text := request.GET.get("page", "1")) else 1, total)
    start = (number - 1) * PAGE_ROWS
    shown = list(rows[start : start + PAGE_ROWS])
    state = ImportState(one.state)
    if one.entered:
        setattr(request, OF_PHONES, True)
    context = shell_context(
        request,
        one.title if one.entered else _("Import of %(file)s") % {"file": one.title},
        one=one,
        icon=ICONS.get(state, "upload_file"),
        rows=shown,
        rows_page=RowsPage(shown, number, total, RowsQuery(show, q, number)),
        chips=_chips(one, show),
        found=total,
        q=q,
        show=show,
        problem=problem,
        back=back,
        pace=TOLD,
        typed_pace=request.POST.get("pace", TOLD.offered),
        under_way=state in UNDER_WAY,
        may_apply=state is ImportState.PREVIEW and not one.faulty and bool(one.new + one.changed),
        may_undo=state is ImportState.APPLIED,
        may_change=request.user.has_perm(CHANGE),
        undo_days=undoing.UNDO_DAYS,
    )
    return render(request, "console/imports/page.html", context, status=409 if problem else 200)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 9


def _chips(one: PhoneImport, show: str) -> list[Chip]:
    chips = [Chip("", _("All rows"), one.total, "?show=", show not in FILTERS)]
    for name, (label, _rule) in FILTERS.items():
        count = getattr(one, name)
        if count:
            chips.append(Chip(name, str(label), count, f"?show={name}", show == name))
    return chips


@require_POST
@needs(CHANGE)
def press(request: HttpRequest, import_id: int, button: str) -> HttpResponse:
    """Apply, discard or undo; 409 with words if it cannot be done as things stand."""
    one = get_object_or_404(PhoneImport, pk=import_id)
    do = {"apply": applying.apply, "undo": undoing.undo}.get(button)
    if button == "discard":
        if undoing.discard(one):
            messages.success(request, _("The preview is discarded; what was uploaded is deleted."))
        else:
            nothing_done(request)
        return redirect("console:imports")
    if do is None:
        raise Http404
    if button == "undo" and one.state == ImportState.APPLIED and "sure" not in request.POST:
        nothing_done(request)
        return _show(request, one, back=outlook(one))
    try:
        job = do(one, by=request.user.get_username(), pace_per_minute=TOLD.read(request.POST.get("pace")))
    except (applying.ImportRefused, undoing.CannotUndo, runner.JobError) as error:
        one.refresh_from_db()
        return _show(request, one, str(error))
    return HttpResponseRedirect(reverse("console:job", args=[job.pk]))
