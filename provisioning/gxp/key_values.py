"""What the value of a key may be, by what the key does: one rule for a phone's own keys and for those of layers.

Pure: must never import Django, asyncio or socket. Source of the modes: devices/catalog.py; of the rules: what each mode
does with its value. The vendor documents no grammar.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping

from devices.catalog import KeyMode
from provisioning.gxp import fields

NEEDED: Mapping[KeyMode, str] = {
    KeyMode.SPEED_DIAL: "Speed dial needs the number to dial",
    KeyMode.SPEED_DIAL_ACTIVE: "Speed dial needs the number to dial",
    KeyMode.BLF: "BLF needs the extension to watch",
    KeyMode.PRESENCE: "Presence needs the extension to watch",
    KeyMode.EVENTLIST_BLF: "Eventlist BLF needs the extension to watch",
    KeyMode.DTMF: "Dial DTMF needs the digits to send",
    KeyMode.CALL_PARK: "Call park needs the number to park on",
    KeyMode.INTERCOM: "Intercom needs the extension to call",
    KeyMode.PAGING: "Paging needs the multicast group and port",
}

# What the phone sends as a SIP user: a blank or an @ in it would never match anybody.
_IS_NUMBER = frozenset({KeyMode.BLF, KeyMode.PRESENCE, KeyMode.EVENTLIST_BLF, KeyMode.CALL_PARK, KeyMode.INTERCOM})
_TONES = re.compile(r"[0-9A-Da-d*#,]*", re.ASCII)
_GROUP = re.compile(r"([0-9.]+):([0-9]{1,5})", re.ASCII)


def value_problem(mode: KeyMode, value: str) -> str | None:
    """What is wrong with the value of a key that does this, as a sentence; None if nothing is."""
    if mode is KeyMode.LINE and value:
        return "A line key set to Line takes no value; clear it."
    if _is_missing(mode, value):
        return f"{NEEDED[mode]}; enter it or clear the key."
    fault = _fault(mode, value)
    return None if fault is None else f"The value: {fault}."


def key_fault(mode: KeyMode, value: str) -> str | None:
    """The same as what is said of the key, to be put after its name; without a full stop."""
    if mode is KeyMode.LINE and value:
        return "is set to Line and takes no value; clear it"
    if _is_missing(mode, value):
        return f"has no value, and {NEEDED[mode]}; enter it or clear the key"
    fault = _fault(mode, value)
    return None if fault is None else f"has a value that {fault}"


def _is_missing(mode: KeyMode, value: str) -> bool:
    return mode in NEEDED and not value.strip()


def _fault(mode: KeyMode, value: str) -> str | None:
    if mode is KeyMode.PAGING:
        return _group_fault(value)
    if mode is KeyMode.DTMF:
        return _tones_fault(value)
    read = fields.number_fault if mode in _IS_NUMBER else fields.shown_fault
    return read(value, fields.MAX_VALUE)


def is_group(text: str) -> bool:
    """Whether this is written as a multicast group with a port, be they right or not."""
    return _GROUP.fullmatch(text) is not None


def _group_fault(text: str) -> str | None:
    """An IPv4 multicast group and a port: RFC 5771; nobody could hear a page sent anywhere else."""
    found = _GROUP.fullmatch(text)
    try:
        group = ipaddress.IPv4Address(found[1] if found else "")
    except ValueError:
        return "is not a multicast group with a port; write it as 224.0.1.20:10000"
    if not group.is_multicast:
        return "is not a multicast group; choose one from 224.0.0.0 to 239.255.255.255"
    if found is None or not 1 <= int(found[2]) <= 65535:
        return "has no valid port; choose one from 1 to 65535"
    return None


def _tones_fault(text: str) -> str | None:
    fault = fields.word_fault(text, fields.MAX_VALUE)
    if fault is None and not _TONES.fullmatch(text):
        return "holds more than tones; use 0 to 9, * # A B C D, and a comma for a pause"
    return fault
