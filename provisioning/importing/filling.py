"""What a row leaves open of an extension that the directory knows: filled in as the assignment form does it.

Only for an extension that the phone does not have yet, and a secret only where devices/taking.py lets it go, whoever
imports: a file of thousands is not looked at one by one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial

from devices import batch, directory
from devices.crypto import CannotDecrypt
from devices.models import Extension
from devices.taking import what_forbids
from provisioning.gxp.config import AccountConfig
from provisioning.importing.columns import Fault, Target, name_of

FILLED: Mapping[str, str] = {
    "name": "display_name", "sip_server": "sip_server", "auth_id": "auth_id", "voicemail": "voicemail",
}  # fmt: skip
OF_ENTRY: Mapping[str, str] = {"display_name": "name"}
STAYS = {
    "sip_server": "Its stored secret is for its SIP server in the directory alone. Enter that server, or the password.",
    "unreadable": "Its stored secret cannot be opened: put the key that it was written with back into "
    "GSPNP_FIELD_KEYS, or enter the password.",
}
LEFT = "The password of extension {} does not go to another SIP server. Enter the password of this extension."
KEPT = "It keeps the password of extension {}. Enter the password of this extension, if it has another one."
Directory = Mapping[tuple[str, str], Extension]


@dataclass(frozen=True)
class Filled:
    """A phone as it shall be with what the directory says; the extensions whose secrets were taken for it."""

    target: Target
    columns: frozenset[str] = frozenset()
    """What was filled in."""
    given: tuple[str, ...] = ()
    entries: tuple[tuple[int, int], ...] = ()
    """Whose secrets these are: id and version."""
    warnings: list[Fault] = field(default_factory=list)


def entries(numbers: Iterable[str]) -> Directory:
    """The directory's entries of these numbers, by site and number; their secrets are not read."""
    found = {}
    for bite in batch.bites(sorted({number for number in numbers if number}), 500):
        for entry in directory.readable().filter(number__in=bite):
            found[entry.site, entry.number] = entry
    return found


def fill(before: Target, after: Target, cells: Mapping[str, str], known: Directory) -> Filled:
    """Fill in the empty cells of every account whose extension is new to the phone."""
    had = {account.user_id for account in before.accounts}
    filled = Filled(after)
    for account in after.accounts:
        entry = known.get((after.site, account.user_id)) or known.get(("", account.user_id))
        if entry is not None and account.user_id not in had and cells.get(name_of(account.number, "extension")):
            filled = _with(filled, account, entry, partial(_is_open, cells, account.number))
    return _without_passwords_of_others(before, filled, cells)


def _without_passwords_of_others(before: Target, filled: Filled, cells: Mapping[str, str]) -> Filled:
    """An account that gets another extension and no password: the one that it has stays with its server."""
    had = {account.number: account for account in before.accounts if account.password}
    accounts, warnings = [], list(filled.warnings)
    for account in filled.target.accounts:
        old, column = had.get(account.number), name_of(account.number, "password")
        given = column in filled.columns or not _is_open(cells, account.number, "password")
        if old is not None and old.user_id != account.user_id and not given:
            stays = old.sip_server.lower() == account.sip_server.lower()
            warnings.append(Fault(column, (KEPT if stays else LEFT).format(old.user_id)))
            account = account if stays else replace(account, password="")
        accounts.append(account)
    return replace(filled, target=replace(filled.target, accounts=tuple(accounts)), warnings=warnings)


def _is_open(cells: Mapping[str, str], number: int, column: str) -> bool:
    return not cells.get(name_of(number, column), "").strip()


def _with(filled: Filled, account: AccountConfig, entry: Extension, is_open: Callable[[str], bool]) -> Filled:
    said = {
        what: text
        for column, what in FILLED.items()
        if is_open(column) and (text := getattr(entry, OF_ENTRY.get(what, what)))
    }
    columns = {name_of(account.number, column) for column, what in FILLED.items() if what in said}
    new, given, warnings = replace(account, **said), filled.given, list(filled.warnings)
    taken = filled.entries
    if is_open("password") and bool(getattr(entry, "secret_chars", 0)):
        secret, kept = _secret(entry, filled.target.site, new.sip_server)
        column = name_of(account.number, "password")
        if kept:
            warnings.append(Fault(column, kept))
        if secret:
            new = replace(new, password=secret)
            columns.add(column)
            given, taken = (*given, entry.number), (*taken, (entry.pk, entry.version))
    accounts = tuple(new if one.number == new.number else one for one in filled.target.accounts)
    return Filled(replace(filled.target, accounts=accounts), filled.columns | columns, given, taken, warnings)


def _secret(entry: Extension, site: str, sip_server: str) -> tuple[str, str]:
    """The secret, or why it stays."""
    if what_forbids(entry, site, sip_server):
        return "", STAYS["sip_server"]
    try:
        return entry.secret, ""  # read here and not before: what is refused is not decrypted
    except CannotDecrypt:
        return "", STAYS["unreadable"]
