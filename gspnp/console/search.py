"""What a technician types into the search, as a condition on phones that stays fast among 100,000.

Vendor, model and firmware are compared among the few values that there are, and accounts in their own table at once:
what is left of a scan of all phones are the MAC and the address, and these only if the text can be a part of one.
"""

from __future__ import annotations

import re
from collections.abc import Collection

from django.db.models import Q

from devices.mac import search_digits
from devices.models import Account, Phone

KINDS = ("vendor", "model", "firmware")
KINDS_READ = 500  # different ones; a network has a handful, only a hostile one has more
_ADDRESS = re.compile(r"[0-9a-f.:]+", re.IGNORECASE)


def matches(text: str) -> Q:
    """MAC in any spelling, extension, caller name, model, vendor, firmware or address."""
    typed = spellings(text)
    accounts = Q()
    for spelling in typed:
        accounts |= Q(user_id__icontains=spelling) | Q(display_name__icontains=spelling)
    found = Q(pk__in=Account.objects.filter(accounts).order_by().values("phone"))
    found |= _kind_like(typed)
    if _ADDRESS.fullmatch(text):
        found |= Q(source_host__icontains=text)
    digits = search_digits(text)
    return found | Q(mac__contains=digits) if digits else found


def spellings(text: str) -> set[str]:
    """SQLite compares letters outside ASCII exactly, so their other cases are asked for too."""
    return {text} if text.isascii() else {text, text.lower(), text.upper(), text.title()}


def _kind_like(typed: Collection[str]) -> Q:
    """Whose vendor, model or firmware holds the text: by the values that there are, or by a scan if a stranger has made
    up so many that a list of them is slower than that."""
    wanted, found = [spelling.lower() for spelling in typed], Q()
    rows = list(Phone.objects.order_by().values_list(*KINDS).distinct()[: KINDS_READ + 1])
    if len(rows) > KINDS_READ:
        for field in KINDS:
            for spelling in typed:
                found |= Q(**{f"{field}__icontains": spelling})
        return found
    for field, values in zip(KINDS, zip(*rows, strict=True), strict=False):
        like = {value for value in values if any(text in value.lower() for text in wanted)}
        if like:
            found |= Q(**{f"{field}__in": sorted(like)})
    return found
