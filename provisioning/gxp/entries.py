"""What may stand in a layer, for people who look for it: every name with its kind, choices, bounds and words.

Pure: must never import Django, asyncio or socket. A name is one of the catalogue, `accounts_<field>` for every account,
a shorthand, an option of the file, or a raw P-code.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from types import MappingProxyType

from devices.catalog import MODELS, KeyKind, slots
from provisioning.gxp import login
from provisioning.gxp.catalogue import SETTINGS, Kind, Setting
from provisioning.gxp.document import masked_text
from provisioning.gxp.layers import (
    EVERY_ACCOUNT,
    FILE_OPTIONS,
    MAX_RAW,
    SHA256_FROM,
    SHORTHANDS,
    TRANSPORT,
    canonical,
    warnings,
)
from provisioning.gxp.layout import KEY_NAMES, MAX_KEY_CHARS, MAX_TEAM_CHARS, TEAM
from provisioning.gxp.pvalues import COMPUTED, OWNED
from provisioning.gxp.words import gettext_noop

RAW_GROUP = "not in the catalogue"
SHORTHAND_GROUP = "shorthand"
FILE_GROUP = "the file itself"
KEY_GROUP = "keys"
EVERY_GROUP = "every account"
MAX_QUERY_CHARS = 100
LEFT_ALONE = gettext_noop("left alone")

_FILE_LABELS = {
    "file_format": "Format of the file",
    "file_digest": "Digest behind the encryption",
    SHA256_FROM: "Digest SHA-256 from this firmware on",
    "file_bootstrap": "How the key is delivered first",
    login.OPTION: "Phones log in to fetch their file",
    "upgrade_first": "Upgrade first, secrets after",
    TRANSPORT: "How the phone fetches it",
}
_FILE_NOTES = {
    login.OPTION: "each phone gets a login of its own, and a new one with each version; none where a layer sets "
    "config_http_username or config_http_password itself",
}
_KEY_NOTE = "written as blf:1002:Reception, blf@2:1002 for account 2, protected blf:1002 if no phone may change it"
_TEAM_NOTE = "written as 1001=Tess, 1002=Theo; a phone's own extension is left out"
_FOR_US = re.compile(r"our choice|GXP(?:1[67]|21)xx|sibling|\bfw 1\.0|integrator|templates|10 above the MPK")
# Written in capitals by people; the catalogue's names are in small letters.
_CAPITALS = frozenset({
    "blf", "dhcp", "dnd", "dns", "dtmf", "ehs", "http", "https", "ip", "lcd", "ldap", "led", "lldp", "mpk", "mtu",
    "mwi", "nat", "ntp", "pc", "rtp", "sbc", "sip", "srtp", "ssh", "stun", "tel", "tls", "uac", "uas", "uri", "url",
    "vlan", "xml", "xsi",
})  # fmt: skip
_OWN_CASE = {"ipv4": "IPv4", "ipv6": "IPv6", "qos": "QoS", "openvpn": "OpenVPN", "pppoe": "PPPoE"}

# What a technician looks for first, by the words of the field. A test holds that every name exists.
QUICK: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        gettext_noop("Time & language"): (
            "ntp_server", "date_format", "time_format", "display_language", "self_defined_time_zone",
        ),
        gettext_noop("Network"): (
            "vlan_tag", "vlan_priority", "pc_port_vlan_tag", "pc_port_vlan_priority", "dhcp_vlan_enable", "lldp_enable",
            "l3_qos_sip", "l3_qos_rtp",
        ),
        gettext_noop("Security"): (
            "admin_password", "user_password", "web_access_mode", "disable_ssh", login.OPTION,
            "keypad_menu_restriction", "star_key_keypad_lock", "keypad_lock_password", "login_lockout_minutes",
        ),
        gettext_noop("Call features"): (
            "accounts_auto_answer", "accounts_ring_timeout_seconds", "accounts_delayed_call_forward_seconds",
            "accounts_enable_call_features", "accounts_call_log", "disable_call_waiting", "disable_transfer",
            "disable_conference", "offhook_auto_dial",
        ),
        gettext_noop("SIP"): (
            "accounts_sip_transport", "accounts_srtp_mode", "accounts_register_expiration_minutes",
            "accounts_outbound_proxy", "accounts_secondary_sip_server", "accounts_voicemail_access_number",
            "accounts_subscribe_for_mwi", "accounts_eventlist_blf_uri", "accounts_dial_plan",
        ),
        gettext_noop("Syslog"): ("syslog_server", "syslog_level", "syslog_send_sip_log"),
        gettext_noop("Ring tones"): ("accounts_ring_tone", "system_ring_tone", "accounts_ring_match_rule_1",
                       "accounts_ring_match_rule_1_tone", "speaker_ring_volume"),
        gettext_noop("LDAP"): (
            "ldap_server", "ldap_port", "ldap_base", "ldap_username", "ldap_password", "ldap_number_filter",
            "ldap_name_filter", "ldap_name_attributes", "ldap_number_attributes", "ldap_display_name",
            "ldap_lookup_incoming", "ldap_lookup_outgoing",
        ),
        gettext_noop("Keys"): (*(name for name in KEY_NAMES if name.startswith("key_mpk")), TEAM),
        gettext_noop("File"): tuple(FILE_OPTIONS),
    }
)  # fmt: skip


@dataclass(frozen=True)
class Entry:
    """One name of a layer. `codes` are its P-codes as people write them; `settable` is false for what only we can
    know, which a layer may leave alone and nothing else. `row` is the catalogue's, of the first account."""

    name: str
    group: str
    label: str
    codes: str = ""
    kind: Kind = Kind.TEXT
    choices: Mapping[str, str] = field(default_factory=dict, hash=False)
    least: int | None = None
    most: int | None = None
    unit: str = ""
    default: str = ""
    secret: bool = False
    settable: bool = True
    can_be_left_alone: bool = True
    note: str = ""
    models: tuple[str, ...] = ()
    row: Setting | None = field(default=None, repr=False)

    @property
    def for_all_models(self) -> bool:
        return len(self.models) == len(MODELS)


def entry(name: str) -> Entry | None:
    """What this name stands for, in any spelling; None if nothing, or if it belongs to the phone's assignment."""
    name = canonical(name)
    found = _by_name().get(name)
    if found is None and re.fullmatch(r"P[1-9][0-9]{0,11}", name, re.ASCII):
        # Nobody knows what it is, so it may be a password.
        found = Entry(name, RAW_GROUP, f"P-value {name[1:]}", name, most=MAX_RAW, secret=True,
                      models=tuple(MODELS), note=_warning(name))  # fmt: skip
    return found


def search(text: str, limit: int = 40) -> list[Entry]:
    """Entries that have every word of the text in their name, P-code, group, label, note or choices; the best
    first."""
    words = text[:MAX_QUERY_CHARS].lower().replace("-", "_").split()
    if not words:
        return []
    ranked = []
    for place, one in enumerate(_by_name().values()):
        ranks = [_rank(one, word) for word in words]
        if None not in ranks:
            ranked.append((sum(rank for rank in ranks if rank is not None), place, one))
    found = [one for _, _, one in sorted(ranked, key=lambda item: item[:2])]
    raw = entry(text.strip()) if not found else None
    return [raw] if raw is not None else found[:limit]


def _rank(one: Entry, word: str) -> int | None:
    """How well a word fits: less is better; None if it does not."""
    codes = one.codes.lower().split(", ")
    if word == one.name or word in codes or f"p{word}" in codes:
        return 0
    parts = one.name.split("_")
    if word in parts or word.rstrip("s") in parts:
        return 1
    if word in one.name:
        return 2
    spaced = word.replace("_", " ")
    if spaced in one.label.lower() or spaced in one.group.replace("-", " "):
        return 4
    if spaced in one.note.lower():
        return 5
    return 6 if any(spaced in label.lower() for label in one.choices.values()) else None


@cache
def _by_name() -> Mapping[str, Entry]:
    """Every entry but raw P-codes, in the order in which equally good ones are offered."""
    return MappingProxyType({one.name: one for one in (*_special(), *_every_account(), *_single())})


def _special() -> Iterator[Entry]:
    everybody = tuple(MODELS)
    for name, shorthand in SHORTHANDS.items():
        choices: Mapping[str, str] = dict(shorthand.choices()) if shorthand.choices else {}
        kind = Kind.CHOICE if choices else Kind.TEXT
        yield Entry(name, SHORTHAND_GROUP, shorthand.label, kind=kind, choices=choices, can_be_left_alone=False,
                    models=everybody)  # fmt: skip
    for name, slot in KEY_NAMES.items():
        models = tuple(model.name for model in MODELS.values() if slot in slots(model))
        label = f"{'Key' if slot.kind is KeyKind.MPK else 'Line key'} {slot.number}"
        yield Entry(name, KEY_GROUP, label, most=MAX_KEY_CHARS, models=models, note=_KEY_NOTE)
    yield Entry(TEAM, KEY_GROUP, "The rest of the team, on the keys left free", most=MAX_TEAM_CHARS,
                models=tuple(model.name for model in MODELS.values() if model.mpks), note=_TEAM_NOTE)  # fmt: skip
    for name, choices in FILE_OPTIONS.items():
        kind = Kind.CHOICE if choices else Kind.WORD
        yield Entry(name, FILE_GROUP, _FILE_LABELS.get(name, label_of(name)), kind=kind, choices=choices,
                    can_be_left_alone=False, models=everybody, note=_FILE_NOTES.get(name, ""))  # fmt: skip


def _every_account() -> Iterator[Entry]:
    most = max(model.accounts for model in MODELS.values())
    for row in SETTINGS.values():
        if not row.name.startswith("account1_") or row.name in OWNED:
            continue
        rest = row.name.removeprefix("account1_")
        rows = [SETTINGS[name] for number in range(1, most + 1) if (name := f"account{number}_{rest}") in SETTINGS]
        codes = ", ".join(one.element for one in rows)
        yield _of(row, f"{EVERY_ACCOUNT}{rest}", EVERY_GROUP, f"{label_of(rest)}, every account", codes)


def _single() -> Iterator[Entry]:
    for row in SETTINGS.values():
        if row.name not in OWNED:
            yield _of(row, row.name, row.group, label_of(row.name), row.element)


def _of(row: Setting, name: str, group: str, label: str, codes: str) -> Entry:
    return Entry(
        name, group, label, codes, row.kind, row.choices, row.least, row.most, row.unit, row.default, row.secret,
        settable=row.name not in COMPUTED, note=_for_people(row.note), models=tuple(sorted(row.models)), row=row,
    )  # fmt: skip


def _for_people(note: str) -> str:
    """A note of the catalogue without what only whoever keeps the catalogue needs: who says so, and who disagrees."""
    if note.startswith("CONFLICT"):
        return "sources disagree what it does on these phones"
    return "; ".join(part for part in note.split("; ") if not _FOR_US.search(part))


def shown(name: str, text: str | None) -> str:
    """A value for people: secrets masked, a choice with its label, None as what it means."""
    if text is None:
        return LEFT_ALONE
    one, row = entry(name), SETTINGS.get(name)
    row = row or (one.row if one is not None else None)
    if row is None and (one is None or one.secret):
        return masked_text(None, text)
    if row is not None and row.secret:
        return masked_text(row, text)
    choices = one.choices if one is not None else row.choices if row is not None else {}
    label = choices.get(text)
    return text if label is None or label == text else f"{text} ({label})"


def label_of(name: str) -> str:
    """`vlan_tag` as people say it: VLAN tag."""
    words = [_OWN_CASE.get(word) or (word.upper() if word in _CAPITALS else word) for word in name.split("_")]
    first = words[0] if words[0] != words[0].lower() else words[0].capitalize()
    return " ".join([re.sub(r"(?<=^Account)(?=[0-9]$)", " ", first), *words[1:]])


def _warning(name: str) -> str:
    return " ".join(problem.message for problem in warnings({name: ""}))
