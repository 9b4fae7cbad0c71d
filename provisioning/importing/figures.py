"""What an import has done to how many phones, and what undoing it would do."""

from __future__ import annotations

from dataclasses import dataclass

from django.db.models import Count, Exists, OuterRef, Q

from devices.choices import OUT_OF_SIGHT
from devices.models import Phone
from provisioning.importing.models import ImportState, PhoneImport, RowOutcome, RowState
from provisioning.importing.undoing import UNDOES
from provisioning.jobs.models import Job

_NEW, _CHANGED = Q(outcome=RowOutcome.NEW), Q(outcome=RowOutcome.CHANGED)


@dataclass(frozen=True)
class Outlook:
    """How many phones get back what they had, are taken out of the list, and stay as they are."""

    returned: int
    removed: int
    kept: int


@dataclass(frozen=True)
class Came:
    """What a job of an import has done: it listed and changed phones, or took that `back` by a person's order."""

    of: PhoneImport
    listed: int
    changed: int
    back: Outlook | None


def outlook(of: PhoneImport) -> Outlook:
    """What undoing it would do as things stand. A phone that takes its first file meanwhile stays as it is too."""
    untouched = Phone.objects.filter(mac=OuterRef("mac"), version=OuterRef("version")).exclude(stage__in=OUT_OF_SIGHT)
    counts = of.rows.filter(state=RowState.DONE).aggregate(
        all=Count("pk"),
        returned=Count("pk", filter=_CHANGED & Q(Exists(untouched))),
        removed=Count("pk", filter=_NEW & Q(Exists(untouched.filter(first_seen_at=None)))),
    )
    return Outlook(counts["returned"], counts["removed"], counts["all"] - counts["returned"] - counts["removed"])


def came(job: Job) -> Came | None:
    """What this job has done; None if its import is history."""
    of = PhoneImport.objects.filter(pk=job.scope.get("import")).first()
    if of is None:
        return None
    if job.orders.get(UNDOES):
        back = Q(state=RowState.BACK)
        counts = of.rows.aggregate(
            returned=Count("pk", filter=back & _CHANGED),
            removed=Count("pk", filter=back & _NEW),
            kept=Count("pk", filter=Q(state=RowState.KEPT)),
        )
        return Came(of, 0, 0, Outlook(**counts))
    is_settled = of.state in (ImportState.APPLIED, ImportState.UNDOING, ImportState.UNDONE)
    done = Q(state__in=(RowState.DONE, RowState.BACK, RowState.KEPT) if is_settled else (RowState.DONE,))
    counts = of.rows.aggregate(listed=Count("pk", filter=done & _NEW), changed=Count("pk", filter=done & _CHANGED))
    return Came(of, counts["listed"], counts["changed"], None)
