"""A table of extensions into the directory: every row is looked at first, then all of it is written or nothing.

What a preview showed is what is stored: if the directory has changed in between, the preview has to be looked at anew.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from devices import batch, directory
from devices.crypto import CannotDecrypt
from devices.directory import Entry, Step, VersionConflict
from devices.models import Extension
from provisioning.extensions.checking import faults
from provisioning.tables.table import Row, Table, TableError

COLUMNS = ("number", "name", "secret", "site", "auth_id", "sip_server", "voicemail")
MEANS = {
    "extension": "number", "user_id": "number", "caller_name": "name", "display_name": "name", "password": "secret",
    "server": "sip_server", "authentication_id": "auth_id",
}  # fmt: skip
MAX_ROWS = 5_000  # stored in one transaction, which keeps SQLite's lock for as long as it takes. Our choice
READ_AT_ONCE = 500
MASKED = "••••"
ADD, CHANGE, SAME = "add", "change", "same"


@dataclass(frozen=True)
class Difference:
    """A field that changes; secrets are masked."""

    name: str
    before: str
    after: str


@dataclass(frozen=True)
class Planned:
    """One row of the file and what it does."""

    row: int
    entry: Entry
    action: str
    pk: int | None = None
    version: int = 0
    differences: list[Difference] = field(default_factory=list)


@dataclass(frozen=True)
class Fault:
    """What is wrong in a row, and what to do."""

    row: int
    field: str
    message: str


@dataclass(frozen=True)
class Preview:
    """What storing a file would do."""

    rows: list[Planned]
    faults: list[Fault]

    def of(self, action: str) -> list[Planned]:
        return [one for one in self.rows if one.action == action]

    @property
    def mark(self) -> str:
        """Changes whenever what would be done does."""
        said = "\n".join(f"{one.row} {one.action} {one.pk} {one.version}" for one in self.rows)
        return hashlib.sha256(said.encode()).hexdigest()[:32]


def rows_of(table: Table) -> list[Row]:
    """The rows with our names of the columns. Raises TableError for a table without numbers, or with columns that are
    none of ours."""
    named = {header: MEANS.get(header, header) for header in table.headers}
    table = Table([named[header] for header in table.headers], table.rows)
    table.need(COLUMNS.__contains__, COLUMNS)
    if "number" not in table.headers:
        raise TableError(f"There is no column “number”. Known are: {', '.join(COLUMNS)}.")
    doubled = sorted({name for name in table.headers if table.headers.count(name) > 1})
    if doubled:
        raise TableError(f"Two columns mean {doubled[0]}. Keep one of them.")
    return [Row(row.number, {named[header]: text for header, text in row.cells.items()}) for row in table.rows]


def preview(rows: Sequence[Row], site: str, *, compares_secrets: bool) -> Preview:
    """Look at every row, and write nothing. A row without a site is for `site`; a column that the file does not have
    leaves what is stored as it is, and so does a secret that is blank.

    `compares_secrets` only for who may look at them: “the same” says that a guess is right. Otherwise every secret of
    the file is one that is set.
    """
    known = _known(rows)
    planned: list[Planned] = []
    wrong: list[Fault] = []
    seen: dict[tuple[str, str], int] = {}
    for row in rows:
        cells = {name: text.strip() if name != "secret" else text for name, text in row.cells.items()}
        key = (cells.get("site") or site, cells.get("number", ""))
        stored = known.get(key)
        entry = _entry(key, cells, stored)
        found = [Fault(row.number, name, words) for name, words in faults(entry)]
        if key[1] and key in seen:
            found.append(Fault(row.number, "number", f"Row {seen[key]} has the same number; remove one of them."))
        seen.setdefault(key, row.number)
        wrong += found
        if not found:
            planned.append(_planned(row.number, entry, stored))
    return Preview(_without_same_secrets(planned) if compares_secrets else planned, wrong)


def store(rows: Sequence[Row], site: str, mark: str, *, compares_secrets: bool) -> Preview:
    """Store what a preview with this mark showed. Raises VersionConflict if that is not what would happen now."""
    now = preview(rows, site, compares_secrets=compares_secrets)
    if now.faults or now.mark != mark:
        raise VersionConflict(directory.OTHERS_MEANWHILE)
    directory.store(Step(one.entry, one.pk, one.version) for one in now.rows if one.action != SAME)
    return now


def _entry(key: tuple[str, str], cells: Mapping[str, str], stored: Extension | None) -> Entry:
    texts = {name: cells.get(name, getattr(stored, name) if stored else "") for name in directory.TEXTS}
    return Entry(key[0], key[1], secret=cells.get("secret") or None, **texts)


def _known(rows: Iterable[Row]) -> dict[tuple[str, str], Extension]:
    """The extensions with these numbers, by site and number."""
    numbers = {row.cells.get("number", "").strip() for row in rows}
    found = {}
    for bite in batch.bites(sorted(numbers), READ_AT_ONCE):
        for one in directory.readable().filter(number__in=bite):
            found[one.site, one.number] = one
    return found


def _planned(row: int, entry: Entry, stored: Extension | None) -> Planned:
    if stored is None:
        return Planned(row, entry, ADD)
    changed = [
        Difference(name, getattr(stored, name), getattr(entry, name))
        for name in directory.TEXTS
        if getattr(stored, name) != getattr(entry, name)
    ]
    if entry.secret is not None:
        changed.append(Difference("secret", MASKED if stored.secret_chars else "", MASKED))  # type: ignore[attr-defined]
    return Planned(row, entry, CHANGE if changed else SAME, stored.pk, stored.version, changed)


def _without_same_secrets(planned: list[Planned]) -> list[Planned]:
    """A secret that is stored already is no change."""
    asked = {one.pk for one in planned if one.pk is not None and one.entry.secret is not None}
    stored: dict[int, str] = {}
    for bite in batch.bites(sorted(asked), READ_AT_ONCE):
        stored |= _secrets(bite)
    return [_less(one) if one.pk in stored and stored[one.pk] == one.entry.secret else one for one in planned]


def _less(one: Planned) -> Planned:
    left = [difference for difference in one.differences if difference.name != "secret"]
    entry = replace(one.entry, secret=None)
    return replace(one, entry=entry, differences=left, action=CHANGE if left else SAME)


def _secrets(pks: Sequence[int]) -> dict[int, str]:
    """Secrets by id; one that no key opens is missing, and so is replaced."""
    try:
        return dict(Extension.objects.filter(pk__in=pks).values_list("pk", "secret"))
    except CannotDecrypt:
        if len(pks) == 1:
            return {}
        return {pk: secret for one in pks for pk, secret in _secrets([one]).items()}
