"""Key layouts: what layers put on keys, what a phone may override, and the team on the keys left free."""

import pytest

from devices.catalog import MODELS, KeyMode, KeySlot
from provisioning.gxp import layout
from provisioning.gxp.config import KeyConfig
from provisioning.gxp.layout import arrange, read_key, read_team

GXP1628, GXP1610 = MODELS["GXP1628"], MODELS["GXP1610"]


def key(slot: str, value: str, label: str = "", mode: KeyMode = KeyMode.BLF, account: int = 1) -> KeyConfig:
    return KeyConfig(KeySlot.parse(slot), mode, account, label, value)


def arranged(*own: KeyConfig, model=GXP1628, filled=(1,), extensions=("1001",), **said: str):
    made, problems = arrange(
        model, {name: (text, "template Hall") for name, text in said.items()}, own, extensions, filled
    )
    return {one.slot.name: one for one in made.keys}, {slot.name: who for slot, who in made.origins.items()}, problems


def test_a_layer_puts_a_key_and_the_phone_puts_another():
    keys, origins, problems = arranged(
        key("mpk2", "2002"), key_mpk1="blf:1002:Hall: left", key_mpk2="blf:1003", key_line2="speed_dial@1:112:Emergency"
    )
    assert keys["mpk1"] == key("mpk1", "1002", "Hall: left")
    assert keys["mpk2"] == key("mpk2", "2002"), "the phone's own key wins"
    assert keys["line2"] == key("line2", "112", "Emergency", KeyMode.SPEED_DIAL)
    assert origins == {"mpk1": "template Hall", "mpk2": layout.OWN_KEY, "line2": "template Hall"}
    assert problems == []


def test_keys_of_the_phones_own_layer_are_keys_of_a_layer():
    said = {"key_mpk1": ("blf:1006:Own layer", "this phone"), "key_mpk2": ("blf:1007", "template Hall")}
    made, _ = arrange(GXP1628, said, [key("mpk2", "2002")], (), (1,))
    assert {one.slot.name: one.value for one in made.keys} == {"mpk1": "1006", "mpk2": "2002"}


def test_a_protected_key_stays_and_the_phone_is_told():
    keys, origins, problems = arranged(key("mpk1", "2002"), key_mpk1="protected blf:112:Emergency")
    assert keys["mpk1"].value == "112"
    (problem,) = problems
    assert problem.field == "key.mpk1"
    assert "protected by template Hall" in problem.message
    assert arranged(key("mpk1", "112", "Emergency"), key_mpk1="protected blf:112:Emergency")[2] == []


def test_keys_that_the_model_has_not_are_passed_over():
    assert arranged(model=GXP1610, key_mpk1="blf:1002", team="1003")[0] == {}
    assert arranged(model=MODELS["GXP1620"], key_line3="speed_dial:112")[0] == {}


def test_a_key_for_an_account_that_is_not_filled_in_is_left_free():
    assert arranged(key_mpk1="blf@2:1002")[0] == {}
    assert arranged(filled=(1, 2), key_mpk1="blf@2:1002")[0]["mpk1"].account == 2


def test_the_rest_of_the_team_fills_free_keys_in_natural_order():
    keys, origins, _ = arranged(
        key("mpk1", "1005"), key_mpk3="voicemail:", team="1010=Zoe, 99=Anna, 1001=Tess, 1002, 1005=Theo"
    )
    shown = {name: (one.value, one.label) for name, one in keys.items()}
    assert [shown[f"mpk{number}"] for number in range(1, 6)] == [
        ("1005", ""), ("99", "Anna"), ("", ""), ("1002", "1002"), ("1010", "Zoe"),
    ]  # fmt: skip
    assert len(shown) == 5
    assert origins["mpk2"] == "team"


def test_a_team_larger_than_the_phone_fills_every_key():
    keys, _, _ = arranged(team=",".join(str(number) for number in range(1000, 1100)))
    assert [one.value for one in keys.values()] == [str(number) for number in (1000, *range(1002, 1009))]


def test_keys_given_twice_or_out_of_place_are_kept_for_whoever_validates():
    own = (key("mpk1", "1"), key("mpk1", "2"), key("mpk9", "3"))
    made, _ = arrange(GXP1628, {}, own, (), (1,))
    assert made.keys == own


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("key_mpk1", "nonsense", "such as blf:1002:Reception"),
        ("key_mpk1", "BLF:1002", "such as blf:1002:Reception"),
        ("key_line1", "blf:1002", "no line key offers"),
        ("key_mpk1", "line:", "no mpk key offers"),
        ("key_mpk1", f"blf:{'1' * 65}", "shorten it to 64"),
        ("key_mpk1", f"blf:1:{'x' * 33}", "shorten it to 32"),
        ("key_mpk1", "blf:1\x002", "control character"),
        ("team", "1001, 1001=Tess", "twice"),
        ("team", "=Tess", "is empty"),
        ("team", "10 01=Tess", "blank"),
        ("team", ",".join(map(str, range(501))), "the most is 500"),
    ],
)
def test_what_is_wrong_is_said(name, text, words):
    assert words in layout.fault(name, text)


def test_none_frees_a_key_and_an_empty_team_is_nobody():
    assert layout.fault("key_mpk1", None) is None
    assert layout.fault("team", "") is None
    assert read_team("") == []


def test_a_key_is_read_with_its_account_and_its_protection():
    read = read_key(KeySlot.parse("mpk1"), "protected intercom@3:*80:Door: back")
    assert read.protected
    assert read.key == key("mpk1", "*80", "Door: back", KeyMode.INTERCOM, 3)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("blf:", "needs the extension to watch"),
        ("blf:10 02", "blank"),
        ("blf:1002@pbx", "only the part before it"),
        ("dtmf:12x", "more than tones"),
        ("paging:10.0.0.1:5000", "not a multicast group"),
        ("paging:224.0.1.20", "with a port"),
        ("paging:224.0.1.20:70000", "valid port"),
        (f"blf:1002:{'x' * 33}", "label"),
    ],
)
def test_a_key_that_could_not_work_is_refused_where_it_is_written(text, words):
    assert words in (layout.fault("key_mpk1", text) or "")


def test_a_paging_key_keeps_its_port_and_its_label():
    key = read_key(KeySlot.parse("mpk1"), "paging:224.0.1.20:10000:Hall: all").key
    assert (key.value, key.label) == ("224.0.1.20:10000", "Hall: all")
    assert read_key(KeySlot.parse("mpk1"), "paging:224.0.1.20:10000").key.label == ""
