"""An older file read back as decisions, and what two files differ in."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.catalog import MODELS, KeyMode
from provisioning.gxp.catalogue import SETTINGS
from provisioning.gxp.document import MASK, render, settings, values
from provisioning.gxp.pvalues import COMPUTED, OPINIONS
from provisioning.gxp.reading import Change, decided, differences
from tests.golden.cases import CASES, account, device, key
from tests.golden.corpus import corpus
from tests.support.layer_values import LEGAL, configurations


def again(config):
    """The configuration that is read from a file of this one, on the same server."""
    read = decided(values(render(config)), config.model)
    off = frozenset(name for name in OPINIONS if name not in settings(config))
    return replace(
        config, accounts=read.accounts, keys=read.keys, settings=read.settings, opinions_off=off, earlier=frozenset()
    )


class TestDecided:
    @pytest.mark.parametrize("case", corpus(), ids=lambda case: case.folder)
    def test_each_golden_file_is_rendered_again_from_what_is_read(self, case):
        assert render(again(case.config)) == render(case.config)

    @given(st.data(), st.sampled_from(list(MODELS.values())))
    def test_whatever_was_rendered_is_rendered_again(self, data, model):
        config = data.draw(configurations(model))
        # What leaves the first codec alone has no choice of codecs behind it.
        first = [f"account{number}_preferred_vocoder_1" for number in (1, 2, 3)]
        config = replace(config, settings={name: text for name, text in config.settings.items() if name not in first})
        assert render(again(config)) == render(config)

    @pytest.mark.parametrize("model", CASES)
    def test_what_a_technician_typed_comes_back(self, model):
        config = CASES[model]
        read = decided(values(render(config)), config.model)
        assert read.accounts == config.accounts
        assert read.keys == config.keys
        assert read.settings.keys() == OPINIONS.keys() - COMPUTED

    def test_keys_that_nobody_set_are_not_the_phones_own(self):
        assert decided(values(render(device("GXP1630", account(2)))), MODELS["GXP1630"]).keys == ()

    def test_an_account_that_is_off_is_none(self):
        read = decided(values(render(device("GXP1620", account(2)))), MODELS["GXP1620"])
        assert [one.number for one in read.accounts] == [2]

    def test_codecs_of_layers_that_no_account_could_choose_stay_with_the_layers(self):
        """Twice the same one, with another between: as choices of an account they would be written otherwise."""
        layers = {f"account1_preferred_vocoder_{place}": text for place, text in ((1, "9"), (2, "8"), (3, "9"))}
        config = device("GXP1610", account(1, codecs=()), settings=layers)
        read = decided(values(render(config)), MODELS["GXP1610"])
        assert read.accounts[0].codecs == ()
        assert layers.items() <= read.settings.items()

    def test_what_was_left_alone_is_left_alone_again(self):
        alone = {"account1_preferred_vocoder_7": None, "account1_voicemail_access_number": None}
        config = device("GXP1610", account(1, voicemail=""), settings=alone)
        read = decided(values(render(config)), MODELS["GXP1610"])
        assert alone.items() <= read.settings.items()

    def test_a_voicemail_number_that_layers_gave_an_account_that_is_off_is_kept(self):
        config = device("GXP1620", account(1), settings={"account2_voicemail_access_number": "*99"})
        read = decided(values(render(config)), MODELS["GXP1620"])
        assert read.settings["account2_voicemail_access_number"] == "*99"
        assert "account1_voicemail_access_number" not in read.settings

    def test_what_is_computed_anew_each_time_is_not_read(self):
        read = decided(values(render(device("GXP1610"))) | {"xml_config_file_password": "old"}, MODELS["GXP1610"])
        assert not COMPUTED & read.settings.keys()

    def test_no_repr_shows_a_secret(self):
        config = device("GXP1610", account(1, password="c4nary"), settings={"ldap_password": "c4nary"})
        assert "c4nary" not in repr(decided(values(render(config)), MODELS["GXP1610"]))


class TestDifferences:
    def test_each_setting_that_differs_is_named_with_both_texts(self):
        before = {"vlan_tag": "1", "lldp_enable": "1", "ntp_server": "ntp.example"}
        after = {"syslog_server": "log.example", "vlan_tag": "2", "lldp_enable": "1"}
        assert differences(before, after) == [
            Change("syslog_server", None, "log.example"),
            Change("vlan_tag", "1", "2"),
            Change("ntp_server", "ntp.example", None),
        ]

    def test_equal_files_differ_in_nothing(self):
        said = settings(CASES["GXP1630"])
        assert differences(said, said) == []

    def test_what_is_computed_for_each_version_is_left_out(self):
        assert differences(dict.fromkeys(COMPUTED, "1"), dict.fromkeys(COMPUTED, "2")) == []

    @pytest.mark.parametrize("name", [*(name for name, row in SETTINGS.items() if row.secret), "P99999"])
    def test_a_secret_is_masked_on_both_sides(self, name):
        path = name in SETTINGS and SETTINGS[name].kind == "path"
        shown = f"h.example/{MASK}" if path else MASK
        before, after = (f"h.example/c4nary-{number}" for number in (1, 2))
        assert differences({name: before}, {name: after}) == ([] if name in COMPUTED else [Change(name, shown, shown)])

    def test_a_secret_that_was_set_or_taken_away_shows_as_such(self):
        assert differences({"ldap_password": ""}, {"ldap_password": "x"}) == [Change("ldap_password", "", MASK)]
        assert differences({"ldap_password": "x"}, {}) == [Change("ldap_password", MASK, None)]

    @given(st.dictionaries(st.sampled_from([*SETTINGS, "P99999"]), st.text(LEGAL, min_size=1), max_size=20), st.data())
    def test_no_secret_of_any_two_files_is_shown(self, before, data):
        secrets = [name for name in before if name not in SETTINGS or SETTINGS[name].secret]
        after = {name: data.draw(st.sampled_from([text, text + "x"])) for name, text in before.items()}
        changes = {change.name: change for change in differences(before, after)}
        assert changes.keys() == {name for name in before if before[name] != after[name] and name not in COMPUTED}
        for name in secrets:
            if name in changes and (name not in SETTINGS or SETTINGS[name].kind != "path"):
                assert (changes[name].before, changes[name].after) == (MASK, MASK)


def test_a_key_and_its_account_come_back_with_their_numbers():
    keys = (key("line3", KeyMode.INTERCOM, "1005", "Door", account=3), key("mpk8", KeyMode.LDAP, account=2))
    config = device("GXP1630", account(1), account(2), account(3), keys=keys)
    assert decided(values(render(config)), MODELS["GXP1630"]).keys == keys
