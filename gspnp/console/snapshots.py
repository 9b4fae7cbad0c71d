"""How something that people change is at this moment, as names and words: what the list of changes compares.

Secrets never come into it: each stands as a fixed mask, whatever it is. Where a new one can be told from the old
without knowing either (a counter, a salted hash), the two masks still count as different.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.contrib.auth.models import Group
from django.db.models import Model, QuerySet

from devices.crypto import CannotDecrypt
from devices.fields import sealed_names
from devices.mac import colons
from devices.models import Account, Extension, Key, Phone
from provisioning.gxp.entries import label_of, shown
from provisioning.models import FirmwareStep, PhoneTemplate, SettingsLayer

MASK = "••••••••"
UNREADABLE = "cannot be read"
WORDS_CHARS = 300
MAX_NAMES = 400

# Written by the machine, or by every change: no news for a person.
NOISE = frozenset({"id", "last_login", "version", "changed_at", "created_at", "changed_by", "date_joined"})
OF_PHONES = ("site", "model", "stage", "approved_host")


@dataclass(frozen=True)
class Secret:
    """Something that is never shown; `unlike` tells two of them apart, and is no part of either."""

    unlike: object = None


Snapshot = dict[str, Any]


def of(row: Model) -> Snapshot:
    """What stands in a row, and in those that belong to it."""
    if isinstance(row, Phone):
        return _phone(row)
    if isinstance(row, SettingsLayer):
        return {"note": row.note} | _values(SettingsLayer.objects.filter(pk=row.pk))
    return _row(row)


def diff(before: Snapshot, after: Snapshot) -> tuple[dict[str, str], dict[str, str]]:
    """What differs, in words; a name that one of them lacks is left out there."""
    names = [name for name in sorted({*before, *after}) if before.get(name) != after.get(name)][:MAX_NAMES]
    return _words(before, names), _words(after, names)


def _words(snapshot: Mapping[str, Any], names: list[str]) -> dict[str, str]:
    return {name: _word(snapshot[name]) for name in names if name in snapshot and snapshot[name] not in (None, "")}


def _word(value: object) -> str:
    return MASK if isinstance(value, Secret) else str(value)[:WORDS_CHARS]


def _phone(phone: Phone) -> Snapshot:
    found: Snapshot = {name: getattr(phone, name) for name in OF_PHONES}
    for account in Account.objects.defer("password").filter(phone=phone):
        text = f"{account.user_id}@{account.sip_server} {account.display_name}".strip()
        others = [account.auth_id, account.voicemail, " ".join(account.codecs)]
        found[f"account {account.number}"] = " · ".join([text, *(one for one in others if one)])
        found[f"account {account.number} password"] = Secret(account.password_version)
    for key in Key.objects.filter(phone=phone):
        account_words = f"@{key.account}" if key.account != 1 else ""
        found[f"key {key.kind}{key.number}"] = f"{key.mode}{account_words}:{key.value}:{key.label}".rstrip(":")
    templates = PhoneTemplate.objects.filter(phone=phone).order_by("place").values_list("layer__name", flat=True)
    found["templates"] = ", ".join(templates)
    return found | _values(SettingsLayer.objects.filter(phone=phone))


def _values(layers: QuerySet[SettingsLayer]) -> Snapshot:
    """What these layers say; loading one decrypts it."""
    try:
        return {
            f"setting: {label_of(name)}": shown(name, value) for layer in layers for name, value in layer.values.items()
        }
    except CannotDecrypt:
        return {"settings": UNREADABLE}


def _row(row: Model) -> Snapshot:
    """Every column that is no secret and no noise, and the names of what it is connected with."""
    sealed = sealed_names(type(row))
    hidden = {*sealed, "password", "secret"}
    found: Snapshot = {}
    for field in row._meta.concrete_fields:
        if field.name in NOISE or not field.editable and field.name not in hidden:
            continue
        if field.name in hidden:
            # A user's is a salted hash: another one is another password, or the same typed again.
            found[field.name] = Secret(None if field.name in sealed else field.value_from_object(row))
        else:
            found[field.name] = str(value) if (value := field.value_from_object(row)) is not None else ""
    for many in row._meta.many_to_many:
        found[many.name.replace("_", " ")] = ", ".join(sorted(str(one) for one in getattr(row, many.name).all()))
    return found


def firmware_path(model: str) -> Snapshot:
    """The versions that a model is taken to, in order."""
    steps = FirmwareStep.objects.filter(model__iexact=model).order_by("place")
    return {"path": " → ".join(steps.values_list("image__version", flat=True))}


def title(row: Model) -> str:
    """As people call it."""
    if isinstance(row, Phone):
        return colons(row.mac)
    if isinstance(row, Extension):
        return f"{row.number} {row.name}".strip()
    return f"{row._meta.verbose_name} {row}" if isinstance(row, Group) else str(row)
