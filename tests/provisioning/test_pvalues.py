"""Key modes, protocols and opinions against the settings that they are written into."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from devices.catalog import CODECS, DEFAULT_CODECS, KEY_MODE_LABELS, KEY_MODE_NUMBERS, MODELS, KeyKind, KeySlot, slots
from provisioning.gxp import pvalues
from provisioning.gxp.catalogue import SETTINGS, Confidence, fault
from provisioning.gxp.document import render, values
from provisioning.gxp.pvalues import (
    GENERATED,
    KEEPS_OUT,
    KEY_FIELDS,
    OPINIONS,
    PROTOCOL_NUMBERS,
    VOCODERS,
    account_field,
    key_field,
)
from tests.golden.cases import CASES

EVERY_SLOT = slots(MODELS["GXP1630"])


@pytest.mark.parametrize("model", MODELS.values(), ids=lambda model: model.name)
def test_every_account_and_key_of_a_model_has_settings_that_the_model_has(model):
    for number in range(1, model.accounts + 1):
        for field in ("sip_user_id", "auth_password", f"preferred_vocoder_{VOCODERS}"):
            found = account_field(number, field)
            assert found.name == f"account{number}_{field}" and found.applies_to(model.name)
    for slot in slots(model):
        for field in KEY_FIELDS:
            found = key_field(slot, field)
            assert found.name == f"{slot.name}_{field}" and found.applies_to(model.name)


def test_there_is_no_fourth_account_and_no_ninth_mpk():
    with pytest.raises(KeyError):
        account_field(4, "sip_user_id")
    with pytest.raises(KeyError):
        key_field(KeySlot(KeyKind.MPK, 9), "mode")


@pytest.mark.parametrize("slot", EVERY_SLOT, ids=lambda slot: slot.name)
def test_both_numberings_of_key_modes_are_those_of_the_key_mode_settings(slot):
    ours = {str(number): KEY_MODE_LABELS[mode].casefold() for mode, number in KEY_MODE_NUMBERS[slot.kind].items()}
    assert ours == {value: label.casefold() for value, label in key_field(slot, "mode").choices.items()}


def test_the_two_numberings_differ_by_ten():
    line, mpk = KEY_MODE_NUMBERS[KeyKind.LINE], KEY_MODE_NUMBERS[KeyKind.MPK]
    for mode in mpk.keys() & line.keys():
        assert line[mode] == mpk[mode] + 10


def test_our_codecs_are_the_choices_of_every_vocoder_and_our_order_is_the_factory_one():
    payloads = {str(codec.payload) for codec in CODECS.values()}
    for number in (1, 2, 3):
        vocoders = [account_field(number, f"preferred_vocoder_{place}") for place in range(1, VOCODERS + 1)]
        assert all(set(one.choices) == payloads for one in vocoders)
        factory = [str(CODECS[name].payload) for name in DEFAULT_CODECS]
        assert [one.default for one in vocoders] == factory + factory[-1:] * (VOCODERS - len(factory))


@pytest.mark.parametrize("name", ["config_server_protocol", "firmware_server_protocol"])
def test_our_protocols_are_choices_of_that_name(name):
    choices = SETTINGS[name].choices
    assert {choices[str(number)].casefold(): number for number in PROTOCOL_NUMBERS.values()} == PROTOCOL_NUMBERS


def test_every_opinion_has_a_setting_that_takes_it_a_reason_and_a_switch():
    for switch, opinion in OPINIONS.items():
        assert opinion.switch == switch
        assert opinion.value is None or fault(SETTINGS[opinion.pvalue], opinion.value) is None
        assert opinion.why


def test_a_phone_is_told_to_be_safe_by_default_and_whom_that_keeps_out():
    """No shell, its web page over HTTPS, and commands only from who knows its account."""
    said = {name: OPINIONS[name].value for name in KEEPS_OUT.keys() - GENERATED.keys()}
    meant = {name: SETTINGS[name].choices[text] for name, text in said.items()}
    assert meant == {
        "disable_ssh": "yes", "web_access_mode": "HTTPS", "disable_sip_notify_authentication": "no",
    }  # fmt: skip
    assert GENERATED.keys() <= KEEPS_OUT.keys()


def test_the_check_of_configuration_files_is_left_as_it_is():
    """What the phone then asks of a file is published nowhere: it might refuse every one of ours."""
    assert "authenticate_conf_file" in SETTINGS
    assert "authenticate_conf_file" not in OPINIONS


@pytest.mark.parametrize("model", CASES)
def test_what_we_write_is_documented_known_for_the_model_and_takes_the_value(model):
    for name, text in values(render(CASES[model])).items():
        found = SETTINGS[name]
        assert found.applies_to(model), name
        assert found.confidence is Confidence.DOCUMENTED, name
        assert fault(found, text) is None, name


def test_the_plug_and_play_switch_of_the_phone_is_never_written():
    switch = "plug_and_play_3cx_auto_provision"
    assert SETTINGS[switch].code == 1414
    assert switch not in OPINIONS
    assert not [model for model in CASES if switch in values(render(CASES[model]))]


def test_no_module_has_a_p_number_in_its_code():
    package = Path(pvalues.__file__).parents[1]
    for path in package.rglob("*.py"):
        texts = [
            node.value
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            if isinstance(node, ast.Constant) and isinstance(node.value, str)
        ]
        assert not [text for text in texts if re.fullmatch(r"<?P[0-9]+/?>?", text)], path
