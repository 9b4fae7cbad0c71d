"""From a table to a preview: what each row would make of its phone, and everything that is wrong with it.

Nothing but the import itself is written. Rows are checked by what a save is checked by: the phone's layers, and the
renderer's own validation.
"""

from __future__ import annotations

import copy
import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from devices import batch
from devices.catalog import DEFAULT_CODECS, MODELS, KeyKind, PhoneModel, find_model
from devices.choices import OUT_OF_SIGHT, Stage
from devices.crypto import CannotDecrypt
from devices.mac import MacError, colons, parse_mac
from devices.models import Account, Phone
from provisioning import plan, rendering
from provisioning.gxp import document
from provisioning.gxp.config import AccountConfig, ConfigError, account_problems
from provisioning.importing import filling
from provisioning.importing.columns import (
    CLEAR,
    CODEC_COLUMNS,
    KNOWN,
    MAX_ACCOUNTS,
    PASSWORD_COLUMNS,
    Change,
    Fault,
    Target,
    changed,
    changes,
    column_of,
    given_passwords,
    known,
    name_of,
)
from provisioning.importing.models import ImportRow, ImportState, PhoneImport, RowOutcome
from provisioning.layers import stack, store
from provisioning.layers.models import LayerLevel, PhoneTemplate, SettingsLayer
from provisioning.tables.reading import read_table
from provisioning.tables.table import Row, Table, TableError

MAX_ROWS = 10_000
CHUNK = 200  # rows that are read and stored together
UNHEARD_HOST = "127.0.0.1"  # our address towards a phone that was not heard; no file is made with it
_DIGITS = re.compile(r"[0-9A-F]{12}", re.ASCII)
_MODEL_NAME = re.compile(r"GX[PV][0-9]{4}", re.ASCII | re.IGNORECASE)  # anything else may be a password
_SITE = re.compile(r"[A-Za-z0-9_-]{0,40}", re.ASCII)
ANY_MODEL = max(MODELS.values(), key=lambda model: (model.accounts, model.key_count(KeyKind.MPK)))
"""Stands for the model of a phone that has none, so that the rest of its row can be looked at."""
SHOWN_TEMPLATES = 10
MAX_MISTYPED = 24  # characters
_MISTYPED = re.compile(r"(?:00[:. -]?0B[:. -]?82|(?:[0-9A-F]{2}([:-])){3})[0-9A-Z:. -]*\Z", re.IGNORECASE | re.ASCII)
OFF = {
    Stage.IGNORED: "This phone is ignored. Stop ignoring it, or take its row out.",
    Stage.RETIRED: "This phone is retired. Bring it back, or take its row out.",
}
FROM_DIRECTORY = "from the directory"
TEMPLATE_UNREADABLE = "A template cannot be opened: put the key that it was written with back into GSPNP_FIELD_KEYS."
UNREADABLE = "Its stored secrets cannot be opened: put the key that they were written with back into GSPNP_FIELD_KEYS."


@dataclass
class Planned:
    """One row with what it comes to."""

    row: Row
    mac: str
    faults: list[Fault] = field(default_factory=list)
    warnings: list[Fault] = field(default_factory=list)
    phone: Phone | None = None
    before: Target = field(default_factory=Target)
    after: Target = field(default_factory=Target)
    hidden: frozenset[str] = frozenset()
    """Columns of passwords that are given, and that whoever sees the preview may not compare with what is stored."""
    filled: frozenset[str] = frozenset()
    """Columns that the directory filled in."""
    given: tuple[str, ...] = ()
    """Extensions whose secrets the directory gave for it."""
    entries: tuple[tuple[int, int], ...] = ()
    """Their entries: id and version."""
    is_unreadable: bool = False
    """What the phone has cannot be opened."""

    @property
    def is_off(self) -> bool:
        """Whether its phone is ignored or retired: it gets nothing, and holds no extension."""
        return self.phone is not None and self.phone.stage in OFF

    @property
    def differs(self) -> bool:
        """Whether the phone would change, as far as the preview may tell."""
        return self.before != self.after or bool(self.hidden)

    @property
    def outcome(self) -> RowOutcome:
        if self.faults:
            return RowOutcome.FAULTY
        if self.phone is None:
            return RowOutcome.NEW
        return RowOutcome.CHANGED if self.differs else RowOutcome.SAME


def read_file(name: str, data: bytes, *, by: str, may_reveal: bool = True) -> PhoneImport:
    """Read an uploaded file and plan it. Raises TableError; nothing is stored then."""
    table = read_table(name, data, max_rows=MAX_ROWS)
    return plan_table(name[-200:] or "Import", table, by=by, may_reveal=may_reveal)


def plan_table(title: str, table: Table, *, by: str, may_reveal: bool = True, entered: str = "") -> PhoneImport:
    """Plan what a table asks for, and store it as a preview. Raises TableError; nothing is stored then.

    `entered` is what the table was made of if it was no file: the query string of a form, for the way back to it.

    For who may not look at passwords the preview does not tell whether a given one is the stored one: that would be
    asking it without a trace, ten thousand at a time. It is compared when it is applied.
    """
    names = known(table)
    rows = [Row(row.number, {names[header]: text for header, text in row.cells.items()}) for row in table.rows]
    macs = [_mac(row) for row in rows]
    twice = _twice(rows, macs)
    templates = _Templates()
    one = PhoneImport.objects.create(title=title[:200], created_by=by[:150], created_at=timezone.now(), entered=entered)
    counts: Counter[str] = Counter()
    extensions: dict[tuple[str, str], set[str]] = defaultdict(set)
    for bite in batch.bites(zip(rows, macs, strict=True), CHUNK):
        planned = _planned(bite, twice, templates, may_reveal)
        for row in planned:
            for account in row.after.accounts if row.mac and not row.is_off else ():
                extensions[account.user_id, account.sip_server.lower()].add(row.mac)
        _store(one, planned)
        counts.update(row.outcome.value for row in planned)
    counts["warned"] = _warn(one, extensions, set(macs))
    fields = {name: counts[name] for name in ("new", "changed", "same", "faulty", "warned")}
    PhoneImport.objects.filter(pk=one.pk).update(state=ImportState.PREVIEW, total=len(rows), **fields)
    one.refresh_from_db()
    return one


def _mac(row: Row) -> str:
    """The digits; "" if it is no MAC: what stands there may be a password that slipped into this column."""
    try:
        return parse_mac(row.cells.get("mac", ""))
    except MacError:
        return ""


def _mistyped(row: Row) -> str:
    """What stands for a MAC, if it begins as one does and nobody chooses a password like that; else ""."""
    text = row.cells.get("mac", "").strip()
    return text if len(text) <= MAX_MISTYPED and _MISTYPED.match(text) else ""


def _twice(rows: Sequence[Row], macs: Sequence[str]) -> dict[int, int]:
    """Rows whose phone an earlier row names already, with that row's number."""
    first: dict[str, int] = {}
    found = {}
    for row, mac in zip(rows, macs, strict=True):
        if mac and mac in first:
            found[row.number] = first[mac]
        first.setdefault(mac, row.number)
    return found


class _Templates:
    """All templates by name and by id; each is opened once."""

    def __init__(self) -> None:
        try:
            self.by_name = {one.name: one for one in SettingsLayer.objects.filter(level=LayerLevel.TEMPLATE)}
        except CannotDecrypt:
            raise TableError(TEMPLATE_UNREADABLE) from None

    def known_words(self) -> str:
        """Which there are, or what to do if there is none."""
        names = sorted(self.by_name)
        if not names:
            return "there is none yet. Make it under Settings."
        more = f" and {len(names) - SHOWN_TEMPLATES} more" if len(names) > SHOWN_TEMPLATES else ""
        return f"templates are: {', '.join(names[:SHOWN_TEMPLATES])}{more}."

    def read(self, text: str) -> tuple[tuple[str, ...], int]:
        """The names that a cell says, and the place (from 1) of the first that there is none of; 0 if all are known."""
        text = text.strip()
        if text == CLEAR:
            return (), 0
        names = [text] if text in self.by_name else [part.strip() for part in text.split(";") if part.strip()]
        names = list(dict.fromkeys(names))
        return tuple(names), next((place for place, name in enumerate(names, 1) if name not in self.by_name), 0)


def _planned(
    bite: Sequence[tuple[Row, str]], twice: Mapping[int, int], templates: _Templates, may_reveal: bool
) -> list[Planned]:
    macs = [mac for _, mac in bite if _DIGITS.fullmatch(mac)]
    phones = {phone.mac: phone for phone in with_accounts(Phone.objects.filter(mac__in=macs))}
    befores = targets_of(list(phones.values()))
    columns = [name_of(number, "extension") for number in range(1, MAX_ACCOUNTS + 1)]
    known_extensions = filling.entries(row.cells.get(name, "").strip() for row, _ in bite for name in columns)
    planned = []
    for row, mac in bite:
        one = Planned(row, mac, phone=phones.get(mac), hidden=frozenset() if may_reveal else given_passwords(row.cells))
        planned.append(one)
        if one.phone is not None and one.phone.pk not in befores:
            one.faults.append(Fault("mac", UNREADABLE))
            one.is_unreadable = True
            continue
        if one.phone is not None:
            one.before = befores[one.phone.pk]
        _look(one, twice, templates)
        if not one.is_off:
            _fill(one, known_extensions)
    _validate(planned, templates)
    return planned


def with_accounts(phones: QuerySet[Phone]) -> list[Phone]:
    """These phones with accounts and keys, read together; one by one later if a password cannot be opened."""
    try:
        return list(phones.prefetch_related("accounts", "keys"))
    except CannotDecrypt:
        return list(phones)


def targets_of(phones: Sequence[Phone]) -> dict[int, Target]:
    """What these phones have; whose passwords cannot be opened is left out. Accounts and keys may be prefetched."""
    names = templates_of(phones)
    found = {}
    for phone in phones:
        try:
            draft = plan.draft_of(phone)
        except CannotDecrypt:
            continue
        target = Target(phone.model, phone.site, names[phone.pk], draft.accounts, draft.keys)
        found[phone.pk] = target.in_order()
    return found


def templates_of(phones: Sequence[Phone]) -> dict[int, tuple[str, ...]]:
    """The names of these phones' templates, the weakest first."""
    names: dict[int, list[str]] = {phone.pk: [] for phone in phones}
    rows = PhoneTemplate.objects.filter(phone__in=list(names)).order_by("phone", "place")
    for phone_id, name in rows.values_list("phone", "layer__name"):
        names[phone_id].append(name)
    return {phone_id: tuple(its) for phone_id, its in names.items()}


def _look(one: Planned, twice: Mapping[int, int], templates: _Templates) -> None:
    """What can be said of a row before its file is thought of."""
    cells = one.row.cells
    try:
        parse_mac(cells.get("mac", ""))
    except MacError as error:
        one.faults.append(Fault("mac", str(error)))
    if one.row.number in twice:
        one.faults.append(Fault("mac", f"Row {twice[one.row.number]} is this phone already. Keep one of them."))
    one.after, faults = changed(one.before, cells)
    one.faults += faults
    one.faults += _model_faults(one, cells.get("model", "").strip())
    one.faults += site_faults(one.after.site)
    _look_at_templates(one, templates)
    if one.phone is not None and one.is_off:
        # A row that changes nothing brings nobody back: it may stay in a file that was exported with it.
        (one.faults if one.differs else one.warnings).append(Fault("mac", OFF[Stage(one.phone.stage)]))


def _fill(one: Planned, known_extensions: filling.Directory) -> None:
    found = filling.fill(one.before, one.after, one.row.cells, known_extensions)
    one.after, one.filled, one.given, one.entries = found.target, found.columns, found.given, found.entries
    one.warnings += found.warnings


def _look_at_templates(one: Planned, templates: _Templates, may_name: bool = False) -> None:
    """A cell of a file is not quoted: a password may have slipped into it, and the preview is stored."""
    text = one.row.cells.get("template", "")
    if text.strip():
        names, unknown = templates.read(text)
        one.after = replace(one.after, templates=names)
        if unknown:
            said = names[unknown - 1] if may_name else "This" if len(names) == 1 else f"Number {unknown} of these"
            words = f"{said} is no template; {templates.known_words()}"
            one.faults.append(Fault("template", words))


def site_faults(site: str) -> list[Fault]:
    """What is wrong with the name of a site."""
    words = "A site is named with at most 40 letters, digits, - and _; change the name."
    return [] if _SITE.fullmatch(site) else [Fault("site", words)]


def cell_faults(cells: Mapping[str, str]) -> list[Fault]:
    """What is wrong with cells (by names in KNOWN) whatever phone they are said to, in words that name what somebody
    has just typed into a form. Raises TableError."""
    one = Planned(Row(0, dict(cells)), "")
    one.after, one.faults = changed(one.before, cells)
    one.faults += site_faults(one.after.site)
    _look_at_templates(one, _Templates(), may_name=True)
    unread = {fault.column for fault in one.faults}
    # Without codecs of its own an account takes those of the phone's layers.
    unread |= {column for column in CODEC_COLUMNS if cells.get(column) == CLEAR}
    for account in one.after.accounts:
        found = [Fault(column_of(problem.field), problem.message) for problem in account_problems(account)]
        # What no cell says is the phone's own affair.
        one.faults += [fault for fault in found if cells.get(fault.column) and fault.column not in unread]
    return one.faults


def _model_faults(one: Planned, text: str) -> list[Fault]:
    choose = f"choose from {', '.join(MODELS)}"
    if one.phone is None:
        if not text:
            return [Fault("model", f"This phone was never heard. Enter its model; {choose}.")]
        model = find_model(text)
        if model is None:
            said = f"model {text.upper()}" if _MODEL_NAME.fullmatch(text) else "such model"
            return [Fault("model", f"There is no {said}; {choose}.")]
        one.after = replace(one.after, model=model.name)
        return []
    if text and text.upper() != one.phone.model.upper():
        said = one.phone.model or "nothing"
        return [Fault("model", f"This phone is a {said}. Correct the model or the MAC.")]
    if one.phone.known_model is None and one.differs:
        said = one.phone.model or "This model"
        return [Fault("model", f"{said} cannot be configured. Take its row out.")]
    return []


def shadow(phone: Phone | None, mac: str, target: Target, stand_in: int) -> Phone:
    """The phone as it would be, for looking at its layers; `stand_in` is an id for one that is not listed yet."""
    if phone is None:
        return Phone(pk=stand_in, mac=mac, model=target.model, site=target.site)
    moved = copy.copy(phone)
    moved.site = target.site
    return moved


def _validate(planned: Sequence[Planned], templates: _Templates) -> None:
    """Everything that the renderer would refuse, beside its column: also of rows that have other faults already, so
    that nobody corrects a file only to read the next one."""
    asked = [one for one in planned if one.differs and not one.is_unreadable and (_wants_file(one) or _has_keys(one))]
    shadows = [shadow(one.phone, one.mac, one.after, -place) for place, one in enumerate(asked, start=1)]
    try:
        layers = stack.stacks(shadows)
    except CannotDecrypt:
        if len(asked) == 1:
            asked[0].faults.append(Fault("", UNREADABLE))
            return
        for one in asked:  # one of them cannot be read; the others can
            _validate([one], templates)
        return
    for one, phone in zip(asked, shadows, strict=True):
        model = find_model(one.after.model) or ANY_MODEL  # which is a fault of its own
        own = layers[phone.pk]
        if one.after.templates != one.before.templates:
            there = [templates.by_name[name] for name in one.after.templates if name in templates.by_name]
            own = store.with_templates(own, there)
        accounts = one.after.accounts if _wants_file(one) else _any_accounts(model)
        draft = plan.Draft(accounts, one.after.keys)
        wanted = rendering.Wanted(phone, model, draft, own, plan.base_url(phone.local_host or UNHEARD_HOST))
        try:
            document.settings(rendering.config_of(wanted, "-" * 22, ()))
        except ConfigError as error:
            # Of a cell that could not be read, the renderer only sees what was there before.
            unread = {fault.column for fault in one.faults if fault.column}
            problems = error.problems if _wants_file(one) else [p for p in error.problems if p.field.startswith("key.")]
            found = [Fault(column_of(problem.field), problem.message) for problem in problems]
            one.faults += [fault for fault in found if fault.column not in unread]


def _wants_file(one: Planned) -> bool:
    return wants_file(one.phone, one.after)


def _has_keys(one: Planned) -> bool:
    """Whether the row gives keys to a phone that has no account yet: they are stored, and in its first file."""
    return one.before.keys != one.after.keys


def _any_accounts(model: PhoneModel) -> tuple[AccountConfig, ...]:
    """Stand for the accounts that a phone gets later: a key of one of them is no fault."""
    numbers = range(1, model.accounts + 1)
    return tuple(AccountConfig(number, "pbx", "1", "", "", "", "", DEFAULT_CODECS) for number in numbers)


def wants_file(phone: Phone | None, target: Target) -> bool:
    """Whether a phone is assigned, or becomes so: one without any account was only listed, or put somewhere."""
    return bool(target.accounts) or (phone is not None and phone.is_assigned)


def _store(of: PhoneImport, planned: Sequence[Planned]) -> None:
    """Their rows; encrypted here, before any lock is taken."""
    rows = [_row(of, one) for one in planned]
    with transaction.atomic():
        ImportRow.objects.bulk_create(rows)


def _row(of: PhoneImport, one: Planned) -> ImportRow:
    outcome = one.outcome
    to_do = outcome in (RowOutcome.NEW, RowOutcome.CHANGED)
    phone = one.phone
    before: dict[str, Any] | None = None
    if phone is not None:
        before = one.before.to_json() | {
            "stage": phone.stage, "stage_reason": phone.stage_reason, "stage_at": phone.stage_at.isoformat(),
            "awaits_file": phone.awaits_file, "phone": phone.pk,
        }  # fmt: skip
    return ImportRow(
        of=of,
        number=one.row.number,
        mac=one.mac or _mistyped(one.row),
        outcome=outcome,
        shown=_shown(one, outcome),
        warned=bool(one.warnings) and outcome is not RowOutcome.FAULTY,
        version=phone.version if phone else 0,
        before=_sealed(before) if to_do else None,
        after=_sealed(one.after.to_json() | {"given": one.given, "entries": one.entries}) if to_do else None,
    )


def _shown(one: Planned, outcome: RowOutcome) -> dict[str, Any]:
    if outcome is RowOutcome.FAULTY:
        order = {name: place for place, name in enumerate(("", *KNOWN))}
        faults = sorted(one.faults, key=lambda fault: order.get(fault.column, 0))
        return {"faults": [[fault.column, fault.message] for fault in faults]}
    said = {name for name, text in one.row.cells.items() if text.strip()}
    # A secret of the directory may be somebody's guess: whether it is the one that the phone has is not said either.
    found = changes(one.before, one.after, one.hidden | (one.filled & PASSWORD_COLUMNS))
    # A new account has codecs although nobody named any: what the table does not say is no news of it.
    told = [c for c in found if c.before or c.column in said or c.column not in CODEC_COLUMNS]
    told = [replace(c, after=_from_directory(c)) if c.column in one.filled else c for c in told]
    warnings = {"warnings": [[warning.column, warning.message] for warning in one.warnings]} if one.warnings else {}
    return {"changes": [[c.column, c.before, c.after] for c in told]} | warnings


def _from_directory(change: Change) -> str:
    """What it becomes, in words that may be shown: of a password only where it is from."""
    return FROM_DIRECTORY if change.column in PASSWORD_COLUMNS else f"{change.after} ({FROM_DIRECTORY})"


def _sealed(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def _warn(of: PhoneImport, extensions: Mapping[tuple[str, str], set[str]], listed: Iterable[str]) -> int:
    """Tell rows whose extension another phone has too; how many rows."""
    listed = set(listed)
    has: dict[tuple[str, str], set[str]] = {key: set(macs) for key, macs in extensions.items()}
    users = sorted({user for user, _ in extensions})
    for bite in batch.bites(users, 500):
        rows = Account.objects.filter(user_id__in=bite).exclude(phone__stage__in=OUT_OF_SIGHT)
        for user, server, mac in rows.values_list("user_id", "sip_server", "phone__mac"):
            key = (user, server.lower())
            if key in has and mac not in listed:
                has[key].add(mac)
    words: dict[str, list[list[str]]] = defaultdict(list)
    for (user, _), macs in has.items():
        if len(macs) < 2:
            continue
        for mac in extensions[user, _]:
            others = ", ".join(colons(other) for other in sorted(macs - {mac})[:3])
            words[mac].append([name_of(1, "extension"), f"Extension {user} is on {others} too."])
    for bite in batch.bites(sorted(words), CHUNK):
        good = ImportRow.objects.filter(of=of, mac__in=bite).exclude(outcome=RowOutcome.FAULTY)
        rows_of = good.values_list("pk", "mac", "shown")
        told = [(pk, shown | {"warnings": shown.get("warnings", []) + words[mac]}, True) for pk, mac, shown in rows_of]
        batch.update(ImportRow, ("pk", "shown", "warned"), told)
    return ImportRow.objects.filter(of=of, warned=True).count()
