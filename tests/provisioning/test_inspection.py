"""The last look at a file: each thing that it must refuse, in files that were broken by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.catalog import MODELS, KeyMode
from provisioning.gxp import inspection
from provisioning.gxp.catalogue import SETTINGS
from provisioning.gxp.config import ConfigError
from provisioning.gxp.document import settings, written
from provisioning.gxp.inspection import MAX_FILE_BYTES, inspect
from tests.golden.cases import CASES, account, device, key
from tests.golden.corpus import corpus
from tests.support.layer_values import configurations

MAC = "000B82273B89"
GXP1610, GXP1628 = MODELS["GXP1610"], MODELS["GXP1628"]
DESK = device(
    "GXP1628",
    account(1, password="c4nary-password"),
    account(2),
    keys=(key("mpk1", KeyMode.BLF, "1002", "Hall", account=2), key("line2", KeyMode.SPEED_DIAL, "112")),
    settings={"vlan_tag": "10", "ldap_password": "c4nary-ldap", "P99999": "raw"},
)


@pytest.fixture(autouse=True)
def _nothing_is_known_yet(monkeypatch):
    """What was right in another test is looked at again."""
    monkeypatch.setattr(inspection, "_known_right", {})


def refused(document: bytes, meant: dict[str, str], model=GXP1628, mac: str = MAC) -> dict[str, str]:
    """What is said of a file, by field."""
    with pytest.raises(ConfigError) as error:
        inspect(document, mac, model, meant)
    assert "c4nary" not in str(error.value)
    return {problem.field: problem.message for problem in error.value.problems}


def said(model=GXP1628, **changes: str | None) -> dict[str, str]:
    """Problems of a file that really says this, and was meant to."""
    meant = {name: text for name, text in (settings(DESK) | changes).items() if text is not None}
    return refused(written(MAC, meant), meant, model)


@pytest.mark.parametrize("case", corpus(), ids=lambda case: case.folder)
def test_every_golden_file_passes(case):
    meant = settings(case.config)
    inspect(written(case.config.mac, meant), case.config.mac, case.config.model, meant)


@given(st.data(), st.sampled_from(list(MODELS.values())))
def test_whatever_can_be_rendered_passes(data, model):
    config = data.draw(configurations(model))
    meant = settings(config)
    inspect(written(config.mac, meant), config.mac, model, meant)


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("vlan_tag", "5000", "vlan_tag is out of range; enter a number from 0 to 4094."),
        ("vlan_tag", "", "vlan_tag is empty"),
        ("lldp_enable", "2", "is not one of the choices"),
        ("ntp_server", "a b", "character 2 is a blank"),
        ("account1_display_name", "x" * 129, "shorten it to 128"),
        ("admin_password", "c4nary!", "does not have the right form"),
        ("account3_ring_tone", "1", "account3_ring_tone is no setting of the GXP1628; take it out."),
        ("account3_auth_password", "c4nary", "is no setting of the GXP1628"),
        ("line3_mode", "0", "is no setting of the GXP1628"),
    ],
)
def test_a_value_that_the_model_does_not_take_is_refused_beside_its_setting(name, text, words):
    assert words in said(**{name: text})[f"setting.{name}"]


def test_a_file_for_a_larger_model_is_refused():
    found = said(GXP1610)
    assert {"setting.account2_active", "setting.mpk1_mode"} <= found.keys()
    assert "setting.account1_active" not in found


def test_a_value_that_is_right_for_one_model_is_not_right_for_another():
    meant = settings(DESK)
    inspect(written(MAC, meant), MAC, GXP1628, meant)
    assert "setting.mpk1_mode" in refused(written(MAC, meant), meant, GXP1610)


def test_a_secret_is_looked_at_each_time():
    meant = settings(DESK) | {"admin_password": "Office2026"}
    inspect(written(MAC, meant), MAC, GXP1628, meant)
    kept = {text for known in inspection._known_right.values() for _, text in known}
    assert not {"Office2026", "c4nary-password", "c4nary-ldap"} & kept
    assert "10" in kept


@pytest.mark.parametrize(
    ("name", "number", "words"),
    [
        ("mpk1_mode", "11", "none that a mpk key"),  # BLF, as a line key of another family would say it: LDAP on an MPK
        ("mpk1_mode", "14", "none that a mpk key"),
        ("line1_mode", "1", None),  # a shared line, where an MPK has BLF: both numberings know it
        ("line1_mode", "11", "none that a line key"),
        ("line1_mode", "4", "none that a line key"),
        ("line1_mode", "-1", "none that a line key"),
    ],
)
def test_a_key_mode_of_the_other_numbering_is_refused(name, number, words):
    meant = settings(DESK) | {name: number}
    slot = name.partition("_")[0]
    if words is None or (name, number) == ("mpk1_mode", "11"):
        inspect(written(MAC, meant), MAC, GXP1628, meant)  # what it cannot know: the number means something there too
    else:
        assert words in refused(written(MAC, meant), meant)[f"key.{slot}.mode"]


def test_the_active_account_is_no_mode_of_a_model_with_one():
    meant = settings(device("GXP1610")) | {"line1_mode": "14", "line1_value": "1"}
    assert "none that a line key of the GXP1610 has" in refused(written(MAC, meant), meant, GXP1610)["key.line1.mode"]


def test_a_key_for_an_account_that_is_not_there_is_refused():
    assert "GXP1628 has 2" in said(mpk1_account="2")["key.mpk1.account"]
    assert "key.line1.account" in said(line1_account="")


def test_a_key_for_an_account_that_is_off_is_refused():
    assert "account 2, which is off" in said(account2_active="0")["key.mpk1.account"]


@pytest.mark.parametrize("part", ["mode", "account"])
def test_a_key_that_is_missing_is_refused(part):
    assert "missing from the file" in said(**{f"mpk3_{part}": None})["key.mpk3"]


def test_the_file_of_another_phone_is_refused():
    meant = settings(DESK)
    assert "MAC of another phone" in refused(written("000B82AAAAAA", meant), meant)["file"]


def doubled(document: bytes, element: str) -> bytes:
    start = document.index(f"    <{element}>".encode())
    end = document.index(b"\n", start) + 1
    return document[:end] + document[start:end] + document[end:]


@pytest.mark.parametrize("name", ["vlan_tag", "account1_auth_password", "P99999"])
def test_a_setting_that_stands_twice_is_refused(name):
    meant = settings(DESK)
    element = SETTINGS[name].element if name in SETTINGS else name
    assert "twice" in refused(doubled(written(MAC, meant), element), meant)[f"setting.{name}"]


def test_a_code_of_the_catalogue_is_refused_under_its_number():
    """It would stand in the file twice, or escape the check of its value."""
    element = SETTINGS["vlan_tag"].element
    assert "is called vlan_tag" in said(**{element: "1"})[f"setting.{element}"]
    assert "is called vlan_tag" in said(**{element: "99999", "vlan_tag": None})[f"setting.{element}"]


@pytest.mark.parametrize("name", ["vlan_tag", "account1_auth_password", "P99999"])
def test_a_text_that_did_not_come_back_as_meant_is_refused(name):
    meant = settings(DESK)
    other = written(MAC, meant | {name: "11"})
    assert refused(other, meant) == {
        f"setting.{name}": f"{name} did not come back from the file as it was meant; report this."
    }


def test_a_setting_too_many_or_too_few_or_in_another_place_is_refused():
    meant = settings(DESK)
    fewer = {name: text for name, text in meant.items() if name != "vlan_tag"}
    assert refused(written(MAC, fewer), meant).keys() == {"setting.vlan_tag"}
    assert refused(written(MAC, meant), fewer).keys() == {"setting.vlan_tag"}
    assert "another order" in refused(written(MAC, dict(reversed(meant.items()))), meant)["file"]


@pytest.mark.parametrize(
    "broken",
    [
        b"", b"c4nary", b"<c4nary/>", b"Salted__c4nary", b"\x00",
        b"<gs_provision><config><P1>c4nary</config></gs_provision>",
        b'<!DOCTYPE g [<!ENTITY c4nary "x">]><gs_provision><config></config></gs_provision>',
        b"<gs_provision><config><c4nary>1</c4nary></config></gs_provision>",
    ],
)  # fmt: skip
def test_what_is_no_configuration_file_is_refused(broken):
    assert refused(broken, settings(DESK)).keys() == {"file"}


def test_a_file_cut_short_is_refused_at_every_byte():
    meant = settings(device("GXP1610", settings={"vlan_tag": "1"}))
    whole = written(MAC, meant)
    for end in range(0, len(whole) - 1, 7):
        assert "file" in refused(whole[:end], meant, GXP1610)


def test_a_file_that_is_too_large_is_refused_before_it_is_read(monkeypatch):
    meant = settings(DESK)
    monkeypatch.setattr(inspection, "read", lambda document: pytest.fail("it was read"))
    assert str(MAX_FILE_BYTES) in refused(written(MAC, meant) + b" " * MAX_FILE_BYTES, meant)["file"]


def test_every_problem_is_told_at_once():
    found = said(vlan_tag="5000", lldp_enable="9", mpk1_account="7")
    assert found.keys() >= {"setting.vlan_tag", "setting.lldp_enable", "key.mpk1.account"}


def test_a_phone_without_any_account_passes():
    config = replace(device("GXP1628"), accounts=(), keys=())
    meant = settings(config)
    inspect(written(MAC, meant), MAC, GXP1628, meant)


def test_so_many_values_that_are_right_are_forgotten_again(monkeypatch):
    monkeypatch.setattr(inspection, "MAX_KNOWN", 200)
    for number in range(400):
        meant = settings(replace(CASES["GXP1628"], settings={"vlan_tag": str(number)}))
        inspect(written(MAC, meant), MAC, GXP1628, meant)
    assert len(inspection._known_right["GXP1628"]) <= 200
