"""Old events go, in small bites, so that no write holds the lock for long."""

from datetime import timedelta

from django.utils import timezone

from devices.models import LiveEvent

KEEP_DAYS = 90
BITE = 500


def prune_events(keep_days: int = KEEP_DAYS) -> int:
    """Delete at most one bite of events older than `keep_days`; how many went."""
    old = LiveEvent.objects.filter(at__lt=timezone.now() - timedelta(days=keep_days)).order_by("id")
    ids = list(old.values_list("id", flat=True)[:BITE])
    if ids:
        LiveEvent.objects.filter(id__in=ids).delete()
    return len(ids)
