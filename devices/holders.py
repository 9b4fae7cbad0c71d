"""Which phones have an extension; the one place that says when two accounts are the same extension.

Shared lines exist, so this is for a warning. Who refuses is strict only where the server is the same
(`Wanted.is_at_server`). Reads only, and never a password.
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

    def is_at(self, site: str, sip_server: str) -> bool:
        """Is this number the same extension there: at the same SIP server, or at the same site?"""
        return self.is_at_server(sip_server) or site == self.site

    def is_at_server(self, sip_server: str) -> bool:
        """Is it beyond doubt?"""
        return bool(self.sip_server) and sip_server.lower() == self.sip_server.lower()


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


def of(wanted: Iterable[Wanted], but: str = "") -> Mapping[Wanted, list[Holder]]:
    """The accounts of phones that are not retired, for each of these; `but` is the MAC of a phone that counts not."""
    # As typed: no account has a NUL in it, and PostgreSQL cannot even be asked for one.
    asked = [one for one in dict.fromkeys(wanted) if one.user_id and "\0" not in one.user_id]
    rows = Account.objects.filter(user_id__in={one.user_id for one in asked}).exclude(phone__stage=Stage.RETIRED)
    names = ("user_id", "phone_id", "phone__mac", "phone__model", "phone__site", "number", "sip_server", "display_name")
    by_user: defaultdict[str, list[Holder]] = defaultdict(list)
    rows = rows.exclude(phone__mac=but) if but else rows
    for user_id, *rest in rows.order_by("phone_id", "number").values_list(*names):
        by_user[user_id].append(Holder(*rest))
    return {
        one: [holder for holder in by_user[one.user_id] if one.is_at(holder.site, holder.sip_server)] for one in asked
    }


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
    """The accounts that are the outer extension: `Wanted.is_at` in SQL."""
    same_server = ~Q(sip_server="") & Q(server=Lower(OuterRef("sip_server")))
    rows = Account.objects.annotate(server=Lower("sip_server")).exclude(phone__stage=Stage.RETIRED)
    return rows.filter(Q(phone__site=OuterRef("site")) | same_server, user_id=OuterRef("number"))
