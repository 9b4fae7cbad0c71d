"""What each model has, and what its keys may do."""

from __future__ import annotations

import pytest

from devices.catalog import (
    CODECS,
    DATA,
    DEFAULT_CODECS,
    KEY_MODE_LABELS,
    MODELS,
    CatalogError,
    KeyKind,
    KeyMode,
    KeySlot,
    find_model,
    read_catalog,
    slots,
)


@pytest.mark.parametrize(
    ("name", "accounts", "line_keys", "mpks"),
    [
        ("GXP1610", 1, 2, 0),
        ("GXP1615", 1, 2, 0),
        ("GXP1620", 2, 2, 0),
        ("GXP1625", 2, 2, 0),
        ("GXP1628", 2, 2, 8),
        ("GXP1630", 3, 3, 8),
    ],
)
def test_each_model_has_its_accounts_and_keys(name, accounts, line_keys, mpks):
    model = MODELS[name]
    assert (model.name, model.accounts, model.line_keys, model.mpks) == (name, accounts, line_keys, mpks)
    assert len(slots(model)) == line_keys + mpks
    assert model.url_form == "file"
    assert model.firmware_file == "gxp1600fw.bin"
    assert model.source


def test_there_are_exactly_six_models():
    assert len(MODELS) == 6


@pytest.mark.parametrize("text", ["GXP1628", "gxp1628", "  Gxp1628\n"])
def test_a_model_is_found_in_any_case_and_with_blanks_around(text):
    assert find_model(text) is MODELS["GXP1628"]


@pytest.mark.parametrize("text", ["", "GXP16", "GXP2170", "GXP1628 ;"])
def test_an_unknown_model_is_none(text):
    assert find_model(text) is None


def test_blf_is_offered_on_mpks_and_never_on_line_keys():
    for model in MODELS.values():
        assert KeyMode.BLF not in model.line_key_modes
        assert (KeyMode.BLF in model.mpk_modes) is (model.mpks > 0)
        assert (KeyMode.SPEED_DIAL in model.mpk_modes) is (model.mpks > 0)


def test_active_account_speed_dial_is_not_offered_on_one_account_models():
    without = {name for name, model in MODELS.items() if KeyMode.SPEED_DIAL_ACTIVE not in model.line_key_modes}
    assert without == {"GXP1610", "GXP1615"}


def test_eventlist_blf_is_for_mpks_only():
    for model in MODELS.values():
        assert KeyMode.EVENTLIST_BLF not in model.line_key_modes
        assert (KeyMode.EVENTLIST_BLF in model.mpk_modes) is (model.mpks > 0)


def test_every_mode_has_a_label_of_its_own():
    assert set(KEY_MODE_LABELS) == set(KeyMode)
    assert len(set(KEY_MODE_LABELS.values())) == len(KeyMode)


def test_slot_names_are_read_back():
    for slot in slots(MODELS["GXP1630"]):
        assert KeySlot.parse(slot.name) == slot
    assert KeySlot.parse(" MPK1 ") == KeySlot(KeyKind.MPK, 1)


@pytest.mark.parametrize("text", ["", "mpk", "mpk0", "mpk01", "mpk-1", "key1", "line1x", "mpk\u0661"])
def test_a_wrong_slot_name_says_what_names_there_are(text):
    with pytest.raises(ValueError, match="mpk1"):
        KeySlot.parse(text)


def test_codecs_have_the_numbers_of_the_vocoder_settings():
    numbers = {name: codec.payload for name, codec in CODECS.items()}
    assert numbers == {"PCMU": 0, "PCMA": 8, "G722": 9, "G729": 18, "G726-32": 2, "G723": 4, "iLBC": 98}
    assert set(DEFAULT_CODECS) <= set(CODECS)


def test_the_catalogue_cannot_be_changed_by_accident():
    with pytest.raises(TypeError):
        MODELS["GXP1610"] = MODELS["GXP1630"]


def test_a_model_is_added_by_data_alone():
    text = (
        DATA.read_text("utf-8")
        + """
[models.GXP1699]
accounts = 1
line_keys = 4
mpks = 0
url_form = "folder"
firmware_file = "gxp1699fw.bin"
source = "invented"
"""
    )
    model = read_catalog(text).models["GXP1699"]
    assert (len(slots(model)), model.mpk_modes, model.url_form) == (4, (), "folder")
    assert KeyMode.SPEED_DIAL_ACTIVE in model.line_key_modes


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("mpks = 8\n", "", "models.GXP1628: mpks is missing"),
        ("[models.GXP1610]", "[models.gxp1610]", "capital"),
        ('url_form = "file"', 'url_form = "files"', "file or folder"),
        ('line_keys_lack = ["speed_dial_active"]', 'line_keys_lack = ["jump"]', "jump"),
        ("accounts = 3", "accounts = 0", "models.GXP1630"),
        ("blf               = {", "jump              = {", "key_modes.jump"),
        ("[key_modes]", "[modes]", "key_modes is missing"),
        ("accounts = 2", "acounts = 2", "acounts"),
        ("accounts = 1", "accounts =", "line"),
    ],
)
def test_a_wrong_table_is_named(old, new, words):
    text = DATA.read_text("utf-8")
    assert old in text
    with pytest.raises(CatalogError, match=words) as caught:
        read_catalog(text.replace(old, new))
    assert DATA.name in str(caught.value)
