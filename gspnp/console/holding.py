"""Which version of its configuration a phone has, as far as it has proved it, and what it is to get: in words."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime

from django.utils.translation import gettext as _

from devices.crypto import CannotDecrypt
from devices.models import Key, Phone
from gspnp.console.phone_history import told
from gspnp.console.templatetags.console import layer_words
from provisioning import effective, versions
from provisioning.gxp.files import FileFormat
from provisioning.gxp.reading import Change
from provisioning.models import ConfigFile
from provisioning.outbox import SEALED


@dataclass(frozen=True)
class Holding:
    """`has` is the version that it proved to use last, `current` the one that it is to have, None while there is no
    file; `changes` is between."""

    current: int | None
    has: int | None
    applied_at: datetime | None
    words: str
    changes: list[Change] | None = None
    problem: str = ""

    @property
    def is_current(self) -> bool:
        return self.has is not None and self.has == self.current


@dataclass(frozen=True)
class Part:
    """How many settings one layer, or one of our own sources, contributes."""

    words: str
    level: str
    count: int


@dataclass(frozen=True)
class Summary:
    """The configuration in brief: where its settings come from, how many keys are set; or why that cannot be told."""

    parts: list[Part]
    total: int
    keys: int
    left_alone: int
    problems: list[str]


def holding(phone: Phone, version: ConfigFile | None, may_compare: bool) -> Holding | None:
    """What it has and what it is to have; None for a phone without a configuration of ours. Which secrets differ is for
    who `may_compare`."""
    if not phone.is_assigned:
        return None
    if version is None:
        return Holding(None, None, None, _not_made_words(phone))
    applied = ConfigFile.objects.filter(phone=phone, applied_at__isnull=False).order_by("-number").defer(*SEALED)
    has = applied.first()
    if has is None:
        return Holding(version.number, None, None, _first_words(version))
    if has.pk == version.pk:
        words = _("It has the current version, %(n)d.") % {"n": version.number}
        return Holding(version.number, has.number, has.applied_at, words)
    words = _("It has version %(has)d; version %(current)d is the current one, and %(state)s.") % {
        "has": has.number,
        "current": version.number,
        "state": _("it has taken that file but not proved yet that it uses it")
        if version.fetched_at
        else _("it has not taken that file yet"),
    }
    try:
        changes = told(versions.compare(phone, has.number, version.number), may_compare)
    except versions.RollbackError as error:
        return Holding(version.number, has.number, has.applied_at, words, problem=str(error))
    return Holding(version.number, has.number, has.applied_at, words, changes)


def _not_made_words(phone: Phone) -> str:
    if phone.is_heard:
        return _("It has no file of ours yet. What it is to get stands below.")
    return _("Its file is made when it is plugged in. What it will get stands below.")


def _first_words(version: ConfigFile) -> str:
    if version.fetched_at:
        words = _("It has taken version %(n)d, and has not proved yet that it uses it.")
    else:
        words = _("It has none of ours yet, as far as it was seen; version %(n)d waits for it.")
    return words % {"n": version.number}


def summary(phone: Phone) -> Summary | None:
    """Where the settings of an assigned phone come from; None for one that has none."""
    if not phone.is_assigned or phone.known_model is None:
        return None
    keys = Key.objects.filter(phone=phone).count()
    try:
        picture = effective.picture(phone)
    except CannotDecrypt:
        lost = _("The settings cannot be opened: put the key that they were written with back into GSPNP_FIELD_KEYS.")
        return Summary([], 0, keys, 0, [lost])
    said = Counter((one.origin.words, str(one.origin.level)) for one in picture.settings if not one.left_alone)
    parts = [Part(layer_words(words), level, count) for (words, level), count in said.most_common()]
    left_alone = sum(one.left_alone for one in picture.settings)
    problems = [problem.message for problem in picture.problems]
    return Summary(parts, sum(said.values()), keys, left_alone, problems)


def format_words(version: ConfigFile) -> str:
    """In which form the phone gets what is shown as text."""
    choice = version.choice
    if choice.format is FileFormat.XML:
        return ""
    if choice.is_encrypted:
        return _("It gets this encrypted; what is shown is what it reads when it has opened it.")
    return _("It gets this as a binary file; what is shown is what it reads out of it.")
