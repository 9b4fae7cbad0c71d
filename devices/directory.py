"""The only writer of extensions: the directory of numbers that phones can be given.

Every function is one short transaction. What a person changes is as that person read it, or VersionConflict is raised;
a secret is encrypted before the transaction begins.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from django.db import IntegrityError, transaction
from django.db.models import QuerySet
from django.db.models.functions import Length
from django.utils import timezone

from devices import batch
from devices.crypto import seal_text
from devices.fields import Sealed
from devices.inventory import VersionConflict
from devices.models import Extension

__all__ = ["Entry", "Step", "Taken", "VersionConflict", "add", "change", "readable", "remove", "store"]

TEXTS = ("name", "auth_id", "sip_server", "voicemail")
COLUMNS = ("site", "number", *TEXTS, "secret", "version", "created_at", "changed_at")
CHANGED_MEANWHILE = "This extension was changed by somebody else in the meantime. Open it again and try again."
OTHERS_MEANWHILE = "Extensions were changed by somebody else in the meantime. Look at the preview again."


class Taken(ValueError):
    """The site has this number already; the text says what to do."""

    def __init__(self, number: str, site: str) -> None:
        where = f"Site {site}" if site else "The default site"
        super().__init__(f"{where} has an extension {number} already. Change that one, or choose another number.")


@dataclass(frozen=True)
class Entry:
    """What an extension is to say. `secret` is None if the one that is stored stays."""

    site: str
    number: str
    name: str = ""
    secret: str | None = field(default=None, repr=False)
    auth_id: str = ""
    sip_server: str = ""
    voicemail: str = ""


@dataclass(frozen=True)
class Step:
    """One row of an import: what to store, and the extension that it changes, with the version that was read."""

    entry: Entry
    pk: int | None = None
    version: int = 0


def readable() -> QuerySet[Extension]:
    """Extensions without their secrets; `secret_chars` says whether there is one (0: none)."""
    return Extension.objects.defer("secret").annotate(secret_chars=Length("secret"))


def add(entry: Entry) -> int:
    """A new extension; its id. Raises Taken."""
    now = timezone.now()
    texts = {name: getattr(entry, name) for name in ("site", "number", *TEXTS)}
    row = Extension(secret=_sealed(entry.secret) or "", created_at=now, changed_at=now, **texts)
    try:
        with transaction.atomic():
            row.save(force_insert=True)
    except IntegrityError:
        raise Taken(entry.number, entry.site) from None
    return row.pk


def change(pk: int, version: int, entry: Entry) -> None:
    """Store an extension as somebody changed it. Raises VersionConflict and Taken."""
    values = {name: getattr(entry, name) for name in ("site", "number", *TEXTS)}
    if entry.secret is not None:
        values["secret"] = _sealed(entry.secret) or ""
    try:
        with transaction.atomic():
            won = Extension.objects.filter(pk=pk, version=version).update(
                version=version + 1, changed_at=timezone.now(), **values
            )
    except IntegrityError:
        raise Taken(entry.number, entry.site) from None
    if not won:
        raise VersionConflict(CHANGED_MEANWHILE)


def remove(pk: int, version: int) -> None:
    """Delete an extension; phones that have it keep it. Raises VersionConflict."""
    deleted, _ = Extension.objects.filter(pk=pk, version=version).delete()
    if not deleted:
        raise VersionConflict(CHANGED_MEANWHILE)


def store(steps: Iterable[Step]) -> None:
    """Store a whole import, or nothing of it. Raises VersionConflict if one of its extensions is not as it was read."""
    now = timezone.now()
    # Encrypting takes longer than storing: it is over before anybody is kept waiting.
    rows = [(step, _sealed(step.entry.secret)) for step in steps]
    fresh = [(*_texts(step.entry), sealed or "", 1, now, now) for step, sealed in rows if step.pk is None]
    known = [(step, sealed) for step, sealed in rows if step.pk is not None]
    names = ("pk", "site", "number", *TEXTS)
    kept = [(step.pk, *_texts(step.entry), step.version + 1, now) for step, sealed in known if sealed is None]
    renewed = [(step.pk, *_texts(step.entry), sealed, step.version + 1, now) for step, sealed in known if sealed]
    try:
        with transaction.atomic():
            _still(known)
            batch.insert(Extension, COLUMNS, fresh)
            batch.update(Extension, (*names, "version", "changed_at"), kept)
            batch.update(Extension, (*names, "secret", "version", "changed_at"), renewed)
    except IntegrityError:
        raise VersionConflict(OTHERS_MEANWHILE) from None


def _sealed(secret: str | None) -> Sealed | None:
    return Sealed(seal_text(secret)) if secret else None


def _texts(entry: Entry) -> tuple[str, ...]:
    return (entry.site, entry.number, *(getattr(entry, name) for name in TEXTS))


def _still(known: Sequence[tuple[Step, object]]) -> None:
    """Lock these extensions; raises VersionConflict if one of them is not as it was read."""
    read = {step.pk: step.version for step, _ in known}
    there = dict(batch.select(Extension, ("pk", "version"), "pk", list(read), lock=True))
    if there != read:
        raise VersionConflict(OTHERS_MEANWHILE)
