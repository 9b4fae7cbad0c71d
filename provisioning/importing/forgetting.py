"""Who forgets a phone forgets what imports keep of it: its passwords before, and those that it should have got."""

from collections.abc import Sequence

from django.db.models import Q

from devices import inventory
from provisioning.importing.models import ImportRow, RowState

FORGOTTEN = "It was forgotten since."


def forget(macs: Sequence[str]) -> None:
    """Delete what is kept encrypted of phones that go; the rows keep their words, which hold no secret.

    An import that is applied or undone meanwhile takes such a phone for one that somebody changed. No undoing takes
    away what has this MAC afterwards: the versions of a phone that is listed anew begin anew too.
    """
    ImportRow.objects.filter(mac__in=macs, state=RowState.DONE).update(state=RowState.KEPT, note=FORGOTTEN)
    sealed = Q(before__isnull=False) | Q(after__isnull=False)
    ImportRow.objects.filter(sealed, mac__in=macs).update(before=None, after=None)


inventory.on_forgetting.append(forget)
