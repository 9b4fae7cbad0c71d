"""What the golden files are made of: a handful of configurations for each model, as a technician would type them.

Pure, as what they test is. corpus.py says which files are made of each.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import cycle, zip_longest
from pathlib import Path

from devices.catalog import CODECS, DEFAULT_CODECS, MODELS, KeyKind, KeyMode, KeySlot, PhoneModel, slots
from provisioning.gxp.catalogue import SETTINGS
from provisioning.gxp.config import AccountConfig, DeviceConfig, KeyConfig, ServerConfig
from provisioning.gxp.document import settings
from provisioning.gxp.layers import FILE_OPTIONS, Layer, Level, merge
from provisioning.gxp.layout import arrange, is_layout
from provisioning.gxp.pvalues import OPINIONS

FOLDER = Path(__file__).parent
PRINTABLE = "".join(map(chr, range(0x20, 0x7F)))
FILE_SETTINGS = 300  # in the long file
TYPED_SETTINGS = FOLDER / "settings.txt"


def account(number: int, **changes: object) -> AccountConfig:
    """An account as a technician would fill it in."""
    filled: dict[str, object] = {
        "number": number,
        "sip_server": "172.18.0.10",
        "user_id": f"100{number}",
        "auth_id": "",
        "password": f"secret-{number}",
        "display_name": f"Desk {number}",
        "voicemail": "*97",
        "codecs": DEFAULT_CODECS,
    }
    return AccountConfig(**(filled | changes))  # type: ignore[arg-type]


def key(name: str, mode: KeyMode, value: str = "", label: str = "", account: int = 1) -> KeyConfig:
    return KeyConfig(KeySlot.parse(name), mode, account, label, value)


def device(model: str, *accounts: AccountConfig, keys: tuple[KeyConfig, ...] = (), **changes: object) -> DeviceConfig:
    """A configuration for this model, served over HTTP by the vendor's example server."""
    filled: dict[str, object] = {
        "mac": "000B82273B89",
        "model": MODELS[model],
        "accounts": accounts or (account(1),),
        "keys": keys,
        "server": ServerConfig("http", "172.18.0.10:5481/p/Zk3rT9qLw2XbVn7YcHs5Ag", "172.18.0.10:5481/firmware"),
    }
    return DeviceConfig(**(filled | changes))  # type: ignore[arg-type]


# One characteristic desk for each model.
CASES: dict[str, DeviceConfig] = {
    "GXP1610": device("GXP1610"),
    "GXP1615": device(
        "GXP1615",
        account(1, display_name="Žofie Öhlund 📞", codecs=("PCMA",)),
        keys=(key("line2", KeyMode.SPEED_DIAL, "112", "Emergency"),),
    ),
    "GXP1620": device(
        "GXP1620",
        account(1, display_name="R&D <lab> \"1\" 'a'", password="p&<>\"'ß€ ]]>"),
        account(2, sip_server="pbx.example.net:5070", auth_id="auth-1002", codecs=("G722", "PCMU")),
    ),
    "GXP1625": device(
        "GXP1625",
        account(2, display_name="", voicemail=""),
        server=ServerConfig("https", "pbx.example.net/p/Zk3rT9qLw2XbVn7YcHs5Ag", "pbx.example.net/firmware"),
    ),
    "GXP1628": device(
        "GXP1628",
        account(1, display_name="受付 Reception", sip_server="[2001:db8::10]:5060"),
        keys=(
            key("mpk1", KeyMode.BLF, "1002", "Reception & Hall"),
            key("mpk2", KeyMode.SPEED_DIAL, "+4930123456", "Ősz <home>"),
            key("mpk8", KeyMode.CALL_PARK, "700", "Park 🚗"),
        ),
    ),
    "GXP1630": device(
        "GXP1630",
        account(1),
        account(2, codecs=("PCMU", "PCMA", "G722", "G729", "G726-32", "G723", "iLBC")),
        account(3, user_id="دفتر", display_name="الاستقبال 👩🏽‍💻"),
        keys=(
            key("line3", KeyMode.INTERCOM, "1005", "Door", account=3),
            *(key(f"mpk{n}", KeyMode.BLF, f"110{n}", f"Desk {n}", account=1 + n % 3) for n in range(1, 9)),
        ),
    ),
}

SPECIAL_ACCOUNTS = (
    account(1, display_name="Смирнова & Söhne <1> \"x\" 'y' ]]>", password=PRINTABLE, voicemail="*97&1"),
    account(
        2,
        sip_server="[2001:db8::10]:5061",
        user_id="مكتب-٢",
        auth_id='<auth>&"2"\'',
        password="пароль ]]> &amp; &#38; <![CDATA[x]]>",
        display_name="الاستقبال 👩🏽‍💻",
        voicemail="",
        codecs=tuple(CODECS),
    ),
    account(
        3,
        sip_server="xn--bcher-kva.example.:5060",
        user_id="%41+b=c",
        password="=a+b%20c;d%",
        display_name="受付 – Ősz 📞 ",
        codecs=("iLBC",),
    ),
)


def with_special_texts(model: str) -> DeviceConfig:
    """All accounts and all keys with texts that a careless writer would break."""
    has = MODELS[model]
    labels = cycle(("A & B <c>", "]]>", "\"двери\" 'x'", "الباب 🚪", " two  blanks "))
    modes = {KeyKind.LINE: KeyMode.SPEED_DIAL, KeyKind.MPK: KeyMode.SPEED_DIAL_ACTIVE}
    keys = tuple(
        KeyConfig(slot, modes[slot.kind], 1 + slot.number % has.accounts, label, f"+49 30/1&<{slot.number}>")
        for slot, label in zip(slots(has), labels, strict=False)
    )
    return device(model, *SPECIAL_ACCOUNTS[: has.accounts], keys=keys, mac="C074AD0F00FF")


VALUES = {KeyMode.DTMF: "*1#2", KeyMode.PAGING: "224.0.1.20:10000", KeyMode.LDAP: "", KeyMode.LINE: ""}


def key_files(model: str) -> Iterator[DeviceConfig]:
    """Configurations in which, together, each kind of key is set to each mode that the model offers."""
    has = MODELS[model]
    accounts = [account(number) for number in range(1, has.accounts + 1)]
    lists = {f"account{one.number}_eventlist_blf_uri": f"list-{one.number}" for one in accounts}
    for line_modes, mpk_modes in zip_longest(
        _groups(has.modes(KeyKind.LINE), has.line_keys), _groups(has.modes(KeyKind.MPK), has.mpks), fillvalue=()
    ):
        keys = [*_keys(KeyKind.LINE, line_modes, has), *_keys(KeyKind.MPK, mpk_modes, has)]
        more = {"settings": lists} if KeyMode.EVENTLIST_BLF in mpk_modes else {}
        yield device(model, *accounts, keys=tuple(keys), **more)


def _groups(modes: Sequence[KeyMode], size: int) -> list[Sequence[KeyMode]]:
    return [modes[first : first + size] for first in range(0, len(modes), size or 1)]


def _keys(kind: KeyKind, modes: Sequence[KeyMode], model: PhoneModel) -> Iterator[KeyConfig]:
    for number, mode in enumerate(modes, start=1):
        value = VALUES.get(mode, f"20{number:02}")
        yield KeyConfig(KeySlot(kind, number), mode, 1 + number % model.accounts, mode.value, value)


# A working day's layers: what a site, a model, two templates and one phone say.
SITE_LAYERS = (
    Layer(
        Level.SITE,
        "Berlin",
        {
            "country": "DE",
            "iana_time_zone": "Europe/Lisbon",
            "ntp_server": "ntp.berlin.example",
            "vlan_tag": "110",
            "vlan_priority": "5",
            "l3_qos_sip": "26",
            "l3_qos_rtp": "46",
            "lldp_enable": "1",
            "syslog_server": "log.berlin.example:514",
            "syslog_level": "3",
            "accounts_sip_transport": "2",
            "accounts_srtp_mode": "2",
            "accounts_register_expiration_minutes": "30",
            "accounts_preferred_vocoder_1": "9",
            "accounts_preferred_vocoder_2": "8",
            "accounts_outbound_proxy": "sbc.berlin.example:5061",
            "phonebook_download_protocol": "1",
            "phonebook_server_path": "172.18.0.10:5481/phonebook/berlin",
            "ldap_server": "ldap.berlin.example",
            "ldap_base": "ou=people,dc=example,dc=net",
            "ldap_password": "l&d<a>p",
            "ldap_number_filter": "(&(telephoneNumber=%)(sn=*))",
            "ldap_version": "3",
            "admin_password": "Office2026",
            "user_password": None,
            "disable_ssh": "1",
            "web_access_mode": "0",
            "keypad_menu_restriction": "1",
            "team": "1001=Tess, 1010=Zoë, 1002=Theo & Co, 99=Гость",
        },
    ),
    Layer(Level.MODEL, "GXP16xx", {"vlan_tag": "120", "allow_dhcp_option_43_66_override": None}),
    Layer(Level.TEMPLATE, "Reception", {"key_mpk1": "protected blf:112:Emergency", "keypad_menu_restriction": "2"}),
    Layer(Level.TEMPLATE, "Hall", {"key_line2": "speed_dial:700:Park", "accounts_voicemail_access_number": "*98"}),
    Layer(Level.PHONE, "", {"keypad_menu_restriction": "3", "account1_ring_tone": "2", "syslog_level": None}),
)


def layered(model: str, layers: Sequence[Layer], *accounts: AccountConfig) -> DeviceConfig:
    """What these layers make of these accounts."""
    merged = {name: one for name, one in merge(layers, MODELS[model]).items() if name not in FILE_OPTIONS}
    about_keys = {
        name: (one.text, one.layer.title) for name, one in merged.items() if is_layout(name) and one.text is not None
    }
    numbers = [one.number for one in accounts]
    arranged, problems = arrange(MODELS[model], about_keys, (), [one.user_id for one in accounts], numbers)
    return device(
        model,
        *accounts,
        keys=arranged.keys,
        settings={name: one.text for name, one in merged.items() if not is_layout(name)},
        opinions_off=frozenset(name for name, one in merged.items() if name in OPINIONS and one.text is None),
        problems=tuple(problems),
    )


def long_file(model: str) -> DeviceConfig:
    """So many of the typed settings as a file of 300 has room for."""
    anyway = settings(device(model)).keys()
    fitting = {name: text for name, text in typed_settings().items() if SETTINGS[name].applies_to(model)}
    more = [name for name in fitting if name not in anyway][: FILE_SETTINGS - len(anyway)]
    return device(model, settings={name: text for name, text in fitting.items() if name in anyway or name in more})


def typed_settings() -> Mapping[str, str]:
    """The lines `name = value` of settings.txt."""
    lines = TYPED_SETTINGS.read_text(encoding="utf-8").splitlines()
    return dict(line.split(" = ", 1) for line in lines)


def configurations(model: str) -> Iterator[tuple[str, str, DeviceConfig]]:
    """Name, description and configuration of each case of a model."""
    yield "plain", "One account and nothing else.", device(model)
    if model != "GXP1610":  # whose desk is that plain one
        yield "desk", "A characteristic desk.", CASES[model]
    yield "special", "All accounts and keys, with every character that could break a file.", with_special_texts(model)
    for number, config in enumerate(key_files(model), start=1):
        yield f"keys-{number}", "Keys in the modes that the model offers.", config
    accounts = [account(number, voicemail="", codecs=()) for number in range(1, MODELS[model].accounts + 1)]
    yield "site", "Layers of a site, a model, two templates and the phone.", layered(model, SITE_LAYERS, *accounts)
    yield "settings-300", "A file of 300 settings.", long_file(model)
    raw: dict[str, str | None] = {"P99999": "a&b <c> ]]>", "P88888": "", "P4294967": "1"}
    yield "raw-code", "P-codes that the catalogue does not know.", device(model, settings=raw)
    alone = device(
        model,
        settings={"vlan_tag": None, "lldp_enable": "0", "account1_preferred_vocoder_7": None},
        opinions_off=frozenset({"firmware_server_path", "firmware_server_protocol", "config_http_password"}),
        earlier=frozenset({"vlan_tag", "config_http_password"}),
    )
    yield "left-alone", "Settings and opinions that are left alone are not written.", alone
    told = frozenset({"vlan_tag", "lldp_enable", "ntp_server", "admin_password", "P99999"})
    yield (
        "taken-back",
        "What the phone was told before and nobody says any more has the factory's value.",
        device(model, earlier=told),
    )
