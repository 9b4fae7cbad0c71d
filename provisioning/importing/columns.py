"""The columns of phones: what a header means, what a cell says, and a phone written as cells again.

An empty cell keeps what is there, CLEAR takes it away; a text that is CLEAR itself is written with a backslash. Imports
no Django.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from devices.catalog import CODECS, DEFAULT_CODECS, MODELS, KeyKind, KeyMode, KeySlot
from provisioning.gxp.config import AccountConfig, KeyConfig
from provisioning.gxp.layout import KEY_NAMES, LayoutKey, read_key
from provisioning.tables.table import Table, TableError

CLEAR = "-"
MAX_ACCOUNTS = max(model.accounts for model in MODELS.values())
# The columns of an account, each with what it sets; the bare name is that of account 1.
ACCOUNT_FIELDS: Mapping[str, str] = {
    "extension": "user_id", "password": "password", "name": "display_name", "sip_server": "sip_server",
    "auth_id": "auth_id", "voicemail": "voicemail", "codecs": "codecs",
}  # fmt: skip
PHONE_FIELDS = ("mac", "model", "site", "template")
SLOTS: tuple[KeySlot, ...] = tuple(sorted(KEY_NAMES.values(), key=lambda slot: (slot.kind is KeyKind.MPK, slot)))
_ALIASES = {
    "user_id": "extension", "sip_user_id": "extension", "display_name": "name", "caller_name": "name",
    "server": "sip_server", "sip_password": "password", "authentication_id": "auth_id", "templates": "template",
    "voicemail_number": "voicemail", "preferred_codecs": "codecs", "mac_address": "mac",
}  # fmt: skip
_OF_ACCOUNT = re.compile(r"(?:account_?([1-9])_)?([a-z_]+?)(?:_?([1-9]))?")
_BLANKLESS = ("user_id", "sip_server", "auth_id")  # blanks around these were pasted along
_CLEAR_ITSELF = re.compile(r"\\*\s*-\s*")
_CODEC_NAMES = {name.upper(): name for name in CODECS}


@dataclass(frozen=True)
class Fault:
    """What is wrong with a row: its column, or "", and what to do."""

    column: str
    message: str


@dataclass(frozen=True)
class Target:
    """All of a phone that a table says: what it has, or shall have. Passwords are plain here and in no repr."""

    model: str = ""
    site: str = ""
    templates: tuple[str, ...] = ()
    accounts: tuple[AccountConfig, ...] = field(default=(), repr=False)
    keys: tuple[KeyConfig, ...] = ()

    def in_order(self) -> Target:
        """The same, however it was written."""
        by_number = tuple(sorted(self.accounts, key=lambda one: one.number))
        return replace(self, accounts=by_number, keys=tuple(sorted(self.keys, key=lambda one: one.slot)))

    def to_json(self) -> dict[str, Any]:
        """For storing, encrypted."""
        return {
            "model": self.model,
            "site": self.site,
            "templates": list(self.templates),
            "accounts": [[*_values(one), list(one.codecs)] for one in self.accounts],
            "keys": [[one.slot.name, one.mode.value, one.account, one.label, one.value] for one in self.keys],
        }

    @classmethod
    def from_json(cls, said: Mapping[str, Any]) -> Target:
        """What `to_json` made."""
        accounts = (AccountConfig(*values) for values in _with_tuples(said["accounts"]))
        keys = (KeyConfig(KeySlot.parse(slot), KeyMode(mode), *rest) for slot, mode, *rest in said["keys"])
        return cls(said["model"], said["site"], tuple(said["templates"]), tuple(accounts), tuple(keys))


def _with_tuples(accounts: Sequence[Sequence[Any]]) -> Iterator[tuple[Any, ...]]:
    """JSON knows no tuples: the codecs, which are last, are one."""
    for *values, codecs in accounts:
        yield *values, tuple(codecs)


def _values(account: AccountConfig) -> tuple[object, ...]:
    one = account
    return one.number, one.sip_server, one.user_id, one.auth_id, one.password, one.display_name, one.voicemail


def name_of(number: int, column: str) -> str:
    """The header of an account's column."""
    return column if number == 1 else f"account{number}_{column}"


KNOWN: tuple[str, ...] = (
    *PHONE_FIELDS,
    *(name_of(number, column) for number in range(1, MAX_ACCOUNTS + 1) for column in ACCOUNT_FIELDS),
    *(slot.name for slot in SLOTS),
)

CODEC_COLUMNS = frozenset(name_of(number, "codecs") for number in range(1, MAX_ACCOUNTS + 1))
PASSWORD_COLUMNS = frozenset(name_of(number, "password") for number in range(1, MAX_ACCOUNTS + 1))


def resolve(header: str) -> str:
    """The name in KNOWN that a header means; "" if it means none."""
    header = _ALIASES.get(header, header).removeprefix("key_")
    if header in KNOWN:
        return header
    found = _OF_ACCOUNT.fullmatch(header)
    if found is None or (found[1] and found[3]):
        return ""
    column, number = _ALIASES.get(found[2], found[2]), int(found[1] or found[3] or 1)
    return name_of(number, column) if column in ACCOUNT_FIELDS and number <= MAX_ACCOUNTS else ""


def known(table: Table) -> dict[str, str]:
    """The table's headers, each with the name in KNOWN. Raises TableError for those that are none, or say the same."""
    table.need(lambda header: bool(resolve(header)), KNOWN)
    names = {header: resolve(header) for header in table.headers}
    if "mac" not in names.values():
        raise TableError("There is no column mac. Add it: every row names its phone by its MAC.")
    for header, name in names.items():
        same = [other for other, its in names.items() if its == name]
        if len(same) > 1:
            raise TableError(f"The columns {' and '.join(same)} say the same. Keep one of them ({header}).")
    return names


def changed(before: Target, cells: Mapping[str, str]) -> tuple[Target, list[Fault]]:
    """What a phone shall have once these cells (by names in KNOWN) are said to it, and what cannot be read."""
    faults: list[Fault] = []
    target = replace(before, accounts=tuple(_accounts(before, cells, faults)), keys=tuple(_keys(before, cells, faults)))
    site = cells.get("site", "").strip()
    if site:
        target = replace(target, site="" if site == CLEAR else site)
    return target.in_order(), faults


def _accounts(before: Target, cells: Mapping[str, str], faults: list[Fault]) -> Iterator[AccountConfig]:
    stored = {account.number: account for account in before.accounts}
    for number in range(1, MAX_ACCOUNTS + 1):
        said = {what: cells.get(name_of(number, column), "") for column, what in ACCOUNT_FIELDS.items()}
        said = {what: text.strip() if what in _BLANKLESS else text for what, text in said.items()}
        given = {what: text for what, text in said.items() if text.strip()}
        if not given:
            if number in stored:
                yield stored[number]
            continue
        if given.get("user_id") == CLEAR:
            rest = sorted(what for what, text in given.items() if what != "user_id" and text.strip() != CLEAR)
            column = name_of(number, "extension")
            if rest:
                faults.append(Fault(column, f"“{CLEAR}” takes account {number} away; empty its other cells."))
            continue
        yield _account(stored.get(number) or _no_account(number), given, faults)


def _no_account(number: int) -> AccountConfig:
    return AccountConfig(number, "", "", "", "", "", "", DEFAULT_CODECS)


def _account(old: AccountConfig, given: Mapping[str, str], faults: list[Fault]) -> AccountConfig:
    new: dict[str, Any] = {what: _meant(text) for what, text in given.items() if what != "codecs"}
    if "codecs" in given:
        texts = [] if given["codecs"].strip() == CLEAR else re.split(r"[\s,;/>|]+", given["codecs"].strip())
        unknown = [place for place, text in enumerate(texts, start=1) if text.upper() not in _CODEC_NAMES]
        if unknown:  # never quoted: a password may have slipped into this column
            words = f"Name {unknown[0]} in this cell is no codec; choose from {', '.join(CODECS)}, the best first."
            faults.append(Fault(name_of(old.number, "codecs"), words))
        new["codecs"] = tuple(_CODEC_NAMES[text.upper()] for text in texts if text.upper() in _CODEC_NAMES)
    return replace(old, **new)


def _meant(text: str) -> str:
    if text.strip() == CLEAR:
        return ""
    return text[1:] if text.startswith("\\") and _CLEAR_ITSELF.fullmatch(text) else text


def _keys(before: Target, cells: Mapping[str, str], faults: list[Fault]) -> Iterator[KeyConfig]:
    stored = {key.slot: key for key in before.keys}
    for slot in SLOTS:
        text = cells.get(slot.name, "").strip()
        if text == CLEAR:
            stored.pop(slot, None)
        elif text:
            try:
                read = _read_key(slot, cells[slot.name])
            except ValueError as error:
                faults.append(Fault(slot.name, f"{slot.name} {error}."))
                continue
            if read.protected:
                faults.append(Fault(slot.name, "Only a layer can protect a key; leave “protected” out."))
            stored[slot] = read.key
    yield from stored.values()


def _read_key(slot: KeySlot, cell: str) -> LayoutKey:
    """What a cell says of a key; blanks behind its label belong to that, as those of a name do. Raises ValueError."""
    text, blanks = cell.strip(), cell[len(cell.rstrip(" ")) :]
    read = read_key(slot, text)
    return read_key(slot, text + blanks) if read.key.label and blanks else read


def cells_of(target: Target, *, secrets: bool) -> dict[str, str]:
    """A phone as cells, by names in KNOWN; `changed` makes the same of them. Empty ones are left out."""
    cells = {"model": target.model, "site": target.site, "template": ";".join(target.templates)}
    for account in target.accounts:
        for column, what in ACCOUNT_FIELDS.items():
            value = getattr(account, what)
            text = " ".join(value) if what == "codecs" else value
            if what != "password" or secrets:
                cells[name_of(account.number, column)] = f"\\{text}" if _CLEAR_ITSELF.fullmatch(text) else text
    for key in target.keys:
        cells[key.slot.name] = key_text(key)
    return {name: text for name, text in cells.items() if text}


def key_text(key: KeyConfig) -> str:
    """MODE[@ACCOUNT]:VALUE[:LABEL], as `manage.py assign --key` takes it; "" if it cannot be written so."""
    mode = key.mode.value if key.account == 1 else f"{key.mode.value}@{key.account}"
    text = ":".join((mode, key.value, key.label)).rstrip(":") if not key.label else f"{mode}:{key.value}:{key.label}"
    try:
        return text if _read_key(key.slot, text).key == key else ""
    except ValueError:
        return ""  # the cell stays empty, which keeps what is there


def column_of(path: str) -> str:
    """The column to which a problem's field path (`account.1.user_id`, `key.mpk3.value`) belongs; "" if to none."""
    kind, _, rest = path.partition(".")
    place, _, what = rest.partition(".")
    if kind == "account" and place.isdigit():
        columns = {its: column for column, its in ACCOUNT_FIELDS.items()}
        return name_of(int(place), columns.get(what, "extension"))
    if kind == "key":
        return place
    return kind if kind in PHONE_FIELDS else ""


@dataclass(frozen=True)
class Change:
    """One thing that becomes another, in words that may be shown: a password is never one of them."""

    column: str
    before: str
    after: str


def given_passwords(cells: Mapping[str, str]) -> frozenset[str]:
    """The columns (names in KNOWN) of passwords that these cells set to something."""
    return frozenset(column for column in PASSWORD_COLUMNS if cells.get(column, "").strip() not in ("", CLEAR))


def changes(before: Target, after: Target, hidden: frozenset[str] = frozenset()) -> list[Change]:
    """What differs, column by column, secrets masked; of `hidden` columns, that they are given."""
    old, new = _shown(before), _shown(after)
    found = [Change(name, old.get(name, ""), new.get(name, "")) for name in KNOWN if old.get(name) != new.get(name)]
    were = {account.number: account.password for account in before.accounts}
    for account in after.accounts:
        column, had = name_of(account.number, "password"), "set" if were.get(account.number) else ""
        if column in hidden:
            found.append(Change(column, had, "as given"))
        elif account.password != were.get(account.number, ""):
            words = ("another one" if had else "set") if account.password else ""
            found.append(Change(column, had, words))
    return found


def _shown(target: Target) -> dict[str, str]:
    """Cells with the real text of what no cell can say."""
    cells = cells_of(target, secrets=False)
    for key in target.keys:
        cells.setdefault(key.slot.name, f"{key.mode.value}:{key.value}:{key.label}")
    return cells


def sample() -> tuple[Sequence[str], list[Sequence[str]]]:
    """Headers and rows of a file to begin with."""
    headers = ("mac", "model", "site", "template", *ACCOUNT_FIELDS, "mpk1", "mpk2")
    first = ("00:0B:82:00:0E:10", "GXP1628", "", "", "1001", "change-me", "Reception", "pbx.example.com", "", "*97",
             "PCMA PCMU G722", "blf:1002:Tess", "speed_dial:+4930123456:Taxi")  # fmt: skip
    second = ("000b82000e11", "GXP1625", "", "", "1002", "change-me-too", "Tess", "pbx.example.com", "", "*97", "", "",
              "")  # fmt: skip
    return headers, [first, second]
