"""Phones as a table with the columns that an import reads: in bites, so that no fleet stands in memory as a whole."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from django.db.models import Max, Prefetch, QuerySet

from devices import inventory
from devices.catalog import KeyKind, KeySlot
from devices.choices import EventKind
from devices.models import Account, Key, Phone
from provisioning.importing import planning
from provisioning.importing.columns import ACCOUNT_FIELDS, PHONE_FIELDS, SLOTS, Target, cells_of, name_of

BITE = 500  # phones read at once


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
    """The cells of each phone under these headers. With secrets, its timeline says so before its row leaves."""
    last = 0
    while bite := _bite(phones.filter(pk__gt=last).order_by("pk"), secrets):
        last = bite[-1].pk
        targets = planning.targets_of(bite)
        if secrets:
            inventory.tell_all(bite, EventKind.LOOKED, f"{by} exported its SIP passwords.")
        for phone in bite:
            target = targets.get(phone.pk, Target(phone.model, phone.site))
            cells = cells_of(target, secrets=secrets) | {"mac": phone.mac}
            yield [cells.get(name, "") for name in names]


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
