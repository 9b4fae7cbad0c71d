"""Old events and phones that nobody wanted go, in small bites, so that no write holds the lock for long."""

from datetime import timedelta

from django.conf import settings
from django.utils import timezone

from devices import inventory
from devices.models import LiveEvent

KEEP_DAYS = 90
BITE = 500
FORGET_SEEN_DAYS = 30  # unless GSPNP_FORGET_SEEN_DAYS says something else
FORGET_BITE = 100
FORGET_BITES = 10  # in one round; the rest waits for the next one


def prune_events(keep_days: int = KEEP_DAYS) -> int:
    """Delete at most one bite of events older than `keep_days`; how many went."""
    old = LiveEvent.objects.filter(at__lt=timezone.now() - timedelta(days=keep_days)).order_by("id")
    ids = list(old.values_list("id", flat=True)[:BITE])
    if ids:
        LiveEvent.objects.filter(id__in=ids).delete()
    return len(ids)


def forget_unheard() -> int:
    """Forget phones that were seen, never touched by anybody, and not heard for a long time; how many went."""
    days = getattr(settings, "GSPNP_FORGET_SEEN_DAYS", FORGET_SEEN_DAYS)
    before = timezone.now() - timedelta(days=days)
    total = 0
    for _ in range(FORGET_BITES):
        went = inventory.forget_unheard(before, FORGET_BITE)
        total += went
        if went < FORGET_BITE:
            break
    return total
