"""The one table of P-values."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from devices.catalog import MODELS, slots
from provisioning.gxp import pvalues
from provisioning.gxp.pvalues import (
    KEY_FIELDS,
    LINE_KEY_MODE_NUMBERS,
    MPK_MODE_NUMBERS,
    OPINIONS,
    PVALUES,
    account_field,
    by_element,
    key_field,
)


def test_every_code_and_every_name_occurs_once():
    codes = [row.code for row in PVALUES.values()]
    assert len(codes) == len(set(codes))
    assert all(name == row.name for name, row in PVALUES.items())


def test_every_row_says_where_it_comes_from_and_how_sure_that_is():
    for row in PVALUES.values():
        assert row.source
        assert re.match(r"documented", row.confidence)


def test_every_account_and_key_of_every_model_has_its_settings():
    for model in MODELS.values():
        for number in range(1, model.accounts + 1):
            assert account_field(number, "sip_user_id").name == f"account{number}_sip_user_id"
        for slot in slots(model):
            for field in KEY_FIELDS:
                assert key_field(slot, field).name == f"{slot.name}_{field}"


def test_known_codes_are_where_the_vendor_templates_have_them():
    expected = {
        "account1_active": 271,
        "account2_sip_server": 402,
        "account3_auth_password": 506,
        "account1_preferred_vocoder_7": 46,
        "mpk1_mode": 323,
        "mpk8_value": 356,
        "line1_mode": 1363,
        "line3_value": 1470,
        "config_server_path": 237,
        "firmware_server_protocol": 6767,
    }
    assert {name: PVALUES[name].code for name in expected} == expected
    assert by_element("P237") is PVALUES["config_server_path"]
    assert by_element("P99999") is None


def test_passwords_and_the_server_path_are_secret_and_nothing_else():
    assert {name for name, row in PVALUES.items() if row.secret} == {
        "account1_auth_password",
        "account2_auth_password",
        "account3_auth_password",
        "config_server_path",
        "config_http_password",
    }


def test_every_offered_mode_has_a_number_and_the_two_numberings_differ_by_ten():
    for model in MODELS.values():
        assert set(model.mpk_modes) <= set(MPK_MODE_NUMBERS)
        assert set(model.line_key_modes) <= set(LINE_KEY_MODE_NUMBERS)
    for mode in MPK_MODE_NUMBERS.keys() & LINE_KEY_MODE_NUMBERS.keys():
        assert LINE_KEY_MODE_NUMBERS[mode] == MPK_MODE_NUMBERS[mode] + 10


def test_every_opinion_has_a_setting_a_reason_and_a_switch():
    for switch, opinion in OPINIONS.items():
        assert opinion.switch == switch
        assert opinion.pvalue in PVALUES
        assert opinion.why


def test_the_plug_and_play_switch_of_the_phone_is_never_written():
    assert by_element("P1414") is None


def test_no_other_module_has_a_p_number_in_its_code():
    package = Path(pvalues.__file__).parents[1]
    for path in package.rglob("*.py"):
        if path.name != "pvalues.py":
            texts = [
                node.value
                for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
                if isinstance(node, ast.Constant) and isinstance(node.value, str)
            ]
            assert not [text for text in texts if re.fullmatch(r"<?P[0-9]+/?>?", text)], path
