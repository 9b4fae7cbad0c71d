"""What a technician types into the search, as a condition on phones that stays fast among 100,000.

Vendor, model and firmware are compared among the few values that there are, and accounts in their own table at once:
what is left of a scan of all phones are the MAC and the address, and these only if the text can be a part of one.
"""

from __future__ import annotations

import re
from typing import Any

from django.db.models import F, Func, Q, TextField
from django.db.models.lookups import Contains

from devices.mac import search_digits
from devices.models import Account, Phone
from gspnp.folding import MARKS, fold

KINDS = ("vendor", "model", "firmware")
KINDS_READ = 500  # different ones; a network has a handful, only a hostile one has more
_ADDRESS = re.compile(r"[0-9a-f.:]+", re.IGNORECASE)


class Folded(Func):
    """A stored name without case and accents (gspnp/folding.py). Most names are ASCII, which SQLite tells far sooner
    than a function in Python is called."""

    output_field = TextField()

    def as_sqlite(self, compiler: Any, connection: Any, **context: Any) -> tuple[str, Any]:
        """Its LIKE compares ASCII letters without case by itself."""
        return self._twice(compiler, "CASE WHEN {0} GLOB '*[^ -~]*' THEN gspnp_fold({0}) ELSE {0} END")

    def as_postgresql(self, compiler: Any, connection: Any, **context: Any) -> tuple[str, Any]:
        """`lower` comes last: with some collations it knows ASCII only."""
        bare = f"lower(regexp_replace(normalize({{0}}, NFKD), '{MARKS}', '', 'g'))"
        folded = f"regexp_replace({bare}, '[ßẞ]', 'ss', 'g')"
        return self._twice(compiler, f"CASE WHEN {{0}} ~ '[^ -~]' THEN {folded} ELSE lower({{0}}) END")

    def _twice(self, compiler: Any, template: str) -> tuple[str, Any]:
        [column] = self.get_source_expressions()
        sql, params = compiler.compile(column)
        return template.format(sql), list(params) * template.count("{0}")


def named(field: str, text: str) -> Q:
    """Whether a name holds the text, whatever the case and the accents of both."""
    wanted = fold(text) or ""
    found = Q(Contains(Folded(F(field)), wanted))
    if not wanted.isascii():
        # What is left are letters of other scripts, and PostgreSQL may know the case of ASCII alone.
        for spelling in (wanted.upper(), wanted.title()):
            found |= Q(Contains(Folded(F(field)), spelling))
    return found


def matches(text: str) -> Q:
    """MAC in any spelling, extension, caller name, model, vendor, firmware or address."""
    accounts = Account.objects.filter(named("user_id", text) | named("display_name", text))
    found = Q(pk__in=accounts.order_by().values("phone")) | _kind_like(text)
    if _ADDRESS.fullmatch(text):
        found |= Q(source_host__icontains=text)
    digits = search_digits(text)
    return found | Q(mac__contains=digits) if digits else found


def _kind_like(text: str) -> Q:
    """Whose vendor, model or firmware holds the text: by the values that there are, or by a scan if a stranger has made
    up so many that a list of them is slower than that."""
    wanted, found = fold(text) or "", Q()
    rows = list(Phone.objects.order_by().values_list(*KINDS).distinct()[: KINDS_READ + 1])
    if len(rows) > KINDS_READ:
        for field in KINDS:
            found |= named(field, text)
        return found
    for field, values in zip(KINDS, zip(*rows, strict=True), strict=False):
        like = {value for value in values if wanted in (fold(value) or "")}
        if like:
            found |= Q(**{f"{field}__in": sorted(like)})
    return found
