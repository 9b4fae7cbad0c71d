"""Set chosen fields of many phones: an import that is made of a form, with the same preview, job and undoing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from django.views.decorators.http import require_http_methods, require_safe

from devices.catalog import CODECS
from devices.choices import WAY, Stage
from devices.models import Account, Phone
from gspnp.console.access import CHANGE, needs
from gspnp.console.chosen import chosen
from gspnp.console.forms import recent_servers
from gspnp.console.refusal import nothing_done
from gspnp.console.selection import SelectionError
from gspnp.console.shell import shell_context
from gspnp.console.templatetags.console import number
from provisioning.importing import planning, undoing
from provisioning.importing.columns import CLEAR, MAX_ACCOUNTS, SLOTS, name_of
from provisioning.importing.models import ImportState, PhoneImport
from provisioning.models import LayerLevel, SettingsLayer
from provisioning.tables.table import Row, Table, TableError

SHOWN_PHONES = 12
NOBODY = gettext_lazy("No phone is chosen that is not retired. Choose some in the list, then come back.")


@dataclass(frozen=True)
class Field:
    """A field that can be set: of the phone, or of the account that is chosen."""

    name: str
    label: Any
    hint: Any
    of_account: bool = False


FIELDS = (
    Field("sip_server", gettext_lazy("SIP server"), gettext_lazy("host or host:port"), True),
    Field("codecs", gettext_lazy("Preferred codecs"), ", ".join(CODECS), True),
    Field("voicemail", gettext_lazy("Voicemail number"), gettext_lazy("what the message key dials"), True),
    Field("site", gettext_lazy("Site"), gettext_lazy("letters, digits, - and _; empty: the default site")),
    Field("template", gettext_lazy("Templates"), gettext_lazy("instead of those that they have; several with ;")),
    Field("key", gettext_lazy("Key"), gettext_lazy("MODE:VALUE:LABEL, such as blf:1002:Reception")),
)


class _Refused(ValueError):
    """Nothing can be planned of what was asked; the text says why."""


class _Faults(_Refused):
    """What was entered cannot be; the words by the names of the fields."""

    def __init__(self, by_field: Mapping[str, str]) -> None:
        super().__init__(_("Nothing is planned yet. Correct what is marked, and look at the changes again."))
        self.by_field = by_field


@require_http_methods(["GET", "HEAD", "POST"])
@needs(CHANGE)
def page(request: HttpRequest) -> HttpResponse:
    """The form for the phones that are named in the address, or posted; `do=preview` plans what was typed.

    Which phones: gspnp/console/chosen.py. They are decided here once: the form brings them back by their MACs.
    """
    asked = request.POST if request.method == "POST" else request.GET
    try:
        macs = _macs(chosen(asked))
    except SelectionError as error:
        return _form(request, [], asked, str(error))
    if request.method != "POST" or asked.get("do") != "preview":
        nothing_done(request)
        return _form(request, macs, asked)
    try:
        made = _plan(macs, asked, request.user.get_username())
    except _Faults as error:
        return _form(request, macs, asked, str(error), error.by_field)
    except (_Refused, TableError) as error:
        return _form(request, macs, asked, str(error))
    _discard(asked.get("instead", ""))
    return redirect("console:import", made)


@require_safe
@needs(CHANGE)
def again(request: HttpRequest, import_id: int) -> HttpResponse:
    """The form of which a preview was made, with its phones and with what was entered, to change it."""
    one = get_object_or_404(PhoneImport.objects.exclude(entered=""), pk=import_id, state=ImportState.PREVIEW)
    macs = one.rows.order_by("mac").values_list("mac", flat=True)
    return _form(request, list(macs), QueryDict(one.entered), instead=str(one.pk))


def _discard(number: str) -> None:
    """The preview that another one takes the place of."""
    if number.isascii() and number.isdigit() and len(number) < 10:
        for one in PhoneImport.objects.exclude(entered="").filter(pk=int(number)):
            undoing.discard(one)


def form_of(request: HttpRequest, phones: QuerySet[Phone]) -> HttpResponse:
    """The form for these phones; it sends itself to `page`."""
    return _form(request, _macs(phones), QueryDict())


def _macs(phones: QuerySet[Phone]) -> list[str]:
    """Retired phones are left out: they get nothing before somebody brings them back."""
    rest = phones.exclude(stage=Stage.RETIRED).order_by("mac")
    return list(rest.values_list("mac", flat=True)[: planning.MAX_ROWS + 1])


def _form(
    request: HttpRequest,
    macs: list[str],
    asked: QueryDict,
    problem: str = "",
    faults: Mapping[str, str] | None = None,
    instead: str = "",
) -> HttpResponse:
    if not macs and not problem:
        problem = str(NOBODY)
    told = faults or {}
    rows = [(one, asked.get(one.name, ""), f"set-{one.name}" in asked, told.get(one.name, "")) for one in FIELDS]
    templates = SettingsLayer.objects.filter(level=LayerLevel.TEMPLATE).order_by("name")
    title = ngettext("Edit %(count)d phone", "Edit %(count)d phones", len(macs)) % {"count": len(macs)}
    context = shell_context(
        request,
        title,
        macs=" ".join(macs),
        shown=macs[:SHOWN_PHONES],
        more=max(0, len(macs) - SHOWN_PHONES),
        count=len(macs),
        fields=rows,
        account=asked.get("account", "1"),
        accounts=[str(number) for number in range(1, MAX_ACCOUNTS + 1)],
        slot=asked.get("slot", ""),
        slots=[slot.name for slot in SLOTS],
        servers=recent_servers(),
        templates=templates.values_list("name", flat=True),
        problem=problem,
        instead=instead or asked.get("instead", ""),
    )
    return render(request, "console/imports/edit.html", context, status=422 if problem else 200)


def _plan(macs: list[str], asked: QueryDict, by: str) -> int:
    """Store the preview; its number. Raises _Refused or TableError."""
    if not macs:
        raise _Refused(str(NOBODY))
    if len(macs) > planning.MAX_ROWS:
        words = _("At most %(most)s phones are changed at once; search or filter for fewer.")
        raise _Refused(words % {"most": number(planning.MAX_ROWS)})
    account = asked.get("account", "1")
    if account not in {str(number) for number in range(1, MAX_ACCOUNTS + 1)}:
        raise _Refused(_("Choose one of the accounts."))
    unmeant = [field.name for field in FIELDS if f"set-{field.name}" not in asked and asked.get(field.name, "").strip()]
    if unmeant:
        raise _Faults(dict.fromkeys(unmeant, _("Entered, but not ticked: tick it, or empty the field.")))
    cells = {field.name: asked.get(field.name, "").strip() or CLEAR for field in FIELDS if f"set-{field.name}" in asked}
    if not cells:
        raise _Refused(_("Nothing is chosen to be set. Tick a field and enter what it shall be."))
    slot = asked.get("slot", "") if "key" in cells else ""
    if "key" in cells:
        if slot not in {one.name for one in SLOTS}:
            raise _Faults({"key": _("Choose which key is set.")})
        cells[slot] = cells.pop("key")
    of_account = {field.name for field in FIELDS if field.of_account} & cells.keys()
    headers = {name: name_of(int(account), name) if name in of_account else name for name in cells}
    _check({headers[name]: text for name, text in cells.items()}, {headers[name]: name for name in cells}, slot)
    reached = _with_account(macs, int(account)) if of_account else set(macs)
    if not reached:
        raise _Refused(_("None of these phones has account %(number)s.") % {"number": account})
    rows = [
        Row(number, {"mac": mac, **{headers[name]: text for name, text in _said(cells, of_account, mac, reached)}})
        for number, mac in enumerate(macs, start=1)
    ]
    labels = ", ".join(str(field.label) for field in FIELDS if f"set-{field.name}" in asked)
    words = ngettext("Edit of %(count)d phone: %(fields)s", "Edit of %(count)d phones: %(fields)s", len(macs))
    title = words % {"count": len(macs), "fields": labels}
    return planning.plan_table(title, Table(["mac", *headers.values()], rows), by=by, entered=_entered(asked)).pk


def _check(cells: Mapping[str, str], names: Mapping[str, str], slot: str) -> None:
    """What no phone could have is told beside its field, and not once for every phone. Raises _Faults, TableError."""
    found: dict[str, str] = {}
    for fault in planning.cell_faults(cells):
        name = names.get(fault.column, "")
        found.setdefault("key" if name == slot else name, fault.message)
    if found:
        raise _Faults(found)


def _entered(asked: QueryDict) -> str:
    """What was typed, without the phones: the rows of the preview name those."""
    kept = QueryDict(mutable=True)
    for name in ("account", "slot", *(name for one in FIELDS for name in (one.name, f"set-{one.name}"))):
        if name in asked:
            kept[name] = asked.get(name, "")
    return kept.urlencode()


def _said(cells: Mapping[str, str], of_account: set[str], mac: str, reached: set[str]) -> list[tuple[str, str]]:
    """What is said of one phone: a phone without the account keeps what it has, and gets no half of one."""
    return [(name, text if mac in reached or name not in of_account else "") for name, text in cells.items()]


def _with_account(macs: list[str], number: int) -> set[str]:
    have = Account.objects.filter(number=number, phone__stage__in=WAY)
    return set(macs) & set(have.values_list("phone__mac", flat=True))
