"""What each phone model has: accounts, keys, what a key can do, codecs.

Pure data: must never import Django, asyncio or socket. Sources are named per model; where they disagree the
better supported figure is taken and the disagreement is written beside it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from types import MappingProxyType
from typing import Literal

UrlForm = Literal["file", "folder"]


class KeyMode(StrEnum):
    """What a programmable key does when it is pressed."""

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


KEY_MODE_LABELS: Mapping[KeyMode, str] = MappingProxyType(
    {
        KeyMode.LINE: "Line",
        KeyMode.SHARED_LINE: "Shared line",
        KeyMode.SPEED_DIAL: "Speed dial",
        KeyMode.BLF: "BLF",
        KeyMode.PRESENCE: "Presence watcher",
        KeyMode.EVENTLIST_BLF: "Eventlist BLF",
        KeyMode.SPEED_DIAL_ACTIVE: "Speed dial via active account",
        KeyMode.DTMF: "Dial DTMF",
        KeyMode.VOICEMAIL: "Voicemail",
        KeyMode.CALL_RETURN: "Call return",
        KeyMode.TRANSFER: "Transfer",
        KeyMode.CALL_PARK: "Call park",
        KeyMode.INTERCOM: "Intercom",
        KeyMode.LDAP: "LDAP search",
        KeyMode.PAGING: "Multicast paging",
    }
)


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
    """One model. `url_form` is how the NOTIFY names the file: its full path, or the folder it lies in."""

    name: str
    accounts: int
    line_keys: int
    mpks: int
    line_key_modes: tuple[KeyMode, ...]
    mpk_modes: tuple[KeyMode, ...]
    url_form: UrlForm
    firmware_file: str
    source: str

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

# Offered are the documented modes that a key can do with an account, a label and a value. LDAP search uses
# whatever directory the phone knows. Eventlist BLF needs the account's list address, a setting of a layer. Not
# offered: BLF on line keys, because it is unverified on GXP16xx.
# Source: key mode lists of the same templates; no active-account speed dial on GXP1610 and GXP1615 there.
_LINE_KEY_MODES = (
    KeyMode.LINE,
    KeyMode.SHARED_LINE,
    KeyMode.SPEED_DIAL,
    KeyMode.SPEED_DIAL_ACTIVE,
    KeyMode.DTMF,
    KeyMode.VOICEMAIL,
    KeyMode.CALL_RETURN,
    KeyMode.TRANSFER,
    KeyMode.INTERCOM,
    KeyMode.LDAP,
    KeyMode.PAGING,
)
_LINE_KEY_MODES_ONE_ACCOUNT = tuple(mode for mode in _LINE_KEY_MODES if mode is not KeyMode.SPEED_DIAL_ACTIVE)
_MPK_MODES = (
    KeyMode.SPEED_DIAL,
    KeyMode.BLF,
    KeyMode.PRESENCE,
    KeyMode.EVENTLIST_BLF,
    KeyMode.SPEED_DIAL_ACTIVE,
    KeyMode.DTMF,
    KeyMode.VOICEMAIL,
    KeyMode.CALL_RETURN,
    KeyMode.TRANSFER,
    KeyMode.CALL_PARK,
    KeyMode.INTERCOM,
    KeyMode.LDAP,
    KeyMode.PAGING,
)

_TEMPLATES = "vendor templates fw 1.0.3.6 and 1.0.4.33"


def _gxp16xx(name: str, accounts: int, line_keys: int, mpks: int, source: str) -> PhoneModel:
    return PhoneModel(
        name=name,
        accounts=accounts,
        line_keys=line_keys,
        mpks=mpks,
        line_key_modes=_LINE_KEY_MODES if accounts > 1 else _LINE_KEY_MODES_ONE_ACCOUNT,
        mpk_modes=_MPK_MODES if mpks else (),
        url_form="file",  # GXP16XX Plug and Play guide, step 3
        firmware_file="gxp1600fw.bin",
        source=source,
    )


MODELS: Mapping[str, PhoneModel] = MappingProxyType(
    {
        model.name: model
        for model in (
            _gxp16xx("GXP1610", 1, 2, 0, f"{_TEMPLATES}; accounts: 3 sources agree; line keys: any model"),
            _gxp16xx(
                "GXP1615",
                1,
                2,
                0,
                "administration guide 1.0.7.13 (GXP1610 with PoE); CONFLICT: one catalogue says 2 lines, "
                "VoIP-Domain 1 account, taken; line keys unverified",
            ),
            _gxp16xx("GXP1620", 2, 2, 0, f"{_TEMPLATES} (account 2); CONFLICT: VoIP-Domain says 1 account"),
            _gxp16xx("GXP1625", 2, 2, 0, f"{_TEMPLATES} (account 2); CONFLICT: VoIP-Domain says 1 account"),
            _gxp16xx("GXP1628", 2, 2, 8, f"{_TEMPLATES}; accounts and keys: 3 sources agree"),
            _gxp16xx(
                "GXP1630",
                3,
                3,
                8,
                f"{_TEMPLATES} (account 3), 4 sources; CONFLICT: VoIP-Domain says 2; keys: 4 sources",
            ),
        )
    }
)


def find_model(text: str) -> PhoneModel | None:
    """The model with this name, in any letter case; None if we do not know it."""
    return MODELS.get(text.strip().upper())


@cache
def slots(model: PhoneModel) -> tuple[KeySlot, ...]:
    """Every programmable key of the model: line keys first, then MPKs."""
    return tuple(
        KeySlot(kind, number) for kind in (KeyKind.LINE, KeyKind.MPK) for number in range(1, model.key_count(kind) + 1)
    )
