"""The phones whose addresses a person is about to confirm, each as it must be seen: what it is, and where."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import ip_address

from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext as _

from devices import batch
from devices.choices import Neighbour
from devices.models import Account, Phone
from devices.trust import ATTENDED_CONTACT_SECONDS, LOOPBACK
from gspnp.console.selection import READ_AT_ONCE, Found


@dataclass(frozen=True)
class Shown:
    """A line of the question; what was heard `too_long_ago` is held back in spite of being confirmed."""

    mac: str
    model: str
    extension: str
    host: str
    heard_at: datetime | None
    too_long_ago: bool


@dataclass(frozen=True)
class Named:
    """A phone of which no address is confirmed in passing, and why."""

    mac: str
    why: str


def left_out(fit: Sequence[Found]) -> dict[int, Named]:
    """Phones with an alarm or with another device's MAC at their address, by id: one looks at each of these alone."""
    doubtful = Q(neighbour=Neighbour.MISMATCH) | ~Q(alarm="")
    found = {}
    for bite in batch.bites([one.pk for one in fit], READ_AT_ONCE):
        rows = Phone.objects.filter(doubtful, pk__in=bite).order_by("mac")
        for pk, mac, neighbour in rows.values_list("pk", "mac", "neighbour"):
            mismatch = neighbour == Neighbour.MISMATCH
            why = _("another device’s MAC is at its address") if mismatch else _("its alarm is not settled")
            found[pk] = Named(mac, why)
    return found


def shown(wanted: Sequence[Found]) -> list[Shown]:
    """One line for each, in the order of the addresses, so that a gap or a stranger is seen."""
    ids = [one.pk for one in wanted]
    phones = Phone.objects.filter(pk__in=ids).only("pk", "model", "source_host", "subscribed_at", "neighbour").in_bulk()
    since = timezone.now() - timedelta(seconds=ATTENDED_CONTACT_SECONDS)
    accounts = Account.objects.filter(phone__in=ids).order_by("phone", "-number")
    extensions = dict(accounts.values_list("phone", "user_id"))  # the first account comes last, and stays
    rows = [
        Shown(one.mac, phone.model, extensions.get(one.pk, ""), one.host, phone.subscribed_at, _is_old(phone, since))
        for one in wanted
        if one.host is not None and (phone := phones.get(one.pk)) is not None
    ]
    return sorted(rows, key=_by_address)


def _is_old(phone: Phone, since: datetime) -> bool:
    """As devices/trust.py will judge it: the neighbour table, where it knows the phone, needs nobody's word."""
    if phone.neighbour == Neighbour.MATCH or (phone.source_host or "").startswith(LOOPBACK):
        return False
    return phone.subscribed_at is None or phone.subscribed_at < since


def _by_address(one: Shown) -> tuple[int, int, str]:
    address = ip_address(one.host)
    return address.version, int(address), one.mac
