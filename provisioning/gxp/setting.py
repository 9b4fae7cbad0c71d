"""One setting of the phone: what is known of it, and what is wrong with a value of it.

Pure: must never import Django, asyncio or socket. All settings stand in catalogue.py.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType

from provisioning.gxp import fields


class Kind(StrEnum):
    """What sort of value a setting takes; an empty one is allowed for all but numbers and choices."""

    TEXT = "text"
    WORD = "word"  # text without blanks
    NUMBER = "number"  # `least` to `most`, and `choices` beside that range, such as 0 for off
    CHOICE = "choice"
    LIST = "list"  # some of the choices, with commas between them
    HOST = "host"  # host or host:port
    IPV4 = "ipv4"
    IPV6 = "ipv6"
    ENDPOINT = "endpoint"  # IPv4:port
    PATH = "path"  # host[:port][/path], no scheme
    URL = "url"
    PEM = "pem"  # a certificate or key as text, in lines
    TONE = "tone"


class Confidence(StrEnum):
    """How sure a row is."""

    DOCUMENTED = "documented"  # in a vendor template of the GXP16xx
    SEEN = "seen"  # in two independent integrations, one of them for GXP16xx
    SINGLE = "single"  # in one integration
    UNVERIFIED = "unverified"  # in templates of other families only
    CONFLICT = "conflict"  # sources disagree; the note says how


@dataclass(frozen=True)
class Setting:
    """One setting of the phone. A secret one is masked wherever people or logs can see it.

    `choices` are texts of the file with their labels. `least` and `most` bound a number, or count the characters of
    anything else. `pattern` is a form that the whole value must have, and then `note` says it in words.
    """

    code: int
    name: str
    group: str
    models: frozenset[str]
    kind: Kind
    choices: Mapping[str, str] = field(hash=False)
    least: int | None
    most: int | None
    pattern: re.Pattern[str] | None
    default: str
    unit: str
    secret: bool
    source: str
    confidence: Confidence
    note: str

    @property
    def element(self) -> str:
        """Its element name in the configuration file."""
        return f"P{self.code}"

    def applies_to(self, model_name: str) -> bool:
        """Whether phones of this model have it, as far as the source knows."""
        return model_name in self.models


def fault(setting: Setting, text: str) -> str | None:
    """What is wrong with this value and what to do, or None. The answer never repeats the value."""
    if not text:
        return _empty_fault(setting)
    if setting.kind is Kind.PEM:
        found = _length_fault(setting, text) or _pem_fault(text)
    else:
        # The length comes first: what is slower only ever sees short texts.
        read = fields.text_fault if setting.secret else fields.shown_fault
        found = read(text, _most_characters(setting)) or _CHECKS[setting.kind](setting, text)
    if found is None and setting.pattern is not None and not setting.pattern.fullmatch(text):
        return f"does not have the right form; it is {setting.note}"
    return found


def _most_characters(setting: Setting) -> int:
    if setting.kind in (Kind.NUMBER, Kind.CHOICE, Kind.LIST) or setting.most is None:
        return fields.MAX_TEXT
    return setting.most


def _empty_fault(setting: Setting) -> str | None:
    if setting.kind is Kind.CHOICE:
        return f"is empty; choose from {_offered(setting)}"
    if setting.kind is Kind.NUMBER:
        return f"is empty; {_range(setting)}"
    return "is empty; enter it" if setting.least else None


def _length_fault(setting: Setting, text: str) -> str | None:
    most = _most_characters(setting)
    return f"has {len(text)} characters; shorten it to {most}" if len(text) > most else None


def _number_fault(setting: Setting, text: str) -> str | None:
    if text in setting.choices:
        return None
    if not re.fullmatch(r"0|[1-9][0-9]{0,11}", text, re.ASCII):
        return f"is not a whole number in plain digits; {_range(setting)}"
    assert setting.least is not None and setting.most is not None
    return None if setting.least <= int(text) <= setting.most else f"is out of range; {_range(setting)}"


def _range(setting: Setting) -> str:
    unit = f" {setting.unit}" if setting.unit else ""
    others = "".join(f", or {value} for {label}" for value, label in setting.choices.items())
    return f"enter a number from {setting.least} to {setting.most}{unit}{others}"


OFFERED = 12


def _offered(setting: Setting) -> str:
    """The choices for a message; of many only the first ones, because whoever chooses has a list of them all."""
    words = [f"{value} ({label})" for value, label in setting.choices.items()]
    return ", ".join(words[:OFFERED]) + (f", and {len(words) - OFFERED} more" if len(words) > OFFERED else "")


def _choice_fault(setting: Setting, text: str) -> str | None:
    return None if text in setting.choices else f"is not one of the choices; choose from {_offered(setting)}"


def _list_fault(setting: Setting, text: str) -> str | None:
    chosen = text.split(",")
    if all(one in setting.choices for one in chosen) and len(set(chosen)) == len(chosen):
        return None
    return f"is not a list of choices; write them once each with commas between, from {_offered(setting)}"


def _ip_fault(setting: Setting, text: str) -> str | None:
    version = 4 if setting.kind is Kind.IPV4 else 6
    try:
        good = ipaddress.ip_address(text).version == version and "%" not in text
    except ValueError:
        good = False
    example = "192.0.2.1" if version == 4 else "2001:db8::1"
    return None if good else f"is not an IPv{version} address; enter one such as {example}"


def _endpoint_fault(setting: Setting, text: str) -> str | None:
    host, colon, _ = text.partition(":")
    if colon and re.fullmatch(r"[0-9.]+", host, re.ASCII) and fields.address_fault(text, group_too=True) is None:
        return None
    return "is not an IPv4 address with a port; enter one such as 224.0.1.20:10000"


_WITH_LOGIN = re.compile(r"^[A-Za-z][A-Za-z0-9+.-]*://[^/?#]*@")


def _url_fault(setting: Setting, text: str) -> str | None:
    word = fields.word_fault(text, _most_characters(setting))
    if word is None and not text.isascii():
        word = "has characters outside ASCII; write them as %XX"
    if word is None and _WITH_LOGIN.search(text) and not setting.secret:
        # Everybody who may look at settings would see it, and cfg.xml would tell it to whoever asks.
        word = "has a login before the @; write the address without it"
    return word


def _pem_fault(text: str) -> str | None:
    if re.fullmatch(r"-----BEGIN [A-Z0-9 ]+-----\n[ -~\n]*\n-----END [A-Z0-9 ]+-----\n?", text):
        return None
    return "is not PEM text; paste it whole, from its BEGIN line to its END line, with plain line ends"


# f1 and f2 in Hz, with or without a level in dB; then up to three on/off pairs.
_TONE = re.compile(
    r"f1=[0-9]{1,4}(@-?[0-9]{1,2})?(,f2=[0-9]{1,4}(@-?[0-9]{1,2})?)?(,c=[0-9]{1,5}/[0-9]{1,5}(-[0-9]{1,5}/[0-9]{1,5}){0,2})?;?",
    re.ASCII,
)


def _tone_fault(setting: Setting, text: str) -> str | None:
    return None if _TONE.fullmatch(text) else "is not a tone; enter one such as f1=440,f2=480,c=200/400;"


_CHECKS: Mapping[Kind, Callable[[Setting, str], str | None]] = MappingProxyType(
    {
        Kind.TEXT: lambda setting, text: None,
        Kind.WORD: lambda setting, text: fields.word_fault(text, _most_characters(setting)),
        Kind.NUMBER: _number_fault,
        Kind.CHOICE: _choice_fault,
        Kind.LIST: _list_fault,
        Kind.HOST: lambda setting, text: fields.address_fault(text),
        Kind.IPV4: _ip_fault,
        Kind.IPV6: _ip_fault,
        Kind.ENDPOINT: _endpoint_fault,
        Kind.PATH: lambda setting, text: fields.path_fault(text),
        Kind.URL: _url_fault,
        Kind.TONE: _tone_fault,
    }
)
