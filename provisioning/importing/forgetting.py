"""Who forgets a phone forgets what imports keep of it: its passwords before, and those that it should have got."""

from collections.abc import Sequence

from django.db.models import Case, F, Q, Value, When

from devices import inventory
from provisioning.importing.models import ImportRow, RowState

FORGOTTEN = "It was forgotten since."


def forget(macs: Sequence[str]) -> None:
    """Delete what is kept encrypted of phones that go; the rows keep their words, which hold no secret.

    An import that is applied or undone meanwhile takes such a phone for one that somebody changed. No undoing takes
    away what has this MAC afterwards: the versions of a phone that is listed anew begin anew too.
    """
    is_done = Q(state=RowState.DONE)
    sealed = Q(before__isnull=False) | Q(after__isnull=False)
    # In one statement: PostgreSQL looks up the import of a row that changes twice, and waits for whoever has locked
    # it and waits for this phone.
    ImportRow.objects.filter(is_done | sealed, mac__in=macs).update(
        before=None,
        after=None,
        note=Case(When(is_done, then=Value(FORGOTTEN)), default=F("note")),
        state=Case(When(is_done, then=Value(RowState.KEPT)), default=F("state")),
    )


inventory.on_forgetting.append(forget)
