"""What a technician types into the search, as a condition on phones that stays fast among 100,000.

Vendor, model and firmware are compared among the few values that there are, and accounts in their own table at once:
what is left of a scan of all phones are the MAC and the address, and these only if the text can be a part of one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from django.db.models import Q

from devices.mac import search_digits
from devices.models import Account, Phone

KINDS = ("vendor", "model", "firmware")
_ADDRESS = re.compile(r"[0-9a-f.:]+", re.IGNORECASE)


def matches(text: str) -> Q:
    """MAC in any spelling, extension, caller name, model, vendor, firmware or address."""
    typed = spellings(text)
    accounts = Q()
    for spelling in typed:
        accounts |= Q(user_id__icontains=spelling) | Q(display_name__icontains=spelling)
    found = Q(pk__in=Account.objects.filter(accounts).order_by().values("phone"))
    for field, values in _values_like(typed).items():
        found |= Q(**{f"{field}__in": sorted(values)})
    if _ADDRESS.fullmatch(text):
        found |= Q(source_host__icontains=text)
    digits = search_digits(text)
    return found | Q(mac__contains=digits) if digits else found


def spellings(text: str) -> Iterable[str]:
    """SQLite compares letters outside ASCII exactly, so their other cases are asked for too."""
    return {text} if text.isascii() else {text, text.lower(), text.upper(), text.title()}


def _values_like(typed: Iterable[str]) -> dict[str, set[str]]:
    """Which vendors, models and firmwares there are that hold the text."""
    wanted = [spelling.lower() for spelling in typed]
    found: dict[str, set[str]] = {}
    for row in Phone.objects.order_by().values_list(*KINDS).distinct():
        for field, value in zip(KINDS, row, strict=True):
            if any(text in value.lower() for text in wanted):
                found.setdefault(field, set()).add(value)
    return found
