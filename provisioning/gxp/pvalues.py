"""The P-values that we write, each with its name, source and confidence. No P number stands anywhere else.

Pure data: must never import Django, asyncio or socket. The order of the table is the order of the file.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from devices.catalog import KeyKind, KeyMode, KeySlot

_FUSIONPBX = "fusionpbx/fusionpbx gxp16xx template (vendor fw 1.0.4.33)"
_OPENTELECOM = "OpenTelecom/provisioner gxpsb template (vendor fw 1.0.3.6)"
_BOTH = f"{_FUSIONPBX}; {_OPENTELECOM}"
_TWO = "documented (2 GXP16xx vendor templates)"
_ONE = "documented (1 GXP16xx vendor template)"

MAX_ACCOUNTS = 3
VOCODERS = 7


@dataclass(frozen=True)
class PValue:
    """One setting of the phone. A secret one is masked wherever people or logs can see it."""

    code: int
    name: str
    secret: bool
    source: str
    confidence: str

    @property
    def element(self) -> str:
        """Its element name in the configuration file."""
        return f"P{self.code}"


# Per account 1, 2, 3. Source: the two templates; accounts 2 and 3 exist on models that have them.
_ACCOUNT_CODES: tuple[tuple[str, tuple[int, int, int]], ...] = (
    ("active", (271, 401, 501)),
    ("account_name", (270, 417, 517)),
    ("sip_server", (47, 402, 502)),
    ("sip_user_id", (35, 404, 504)),
    ("auth_id", (36, 405, 505)),
    ("auth_password", (34, 406, 506)),
    ("display_name", (3, 407, 507)),
    ("voicemail_access_number", (33, 426, 526)),
    ("sip_registration", (31, 410, 510)),
    ("preferred_vocoder_1", (57, 451, 551)),
    ("preferred_vocoder_2", (58, 452, 552)),
    ("preferred_vocoder_3", (59, 453, 553)),
    ("preferred_vocoder_4", (60, 454, 554)),
    ("preferred_vocoder_5", (61, 455, 555)),
    ("preferred_vocoder_6", (62, 456, 556)),
    ("preferred_vocoder_7", (46, 457, 557)),
)
_SECRET_ACCOUNT_FIELDS = frozenset({"auth_password"})

# Per key: mode, account (zero-based), description, value.
KEY_FIELDS = ("mode", "account", "description", "value")
_MPK_CODES = (
    (323, 301, 302, 303),
    (324, 304, 305, 306),
    (325, 307, 308, 309),
    (326, 310, 311, 312),
    (327, 313, 314, 315),
    (328, 316, 317, 318),
    (329, 319, 320, 321),
    (353, 354, 355, 356),  # one integrator computes another code for key 8; three sources agree on this one
)
_LINE_KEY_CODES = (
    (1363, 1364, 1465, 1466),
    (1365, 1366, 1467, 1468),
    (1367, 1368, 1469, 1470),
)

_SERVER_CODES: tuple[tuple[int, str, bool], ...] = (
    (237, "config_server_path", True),
    (212, "config_server_protocol", False),
    (192, "firmware_server_path", False),
    (6767, "firmware_server_protocol", False),
    (145, "allow_dhcp_option_43_66_override", False),
    (232, "firmware_file_prefix", False),
    (233, "firmware_file_postfix", False),
    (234, "config_file_prefix", False),
    (235, "config_file_postfix", False),
    (1360, "config_http_username", False),
    (1361, "config_http_password", True),
)

# Read in a file, and not written by us: the elements of account 1's transport, of a random SIP port, and of taking SIP
# from its own server only.
SIP_TRANSPORT, RANDOM_SIP_PORT, FROM_SERVER_ONLY = "P130", "P78", "P2347"

# Source: values lists of both templates. Where both kinds know a mode, line key number = MPK number + 10.
MPK_MODE_NUMBERS: Mapping[KeyMode, int] = MappingProxyType(
    {
        KeyMode.SPEED_DIAL: 0,
        KeyMode.BLF: 1,
        KeyMode.PRESENCE: 2,
        KeyMode.EVENTLIST_BLF: 3,
        KeyMode.SPEED_DIAL_ACTIVE: 4,
        KeyMode.DTMF: 5,
        KeyMode.VOICEMAIL: 6,
        KeyMode.CALL_RETURN: 7,
        KeyMode.TRANSFER: 8,
        KeyMode.CALL_PARK: 9,
        KeyMode.INTERCOM: 10,
        KeyMode.LDAP: 11,
        KeyMode.PAGING: 13,
    }
)
LINE_KEY_MODE_NUMBERS: Mapping[KeyMode, int] = MappingProxyType(
    {
        KeyMode.LINE: 0,
        KeyMode.SHARED_LINE: 1,
        KeyMode.SPEED_DIAL: 10,
        KeyMode.SPEED_DIAL_ACTIVE: 14,
        KeyMode.DTMF: 15,
        KeyMode.VOICEMAIL: 16,
        KeyMode.CALL_RETURN: 17,
        KeyMode.TRANSFER: 18,
        KeyMode.INTERCOM: 20,
        KeyMode.LDAP: 21,
        KeyMode.PAGING: 23,
    }
)

# Source: same templates, the two server protocol settings (0 would be TFTP).
PROTOCOL_NUMBERS: Mapping[str, int] = MappingProxyType({"http": 1, "https": 2})


def _account_name(account: int, field: str) -> str:
    return f"account{account}_{field}"


def _key_name(slot: KeySlot, field: str) -> str:
    return f"{slot.name}_{field}"


def _key_rows(kind: KeyKind, table: tuple[tuple[int, ...], ...]) -> Iterator[PValue]:
    for number, codes in enumerate(table, start=1):
        only_one = kind is KeyKind.LINE and number == 3
        source, confidence = (_OPENTELECOM, _ONE) if only_one else (_BOTH, _TWO)
        for field, code in zip(KEY_FIELDS, codes, strict=True):
            yield PValue(code, _key_name(KeySlot(kind, number), field), False, source, confidence)


def _rows() -> Iterator[PValue]:
    for account in range(1, MAX_ACCOUNTS + 1):
        for field, codes in _ACCOUNT_CODES:
            secret = field in _SECRET_ACCOUNT_FIELDS
            yield PValue(codes[account - 1], _account_name(account, field), secret, _BOTH, _TWO)
    yield from _key_rows(KeyKind.MPK, _MPK_CODES)
    yield from _key_rows(KeyKind.LINE, _LINE_KEY_CODES)
    for code, name, secret in _SERVER_CODES:
        yield PValue(code, name, secret, _BOTH, _TWO)


PVALUES: Mapping[str, PValue] = MappingProxyType({row.name: row for row in _rows()})
_BY_ELEMENT: Mapping[str, PValue] = MappingProxyType({row.element: row for row in PVALUES.values()})


def account_field(account: int, field: str) -> PValue:
    """The setting `field` of an account, 1-based; KeyError if there is none."""
    return PVALUES[_account_name(account, field)]


def key_field(slot: KeySlot, field: str) -> PValue:
    """The setting `field` (one of KEY_FIELDS) of a key; KeyError if there is none."""
    return PVALUES[_key_name(slot, field)]


def by_element(element: str) -> PValue | None:
    """The row behind an element name of the file; None if this table does not know it."""
    return _BY_ELEMENT.get(element)


@dataclass(frozen=True)
class Opinion:
    """A server setting that we write unless its switch is off. `value` None: taken from the ServerConfig."""

    pvalue: str
    value: str | None
    why: str

    @property
    def switch(self) -> str:
        """What to put into DeviceConfig.opinions_off to leave the phone's own value alone."""
        return self.pvalue


# The Plug and Play switch of the phone is deliberately not here: it stays on, its factory value, and is the
# way back to us when this server's address changes.
OPINIONS: Mapping[str, Opinion] = MappingProxyType(
    {
        opinion.switch: opinion
        for opinion in (
            Opinion("config_server_path", None, "the phone comes back by a path that only this file names"),
            Opinion("config_server_protocol", None, "the path carries no scheme; it stands here"),
            Opinion("firmware_server_path", None, "firmware comes from this server, not from the internet"),
            Opinion("firmware_server_protocol", None, "the firmware path carries no scheme; it stands here"),
            Opinion("allow_dhcp_option_43_66_override", "0", "else DHCP option 66 takes the phone away"),
            Opinion("firmware_file_prefix", "", "a leftover prefix asks for the wrong firmware"),
            Opinion("firmware_file_postfix", "", "a leftover postfix asks for the wrong firmware"),
            Opinion("config_file_prefix", "", "a leftover prefix asks for the wrong file"),
            Opinion("config_file_postfix", "", "a leftover postfix asks for the wrong file"),
            Opinion("config_http_username", "", "no leftover credentials are sent to this server"),
            Opinion("config_http_password", "", "no leftover credentials are sent to this server"),
        )
    }
)
