"""How something that people change is at this moment, as names and words: what the list of changes compares.

Secrets never come into it: each stands as a fixed mask, whatever it is. Where a new one can be told from the old
without knowing either (a counter, a salted hash), the two masks still count as different.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from django.contrib.auth.models import Group
from django.db.models import BinaryField, Model, QuerySet, TextField
from django.db.models.functions import Cast

from devices.crypto import CannotDecrypt
from devices.fields import sealed_names
from devices.mac import colons
from devices.models import Account, Extension, Key, Phone
from provisioning.gxp.document import MASK as MASKED
from provisioning.gxp.entries import label_of, shown
from provisioning.models import FirmwareStep, PhoneTemplate, SettingsLayer

MASK = "••••••••"
UNREADABLE = "cannot be read"
WORDS_CHARS, MANY_CHARS = 300, 20_000
MAX_NAMES = 400

# Written by the machine, or by every change: no news for a person.
NOISE = frozenset({"id", "last_login", "version", "changed_at", "created_at", "changed_by", "date_joined"})
OF_PHONES = ("site", "model", "stage", "approved_host")


@dataclass(frozen=True)
class Secret:
    """Something that is never shown; by `unlike` two of them are told apart, and no more."""

    unlike: object = field(default=None, repr=False)
    words: str = MASK


class Many(frozenset[str]):
    """Names of what something is connected with: what it lost stands before, and what it got after."""


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
    return _words(before, after, names), _words(after, before, names)


def _words(snapshot: Mapping[str, Any], other: Mapping[str, Any], names: list[str]) -> dict[str, str]:
    words = {name: _word(snapshot[name], other.get(name)) for name in names if snapshot.get(name) is not None}
    return {name: text for name, text in words.items() if text}


def _word(value: object, other: object) -> str:
    if isinstance(value, Secret):
        return value.words
    if isinstance(value, Many):
        return ", ".join(sorted(value - other if isinstance(other, Many) else value))[:MANY_CHARS]
    return str(value)[:WORDS_CHARS]


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
        values = [(name, value, shown(name, value)) for layer in layers for name, value in layer.values.items()]
    except CannotDecrypt:
        return {"settings": UNREADABLE}
    return {
        f"setting: {label_of(name)}": Secret(value, words.replace(MASKED, MASK)) if MASKED in words else words
        for name, value, words in values
    }


def _row(row: Model) -> Snapshot:
    """Every column that is no secret and no noise, and the names of what it is connected with."""
    sealed = sealed_names(type(row))
    hidden = {*sealed, "password", "secret"}
    found: Snapshot = {}
    rows = type(row)._default_manager.filter(pk=row.pk)
    for column in row._meta.concrete_fields:
        if column.name in NOISE or not column.editable and column.name not in hidden:
            continue
        if isinstance(column, BinaryField):
            continue  # a file, which nobody changes
        if column.name in hidden:
            # Encrypted, or a salted hash: another one is another password, or the same typed again.
            stored = Cast(column.name, TextField())
            found[column.name] = Secret(rows.values_list(stored, flat=True).first())
        else:
            found[column.name] = str(value) if (value := column.value_from_object(row)) is not None else ""
    for many in row._meta.many_to_many:
        found[many.name.replace("_", " ")] = Many(str(one) for one in getattr(row, many.name).all())
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
