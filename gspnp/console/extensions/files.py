"""Whole files of extensions: in, with a preview of every row before anything is written, and out.

What was uploaded waits in the page, encrypted, until a person has seen what it would do.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Iterator, Sequence

from django.contrib import messages
from django.contrib.admin.models import CHANGE as CHANGED
from django.core.files.uploadedfile import UploadedFile
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST

from devices.crypto import CannotDecrypt
from devices.directory import VersionConflict
from devices.models import Extension
from gspnp.console import drafts
from gspnp.console.access import CHANGE, REVEAL, VIEW, needs
from gspnp.console.extensions import trail
from gspnp.console.extensions.table import DirectoryQuery, clean, filtered, sites
from gspnp.console.refusal import nothing_done, refuse
from gspnp.console.reveal import TOO_PLAIN
from gspnp.console.shell import is_plain_beyond_loopback, shell_context
from provisioning.extensions import importing
from provisioning.extensions.importing import COLUMNS, MAX_ROWS
from provisioning.tables.reading import read_table
from provisioning.tables.table import Row, TableError
from provisioning.tables.writing import CONTENT_TYPES, write_table

PLACE = "extensions import"
MAX_FILE_BYTES = 5_000_000
MAX_DRAFT_BYTES = 20_000_000  # unpacked; our own page made it, and this bounds it all the same
SHOWN = 300  # rows of each sort; every wrong one is shown
SITE_CHARS = 40
UNREADABLE = gettext_lazy(
    "A secret cannot be opened: the key that it was written with is not in GSPNP_FIELD_KEYS. Put that key back, or "
    "export without secrets."
)


@require_http_methods(["GET", "HEAD", "POST"])
@sensitive_post_parameters()
@needs(CHANGE)
def upload(request: HttpRequest) -> HttpResponse:
    """GET: the form. POST with a file: the preview. POST with what the preview held: store it."""
    if request.method != "POST":
        return _show(request, site=clean(request.GET.get("site", ""))[:SITE_CHARS])
    site = clean(request.POST.get("site", ""))[:SITE_CHARS]
    held = drafts.unseal(request.POST.get("draft", ""), request.user.pk, PLACE)
    if held is not None:
        return _store(request, _unpacked(held["rows"] or ""), site)
    file = request.FILES.get("file")
    if not isinstance(file, UploadedFile):
        return _show(request, site=site, problem=_("Choose a CSV or XLSX file."))
    if (file.size or 0) > MAX_FILE_BYTES:
        words = _("The file has more than {most} MB. Split it.").format(most=MAX_FILE_BYTES // 1_000_000)
        return _show(request, site=site, problem=words)
    try:
        rows = importing.rows_of(read_table(file.name or "", file.read(), max_rows=MAX_ROWS))
    except TableError as error:
        return _show(request, site=site, problem=str(error))
    return _show_preview(request, rows, site)


def _store(request: HttpRequest, rows: list[Row], site: str) -> HttpResponse:
    try:
        done = importing.store(rows, site, request.POST.get("mark", ""), compares_secrets=_may_compare(request))
    except VersionConflict as conflict:
        return _show_preview(request, rows, site, problem=str(conflict))
    added, changed = len(done.of(importing.ADD)), len(done.of(importing.CHANGE))
    trail.many(request, CHANGED, f"Imported a file: {added} added, {changed} changed.")
    words = _("{added} extensions added, {changed} changed.").format(added=added, changed=changed)
    messages.success(request, words)
    return redirect("console:extensions")


def _may_compare(request: HttpRequest) -> bool:
    """Whether this person may learn that a secret of the file is the one that is stored."""
    return request.user.has_perm(REVEAL)


def _show(request: HttpRequest, *, site: str, problem: str = "") -> HttpResponse:
    context = {
        "site": site, "problem": problem, "columns": COLUMNS, "max_rows": MAX_ROWS, "sites": sites(),
        "max_mb": MAX_FILE_BYTES // 1_000_000,
    }  # fmt: skip
    context = shell_context(request, _("Import extensions")) | context
    return render(request, "console/extensions/import.html", context, status=422 if problem else 200)


def _show_preview(request: HttpRequest, rows: list[Row], site: str, problem: str = "") -> HttpResponse:
    nothing_done(request)
    shown = importing.preview(rows, site, compares_secrets=_may_compare(request))
    added, changed = shown.of(importing.ADD), shown.of(importing.CHANGE)
    context = {
        "site": site,
        "problem": problem,
        "preview": shown,
        "may_compare": _may_compare(request),
        "added": added[:SHOWN],
        "added_count": len(added),
        "changed": changed[:SHOWN],
        "changed_count": len(changed),
        "same_count": len(shown.of(importing.SAME)),
        "more_added": max(0, len(added) - SHOWN),
        "more_changed": max(0, len(changed) - SHOWN),
        "draft": "" if shown.faults else drafts.seal(request.user.pk, PLACE, {"rows": _packed(rows)}),
    }
    status = 409 if problem else 422 if shown.faults else 200
    context = shell_context(request, _("Import extensions")) | context
    return render(request, "console/extensions/import_preview.html", context, status=status)


def _packed(rows: Sequence[Row]) -> str:
    text = json.dumps([[row.number, row.cells] for row in rows], ensure_ascii=False)
    return base64.b64encode(zlib.compress(text.encode("utf-8", "surrogatepass"))).decode("ascii")


def _unpacked(text: str) -> list[Row]:
    unpacked = zlib.decompressobj().decompress(base64.b64decode(text), MAX_DRAFT_BYTES)
    return [Row(number, cells) for number, cells in json.loads(unpacked.decode("utf-8", "surrogatepass"))]


@require_POST
@needs(VIEW)
def download(request: HttpRequest) -> HttpResponse:
    """What the list shows, as CSV or XLSX. With secrets only for who may reveal them, and with a trail."""
    kind = "xlsx" if request.POST.get("kind") == "xlsx" else "csv"
    query = DirectoryQuery.read(request.POST)
    with_secrets = request.POST.get("secrets") == "1"
    if with_secrets:
        return needs(REVEAL)(_with_secrets)(request, kind, query)
    return _file(request, kind, query, with_secrets=False)


def _with_secrets(request: HttpRequest, kind: str, query: DirectoryQuery) -> HttpResponse:
    if is_plain_beyond_loopback(request):
        refuse(request, TOO_PLAIN)
        return redirect("console:extensions")
    try:
        answer = _file(request, kind, query, with_secrets=True)
    except CannotDecrypt:
        refuse(request, UNREADABLE)
        return redirect("console:extensions")
    return answer


def _file(request: HttpRequest, kind: str, query: DirectoryQuery, *, with_secrets: bool) -> HttpResponse:
    headers = [name for name in COLUMNS if with_secrets or name != "secret"]
    try:
        content = write_table(kind, headers, table_rows(query, headers))
    except TableError as error:
        refuse(request, str(error))
        return redirect("console:extensions")
    if with_secrets:
        trail.many(request, CHANGED, f"Exported {filtered(query).count()} extensions with their secrets ({kind}).")
    answer = HttpResponse(content, content_type=CONTENT_TYPES[kind])
    answer.headers["Content-Disposition"] = f'attachment; filename="extensions.{kind}"'
    return answer


def table_rows(query: DirectoryQuery, headers: Sequence[str]) -> Iterator[list[str]]:
    """The extensions of a list, column by column. Raises CannotDecrypt where secrets are asked for."""
    found = filtered(query)
    if "secret" in headers:
        found = Extension.objects.filter(pk__in=found.values("pk"))
    for row in found.values_list(*headers).iterator(chunk_size=1000):
        yield list(row)
