"""What stands between our words and the phone's settings: fields of accounts and keys, protocols, and our opinions.

Pure: must never import Django, asyncio or socket. The settings themselves are data: catalogue.py.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from devices.catalog import KeySlot
from provisioning.gxp.catalogue import SETTINGS, Setting, setting
from provisioning.gxp.words import gettext_noop

VOCODERS = 7
KEY_FIELDS = ("mode", "account", "description", "value")

# Source: both vendor templates, the two server protocol settings (0 would be TFTP).
PROTOCOL_NUMBERS: Mapping[str, int] = MappingProxyType({"http": 1, "https": 2})


def account_field(account: int, field: str) -> Setting:
    """The setting `field` of an account, 1-based; KeyError if there is none."""
    return setting(f"account{account}_{field}")


def key_field(slot: KeySlot, field: str) -> Setting:
    """The setting `field` (one of KEY_FIELDS) of a key; KeyError if there is none."""
    return setting(f"{slot.name}_{field}")


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
            Opinion(
                "config_server_path", None, gettext_noop("the phone comes back by a path that only this file names")
            ),
            Opinion("config_server_protocol", None, gettext_noop("the path carries no scheme; it stands here")),
            Opinion(
                "firmware_server_path", None, gettext_noop("firmware comes from this server, not from the internet")
            ),
            Opinion(
                "firmware_server_protocol", None, gettext_noop("the firmware path carries no scheme; it stands here")
            ),
            Opinion("allow_dhcp_option_43_66_override", "0", gettext_noop("else DHCP option 66 takes the phone away")),
            Opinion("firmware_file_prefix", "", gettext_noop("a leftover prefix asks for the wrong firmware")),
            Opinion("firmware_file_postfix", "", gettext_noop("a leftover postfix asks for the wrong firmware")),
            Opinion("config_file_prefix", "", gettext_noop("a leftover prefix asks for the wrong file")),
            Opinion("config_file_postfix", "", gettext_noop("a leftover postfix asks for the wrong file")),
            Opinion(
                "config_http_username",
                "",
                gettext_noop(
                    "no leftover credentials are sent to this server; where phones log in (phone_login), its own user"
                ),
            ),
            Opinion(
                "config_http_password",
                "",
                gettext_noop(
                    "no leftover credentials are sent to this server; where phones log in, a random one for each phone"
                ),
            ),
            Opinion("disable_ssh", "1", gettext_noop("a shell that nobody uses is a door that nobody watches")),
            Opinion(
                "web_access_mode",
                "0",
                gettext_noop("over HTTP the password of its web page travels in the clear at every sign-in"),
            ),
            Opinion(
                "disable_sip_notify_authentication",
                "0",
                gettext_noop("else anybody on the phones' network restarts it; this server knows its login"),
            ),
        )
    }
)

# What each phone gets a random one of, unless a layer names one. The switches are the names.
GENERATED: Mapping[str, str] = MappingProxyType(
    {
        "admin_password": gettext_noop(
            "the factory's password is known to everybody, and the web page of the phone shows all"
        ),
        "user_password": gettext_noop("likewise for the password of its user"),
    }
)

# Whom a default keeps out who may have come in before, and what to do then; by switch, of OPINIONS or GENERATED.
KEEPS_OUT: Mapping[str, str] = MappingProxyType(
    {
        "admin_password": gettext_noop(
            "Whoever used the old one: look at the new one in the settings of the phone (administrators may, by HTTPS "
            "or on the server itself), or name one in a layer."
        ),
        "user_password": gettext_noop(
            "Whoever used the old one: look at the new one in the settings of the phone (administrators may, by HTTPS "
            "or on the server itself), or name one in a layer."
        ),
        "disable_ssh": gettext_noop("Whoever signs in by SSH: say 0 in a layer where that has to go on."),
        "web_access_mode": gettext_noop(
            "Bookmarks and programs that say http:// find nothing any more, and a browser asks about the phone's own "
            "certificate. Old firmware may speak a TLS that browsers refuse: say 1 (HTTP) in a layer for such phones."
        ),
        "disable_sip_notify_authentication": gettext_noop(
            "A PBX that restarts phones by a NOTIFY without the account's password cannot do so any more: have it "
            "answer the challenge, or say 1 in a layer."
        ),
    }
)

# What the assignment says of an account. Where it says nothing, the layers do.
ACCOUNT_FIELDS = (
    "active", "account_name", "sip_server", "sip_user_id", "auth_id", "auth_password", "display_name",
    "sip_registration",
)  # fmt: skip
_OF_A_KEY = re.compile(rf"(?:line|mpk)[0-9]+_(?:{'|'.join(KEY_FIELDS)})", re.ASCII)
_OF_AN_ACCOUNT = re.compile(rf"account[0-9]_(?:{'|'.join(ACCOUNT_FIELDS)})", re.ASCII)

# No layer may say these: each phone's own assignment does, and writes them every time.
OWNED: Mapping[str, str] = MappingProxyType(
    {name: "a matter of the phone's accounts" for name in SETTINGS if _OF_AN_ACCOUNT.fullmatch(name)}
    | {name: "a matter of the phone's keys" for name in SETTINGS if _OF_A_KEY.fullmatch(name)}
)

# What only we can know. A layer may leave them alone, and nothing else.
COMPUTED = frozenset({opinion.pvalue for opinion in OPINIONS.values() if opinion.value is None}) | {
    "xml_config_file_password"
}
