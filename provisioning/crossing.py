"""How far the phones have moved from plain HTTP to the TLS of their door (provisioning/door/crossing.py lets them)."""

from __future__ import annotations

from django.db.models import OuterRef, Subquery

from devices.choices import WAY
from devices.models import Phone
from provisioning.models import ConfigFile

EVERYTHING, MOVING, NOTHING = "1", "moving", "0"  # GSPNP_PHONES_HTTP: what leaves by plain HTTP beside TLS


def plain_phones() -> int:
    """How many assigned phones have a newest file that says http."""
    newest = ConfigFile.objects.filter(phone=OuterRef("pk")).order_by("-number").values("base_url")[:1]
    there = Phone.objects.filter(stage__in=WAY).annotate(told=Subquery(newest))
    return there.filter(told__startswith="http:").count()
