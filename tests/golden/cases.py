"""One characteristic configuration per model; its rendered bytes lie beside this file as <model>.xml."""

from __future__ import annotations

from pathlib import Path

from devices.catalog import DEFAULT_CODECS, MODELS, KeyMode, KeySlot
from provisioning.gxp.config import AccountConfig, DeviceConfig, KeyConfig, ServerConfig

FOLDER = Path(__file__).parent


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


def golden_path(model: str) -> Path:
    return FOLDER / f"{model.lower()}.xml"
