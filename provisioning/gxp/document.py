"""The XML file of a GXP16xx: DeviceConfig to bytes, and back to text for display, comparison and tests.

Pure: must never import Django, asyncio or socket. The same configuration always gives the same bytes.
Source: Grandstream XML Provisioning Guide (2011) and SIP Device Provisioning Guide (2012): root gs_provision,
optional mac, one config with an element per P-value.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Set
from functools import lru_cache

from lxml import etree

from devices.catalog import CODECS, DEFAULT_CODECS, KEY_MODE_NUMBERS, KeyKind, KeyMode, KeySlot, PhoneModel, slots
from devices.mac import lower
from provisioning.gxp import prepared
from provisioning.gxp.catalogue import SETTINGS, Kind, Setting, by_element, fault
from provisioning.gxp.config import AccountConfig, ConfigError, DeviceConfig, KeyConfig, Problem, validate
from provisioning.gxp.pvalues import (
    KEY_FIELDS,
    OPINIONS,
    PROTOCOL_NUMBERS,
    VOCODERS,
    account_field,
    key_field,
)

MASK = "********"

_OWN_FIRST = ("voicemail_access_number", "eventlist_blf_uri")
_VOCODERS = tuple(f"preferred_vocoder_{place}" for place in range(1, VOCODERS + 1))
_ELEMENT = re.compile(r"P[0-9]+", re.ASCII)
_NAMES = {row.element: row.name for row in SETTINGS.values()}
# One for all: lxml locks it for each file, and a new one would have to learn every element name anew.
_PARSER = etree.XMLParser(
    resolve_entities=False, no_network=True, load_dtd=False, remove_comments=True, remove_pis=True
)
_HAS_CHILDREN = etree.XPath("boolean(*/*)")
_DECLARATION = b'<?xml version="1.0" encoding="UTF-8"?>\n'
_PLACES = {name: place for place, name in enumerate(SETTINGS)}  # the order of the catalogue is the order of the file


class DocumentError(ValueError):
    """The bytes are not a configuration file that we can read. The message never quotes them."""


def render(config: DeviceConfig) -> bytes:
    """The configuration file: UTF-8, LF, one element per line, no byte order mark.

    The whole managed set is written each time, so that whatever was removed is removed on the phone too; only
    server settings whose switch is off are left out. Raises ConfigError with every problem found.
    """
    return written(config.mac, settings(config))


def settings(config: DeviceConfig) -> dict[str, str]:
    """What the file says, by catalogue name or raw P-code, in the order of the file. Raises ConfigError."""
    problems = validate(config)
    if problems:
        raise ConfigError(problems)
    said = dict(_settings(config))
    own = {name: said[name] for name in _own_first(config.accounts) if said.get(name)}
    said.update({name: text for name, text in config.settings.items() if text is not None})
    said.update(own)
    for name in [name for name, text in config.settings.items() if text is None]:
        said.pop(name, None)
    said.update(_forgotten(config, said))
    return in_order(said)


def for_everybody(texts: Mapping[str, str]) -> bytes:
    """A file for no phone in particular: without a MAC, which a phone would compare with its own (formats.md a2).

    Raises DocumentError if it does not come back as it was meant.
    """
    body = _write(None, texts)
    if values(body) != texts:
        raise DocumentError("This file does not come back as it was meant; report this.")
    return body


def _own_first(accounts: Iterable[AccountConfig]) -> Iterator[str]:
    """Settings in which the text of an account, if it has one, wins over the layers."""
    for account in accounts:
        yield from _account_names(account.number, _OWN_FIRST)
        if account.codecs:
            yield from _account_names(account.number, _VOCODERS)


def elements(names: Iterable[str]) -> list[str]:
    """The element names of these settings."""
    return _elements(tuple(names))


@lru_cache(maxsize=256)
def _elements(names: tuple[str, ...]) -> list[str]:
    return [_element(name) for name in names]


def in_order(said: Mapping[str, str]) -> dict[str, str]:
    """The same settings in the order of the file."""
    return {name: said[name] for name in _in_order(tuple(said))}


def _forgotten(config: DeviceConfig, said: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """What the phone was told once and nobody says any more: back to the factory's value, where that is known.

    A secret is never made empty, and a raw P-code stays: nobody knows what the factory had there.
    """
    for name in config.earlier.difference(said):
        row = SETTINGS.get(name)
        left_alone = name in config.opinions_off or name in config.settings
        if row is None or row.secret or left_alone or not row.applies_to(config.model.name):
            continue
        if fault(row, row.default) is None:
            yield name, row.default


def written(mac: str, texts: Mapping[str, str]) -> bytes:
    """The file that says this, in the given order."""
    return _write(lower(mac), texts)


@lru_cache(maxsize=256)
def _in_order(names: tuple[str, ...]) -> list[str]:
    """In the order of the file. Phones have their settings from the same few layers: it is nearly always known."""
    return sorted(names, key=_place)


def _place(name: str) -> tuple[int, int]:
    """Settings in the order of the catalogue, then raw P-codes by their number. Raises ConfigError."""
    place = _PLACES.get(name)
    if place is not None:
        return place, 0
    if not _ELEMENT.fullmatch(name):
        words = f"There is no setting {name} any more; take it out of its layer."
        raise ConfigError([Problem(f"setting.{name}", words)])
    return len(_PLACES), int(name[1:])


def _element(name: str) -> str:
    row = SETTINGS.get(name)
    return name if row is None else row.element


def masked(document: bytes) -> bytes:
    """The file for showing: secrets become a fixed mask, empty ones stay empty.

    Of a server path only the secret part is masked. A P-value that the catalogue
    does not name counts as a secret. Raises DocumentError.
    """
    mac, found = read(document)
    if len({element for element, _ in found}) < len(found):
        raise DocumentError("This file has a setting twice; render the file again.")
    return _write(mac, {element: masked_text(by_element(element), text) for element, text in found})


def values(document: bytes) -> dict[str, str]:
    """The settings in a file by their catalogue names (unknown ones by element name). Raises DocumentError."""
    return {_NAMES.get(element, element): text for element, text in read(document)[1]}


def _settings(config: DeviceConfig) -> Iterator[tuple[str, str]]:
    accounts = {account.number: account for account in config.accounts}
    for number in range(1, config.model.accounts + 1):
        account = accounts.get(number)
        yield from _missing_account(number) if account is None else account_settings(number, account)
    keys = {key.slot: key for key in config.keys}
    filled = frozenset(accounts)
    for slot in slots(config.model):
        key = keys.get(slot)
        yield from _unset_key(slot, config.model, filled) if key is None else _key_settings(key)
    yield from _server_settings(config)


def account_settings(number: int, account: AccountConfig | None) -> Iterator[tuple[str, str]]:
    """What is written of one account, by name; a missing one inactive and empty, with the factory codecs."""
    if account is None:
        account = AccountConfig(number, "", "", "", "", "", "", DEFAULT_CODECS)
        active = "0"
    else:
        active = "1"
    texts = {
        "active": active,
        "account_name": account.display_name if account.display_name.strip() else account.user_id,
        "sip_server": account.sip_server,
        "sip_user_id": account.user_id,
        "auth_id": account.auth_id or account.user_id,
        "auth_password": account.password,
        "display_name": account.display_name,
        "voicemail_access_number": account.voicemail,
        "sip_registration": active,
    }
    codecs = account.codecs or DEFAULT_CODECS  # without a choice of its own the layers' take their place
    for position in range(VOCODERS):
        # All places are written: the last choice is repeated, as the factory settings do.
        name = codecs[min(position, len(codecs) - 1)]
        texts[f"preferred_vocoder_{position + 1}"] = str(CODECS[name].payload)
    yield from zip(_account_names(number, tuple(texts)), texts.values(), strict=True)


@lru_cache(maxsize=8)
def _missing_account(number: int) -> tuple[tuple[str, str], ...]:
    return tuple(account_settings(number, None))


@lru_cache(maxsize=512)
def _unset_key(slot: KeySlot, model: PhoneModel, filled: frozenset[int]) -> tuple[tuple[str, str], ...]:
    """What is written of an unset key."""
    return tuple(_key_settings(default_key(slot, model, filled)))


def default_key(slot: KeySlot, model: PhoneModel, filled: Set[int]) -> KeyConfig:
    """An unset key: an MPK is an empty speed dial, a line key a line.

    A line belongs to the account with the key's own number, or else to the first account that is filled in,
    so that every account can be reached. Source: modes are the factory ones; the account is our choice.
    """
    if slot.kind is KeyKind.MPK:
        return KeyConfig(slot, KeyMode.SPEED_DIAL, 1, "", "")
    account = slot.number if slot.number in filled else min(filled, default=1)
    return KeyConfig(slot, KeyMode.LINE, account, "", "")


def _key_settings(key: KeyConfig) -> Iterator[tuple[str, str]]:
    texts = (str(KEY_MODE_NUMBERS[key.slot.kind][key.mode]), str(key.account - 1), key.label, key.value)
    yield from zip(_key_names(key.slot), texts, strict=True)


@lru_cache(maxsize=64)
def _key_names(slot: KeySlot) -> tuple[str, ...]:
    return tuple(key_field(slot, field).name for field in KEY_FIELDS)


@lru_cache(maxsize=16)
def _account_names(number: int, fields: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(account_field(number, field).name for field in fields)


def _server_settings(config: DeviceConfig) -> Iterator[tuple[str, str]]:
    protocol = str(PROTOCOL_NUMBERS[config.server.protocol])
    computed = {
        "config_server_path": config.server.config_path,
        "config_server_protocol": protocol,
        "firmware_server_path": config.server.firmware_path,
        "firmware_server_protocol": protocol,
    }
    for opinion in OPINIONS.values():
        if opinion.switch not in config.opinions_off:
            text = computed[opinion.pvalue] if opinion.value is None else opinion.value
            yield opinion.pvalue, text


def masked_text(row: Setting | None, text: str) -> str:
    """A text of this setting for showing; of a P-value without a row everything is masked."""
    if not text or (row is not None and not row.secret):
        return text
    if row is not None and row.kind is Kind.PATH:
        known = re.match(r"(?s).*?/p/(?=.)", text) or re.match(r"(?s)[^/]*/(?=.)", text)
        return f"{known[0]}{MASK}" if known else text
    return MASK


def _write(mac: str | None, settings: Mapping[str, str]) -> bytes:
    """The bytes of a file; `settings` by name, or by element name where it was read from a file."""
    with prepared.tree(mac is not None, tuple(settings), _element) as tree:
        return _DECLARATION + tree.written(mac, settings.values())


def read(document: bytes) -> tuple[str | None, list[tuple[str, str]]]:
    """The mac and the (element, text) pairs of a file, in its order. No entities, no DTD, no network.

    Raises DocumentError.
    """
    try:
        root = etree.fromstring(document, _PARSER)
    except (etree.XMLSyntaxError, ValueError):
        raise DocumentError("This is not well-formed XML; render the file again.") from None
    if root.getroottree().docinfo.doctype:
        raise DocumentError("This file has a document type, which ours never have; render the file again.")
    config = root.find("config")
    if root.tag != "gs_provision" or config is None:
        raise DocumentError("This is not a Grandstream configuration file; render the file again.")
    if _HAS_CHILDREN(config):
        settings = [(str(element.tag), "".join(element.itertext())) for element in config]
    else:
        settings = [(element.tag, element.text or "") for element in config]
    if not all(element in _NAMES or _ELEMENT.fullmatch(str(element)) for element, _ in settings):
        raise DocumentError("This file has settings that are not P-values; render the file again.")
    mac = root.find("mac")
    return (None if mac is None else "".join(mac.itertext())), settings
