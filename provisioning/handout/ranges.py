"""Setting a range that is handed out: what may be in it, and what switching it on means."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from django.utils import timezone

from devices.catalog import CODECS, MODELS
from provisioning.gxp import fields
from provisioning.models import Handout, LayerLevel, SettingsLayer

MOST_DIGITS = 20


@dataclass(frozen=True)
class Range:
    """What somebody wants handed out at a site."""

    first: str
    last: str
    sip_server: str = ""
    codecs: Sequence[str] = ()
    only_models: Sequence[str] = ()
    template: str = ""


def faults(wanted: Range) -> Iterator[tuple[str, str]]:
    """Field and what to do, for everything that is wrong."""
    first, last = wanted.first, wanted.last
    for name, text in (("first", first), ("last", last)):
        if not (text.isascii() and text.isdigit() and len(text) <= MOST_DIGITS):
            yield name, f"Enter a number of at most {MOST_DIGITS} digits."
    if first.isdigit() and last.isdigit():
        if len(first) != len(last):
            yield "last", "Write both with as many digits, as 0200 and 0249."
        elif last < first:
            yield "last", "The last number is before the first; change one of them."
    wrong = fields.address_fault(wanted.sip_server) if wanted.sip_server else None
    if wrong:
        yield "sip_server", f"The SIP server: {wrong}."
    unknown = [name for name in wanted.codecs if name not in CODECS]
    if unknown or len(set(wanted.codecs)) != len(wanted.codecs):
        yield "codecs", f"Choose each codec once, from {', '.join(CODECS)}."
    if any(name not in MODELS for name in wanted.only_models):
        yield "only_models", f"Choose from {', '.join(MODELS)}."
    if wanted.template and _template(wanted.template) is None:
        yield "template", "There is no such template any more; choose another one."


def switch(site: str, wanted: Range, *, on: bool, by: str) -> Handout:
    """Store a range that has no faults. Switched on, it is for phones that are first seen from now on."""
    row = Handout.objects.filter(site=site).first() or Handout(site=site)
    now = timezone.now()
    if on and not row.is_on:
        row.since = now
    row.is_on, row.words = on, ""
    row.first, row.last, row.sip_server = wanted.first, wanted.last, wanted.sip_server
    row.codecs, row.only_models = list(wanted.codecs), list(wanted.only_models)
    row.template = _template(wanted.template) if wanted.template else None
    row.changed_by, row.changed_at = by[:150], now
    row.save()
    return row


def _template(name: str) -> SettingsLayer | None:
    return SettingsLayer.objects.filter(level=LayerLevel.TEMPLATE, name=name).first()
