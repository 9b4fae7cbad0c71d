"""Layers of settings: how they are merged, what a layer may say, and the words for what it may not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.catalog import MODELS
from provisioning.gxp import catalogue
from provisioning.gxp.catalogue import SETTINGS
from provisioning.gxp.countries import countries
from provisioning.gxp.layers import (
    FILE_OPTIONS,
    MAX_RAW,
    SHA256_FROM,
    Layer,
    Level,
    Said,
    canonical,
    expanded,
    merge,
    problems,
    warnings,
)
from provisioning.gxp.pvalues import COMPUTED, OWNED

GXP1610, GXP1628, GXP1630 = MODELS["GXP1610"], MODELS["GXP1628"], MODELS["GXP1630"]


def layer(level: Level, name: str = "", **values: str | None) -> Layer:
    return Layer(level, name, values)


def message(name: str, text: str | None = "1") -> str:
    """The one problem of a layer that says this."""
    (problem,) = problems({name: text})
    assert problem.field == f"setting.{name}"
    return problem.message


class TestMerging:
    def test_the_later_layer_wins_and_what_it_overrides_is_named_the_nearest_first(self):
        said = [
            layer(Level.DEFAULTS, vlan_tag="1"),
            layer(Level.SITE, "Berlin", vlan_tag="2", ntp_server="ntp.example"),
            layer(Level.TEMPLATE, "Hall", vlan_tag="3"),
            layer(Level.PHONE, vlan_tag="4"),
        ]
        merged = merge(said, GXP1628)
        assert (merged["vlan_tag"].text, merged["vlan_tag"].layer) == ("4", said[3])
        assert merged["vlan_tag"].overrides == (Said(said[2], "3"), Said(said[1], "2"), Said(said[0], "1"))
        assert (merged["ntp_server"].layer, merged["ntp_server"].overrides) == (said[1], ())

    def test_the_order_is_that_of_the_layers_and_not_of_their_levels(self):
        first, second = layer(Level.TEMPLATE, "A", vlan_tag="1"), layer(Level.TEMPLATE, "B", vlan_tag="2")
        assert merge([first, second], GXP1628)["vlan_tag"].text == "2"
        assert merge([second, first], GXP1628)["vlan_tag"].text == "1"

    def test_left_alone_is_a_word_like_any_other(self):
        below, alone, above = (layer(Level.SITE, vlan_tag="1"), layer(Level.MODEL, vlan_tag=None), layer(Level.PHONE))
        one = merge([below, alone, above], GXP1628)["vlan_tag"]
        assert (one.text, one.layer, one.overrides) == (None, alone, (Said(below, "1"),))
        assert merge([below, alone, layer(Level.PHONE, vlan_tag="3")], GXP1628)["vlan_tag"].text == "3"

    def test_settings_of_other_models_are_left_out(self):
        said = [layer(Level.SITE, account3_ring_tone="1", account1_ring_tone="2")]
        assert merge(said, GXP1610).keys() == {"account1_ring_tone"}
        assert merge(said, GXP1630).keys() == {"account1_ring_tone", "account3_ring_tone"}

    def test_every_account_means_those_that_the_model_has_and_a_single_one_wins(self):
        values = {"accounts_ring_tone": "1", "account2_ring_tone": "3"}
        assert expanded(values, GXP1610) == {"account1_ring_tone": "1"}
        expected = {"account1_ring_tone": "1", "account2_ring_tone": "3", "account3_ring_tone": "1"}
        assert expanded(values, GXP1630) == expected == expanded(dict(reversed(values.items())), GXP1630)

    def test_every_account_means_those_whose_number_is_known(self):
        """Of a few settings the vendor's number is known for the first account only."""
        assert "account2_use_sbc" not in SETTINGS
        assert expanded({"accounts_use_sbc": "1"}, GXP1630) == {"account1_use_sbc": "1"}

    def test_a_later_layer_for_every_account_overrides_an_earlier_one_for_one(self):
        said = [layer(Level.SITE, account1_ring_tone="3"), layer(Level.PHONE, accounts_ring_tone="1")]
        assert merge(said, GXP1628)["account1_ring_tone"].text == "1"

    def test_a_country_stands_for_its_settings_its_zone_for_the_time_and_single_settings_win(self):
        values = {"ntp_server": "ntp.here", "iana_time_zone": "Europe/Lisbon", "country": "DE"}
        said = expanded(values, GXP1628)
        assert (said["display_language"], said["dial_tone"]) == ("de", "f1=425,f2=425;")
        assert (said["time_zone"], said["self_defined_time_zone"][:3]) == ("customize", "WET")
        assert said["ntp_server"] == "ntp.here"
        assert not {"country", "iana_time_zone"} & said.keys()

    def test_raw_codes_keys_and_options_of_the_file_come_through(self):
        values = {"P99999": "x", "P88888": None, "key_mpk1": "blf:1", "file_format": "binary"}
        assert expanded(values, GXP1610) == values

    def test_a_raw_code_that_the_catalogue_has_learnt_since_is_the_setting(self):
        """A stored layer outlives its catalogue: else a file would say the same setting twice."""
        element = SETTINGS["vlan_tag"].element
        assert expanded({element: "7"}, GXP1628) == {"vlan_tag": "7"}
        assert expanded({element: "7", "vlan_tag": "8"}, GXP1628) == {"vlan_tag": "8"}
        assert expanded({SETTINGS["account3_ring_tone"].element: "1"}, GXP1628) == {}

    def test_one_model_is_not_told_what_was_worked_out_for_another(self):
        shared = layer(Level.SITE, accounts_ring_tone="1")
        assert [len(shared.settings(model)) for model in (GXP1630, GXP1610, GXP1628, GXP1630)] == [3, 1, 2, 3]

    @pytest.mark.parametrize(
        ("level", "name", "title"),
        [
            (Level.PHONE, "", "this phone"),
            (Level.DEFAULTS, "", "our defaults"),
            (Level.SITE, "Berlin", "site Berlin"),
            (Level.SITE, "", "default site"),
            (Level.TEMPLATE, "Hall", "template Hall"),
        ],
    )
    def test_people_call_a_layer_by_its_title(self, level, name, title):
        assert layer(level, name).title == title

    def test_no_repr_shows_a_value(self):
        said = [layer(Level.SITE, ldap_password="c4nary"), layer(Level.PHONE, ldap_password="c4nary-2")]
        assert "c4nary" not in repr(said) + repr(merge(said, GXP1628))


class TestNames:
    @pytest.mark.parametrize(
        ("typed", "name"),
        [
            (" VLAN_Tag ", "vlan_tag"), ("p51", "vlan_tag"), ("P51", "vlan_tag"), ("p99999", "P99999"),
            ("P034", "p034"), ("Country", "country"), ("KEY_MPK1", "key_mpk1"),
        ],
    )  # fmt: skip
    def test_there_is_one_spelling_of_a_name(self, typed, name):
        assert canonical(typed) == name
        assert canonical(name) == name

    @given(st.text(max_size=20))
    def test_any_text_is_spelled_or_refused(self, typed):
        name = canonical(typed)
        assert isinstance(problems({name: "1"}), list)
        list(warnings({name: "1"}))


class TestProblems:
    @pytest.mark.parametrize(
        "values",
        [
            {"vlan_tag": "10", "ntp_server": "ntp.example", "accounts_ring_tone": "1", "account3_ring_tone": "1"},
            {"country": "DE", "iana_time_zone": "Europe/Berlin"},
            {"file_format": "encrypted", "file_digest": "sha256", "file_bootstrap": "xml"},
            {"P99999": "a&b", "P99998": None, "P99997": ""},
            {"key_mpk1": "blf:1002", "team": "1001=Tess"},
            {"config_server_path": None, "xml_config_file_password": None, "vlan_tag": None},
        ],
    )
    def test_what_is_right_has_none(self, values):
        assert problems(values) == []

    def test_each_problem_stands_beside_its_field_in_the_order_of_the_layer(self):
        found = problems({"vlan_tag": "x", "ntp_server": "ntp.example", "nonsense": "1", "country": "XX"})
        assert [one.field for one in found] == ["setting.vlan_tag", "setting.nonsense", "setting.country"]

    @pytest.mark.parametrize(
        ("name", "text", "words"),
        [
            ("vlan_tag", "5000", "enter a number from 0 to 4094"),
            ("vlan_tag", "", "is empty; enter a number"),
            ("lldp_enable", "2", "choose from 0 (off), 1 (on)"),
            ("accounts_ring_tone", "9", "choose from 0 (system tone)"),
            ("syslog_server", "http://x", "enter only host or host:port"),
            ("nonsense", "1", "manage.py settings --search"),
            ("accounts_nonsense", "1", "manage.py settings --search"),
            ("accounts_", "1", "manage.py settings --search"),
            ("p51", "1", "manage.py settings --search"),
            ("P51", "1", "P51 is called vlan_tag; use this name"),
            ("P0", "1", "write a P-code"),
            ("P99999", "a\tb", "character 2 is a control character"),
            ("P99999", "x" * (MAX_RAW + 1), f"shorten it to {MAX_RAW}"),
            ("country", "XX", "choose from "),
            ("country", None, "leave each of them alone by its own name"),
            ("iana_time_zone", "Berlin", "Berlin"),
            ("iana_time_zone", None, "leave each of them alone by its own name"),
            ("file_format", "pdf", "file_format is one of xml, encrypted, binary; choose one of them"),
            ("file_format", None, "choose one of them"),
            ("key_mpk1", "nonsense", "such as blf:1002:Reception"),
            ("key_mpk9", "blf:1", "manage.py settings --search"),
        ],
    )
    def test_a_problem_says_what_to_do(self, name, text, words):
        assert words in message(name, text)

    def test_every_country_of_the_list_is_accepted(self):
        assert [code for code in countries() if problems({"country": code})] == []
        assert problems({name: next(iter(offered), "1.0.7.0") for name, offered in FILE_OPTIONS.items()}) == []
        assert problems({SHA256_FROM: "new"})

    @pytest.mark.parametrize("text", ["1", None])
    @pytest.mark.parametrize(
        ("name", "whose"),
        [("account1_auth_password", "accounts"), ("accounts_sip_user_id", "accounts"), ("account2_active", "accounts"),
         ("mpk1_mode", "keys"), ("line3_value", "keys")],
    )  # fmt: skip
    def test_what_the_assignment_decides_is_refused_with_the_place_to_set_it(self, name, whose, text):
        assert message(name, text) == f"{name} is a matter of the phone's {whose}; set it there."

    def test_every_owned_setting_is_refused_and_no_other(self):
        refused = {name for name in SETTINGS if any("set it there" in one.message for one in problems({name: None}))}
        assert refused == OWNED.keys()

    @pytest.mark.parametrize("name", sorted(COMPUTED))
    def test_what_is_computed_can_only_be_left_alone(self, name):
        assert "computed for each phone; leave it out, or leave" in message(name, "1")
        assert problems({name: None}) == []

    def test_no_message_repeats_what_may_be_a_secret(self):
        for name in (*SETTINGS, "accounts_ring_tone", "P99999", "country", *FILE_OPTIONS, "key_mpk1", "team"):
            for canary in ("c4nary\x00", "c4nary " * 400, "c4nary"):
                told = [one.message for one in problems({name: canary})]
                assert not [words for words in told if "c4nary" in words], name


class TestWarnings:
    def test_a_raw_code_is_written_as_it_stands(self):
        (warning,) = warnings({"P99999": "1"})
        assert (warning.field, "nothing checks what it does" in warning.message) == ("setting.P99999", True)

    def test_what_not_every_model_has_is_said_but_not_of_every_account(self):
        (warning,) = warnings({"account3_ring_tone": "1"})
        assert warning.message == "Only GXP1630 have account3_ring_tone; other models do not get it."
        assert warnings({"accounts_ring_tone": "1"}) == []

    @pytest.mark.parametrize("sure", list(catalogue.Confidence))
    def test_what_is_not_certain_is_said(self, sure):
        rows = [row for row in SETTINGS.values() if row.confidence is sure and len(row.models) == len(MODELS)]
        doubted = sure in (catalogue.Confidence.UNVERIFIED, catalogue.Confidence.CONFLICT)
        for row in rows:
            assert [one.message for one in warnings({row.name: "1"})] == (
                [f"{row.name} is not certain for these phones ({sure}): {row.note or row.source}."] if doubted else []
            )

    def test_a_plain_setting_has_none(self):
        assert warnings({"vlan_tag": "1", "country": "DE", "file_format": "xml"}) == []
