"""New paths for a phone's file on demand, and the end of those that an earlier version still has.

A save makes new paths anyway; the previous steady path then leads to the new file until the phone has come by the new
one (design, "Serving"), or until a person ends it here: a phone was stolen, or somebody has seen a path.
"""

from __future__ import annotations

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone
from django.utils.translation import gettext

from devices import inventory
from devices.choices import EventKind
from devices.crypto import CannotDecrypt
from devices.models import Phone
from provisioning import assignment, outbox, plan
from provisioning.assignment import Along
from provisioning.models import ConfigFile, ReleaseEnd
from provisioning.release import windows

WHY = "New paths."


class CannotRotate(Exception):
    """There are no paths to make or to end; the text says what to do."""


def earlier_paths(phone_id: int) -> int:
    """How many paths of earlier versions still lead to the phone's present file."""
    current = outbox.current_file(phone_id)
    return _earlier(current).filter(fetched_at__isnull=False).count() if current is not None else 0


def new_paths(phone: Phone, *, by: str, seen_host: str | None, revoke_old: bool = False) -> assignment.Saved:
    """The same settings under new paths, of which the phone is notified; phone and address as the person saw them.

    With `revoke_old` no earlier path leads anywhere from the same moment on. Raises CannotRotate, and what
    assignment.save raises.
    """
    if not phone.is_assigned or outbox.current_file(phone.pk) is None:
        raise CannotRotate(gettext("This phone has no file yet, and so no path. Assign it first."))
    try:
        draft = plan.draft_of(phone)
    except CannotDecrypt:
        words = gettext("Its stored secrets cannot be opened: put their key back into GSPNP_FIELD_KEYS.")
        raise CannotRotate(words) from None

    def end_old() -> None:
        _revoke(phone.pk, by)

    along = Along(run=end_old if revoke_old else lambda: None, told_as=inventory.NEW_PATHS_BY)
    kept = [account.number for account in draft.accounts]
    return assignment.save(phone, draft, by=by, seen_host=seen_host, why=WHY, along=along, kept=kept, anew=True)


def revoke(phone_id: int, *, by: str) -> int:
    """End every path of an earlier version now; how many led somewhere. Its release, if one is open, ends too."""
    with transaction.atomic():
        outbox.lock_phones([phone_id])
        if not Phone.objects.filter(pk=phone_id).exists():
            raise CannotRotate(str(outbox.Forgotten()))
        return _revoke(phone_id, by)


def _revoke(phone_id: int, by: str) -> int:
    """The same in the transaction of a caller who has locked the phone."""
    windows.close(phone_id, by=by, why=ReleaseEnd.REVOKED)
    current = outbox.current_file(phone_id)
    if current is None:
        return 0
    led = _earlier(current).filter(fetched_at__isnull=False).count()
    _earlier(current).update(retired_at=timezone.now())
    if led:
        inventory.tell(phone_id, EventKind.RELEASE, f"Its earlier paths lead nowhere any more: revoked by {by}.")
    return led


def _earlier(current: ConfigFile) -> QuerySet[ConfigFile]:
    return ConfigFile.objects.filter(
        phone_id=current.phone_id, number__lt=current.number, retired_at__isnull=True
    ).order_by()
