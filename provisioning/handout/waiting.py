"""Who gets an extension of a range now, and who has to wait; reads only.

Anybody on the LAN can invent MACs, so that what one host may take of a range is bounded: one at a time at an address
that the neighbour table does not verify, so many a minute, and nothing while new phones come in a burst. Who can send
frames with MACs and addresses of their own is verified with each of them, and is only slowed down.
"""

from __future__ import annotations

from datetime import timedelta

from django.db.models import Count, Exists, OuterRef, Q, QuerySet
from django.db.models.functions import Upper
from django.utils import timezone

from devices.catalog import MODELS
from devices.choices import Neighbour, Stage
from devices.models import Phone
from devices.newcomers import BURST, MINUTE_SECONDS
from provisioning.models import HandedOut, Handout

PER_MINUTE = 30  # claims of a range; a person who unboxes phones is slower. Our choice
NOT_YET = (Stage.SEEN, Stage.ASSIGNED, Stage.NOTIFIED, Stage.FETCHED)
IN_A_BURST = (
    "{} has announced more than {} phones never seen before within a minute. Nothing is handed out until that is a "
    "minute ago; find out what is there."
)


def waiting(handout: Handout) -> QuerySet[Phone]:
    """The phones that are to get one, in order of arrival: new ones of the site, whom nobody has assigned. None that
    has an alarm, or at whose address another device is."""
    wanted = handout.only_models or list(MODELS)
    phones = Phone.objects.annotate(model_name=Upper("model")).filter(
        site=handout.site, stage=Stage.SEEN, accounts=None, alarm="", model_name__in=wanted, local_host__isnull=False
    )
    phones = phones.exclude(neighbour=Neighbour.MISMATCH).filter(first_seen_at__gte=handout.since or timezone.now())
    return phones.order_by("first_seen_at", "pk")


def ready(handout: Handout) -> QuerySet[Phone]:
    """Those of them whose turn it is: verified by the neighbour table, or alone at their address. Behind a router, or
    where one host says to be many phones, the next one waits until the one before has applied its file."""
    before = HandedOut.objects.filter(Q(done_at=None) | Q(words=""), phone__stage__in=NOT_YET)
    before = before.filter(phone__source_host=OuterRef("source_host"))
    return waiting(handout).filter(Q(neighbour=Neighbour.MATCH) | ~Exists(before), handed_out=None)


def has_room(handout: Handout) -> bool:
    """Were fewer of the range claimed, or tried again, in the last minute than may be?"""
    now = timezone.now()
    lately = HandedOut.objects.filter(handout=handout, at__range=(now - timedelta(seconds=MINUTE_SECONDS), now))
    return lately.count() < PER_MINUTE


def burst(handout: Handout) -> str:
    """Words if new phones of the site come in a burst; the listener's alarm has the same bound (devices/newcomers)."""
    since = timezone.now() - timedelta(seconds=MINUTE_SECONDS)
    new = Phone.objects.filter(site=handout.site, first_seen_at__gte=since).order_by()
    counted = new.values("source_host").annotate(phones=Count("pk")).filter(phones__gt=BURST)
    loudest = counted.order_by("-phones", "source_host").first()
    return IN_A_BURST.format(loudest["source_host"], BURST) if loudest else ""
