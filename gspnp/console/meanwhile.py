"""What happens around an open drawer: who else saved the phone, whose passwords were written, which phone is next."""

from __future__ import annotations

from django.db.models import Q
from django.db.models.functions import Trim, Upper

from devices.catalog import MODELS
from devices.choices import EventKind, Stage
from devices.inventory import ASSIGNED_BY, NEW_PATHS_BY
from devices.models import LiveEvent, Phone
from provisioning import plan


def saved_by(phone: Phone, after: int) -> str:
    """Who saved the phone last, by the events after this id; empty if none of them tells."""
    saves = Q(text__startswith=ASSIGNED_BY) | Q(text__startswith=NEW_PATHS_BY)
    told = LiveEvent.objects.filter(saves, mac=phone.mac, id__gt=after, kind=EventKind.STAGE)
    text = told.order_by("-id").values_list("text", flat=True).first() or ""
    return text.removeprefix(ASSIGNED_BY).removeprefix(NEW_PATHS_BY).removesuffix(".")


def password_marks(phone: Phone, stored: plan.Draft) -> dict[str, str]:
    """For each account with a password a mark that is another one once somebody has written it, be it the same again.

    One that is made of the password would tell whoever may not look at it that a guess was right.
    """
    with_one = [account.number for account in stored.accounts if account.password]
    written = phone.accounts.filter(number__in=with_one).values_list("number", "password_version")
    return {str(number): str(version) for number, version in written}


def next_new(phone: Phone) -> Phone | None:
    """The new phone that arrived after this one, in order of arrival; after the newest one, the one that has waited
    longest. Only such as can be configured; None if no other waits."""
    new = (
        Phone.objects.filter(stage=Stage.SEEN, local_host__isnull=False)
        .exclude(pk=phone.pk)
        .annotate(known=Upper(Trim("model")))
        .filter(known__in=list(MODELS))
        .order_by("first_seen_at", "mac")
    )
    later = Q(first_seen_at__gt=phone.first_seen_at) | Q(first_seen_at=phone.first_seen_at, mac__gt=phone.mac)
    return new.filter(later).first() or new.first()
