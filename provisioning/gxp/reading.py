"""What two files differ in, and what an older file decided: for the history of a phone and the way back.

Pure: must never import Django, asyncio or socket.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from devices.catalog import CODECS, DEFAULT_CODECS, KEY_MODE_NUMBERS, MODELS, KeyMode, KeySlot, PhoneModel, slots
from provisioning.gxp.catalogue import SETTINGS
from provisioning.gxp.config import AccountConfig, KeyConfig
from provisioning.gxp.document import account_settings, default_key, masked_text
from provisioning.gxp.pvalues import (
    COMPUTED,
    OWNED,
    VOCODERS,
    account_field,
    key_field,
)

_CODEC_OF = {str(codec.payload): name for name, codec in CODECS.items()}


@dataclass(frozen=True)
class Change:
    """One setting that differs: masked texts, None where a file does not have it."""

    name: str
    before: str | None
    after: str | None


def differences(before: Mapping[str, str], after: Mapping[str, str]) -> list[Change]:
    """What changed from one file's settings to another's, in the order of the newer file. Secrets are masked:
    a changed one shows as the mask on both sides. What is computed for each version is left out."""
    names = [*after, *(name for name in before if name not in after)]
    return [
        Change(name, _shown(name, before.get(name)), _shown(name, after.get(name)))
        for name in names
        if name not in COMPUTED and before.get(name) != after.get(name)
    ]


def _shown(name: str, text: str | None) -> str | None:
    if text is None:
        return None
    row = SETTINGS.get(name)
    return masked_text(row, text) if row is None or row.secret else text


@dataclass(frozen=True)
class Decided:
    """An older file as decisions: accounts, keys, and the settings of the layers beyond them, None for what the file
    leaves alone although accounts say it."""

    accounts: tuple[AccountConfig, ...]
    keys: tuple[KeyConfig, ...]
    settings: Mapping[str, str | None] = field(repr=False)


def fits(texts: Mapping[str, str], model: PhoneModel) -> bool:
    """Whether a file of ours was made for a phone with the accounts and keys of this model."""
    most = slots(max(MODELS.values(), key=lambda one: len(slots(one))))
    keys = {slot for slot in most if key_field(slot, "mode").name in texts}
    accounts = max((model.accounts for model in MODELS.values()), default=0)
    active = [number for number in range(1, accounts + 1) if account_field(number, "active").name in texts]
    return keys == set(slots(model)) and len(active) == model.accounts


def decided(texts: Mapping[str, str], model: PhoneModel) -> Decided:
    """Read a file of ours back: rendering the answer gives the same file, but for what is computed each time."""
    accounts = tuple(
        account for number in range(1, model.accounts + 1) if (account := _account(number, texts)) is not None
    )
    filled = {account.number for account in accounts}
    unset = {slot: default_key(slot, model, filled) for slot in slots(model)}
    keys = tuple(key for slot in slots(model) if (key := _key(slot, texts)) != unset[slot])
    rest: dict[str, str | None] = {
        name: text for name, text in texts.items() if name not in OWNED and name not in COMPUTED
    }
    for name, text in _said_by_accounts(accounts, model):
        if rest.setdefault(name, None) == text:
            del rest[name]
    return Decided(accounts, keys, rest)


def _said_by_accounts(accounts: Iterable[AccountConfig], model: PhoneModel) -> Iterator[tuple[str, str]]:
    """What rendering these accounts writes although layers could say otherwise; empty where only layers can."""
    by_number = {account.number: account for account in accounts}
    for number in range(1, model.accounts + 1):
        account = by_number.get(number)
        for name, text in account_settings(number, account):
            of_layers = account is not None and not account.codecs and "_preferred_vocoder_" in name
            if name not in OWNED:
                yield name, "" if of_layers else text


def _codecs(numbers: Sequence[str]) -> tuple[str, ...]:
    """The choice behind these vocoders, empty where one was left alone. Empty too if no choice of an account writes
    them: then they are the layers'."""
    chosen = tuple(dict.fromkeys(_CODEC_OF[number] for number in numbers if number)) or DEFAULT_CODECS
    written = [str(CODECS[name].payload) for name in chosen]
    written += written[-1:] * (len(numbers) - len(written))
    fits = all(number in ("", text) for number, text in zip(numbers, written, strict=True))
    return chosen if fits or not numbers[0] else ()


def _account(number: int, texts: Mapping[str, str]) -> AccountConfig | None:
    def said(field: str) -> str:
        return texts.get(account_field(number, field).name, "")

    if said("active") != "1":
        return None
    return AccountConfig(
        number=number,
        sip_server=said("sip_server"),
        user_id=said("sip_user_id"),
        # The file always has one: an account without its own was written with its user ID.
        auth_id="" if said("auth_id") == said("sip_user_id") else said("auth_id"),
        password=said("auth_password"),
        display_name=said("display_name"),
        voicemail=said("voicemail_access_number"),
        codecs=_codecs([said(f"preferred_vocoder_{place}") for place in range(1, VOCODERS + 1)]),
    )


def _key(slot: KeySlot, texts: Mapping[str, str]) -> KeyConfig:
    number, account, label, value = (
        texts.get(key_field(slot, part).name, "") for part in ("mode", "account", "description", "value")
    )
    mode: KeyMode = {str(one): mode for mode, one in KEY_MODE_NUMBERS[slot.kind].items()}[number]
    return KeyConfig(slot, mode, int(account) + 1, label, value)
