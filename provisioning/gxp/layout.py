"""Key layouts: what layers put on the keys of a phone, what its own keys override, and the team on those left free.

Pure: must never import Django, asyncio or socket. A layer says `key_mpk1 = blf:1002:Reception` or, so that no phone
may say otherwise, `key_mpk1 = protected blf:1002:Reception`; `blf@2:…` is for account 2. `team = 1001=Tess, 1002=Theo`
puts whoever is left of the team on the free MPKs, the phone's own extensions left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from devices.catalog import MODELS, KeyKind, KeyMode, KeySlot, PhoneModel, slots
from provisioning.gxp import fields
from provisioning.gxp.config import KeyConfig, Problem
from provisioning.gxp.key_values import is_group, key_fault

KEY = "key_"
TEAM = "team"
OWN_KEY = "the phone's own key"
MAX_TEAM = 500  # members; far more than a phone has keys, so that one list serves all. Our choice.
MAX_TEAM_CHARS = 32_768
MAX_KEY_CHARS = 160  # the longest that a mode, a value and a label make
_PROTECTED = "protected "
_BETWEEN = re.compile("[,;\n]")
_MODE = re.compile(r"([a-z_]+)(?:@([1-9]))?", re.ASCII)
KEY_NAMES: Mapping[str, KeySlot] = {
    f"{KEY}{slot.name}": slot for model in MODELS.values() for slot in slots(model)
}  # of all models together


@dataclass(frozen=True)
class LayoutKey:
    """A key as a layer puts it."""

    key: KeyConfig
    protected: bool


@dataclass(frozen=True)
class Arranged:
    """The keys of a phone's file, and where each comes from: the title of a layer, TEAM, or OWN_KEY."""

    keys: tuple[KeyConfig, ...]
    origins: Mapping[KeySlot, str]
    protected: frozenset[KeySlot]


def is_layout(name: str) -> bool:
    """Whether this name of a layer is about keys."""
    return name == TEAM or name in KEY_NAMES


def is_protected(text: str) -> bool:
    """Whether what a layer says of a key is not to be changed by a nearer layer, or by the phone."""
    return text.startswith(_PROTECTED)


def read_key(slot: KeySlot, text: str) -> LayoutKey:
    """`[protected ]MODE[@ACCOUNT]:VALUE[:LABEL]`; the label may hold colons. ValueError says what is wrong."""
    protected = is_protected(text)
    head, _, rest = text.removeprefix(_PROTECTED).lstrip().partition(":")
    head = head.rstrip()
    found = _MODE.fullmatch(head)
    if found is None or found[1] not in set(KeyMode):
        modes = ", ".join(KeyMode)
        raise ValueError(f"is not written as MODE:VALUE[:LABEL], such as blf:1002:Reception; modes: {modes}")
    mode = KeyMode(found[1])
    value, label = _value_and_label(mode, rest)
    if not any(mode in model.modes(slot.kind) for model in MODELS.values()):
        raise ValueError(f"is a mode that no {slot.kind} key offers: {mode}")
    wrong = key_fault(mode, value)
    if wrong is not None:
        raise ValueError(wrong)
    wrong = fields.shown_fault(label, fields.MAX_LABEL)
    if wrong is not None:
        raise ValueError(f"has a label that is not right: it {wrong}")
    return LayoutKey(KeyConfig(slot, mode, int(found[2] or 1), label, value), protected)


def _value_and_label(mode: KeyMode, rest: str) -> tuple[str, str]:
    """A label may hold colons, and so does the one value that is an address."""
    value, _, label = rest.partition(":")
    if mode is KeyMode.PAGING:
        port, _, after = label.partition(":")
        if is_group(f"{value}:{port}"):
            return f"{value}:{port}", after
    return value, label


def read_team(text: str) -> list[tuple[str, str]]:
    """`1001=Tess, 1002=Theo` as (extension, label), the extensions in their natural order. ValueError."""
    members: dict[str, str] = {}
    for part in filter(None, (part.strip() for part in _BETWEEN.split(text))):
        extension, _, label = (piece.strip() for piece in part.partition("="))
        wrong = fields.number_fault(extension, fields.MAX_VALUE) if extension else "is empty"
        if wrong is not None:
            raise ValueError(f"has an extension that {wrong}; write 1001=Tess, 1002=Theo")
        if extension in members:
            raise ValueError(f"names {extension} twice; remove one of them")
        wrong = fields.shown_fault(label, fields.MAX_LABEL)
        if wrong is not None:
            raise ValueError(f"has a label for {extension} that is not right: it {wrong}")
        members[extension] = label or extension[: fields.MAX_LABEL]
    if len(members) > MAX_TEAM:
        raise ValueError(f"has {len(members)} members; the most is {MAX_TEAM}")
    return sorted(members.items(), key=lambda member: _natural(member[0]))


def fault(name: str, text: str | None) -> str | None:
    """What is wrong with a layer's word about keys, or None. None for a text leaves the key free."""
    if text is None:
        return None
    if name == TEAM and len(text) > MAX_TEAM_CHARS:
        return f"has {len(text)} characters; the most is {MAX_TEAM_CHARS}"
    try:
        read_team(text) if name == TEAM else read_key(KEY_NAMES[name], text)
    except ValueError as error:
        return str(error)
    return None


def arrange(
    model: PhoneModel,
    said: Mapping[str, tuple[str, str]],
    own: Iterable[KeyConfig],
    own_extensions: Iterable[str],
    filled: Iterable[int],
) -> tuple[Arranged, list[Problem]]:
    """The keys of a phone: its own over those of the layers, then the team; and own keys that are not allowed.

    `said` is what the layers say about keys, by name: (text, title of the layer). Keys that the model does not have
    are passed over. A key of a layer for an account that is not among `filled` is left free.
    """
    have, accounts, own = set(slots(model)), set(filled), tuple(own)
    keys = {key.slot: key for key in own}
    origins = dict.fromkeys(keys, OWN_KEY)
    protected, problems = set(), []
    for name, (text, title) in said.items():
        slot = KEY_NAMES.get(name)
        if slot is None or slot not in have:
            continue
        put = read_key(slot, text)
        if put.key.mode not in model.modes(slot.kind) or put.key.account not in accounts:
            continue
        if put.protected:
            protected.add(slot)
            if slot in keys and keys[slot] != put.key:
                words = (
                    f"Key {slot.name} is protected by {title}; clear it in the phone's assignment, or change it there."
                )
                problems.append(Problem(f"key.{slot.name}", words))
        if put.protected or slot not in keys:
            keys[slot], origins[slot] = put.key, title
    if TEAM in said and accounts:
        _fill(model, read_team(said[TEAM][0]), keys, origins, set(own_extensions), min(accounts))
    # Own keys stay as they were given, faults and all: `config.validate` tells of them.
    kept = [key for key in own if origins[key.slot] == OWN_KEY]
    put_there = [key for slot, key in sorted(keys.items()) if origins[slot] != OWN_KEY]
    return Arranged((*kept, *put_there), origins, frozenset(protected)), problems


def _fill(
    model: PhoneModel,
    team: Iterable[tuple[str, str]],
    keys: dict[KeySlot, KeyConfig],
    origins: dict[KeySlot, str],
    own_extensions: set[str],
    account: int,
) -> None:
    """The rest of the team on the free MPKs, in order; who stands on a key already is left out."""
    there = own_extensions | {key.value for key in keys.values()}
    rest = ((extension, label) for extension, label in team if extension not in there)
    free = (slot for slot in slots(model) if slot.kind is KeyKind.MPK and slot not in keys)
    for slot, (extension, label) in zip(free, rest, strict=False):
        keys[slot] = KeyConfig(slot, KeyMode.BLF, account, label, extension)
        origins[slot] = TEAM


def _natural(extension: str) -> tuple[int, int, str]:
    """99 before 100, and numbers before names."""
    return (0, int(extension), extension) if extension.isascii() and extension.isdigit() else (1, 0, extension)
