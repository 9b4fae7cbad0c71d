"""Looking an extension up while somebody assigns a phone: what fits, and whether another phone has it. No secrets."""

from __future__ import annotations

from typing import Any

from django.db.models import Case, IntegerField, Q, QuerySet, Value, When
from django.db.models.functions import Length
from django.http import HttpRequest, JsonResponse
from django.urls import reverse
from django.views.decorators.http import require_safe

from devices import directory, holders
from devices.holders import Holder, Wanted
from devices.mac import MacError, colons, parse_mac
from devices.models import Extension, Phone
from gspnp.console.access import VIEW, needs
from gspnp.console.extensions.table import SITE_CHARS, clean, matches

MOST = 20
HELD_SHOWN = 5
SERVER_CHARS = 300


@require_safe
@needs(VIEW)
def find(request: HttpRequest) -> JsonResponse:
    """At most 20 extensions that fit `q`, those of the phone's site first; and the other phones that have exactly the
    extension `q`, of the SIP server `server` or at the phone's site."""
    asked = request.GET
    text, mac = clean(asked.get("q", "")), _mac(asked.get("mac", ""))
    phone = Phone.objects.filter(mac=mac).only("site").first() if mac else None
    site = phone.site if phone is not None else clean(asked.get("site", ""))[:SITE_CHARS]
    found = list(_fitting(text, site)[:MOST])
    held = holders.of_extensions(found)
    server = asked.get("server", "").strip()[:SERVER_CHARS]
    here = holders.of_one(Wanted(text, server, site), mac) if text else []
    return JsonResponse(
        {
            "found": [_as_json(one, [holder for holder in held[one.pk] if holder.mac != mac]) for one in found],
            "held": [as_json(one) for one in here[:HELD_SHOWN]],
        }
    )


def _mac(text: str) -> str:
    try:
        return parse_mac(text)
    except MacError:
        return ""


def _fitting(text: str, site: str) -> QuerySet[Extension]:
    """The phone's own site first, then the number itself and those that begin with it, in the order of numbers."""
    rank = Case(
        When(Q(number=text), then=Value(0)),
        When(Q(number__startswith=text), then=Value(1)),
        default=Value(2),
        output_field=IntegerField(),
    )
    elsewhere = Case(When(site=site, then=Value(0)), default=Value(1), output_field=IntegerField())
    rows = directory.readable()
    if text:
        return rows.filter(matches(text)).order_by(elsewhere, rank, Length("number"), "number", "site")
    return rows.filter(site=site)


def _as_json(one: Extension, held: list[Holder]) -> dict[str, Any]:
    names = ("number", "name", "site", "auth_id", "sip_server", "voicemail")
    return {
        "id": one.pk,
        "has_secret": bool(one.secret_chars),  # type: ignore[attr-defined]
        "phones": [as_json(holder) for holder in held[:HELD_SHOWN]],
        **{name: getattr(one, name) for name in names},
    }


def as_json(holder: Holder) -> dict[str, Any]:
    """A phone that has it, as a script shows it."""
    return {
        "mac": colons(holder.mac),
        "model": holder.model,
        "account": holder.number,
        "url": reverse("console:phone", args=[holder.mac]),
    }
