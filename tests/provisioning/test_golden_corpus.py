"""The golden files: bytes that must not change unseen, read by foreign tools and held against what was typed.

The tables below are the vendor's numbering by hand (formats.md a, pvalues.csv); nothing here asks our catalogue for it,
but for the settings of layers, whose numbers other tests hold.
"""

from __future__ import annotations

import hashlib
import json
import os
import struct
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote
from xml.etree import ElementTree

import pytest

from devices.catalog import MODELS, KeyKind, KeyMode
from provisioning import plan
from provisioning.gxp.catalogue import SETTINGS
from provisioning.layers import stack
from tests.golden import corpus as golden
from tests.golden.cases import CASES, FOLDER, SITE_LAYERS, account, layered
from tests.golden.corpus import corpus, rendered
from tests.golden.rewrite import rewrite, stored
from tests.support.parts import require

CORPUS = {case.folder: case for case in corpus()}
IN_ALL_FORMATS = [folder for folder, case in CORPUS.items() if case.in_all_formats]

# active, name, server, user, auth, password, display name, voicemail, registration; then the seven vocoders
ACCOUNT_CODES = {
    1: (271, 270, 47, 35, 36, 34, 3, 33, 31, 57, 58, 59, 60, 61, 62, 46),
    2: (401, 417, 402, 404, 405, 406, 407, 426, 410, 451, 452, 453, 454, 455, 456, 457),
    3: (501, 517, 502, 504, 505, 506, 507, 526, 510, 551, 552, 553, 554, 555, 556, 557),
}
# mode, account, label, value
LINE_CODES = {1: (1363, 1364, 1465, 1466), 2: (1365, 1366, 1467, 1468), 3: (1367, 1368, 1469, 1470)}
MPK_CODES = {
    1: (323, 301, 302, 303),
    2: (324, 304, 305, 306),
    3: (325, 307, 308, 309),
    4: (326, 310, 311, 312),
    5: (327, 313, 314, 315),
    6: (328, 316, 317, 318),
    7: (329, 319, 320, 321),
    8: (353, 354, 355, 356),
}
# Of an MPK; a line key has the number + 10, and two modes of its own.
MODE_NUMBERS = {
    "speed_dial": 0, "blf": 1, "presence": 2, "eventlist_blf": 3, "speed_dial_active": 4, "dtmf": 5, "voicemail": 6,
    "call_return": 7, "transfer": 8, "call_park": 9, "intercom": 10, "ldap": 11, "paging": 13,
}  # fmt: skip
CODEC_NUMBERS = {"PCMU": 0, "G726-32": 2, "G723": 4, "PCMA": 8, "G722": 9, "G729": 18, "iLBC": 98}
FACTORY_CODECS = ("PCMU", "PCMA", "G729", "G722", "G726-32")
SERVER_CODES = {
    "config_server_path": 237, "config_server_protocol": 212, "firmware_server_path": 192,
    "firmware_server_protocol": 6767, "allow_dhcp_option_43_66_override": 145, "firmware_file_prefix": 232,
    "firmware_file_postfix": 233, "config_file_prefix": 234, "config_file_postfix": 235, "config_http_username": 1360,
    "config_http_password": 1361, "disable_ssh": 276, "web_access_mode": 1650,
    "disable_sip_notify_authentication": 4428,
}  # fmt: skip
KEY_CODE = "P1359"
TAKEN_BACK = {"P51": "0", "P1684": "1", "P30": "pool.ntp.org"}  # the factory's VLAN, LLDP and time server

# What SITE_LAYERS say, by hand: the nearest layer wins, and what is left alone is None.
SITE_SAYS = {
    "P64": "customize", "P246": "WET+0WEST-1,M3.5.0/01:00:00,M10.5.0/02:00:00", "P30": "ntp.berlin.example",
    "P1362": "de", "P102": "2", "P122": "1", "P51": "120", "P87": "5", "P1558": "26", "P1559": "46", "P1684": "1",
    "P207": "log.berlin.example:514", "P208": None, "P130": "2", "P183": "2", "P32": "30",
    "P48": "sbc.berlin.example:5061", "P57": "9", "P58": "8", "P59": "18", "P33": "*98", "P330": "1",
    "P331": "172.18.0.10:5481/phonebook/berlin", "P8020": "ldap.berlin.example", "P8022": "ou=people,dc=example,dc=net",
    "P8024": "l&d<a>p", "P8025": "(&(telephoneNumber=%)(sn=*))", "P8027": "3", "P2": "Office2026", "P196": None,
    "P276": "1", "P1650": "0", "P1357": "3", "P104": "2", "P145": None, "P1365": "10", "P1467": "Park", "P1468": "700",
}  # fmt: skip
TEAM_KEYS = {"P323": "1", "P302": "Emergency", "P303": "112", "P305": "Гость", "P306": "99", "P324": "1"}


def typed(config):
    """What a technician typed, in the vendor's numbers."""
    said = {}
    accounts = {one.number: one for one in config.accounts}
    for number in range(1, config.model.accounts + 1):
        said |= dict(zip(ACCOUNT_CODES[number], account_texts(accounts.get(number)), strict=True))
    for kind, codes in ((KeyKind.LINE, LINE_CODES), (KeyKind.MPK, MPK_CODES)):
        for number in range(1, config.model.key_count(kind) + 1):
            key = next((one for one in config.keys if (one.slot.kind, one.slot.number) == (kind, number)), None)
            said |= dict(zip(codes[number], key_texts(kind, number, key, sorted(accounts)), strict=True))
    said |= server_texts(config)
    by_code = {f"P{code}": text for code, text in said.items()}
    of_accounts = {f"P{code}" for number in accounts for code in ACCOUNT_CODES[number]}
    for name, text in config.settings.items():
        code = SETTINGS[name].element if name in SETTINGS else name
        if code in of_accounts and text is not None and by_code[code] and not open_to_layers(config, code):
            continue
        by_code[code] = text
    return {code: text for code, text in by_code.items() if text is not None}


def open_to_layers(config, code):
    """Codecs of an account that chose none are a matter of the layers."""
    vocoders = {f"P{one}" for number in ACCOUNT_CODES for one in ACCOUNT_CODES[number][9:]}
    return code in vocoders and not config.accounts[0].codecs


def account_texts(one):
    codecs = FACTORY_CODECS if one is None or not one.codecs else one.codecs
    numbers = [str(CODEC_NUMBERS[name]) for name in codecs]
    vocoders = (numbers + numbers[-1:] * 7)[:7]
    if one is None:
        return ["0", "", "", "", "", "", "", "", "0", *vocoders]
    name, auth = one.display_name or one.user_id, one.auth_id or one.user_id
    return ["1", name, one.sip_server, one.user_id, auth, one.password, one.display_name, one.voicemail, "1", *vocoders]


def key_texts(kind, number, key, filled):
    if key is None and kind is KeyKind.MPK:
        return ["0", "0", "", ""]
    if key is None:
        return ["0", str((number if number in filled else min(filled, default=1)) - 1), "", ""]
    numbers = MODE_NUMBERS if kind is KeyKind.MPK else {name: one + 10 for name, one in MODE_NUMBERS.items()}
    mode = (numbers | {"line": 0, "shared_line": 1})[key.mode.value]
    return [str(mode), str(key.account - 1), key.label, key.value]


def server_texts(config):
    protocol = {"http": "1", "https": "2"}[config.server.protocol]
    said = dict.fromkeys(SERVER_CODES, "") | {
        "config_server_path": config.server.config_path, "firmware_server_path": config.server.firmware_path,
        "config_server_protocol": protocol, "firmware_server_protocol": protocol,
        "allow_dhcp_option_43_66_override": "0", "disable_ssh": "1", "web_access_mode": "0",
        "disable_sip_notify_authentication": "0",
    }  # fmt: skip
    return {SERVER_CODES[name]: text for name, text in said.items() if name not in config.opinions_off}


def file(folder, name):
    return FOLDER / folder / name


def read_xml(content: bytes):
    """MAC and settings as another parser sees them; no setting twice."""
    root = ElementTree.fromstring(content)
    found = [(element.tag, element.text or "") for element in root.find("config")]
    assert len(dict(found)) == len(found)
    return root.find("mac").text, dict(found)


def read_encoder(content: bytes):
    """An encoder file as formats.md (c) has it; shares nothing with our decoder."""
    length, _, mac = struct.unpack(">IH6s", content[:12])
    words = struct.unpack(f">{len(content) // 2}H", content)
    assert length == len(words) and sum(words) % 65536 == 0
    assert content[12:16] == b"\r\n\r\n"
    *pairs, last = content[16:].rstrip(b"\0").decode("ascii").split("&")
    assert last == "gnkey=0b82"
    found = [pair.split("=", 1) for pair in pairs]
    assert len(dict(found)) == len(found)
    return mac.hex(), {code: unquote(text, errors="strict") for code, text in found}


def expected(case):
    return typed(case.config) | (TAKEN_BACK if case.name == "taken-back" else {})


@pytest.mark.parametrize("folder", CORPUS)
def test_each_golden_file_and_its_listing_are_met_byte_for_byte(folder):
    """A difference here is a change of what phones in the field read; see tests/golden/rewrite.py."""
    for name, content in CORPUS[folder].files().items():
        assert file(folder, name).read_bytes() == content, name


def test_there_is_no_golden_file_without_a_case():
    assert stored(FOLDER) == set(rendered(CORPUS.values()))


def test_every_model_has_its_cases():
    for model in MODELS:
        names = {case.name for case in CORPUS.values() if case.model == model}
        assert names >= {"plain", "special", "site", "settings-300", "raw-code", "left-alone", "taken-back", "keys-1"}
    assert {case.model for case in CORPUS.values()} == set(MODELS) == set(CASES)


@pytest.mark.parametrize("folder", CORPUS)
def test_the_xml_text_says_what_was_typed_and_nothing_else(folder):
    case = CORPUS[folder]
    mac, said = read_xml(file(folder, golden.TEXT).read_bytes())
    assert mac == case.config.mac.lower()
    assert said == expected(case)


def test_xmllint_finds_nothing_wrong_with_any_of_them():
    texts = [*FOLDER.glob(f"*/*/{golden.TEXT}"), *FOLDER.glob("*/*/bootstrap.xml")]
    assert len(texts) > len(CORPUS)
    done = subprocess.run([require("xmllint"), "--noout", "--nonet", *texts], capture_output=True, timeout=30)
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize("digest", golden.ENCRYPTED)
@pytest.mark.parametrize("folder", IN_ALL_FORMATS)
def test_openssl_decrypts_what_was_typed(folder, digest):
    case = CORPUS[folder]
    command = [require("openssl"), "enc", "-d", "-aes-256-cbc", "-md", digest, "-k", case.key]
    encrypted = file(folder, golden.ENCRYPTED[digest]).read_bytes()
    plain = subprocess.run(command, input=encrypted, capture_output=True, check=True, timeout=30).stdout
    mac, said = read_xml(plain)
    assert mac == case.config.mac.lower()
    assert said == expected(case) | {KEY_CODE: case.key}


@pytest.mark.parametrize("folder", IN_ALL_FORMATS)
def test_the_encoder_file_says_what_was_typed(folder):
    case = CORPUS[folder]
    assert read_encoder(file(folder, golden.ENCODER).read_bytes()) == (case.config.mac.lower(), expected(case))


@pytest.mark.parametrize("folder", IN_ALL_FORMATS)
def test_both_bootstraps_carry_the_key_and_the_way_to_the_file(folder):
    case = CORPUS[folder]
    protocol = typed(case.config)["P212"]
    carried = {KEY_CODE: case.key, "P237": golden.FIRST_PATH, "P212": protocol, "P234": "", "P235": ""}
    mac = case.config.mac.lower()
    assert read_encoder(file(folder, "bootstrap.bin").read_bytes()) == (mac, carried)
    assert read_xml(file(folder, "bootstrap.xml").read_bytes()) == (mac, carried)


@pytest.mark.parametrize("folder", CORPUS)
def test_the_listing_has_a_line_for_each_setting_of_the_file(folder):
    lines = file(folder, golden.LISTING).read_text(encoding="utf-8").split("\n")[2:-1]
    assert {line.split()[0]: line.split('"', 1)[1].rpartition('"')[0] for line in lines} == expected(CORPUS[folder])


def test_the_listing_says_what_a_number_means():
    lines = file("gxp1628/site", golden.LISTING).read_text(encoding="utf-8").splitlines()
    said = {tuple(line.split(None, 2)) for line in lines}
    assert {("P323", "mpk1_mode", '"1"  BLF'), ("P51", "vlan_tag", '"120"')} <= said
    assert {
        ("P1365", "line2_mode", '"10"  speed dial'),
        ("P32", "account1_register_expiration_minutes", '"30"  minutes'),
    } <= said


@pytest.mark.parametrize("model", MODELS)
def test_the_site_says_what_stands_in_its_layers(model):
    _, said = read_xml(file(f"{model.lower()}/site", golden.TEXT).read_bytes())
    assert {code: said.get(code) for code in SITE_SAYS} == SITE_SAYS
    team = {code: said.get(code) for code in TEAM_KEYS}
    assert team == (TEAM_KEYS if MODELS[model].mpks else dict.fromkeys(TEAM_KEYS))


@pytest.mark.parametrize("model", MODELS)
def test_the_layers_of_the_corpus_are_merged_as_those_of_a_phone_are(model):
    has = MODELS[model]
    accounts = tuple(account(number) for number in range(1, has.accounts + 1))
    config, said = layered(model, SITE_LAYERS, *accounts), stack.said(SITE_LAYERS, has)
    assert (config.settings, config.opinions_off) == (said.settings, said.off)
    assert config.keys == plan.arranged_keys(plan.Draft(accounts), has, said)[0].keys


@pytest.mark.parametrize("model", MODELS)
def test_each_kind_of_key_is_there_in_each_mode_that_the_model_offers(model):
    used = {
        (key.slot.kind, key.mode)
        for case in CORPUS.values()
        if case.model == model and case.name.startswith("keys-")
        for key in case.config.keys
    }
    assert used == {(kind, mode) for kind in KeyKind for mode in MODELS[model].modes(kind)}
    assert (KeyKind.MPK, KeyMode.BLF) in used or not MODELS[model].mpks


@pytest.mark.parametrize("model", MODELS)
def test_the_long_file_has_300_settings(model):
    assert len(read_xml(file(f"{model.lower()}/settings-300", golden.TEXT).read_bytes())[1]) == 300


FRESH = """
import hashlib, json, sys
from tests.golden.corpus import corpus, rendered
made = rendered(corpus())
assert "django" not in sys.modules
json.dump({path: hashlib.sha256(content).hexdigest() for path, content in made.items()}, sys.stdout)
"""


@pytest.mark.parametrize(
    ("seed", "zone", "language"), [("1", "Asia/Kathmandu", "tr_TR.UTF-8"), ("4242", "America/St_Johns", "C")]
)
def test_a_fresh_process_elsewhere_renders_the_same_bytes(seed, zone, language):
    elsewhere = {"PYTHONHASHSEED": seed, "TZ": zone, "LANG": language, "LC_ALL": language}
    done = subprocess.run(
        [sys.executable, "-c", FRESH], env={"PATH": os.environ["PATH"], **elsewhere}, cwd=FOLDER.parent.parent,
        capture_output=True, check=True, timeout=60,
    )  # fmt: skip
    here = {path: hashlib.sha256((FOLDER / path).read_bytes()).hexdigest() for path in stored(FOLDER)}
    assert json.loads(done.stdout) == here


def test_rewriting_brings_a_folder_up_to_date_and_says_what_it_did(tmp_path: Path):
    assert len(list(rewrite(tmp_path))) == len(stored(FOLDER))
    assert list(rewrite(tmp_path)) == []
    (tmp_path / "gxp1610/plain/text.xml").write_bytes(b"another")
    (tmp_path / "gxp1610/gone").mkdir()
    (tmp_path / "gxp1610/gone/text.xml").write_bytes(b"old")
    assert sorted(rewrite(tmp_path)) == ["changed  gxp1610/plain/text.xml", "deleted  gxp1610/gone/text.xml"]
    assert not (tmp_path / "gxp1610/gone").exists()
    assert (tmp_path / "gxp1610/plain/text.xml").read_bytes() == file("gxp1610/plain", "text.xml").read_bytes()
