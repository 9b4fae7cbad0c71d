"""Which phones have an extension; the one place that says when two accounts are the same extension.

Shared lines exist, so this is for a warning and never a refusal. Reads only, and never a password.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from django.db.models import Count, Exists, IntegerField, OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Coalesce, Lower

from devices.choices import Stage
from devices.models import Account, Extension


@dataclass(frozen=True)
class Wanted:
    """An extension as somebody is about to use it, and where."""

    user_id: str
    sip_server: str
    site: str


@dataclass(frozen=True)
class Holder:
    """An account of a phone that has it."""

    phone_id: int
    mac: str
    model: str
    site: str
    number: int
    sip_server: str
    display_name: str

    def has(self, wanted: Wanted) -> bool:
        """The same extension: of the same SIP server, or at the same site."""
        same_server = bool(wanted.sip_server) and self.sip_server.lower() == wanted.sip_server.lower()
        return same_server or self.site == wanted.site


def of(wanted: Iterable[Wanted], but: str = "") -> Mapping[Wanted, list[Holder]]:
    """The accounts of phones that are not retired, for each of these; `but` is the MAC of a phone that counts not."""
    asked = [one for one in dict.fromkeys(wanted) if one.user_id]
    rows = Account.objects.filter(user_id__in={one.user_id for one in asked}).exclude(phone__stage=Stage.RETIRED)
    names = ("user_id", "phone_id", "phone__mac", "phone__model", "phone__site", "number", "sip_server", "display_name")
    by_user: defaultdict[str, list[Holder]] = defaultdict(list)
    rows = rows.exclude(phone__mac=but) if but else rows
    for user_id, *rest in rows.order_by("phone_id", "number").values_list(*names):
        by_user[user_id].append(Holder(*rest))
    return {one: [holder for holder in by_user[one.user_id] if holder.has(one)] for one in asked}


def of_one(wanted: Wanted, but: str = "") -> list[Holder]:
    """The same for one extension."""
    return of([wanted], but).get(wanted, [])


def of_extensions(extensions: Iterable[Extension]) -> Mapping[int, list[Holder]]:
    """The same for extensions of the directory, by their ids."""
    asked = {one.pk: wanted_of(one) for one in extensions}
    found = of(asked.values())
    return {pk: found.get(wanted, []) for pk, wanted in asked.items()}


def wanted_of(extension: Extension) -> Wanted:
    """An extension of the directory where it belongs."""
    return Wanted(extension.number, extension.sip_server, extension.site)


def free(extensions: QuerySet[Extension]) -> QuerySet[Extension]:
    """Those that no phone has."""
    return extensions.filter(~Exists(_accounts()))


def used(extensions: QuerySet[Extension]) -> QuerySet[Extension]:
    """Those that a phone has."""
    return extensions.filter(Exists(_accounts()))


def shared(extensions: QuerySet[Extension]) -> QuerySet[Extension]:
    """Those that more than one phone has."""
    counted = _accounts().order_by().values("user_id").annotate(phones=Count("phone", distinct=True)).values("phones")
    return extensions.annotate(phones=Coalesce(Subquery(counted, output_field=IntegerField()), 0)).filter(phones__gt=1)


def _accounts() -> QuerySet[Account]:
    """The accounts that are the outer extension: `Holder.has` in SQL."""
    same_server = ~Q(sip_server="") & Q(server=Lower(OuterRef("sip_server")))
    rows = Account.objects.annotate(server=Lower("sip_server")).exclude(phone__stage=Stage.RETIRED)
    return rows.filter(Q(phone__site=OuterRef("site")) | same_server, user_id=OuterRef("number"))
