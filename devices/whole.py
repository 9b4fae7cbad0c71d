"""Phones that are written as a whole, many in one transaction: what an import decides. A part of the inventory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from django.db import transaction
from django.utils import timezone

from devices import batch, live
from devices.choices import OUT_OF_SIGHT, EventKind, Stage
from devices.models import Account, Key, Phone

_ACCOUNT = ("phone", "number", "sip_server", "user_id", "auth_id", "password", "display_name", "voicemail", "codecs",
            "password_version")  # fmt: skip
_KEY = ("phone", "kind", "number", "mode", "account", "label", "value")
_WRITTEN = ("pk", "version", "site", "stage", "stage_reason", "stage_at", "awaits_file")


@dataclass(frozen=True)
class Whole:
    """One phone as it shall be. `phone` is as its reader saw it; its address and what confirms it stay as they are."""

    phone: Phone
    accounts: Sequence[Account] = field(repr=False)
    keys: Sequence[Key]
    site: str
    stage: Stage
    stage_reason: str
    stage_at: datetime
    awaits_file: bool
    text: str
    """What the timeline says of it."""


def changed_since(phones: Sequence[Phone]) -> list[Phone]:
    """Which of these are not any more what their reader saw: saved, put elsewhere, taken off their way, or gone."""
    rows = batch.select(Phone, ("pk", "version", "site", "stage"), "pk", [phone.pk for phone in phones])
    read = {pk: (version, site, stage in OUT_OF_SIGHT) for pk, version, site, stage in rows}
    return [phone for phone in phones if read.get(phone.pk) != (phone.version, phone.site, phone.stage in OUT_OF_SIGHT)]


def rewrite(wholes: Sequence[Whole], now: datetime) -> None:
    """Replace accounts, keys, site and stage of these phones, and count a save of each. The caller has locked them in
    its own transaction, and found none of them changed."""
    ids = [one.phone.pk for one in wholes]
    batch.update(
        Phone,
        _WRITTEN,
        [
            (one.phone.pk, one.phone.version + 1, one.site, one.stage, one.stage_reason, one.stage_at, one.awaits_file)
            for one in wholes
        ],
    )
    for one in wholes:
        for row in one.accounts:
            row.password_version = one.phone.version + 1
    Account.objects.filter(phone__in=ids).delete()
    Key.objects.filter(phone__in=ids).delete()
    batch.insert(Account, _ACCOUNT, _rows(_ACCOUNT, [row for one in wholes for row in one.accounts]))
    batch.insert(Key, _KEY, _rows(_KEY, [row for one in wholes for row in one.keys]))
    kind = EventKind.STAGE.value
    live.append_rows(
        [(one.phone.pk, one.phone.mac, kind, one.stage, one.text[: live.TEXT_CHARS], now) for one in wholes]
    )


def unlist(phones: Sequence[Phone], text: str, now: datetime) -> None:
    """Delete phones that were listed and never heard, with all that belongs to them. The caller has locked them in its
    own transaction, and found none of them changed."""
    kind = EventKind.FORGOTTEN.value
    Phone.objects.filter(pk__in=[one.pk for one in phones], first_seen_at=None).delete()
    live.append_rows([(None, one.mac, kind, one.stage, text[: live.TEXT_CHARS], now) for one in phones])


def tell_all(phones: Sequence[Phone], kind: EventKind, text: str) -> None:
    """Append the same event, which changes no column, to the timelines of these phones."""
    now = timezone.now()
    with transaction.atomic():
        live.append_rows([(one.pk, one.mac, kind.value, one.stage, text[: live.TEXT_CHARS], now) for one in phones])


def _rows(names: Sequence[str], objects: Sequence[Account] | Sequence[Key]) -> list[list[object]]:
    return [[getattr(one, "phone_id" if name == "phone" else name) for name in names] for one in objects]
