"""Phones that were heard at another site get the settings and the phonebook of that one, by a job.

The inventory notes the move when it hears the phone; the file is made here, because nobody waits for it there.
"""

from django.db import transaction
from django.utils import timezone

from devices import inventory
from devices.models import Phone
from provisioning.jobs import ours, runner
from provisioning.jobs.models import Job, JobState
from provisioning.jobs.telling import BELIEVED
from provisioning.models import Notify, NotifyState

AT_ONCE = 500


def follow() -> int:
    """Start a job for phones whose file is still of the site where they stood before; how many they are.

    Of several workers one starts it, and a worker that dies meanwhile leaves both to the next round. The others of a
    hundred LANs that move have their turn when these have had theirs: the paces of two jobs would add up.
    """
    if not Phone.objects.filter(site_moved_at__isnull=False).exists() or _are_still_told():
        return 0
    with transaction.atomic():
        moved = inventory.take_moved(AT_ONCE)
        if _are_still_told():  # by the job of another worker, which held these phones until now
            transaction.set_rollback(True)
            return 0
        if moved:
            runner.start(ours.MOVED, {"phones": moved}, by=ours.BY)
    return len(moved)


def _are_still_told() -> bool:
    """Is a job of ours at work, or phones of one yet to have their turn? Who had it and waits for a listener keeps
    nobody waiting, nor does what somebody paused."""
    if Job.objects.filter(title=ours.MOVED, state__in=(JobState.WAITING, JobState.RUNNING)).exists():
        return True
    now = timezone.now()
    owed = Notify.objects.filter(job__title=ours.MOVED, state=NotifyState.WAITING)
    return owed.filter(next_at__gt=now, next_at__lte=now + BELIEVED).exists()
