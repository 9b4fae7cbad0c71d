"""Layers of settings: what a site, a model, templates and one phone say, merged so that each value knows its origin.

Pure: must never import Django, asyncio or socket. A later layer wins over an earlier one. A value is the text of the
file, or None for *leave alone*: the setting is not written, whatever an earlier layer says.

A layer is written in names of the catalogue, in `accounts_<field>` for every account that a model has, in the
shorthands of SHORTHANDS, as keys (layout.py), or as a raw P-code that the catalogue does not know.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from types import MappingProxyType

from devices.catalog import MODELS, PhoneModel
from provisioning.gxp import fields, layout, login
from provisioning.gxp.catalogue import SETTINGS, Confidence, by_element, fault
from provisioning.gxp.config import Problem
from provisioning.gxp.countries import UnknownCountry, countries, preset
from provisioning.gxp.firmware import version_fault
from provisioning.gxp.pvalues import COMPUTED, OWNED
from provisioning.gxp.words import gettext_noop
from provisioning.gxp.zones import ZoneError, phone_time_zone

Values = Mapping[str, str | None]

EVERY_ACCOUNT = "accounts_"
MAX_RAW = 1024  # characters of a raw P-code's value; our choice, as long as the longest text that the catalogue knows
_RAW = re.compile(r"P[1-9][0-9]{0,11}", re.ASCII)


class Level(StrEnum):
    """The levels of layers; a later one wins. GENERATED is what was made at random for one phone; LOGIN, FIRMWARE and
    PHONEBOOK are made by us from what an operator switched on. They stand low, so that whoever says otherwise is
    heard."""

    DEFAULTS = "defaults"
    GENERATED = "generated"
    LOGIN = "login"
    PHONEBOOK = "phonebook"
    FIRMWARE = "firmware"
    SITE = "site"
    MODEL = "model"
    TEMPLATE = "template"
    PHONE = "phone"


MADE_BY_US = frozenset({Level.DEFAULTS, Level.GENERATED, Level.LOGIN, Level.PHONEBOOK, Level.FIRMWARE})
# Titles of levels whose only layer has no name.
_ONLY_ONES = {
    Level.DEFAULTS: gettext_noop("our defaults"),
    Level.GENERATED: gettext_noop("made for this phone"),
    Level.LOGIN: gettext_noop("its login at this server"),
    Level.PHONEBOOK: gettext_noop("phonebook"),
    Level.PHONE: gettext_noop("this phone"),
}


@dataclass(frozen=True)
class Layer:
    """One layer; `name` is empty where its level says it all. Values may be secrets and stay out of the repr."""

    level: Level
    name: str
    values: Values = field(repr=False)
    _settings: dict[str, Values] = field(default_factory=dict, repr=False, compare=False)

    def settings(self, model: PhoneModel) -> Values:
        """What it says for this model, by catalogue name or raw P-code; worked out once for all phones of a model."""
        found = self._settings.get(model.name)
        if found is None:
            faulty = {problem.field.removeprefix("setting.") for problem in self.faults}
            good = {name: text for name, text in self.values.items() if name not in faulty}
            found = self._settings[model.name] = expanded(good, model)
        return found

    @cached_property
    def faults(self) -> tuple[Problem, ...]:
        """What was right when it was stored and is not any more, because a catalogue or a table of zones has changed
        since. Whoever renders must refuse it; `settings` passes it over, so that it can be looked at and mended."""
        said = {} if self.level in MADE_BY_US else self.values
        return tuple(Problem(one.field, f"{one.message} It stands in {self.title}.") for one in problems(said))

    @property
    def title(self) -> str:
        """How people call it: "site Berlin", "this phone"."""
        if self.level in _ONLY_ONES:
            return _ONLY_ONES[self.level]
        if self.level is Level.SITE and not self.name:
            return gettext_noop("default site")
        return f"{self.level} {self.name}".rstrip()


@dataclass(frozen=True)
class Said:
    """What one layer says of a setting."""

    layer: Layer
    text: str | None = field(repr=False)


@dataclass(frozen=True)
class Resolved:
    """A setting's value with its origin, and what it overrides, the nearest first."""

    text: str | None = field(repr=False)
    layer: Layer
    overrides: tuple[Said, ...] = ()


@dataclass(frozen=True)
class Shorthand:
    """One word of a layer that stands for several settings."""

    label: str
    expand: Callable[[str], Values]
    choices: Callable[[], Mapping[str, str]] | None = None


def _zone(name: str) -> Values:
    return {"time_zone": "customize", "self_defined_time_zone": phone_time_zone(name)}


# In the order in which they are expanded: a zone that somebody chose wins over the one of the country.
SHORTHANDS: Mapping[str, Shorthand] = MappingProxyType(
    {
        "country": Shorthand("Country: tones, language, time zone, clock", preset, countries),
        "iana_time_zone": Shorthand("Time zone by its IANA name, such as Europe/Berlin", _zone),
    }
)

SHA256_FROM = "file_digest_sha256_from"
TRANSPORT = "file_transport"
# What decides about the file itself and is no setting of the phone: provisioning/gxp/files.py.
FILE_OPTIONS: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "file_format": {"xml": "XML text", "encrypted": "encrypted XML", "binary": "the encoder's binary file"},
        "file_digest": {"md5": "MD5, as the vendor's guide implies", "sha256": "SHA-256, as new openssl tools"},
        SHA256_FROM: {},  # a version of firmware
        "file_bootstrap": {"binary": "binary", "xml": "plain XML"},
        login.OPTION: {
            "off": "no login",
            "digest": "a login by HTTP Digest",
            "basic": "a login by HTTP Basic",
        },
        "upgrade_first": {
            "yes": "no account and no password before the phone runs the firmware of its model's path",
            "no": "accounts at once",
        },
        TRANSPORT: {
            "https": "HTTPS, if the phones' door has a certificate",
            "http": "HTTP, for firmware whose TLS does not get along with ours",
        },
    }
)


def merge(layers: Sequence[Layer], model: PhoneModel) -> dict[str, Resolved]:
    """Every setting that a layer names, by catalogue name or raw P-code, for a phone of this model.

    What only other models have is left out, and what is faulty.
    """
    found: dict[str, Resolved] = {}
    for layer in layers:
        for name, text in layer.settings(model).items():
            before = found.get(name)
            overrides = () if before is None else (Said(before.layer, before.text), *before.overrides)
            found[name] = Resolved(text, layer, overrides)
    return found


def expanded(values: Values, model: PhoneModel) -> dict[str, str | None]:
    """A layer's values as settings of this model: shorthands first, then every account, then single settings."""
    settings: dict[str, str | None] = {}
    for name, shorthand in SHORTHANDS.items():
        if (text := values.get(name)) is not None:
            settings.update(shorthand.expand(text))
    for name, text in values.items():
        if name.startswith(EVERY_ACCOUNT):
            settings.update(dict.fromkeys(_rows(name), text))
    single = {name: text for name, text in values.items() if not name.startswith(EVERY_ACCOUNT)}
    # A code that the catalogue has learnt since the layer was stored is the setting; its name, if it is there, wins.
    settings.update({row.name: text for name, text in single.items() if (row := by_element(name)) is not None})
    settings.update({name: text for name, text in single.items() if name not in SHORTHANDS and not by_element(name)})
    known = {}
    for name, text in settings.items():
        row = SETTINGS.get(name)
        if row is None or row.applies_to(model.name):
            known[name] = text
    return known


def canonical(name: str) -> str:
    """The one spelling of a name in a layer: a P-code that the catalogue knows becomes its name."""
    name = name.strip()
    if _RAW.fullmatch(name.upper()):
        row = by_element(name.upper())
        return name.upper() if row is None else row.name
    return name.lower()


def problems(values: Values) -> list[Problem]:
    """Everything that is wrong with a layer, in its order; the field of each is `setting.<name>`."""
    found = []
    for name, text in values.items():
        wrong = _problem(name, text)
        if wrong is not None:
            found.append(Problem(f"setting.{name}", wrong))
    return found


def warnings(values: Values) -> list[Problem]:
    """What a layer may hold, and its author should know."""
    return [Problem(f"setting.{name}", words) for name in values for words in _warnings(name)]


def _problem(name: str, text: str | None) -> str | None:
    if name in SHORTHANDS:
        return _shorthand_problem(name, text)
    if layout.is_layout(name):
        wrong = layout.fault(name, text)
        return None if wrong is None else f"{name} {wrong}."
    if name in FILE_OPTIONS:
        offered = FILE_OPTIONS[name]
        if name == SHA256_FROM:
            wrong = version_fault(text or "")
            return None if wrong is None else f"{name}: {wrong}."
        return None if text in offered else f"{name} is one of {', '.join(offered)}; choose one of them."
    if _RAW.fullmatch(name):
        row = by_element(name)
        if row is not None:
            return f"{name} is called {row.name}; use this name."
        wrong = None if text is None else fields.text_fault(text, MAX_RAW)
        return None if wrong is None else f"{name}: {wrong}."
    rows = _rows(name)
    if not rows:
        return f"There is no setting {name!r}; look it up with `manage.py settings --search`, or write a P-code."
    if rows[0] in OWNED:
        return f"{name} is {OWNED[rows[0]]}; set it there."
    if rows[0] in COMPUTED and text is not None:
        return f"{name} is computed for each phone; leave it out, or leave the phone's own value alone."
    wrong = None if text is None else fault(SETTINGS[rows[0]], text)
    return None if wrong is None else f"{name}: {wrong}."


def _shorthand_problem(name: str, text: str | None) -> str | None:
    if text is None:
        return f"{name} stands for several settings; leave each of them alone by its own name."
    try:
        SHORTHANDS[name].expand(text)
    except UnknownCountry:
        return f"{name}: there is no preset for this country; choose from {', '.join(sorted(countries()))}."
    except ZoneError as error:
        return f"{name}: {error}."
    return None


def _warnings(name: str) -> Iterator[str]:
    if _RAW.fullmatch(name):
        yield f"{name} is not in the catalogue: it is written as it stands, and nothing checks what it does."
    for row in [SETTINGS[one] for one in _rows(name)[:1]]:
        if row.confidence in (Confidence.UNVERIFIED, Confidence.CONFLICT):
            yield f"{name} is not certain for these phones ({row.confidence}): {row.note or row.source}."
        if not name.startswith(EVERY_ACCOUNT) and len(row.models) < len(MODELS):
            yield f"Only {', '.join(sorted(row.models))} have {name}; other models do not get it."


def _rows(name: str) -> list[str]:
    """The catalogue names that a name of a layer stands for."""
    if name.startswith(EVERY_ACCOUNT):
        rest = name.removeprefix(EVERY_ACCOUNT)
        most = max(model.accounts for model in MODELS.values())
        return [one for number in range(1, most + 1) if (one := f"account{number}_{rest}") in SETTINGS]
    return [name] if name in SETTINGS else []
