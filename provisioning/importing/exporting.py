"""Phones as a table with the columns that an import reads: in bites, so that no fleet stands in memory as a whole."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from django.db.models import Max, Prefetch, QuerySet
from django.utils.translation import gettext, gettext_noop

from devices import inventory
from devices.catalog import KeyKind, KeySlot
from devices.choices import EventKind
from devices.mac import colons
from devices.models import Account, Key, Phone
from provisioning.importing import planning
from provisioning.importing.columns import ACCOUNT_FIELDS, PHONE_FIELDS, SLOTS, Target, cells_of, name_of
from provisioning.tables.table import TableError

BITE = 500  # phones read at once
UNREADABLE = gettext_noop(
    "A password of %(mac)s cannot be opened: the key that it was written with is not in GSPNP_FIELD_KEYS. Put that key "
    "back, or export without passwords."
)


def headers(phones: QuerySet[Phone], *, secrets: bool) -> list[str]:
    """The columns that these phones need: no account and no key that none of them has."""
    ids = phones.order_by().values("pk")
    most = Account.objects.filter(phone__in=ids).aggregate(most=Max("number"))["most"] or 1
    used = Key.objects.filter(phone__in=ids).order_by().values_list("kind", "number").distinct()
    slots = {KeySlot(KeyKind(kind), number) for kind, number in used}
    columns = [column for column in ACCOUNT_FIELDS if secrets or column != "password"]
    accounts = [name_of(number, column) for number in range(1, most + 1) for column in columns]
    return [*PHONE_FIELDS, *accounts, *(slot.name for slot in SLOTS if slot in slots)]


def rows(phones: QuerySet[Phone], names: Sequence[str], *, secrets: bool, by: str) -> Iterator[list[str]]:
    """The cells of each phone under these headers. With secrets, its timeline says so before its row leaves.

    Raises TableError at once, before anything is told, if a password cannot be opened: a row without it would say
    that the phone has none.
    """
    if secrets:
        for bite in _bites(phones, secrets):
            _targets(bite)
    return _rows(phones, names, secrets, by)


def _rows(phones: QuerySet[Phone], names: Sequence[str], secrets: bool, by: str) -> Iterator[list[str]]:
    for bite in _bites(phones, secrets):
        targets = _targets(bite)
        if secrets:
            inventory.tell_all(bite, EventKind.LOOKED, f"{by} exported its SIP passwords.")
        for phone in bite:
            cells = cells_of(targets[phone.pk], secrets=secrets) | {"mac": phone.mac}
            yield [cells.get(name, "") for name in names]


def _targets(bite: Sequence[Phone]) -> dict[int, Target]:
    targets = planning.targets_of(bite)
    for phone in bite:
        if phone.pk not in targets:
            raise TableError(gettext(UNREADABLE) % {"mac": colons(phone.mac)})
    return targets


def _bites(phones: QuerySet[Phone], secrets: bool) -> Iterator[list[Phone]]:
    last = 0
    while bite := _bite(phones.filter(pk__gt=last).order_by("pk"), secrets):
        last = bite[-1].pk
        yield bite


def _bite(phones: QuerySet[Phone], secrets: bool) -> list[Phone]:
    if secrets:
        return planning.with_accounts(phones[:BITE])
    # Nobody decrypts what nobody is shown.
    accounts = Prefetch("accounts", Account.objects.defer("password"))
    found = list(phones.prefetch_related(accounts, "keys")[:BITE])
    for phone in found:
        for account in phone.accounts.all():
            account.password = ""
    return found
