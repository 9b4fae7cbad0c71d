"""What each phone model has: accounts, keys, what a key can do, codecs.

Pure: must never import Django, asyncio or socket. The models and the modes of their keys are data/models.toml, read
once; docs/catalogue.md tells how it grows.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

DATA = Path(__file__).parent / "data" / "models.toml"

UrlForm = Literal["file", "folder"]


class KeyMode(StrEnum):
    """What a programmable key does when it is pressed; labels and numbers are data."""

    LINE = "line"
    SHARED_LINE = "shared_line"
    SPEED_DIAL = "speed_dial"
    BLF = "blf"
    PRESENCE = "presence"
    EVENTLIST_BLF = "eventlist_blf"
    SPEED_DIAL_ACTIVE = "speed_dial_active"
    DTMF = "dtmf"
    VOICEMAIL = "voicemail"
    CALL_RETURN = "call_return"
    TRANSFER = "transfer"
    CALL_PARK = "call_park"
    INTERCOM = "intercom"
    LDAP = "ldap"
    PAGING = "paging"


class KeyKind(StrEnum):
    """The two sorts of programmable keys on a GXP16xx."""

    LINE = "line"
    MPK = "mpk"


@dataclass(frozen=True, order=True)
class KeySlot:
    """One key by its place on the phone; numbers start at 1."""

    kind: KeyKind
    number: int

    @property
    def name(self) -> str:
        return f"{self.kind.value}{self.number}"

    @classmethod
    def parse(cls, text: str) -> KeySlot:
        """Read "mpk1" or "line2" in any letter case; ValueError with advice otherwise."""
        match = re.fullmatch(r"(line|mpk)([1-9][0-9]?)", text.strip().lower())
        if match is None:
            raise ValueError("A key is named mpk1, mpk2 … or line1, line2 …; use one of these names.")
        return cls(KeyKind(match[1]), int(match[2]))


@dataclass(frozen=True)
class PhoneModel:
    """One model. `url_form` is how the NOTIFY names the file: its full path, or the folder it lies in. `quirks` are
    for people: what differs from what the guides say."""

    name: str
    accounts: int
    line_keys: int
    mpks: int
    line_key_modes: tuple[KeyMode, ...]
    mpk_modes: tuple[KeyMode, ...]
    url_form: UrlForm
    firmware_file: str
    source: str
    quirks: tuple[str, ...] = ()

    def modes(self, kind: KeyKind) -> tuple[KeyMode, ...]:
        """What a key of this kind may be set to."""
        return self.mpk_modes if kind is KeyKind.MPK else self.line_key_modes

    def key_count(self, kind: KeyKind) -> int:
        return self.mpks if kind is KeyKind.MPK else self.line_keys


@dataclass(frozen=True)
class Codec:
    """A voice codec by the number that the vocoder settings use."""

    label: str
    payload: int


# Source: vocoder values of the vendor's GXP16xx templates, firmware 1.0.3.6 and 1.0.4.33.
CODECS: Mapping[str, Codec] = MappingProxyType(
    {
        "PCMU": Codec("G.711 µ-law (PCMU)", 0),
        "PCMA": Codec("G.711 A-law (PCMA)", 8),
        "G722": Codec("G.722 wideband", 9),
        "G729": Codec("G.729 A/B", 18),
        "G726-32": Codec("G.726-32", 2),
        "G723": Codec("G.723.1", 4),
        "iLBC": Codec("iLBC", 98),
    }
)
# Source: factory order in the same templates; the last one fills the remaining places there too.
DEFAULT_CODECS: tuple[str, ...] = ("PCMU", "PCMA", "G729", "G722", "G726-32")


class CatalogError(ValueError):
    """The data file is wrong; the message names the table. Correct the file: no phone can be understood without it."""


@dataclass(frozen=True)
class Catalog:
    """What the data file says. A mode without a number for a kind of key is not offered by that kind."""

    labels: Mapping[KeyMode, str]
    numbers: Mapping[KeyKind, Mapping[KeyMode, int]]
    models: Mapping[str, PhoneModel]


def read_catalog(text: str) -> Catalog:
    """The models of a data file by name, in its order. Raises CatalogError at the first table that is wrong."""
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise CatalogError(f"{DATA.name}: {error}") from None
    labels: dict[KeyMode, str] = {}
    numbers: dict[KeyKind, dict[KeyMode, int]] = {kind: {} for kind in KeyKind}
    table = "key_modes"
    try:
        for name, row in tables.pop("key_modes").items():
            table = f"key_modes.{name}"
            labels[KeyMode(name)] = row.pop("label")
            for kind, number in row.items():
                numbers[KeyKind(kind)][KeyMode(name)] = number
        models = {}
        for name, row in tables.pop("models").items():
            table = f"models.{name}"
            models[name] = _model(name, row, numbers)
        if tables:
            table = next(iter(tables))
            raise ValueError("is not known; there are key_modes and models")
    except KeyError as error:
        raise CatalogError(f"{DATA.name}, {table}: {error.args[0]} is missing") from None
    except (ValueError, TypeError) as error:
        raise CatalogError(f"{DATA.name}, {table}: {error}") from None
    return Catalog(MappingProxyType(labels), MappingProxyType(numbers), MappingProxyType(models))


def _model(name: str, row: dict[str, Any], numbers: Mapping[KeyKind, Mapping[KeyMode, int]]) -> PhoneModel:
    if name != name.upper():
        raise ValueError("the name is not in capital letters")
    lacking = {KeyMode(mode) for mode in row.pop("line_keys_lack", ())}
    model = PhoneModel(
        name=name,
        line_key_modes=tuple(mode for mode in numbers[KeyKind.LINE] if mode not in lacking),
        mpk_modes=tuple(numbers[KeyKind.MPK]) if row["mpks"] else (),
        quirks=tuple(row.pop("quirks", ())),
        **row,
    )
    if model.url_form not in ("file", "folder"):
        raise ValueError(f"url_form is file or folder, not {model.url_form!r}")
    if model.accounts < 1 or model.line_keys < 0 or model.mpks < 0:
        raise ValueError("a phone has an account or more, and no fewer than 0 keys")
    return model


_CATALOG = read_catalog(DATA.read_text("utf-8"))
KEY_MODE_LABELS = _CATALOG.labels
KEY_MODE_NUMBERS = _CATALOG.numbers
MODELS = _CATALOG.models


def find_model(text: str) -> PhoneModel | None:
    """The model with this name, in any letter case; None if we do not know it."""
    return MODELS.get(text.strip().upper())


@cache
def slots(model: PhoneModel) -> tuple[KeySlot, ...]:
    """Every programmable key of the model: line keys first, then MPKs."""
    return tuple(
        KeySlot(kind, number) for kind in (KeyKind.LINE, KeyKind.MPK) for number in range(1, model.key_count(kind) + 1)
    )
