"""The XML file of a GXP16xx: DeviceConfig to bytes, and back to text for display, comparison and tests.

Pure: must never import Django, asyncio or socket. The same configuration always gives the same bytes.
Source: Grandstream XML Provisioning Guide (2011) and SIP Device Provisioning Guide (2012): root gs_provision,
optional mac, one config with an element per P-value.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from lxml import etree

from devices.catalog import CODECS, DEFAULT_CODECS, KeyKind, KeyMode, KeySlot, PhoneModel, slots
from devices.mac import lower
from provisioning.gxp.catalogue import SETTINGS, Kind, by_element
from provisioning.gxp.config import AccountConfig, ConfigError, DeviceConfig, KeyConfig, validate
from provisioning.gxp.pvalues import (
    KEY_FIELDS,
    LINE_KEY_MODE_NUMBERS,
    MPK_MODE_NUMBERS,
    OPINIONS,
    PROTOCOL_NUMBERS,
    VOCODERS,
    account_field,
    key_field,
)

MASK = "********"

_DECLARATION = b'<?xml version="1.0" encoding="UTF-8"?>\n'
_PLACES = {name: place for place, name in enumerate(SETTINGS)}  # the order of the catalogue is the order of the file


class DocumentError(ValueError):
    """The bytes are not a configuration file that we can read. The message never quotes them."""


def render(config: DeviceConfig) -> bytes:
    """The configuration file: UTF-8, LF, one element per line, no byte order mark.

    The whole managed set is written each time, so that whatever was removed is removed on the phone too; only
    server settings whose switch is off are left out. Raises ConfigError with every problem found.
    """
    problems = validate(config)
    if problems:
        raise ConfigError(problems)
    written = dict(_settings(config))
    ordered = [(SETTINGS[name].element, written[name]) for name in sorted(written, key=_PLACES.__getitem__)]
    return _write(lower(config.mac), ordered)


def masked(document: bytes) -> bytes:
    """The file for showing: secrets become a fixed mask, empty ones stay empty.

    Of a server path only the secret part is masked. A P-value that the catalogue
    does not name counts as a secret. Raises DocumentError.
    """
    mac, settings = _read(document)
    return _write(mac, [(element, _masked_text(element, text)) for element, text in settings])


def values(document: bytes) -> dict[str, str]:
    """The settings in a file by their catalogue names (unknown ones by element name). Raises DocumentError."""
    named: dict[str, str] = {}
    for element, text in _read(document)[1]:
        row = by_element(element)
        named[row.name if row else element] = text
    return named


def _settings(config: DeviceConfig) -> Iterator[tuple[str, str]]:
    accounts = {account.number: account for account in config.accounts}
    for number in range(1, config.model.accounts + 1):
        yield from _account_settings(number, accounts.get(number))
    keys = {key.slot: key for key in config.keys}
    for slot in slots(config.model):
        yield from _key_settings(keys.get(slot) or _default_key(slot, config.model, set(accounts)))
    yield from _server_settings(config)


def _account_settings(number: int, account: AccountConfig | None) -> Iterator[tuple[str, str]]:
    """One account; a missing one is written inactive and empty, with the factory codecs."""
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
    for position in range(VOCODERS):
        # All places are written: the last choice is repeated, as the factory settings do.
        name = account.codecs[min(position, len(account.codecs) - 1)]
        texts[f"preferred_vocoder_{position + 1}"] = str(CODECS[name].payload)
    for field, text in texts.items():
        yield account_field(number, field).name, text


def _default_key(slot: KeySlot, model: PhoneModel, filled: set[int]) -> KeyConfig:
    """An unset key: an MPK is an empty speed dial, a line key a line.

    A line belongs to the account with the key's own number, or else to the first account that is filled in,
    so that every account can be reached. Source: modes are the factory ones; the account is our choice.
    """
    if slot.kind is KeyKind.MPK:
        return KeyConfig(slot, KeyMode.SPEED_DIAL, 1, "", "")
    account = slot.number if slot.number in filled else min(filled, default=1)
    return KeyConfig(slot, KeyMode.LINE, account, "", "")


def _key_settings(key: KeyConfig) -> Iterator[tuple[str, str]]:
    numbers = MPK_MODE_NUMBERS if key.slot.kind is KeyKind.MPK else LINE_KEY_MODE_NUMBERS
    texts = (str(numbers[key.mode]), str(key.account - 1), key.label, key.value)
    for field, text in zip(KEY_FIELDS, texts, strict=True):
        yield key_field(key.slot, field).name, text


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


def _masked_text(element: str, text: str) -> str:
    row = by_element(element)
    if not text or (row is not None and not row.secret):
        return text
    if row is not None and row.kind is Kind.PATH:
        known = re.match(r"(?s).*?/p/(?=.)", text) or re.match(r"(?s)[^/]*/(?=.)", text)
        return f"{known[0]}{MASK}" if known else text
    return MASK


def _write(mac: str | None, settings: list[tuple[str, str]]) -> bytes:
    root = etree.Element("gs_provision", version="1")
    if mac is not None:
        etree.SubElement(root, "mac").text = mac
    config = etree.SubElement(root, "config", version="1")
    for element, text in settings:
        # An empty text, not None: gives <P1></P1>, the form seen in the field, instead of <P1/>.
        etree.SubElement(config, element).text = text
    body: bytes = etree.tostring(root, encoding="UTF-8", xml_declaration=False, pretty_print=True)
    return _DECLARATION + body


def _read(document: bytes) -> tuple[str | None, list[tuple[str, str]]]:
    """The mac and the (element, text) pairs, nothing else. No entities, no DTD, no network."""
    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, remove_comments=True, remove_pis=True
    )
    try:
        root = etree.fromstring(document, parser)
    except (etree.XMLSyntaxError, ValueError):
        raise DocumentError("This is not well-formed XML; render the file again.") from None
    if root.getroottree().docinfo.doctype:
        raise DocumentError("This file has a document type, which ours never have; render the file again.")
    config = root.find("config")
    if root.tag != "gs_provision" or config is None:
        raise DocumentError("This is not a Grandstream configuration file; render the file again.")
    settings = [(str(element.tag), "".join(element.itertext())) for element in config]
    if not all(re.fullmatch(r"P[0-9]+", element, re.ASCII) for element, _ in settings):
        raise DocumentError("This file has settings that are not P-values; render the file again.")
    mac = root.find("mac")
    return (None if mac is None else "".join(mac.itertext())), settings
