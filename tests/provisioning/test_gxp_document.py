"""The bytes that a phone reads."""

from __future__ import annotations

from dataclasses import replace
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.catalog import DEFAULT_CODECS, MODELS, KeyMode
from provisioning.gxp.catalogue import SETTINGS, fault
from provisioning.gxp.config import ConfigError, Problem, ServerConfig
from provisioning.gxp.document import MASK, DocumentError, masked, render, settings, values
from provisioning.gxp.inspection import inspect
from provisioning.gxp.pvalues import OPINIONS
from tests.golden.cases import CASES, account, device, key

# Everything that XML 1.0 can hold, less the control characters that are refused.
LEGAL = st.characters(exclude_categories=["Cc", "Cs"], exclude_characters="\ufffe\uffff")
SECRET = "Zk3rT9qLw2XbVn7YcHs5Ag"


def independent(document):
    """The settings as another parser sees them, by element name."""
    root = ElementTree.fromstring(document)
    return {element.tag: element.text or "" for element in root.find("config")}


def vocoders(settings, number):
    return [settings[f"account{number}_preferred_vocoder_{place}"] for place in range(1, 8)]


@pytest.mark.parametrize("model", CASES)
def test_the_shape_is_the_one_of_the_vendor_guide(model):
    document = render(CASES[model])
    lines = document.decode("utf-8").split("\n")
    assert lines[:4] == [
        '<?xml version="1.0" encoding="UTF-8"?>',
        '<gs_provision version="1">',
        "  <mac>000b82273b89</mac>",
        '  <config version="1">',
    ]
    assert lines[4].startswith("    <P271>")
    assert lines[-3:] == ["  </config>", "</gs_provision>", ""]
    assert b"\r" not in document
    assert b"/>" not in document
    assert all(line.count("</") == 1 for line in lines[4:-3])


def test_the_same_configuration_in_another_order_gives_the_same_bytes():
    config = CASES["GXP1630"]
    turned = replace(config, accounts=config.accounts[::-1], keys=config.keys[::-1])
    assert render(turned) == render(config) == render(config)


@given(
    name=st.text(LEGAL, max_size=128),
    password=st.text(LEGAL, max_size=128),
    label=st.text(LEGAL, max_size=32),
)
def test_any_legal_text_comes_back_unchanged_through_another_parser(name, password, label):
    config = device(
        "GXP1628",
        account(1, display_name=name, password=password),
        keys=(key("mpk1", KeyMode.BLF, "1002", label),),
    )
    document = render(config)
    seen = independent(document)
    assert seen[SETTINGS["account1_display_name"].element] == name
    assert seen[SETTINGS["account1_auth_password"].element] == password
    assert seen[SETTINGS["mpk1_description"].element] == label
    assert {SETTINGS[found].element: text for found, text in values(document).items()} == seen


@pytest.mark.parametrize("model", MODELS)
def test_the_whole_managed_set_of_the_model_is_written_even_when_nothing_is_assigned(model):
    bare = render(replace(device(model), accounts=(), keys=()))
    assert list(values(bare)) == list(values(render(CASES[model])))
    has = MODELS[model]
    assert len(values(bare)) == has.accounts * 16 + (has.line_keys + has.mpks) * 4 + len(OPINIONS)


def test_an_unused_account_is_inactive_and_empty():
    found = values(render(device("GXP1620", account(1))))
    assert found["account1_active"] == found["account1_sip_registration"] == "1"
    assert found["account2_active"] == found["account2_sip_registration"] == "0"
    for field in ("account_name", "sip_server", "sip_user_id", "auth_id", "auth_password", "display_name"):
        assert found[f"account2_{field}"] == ""
    assert vocoders(found, 2) == ["0", "8", "18", "9", "2", "2", "2"]


def test_label_and_auth_id_fall_back_to_the_user_id():
    found = values(render(device("GXP1620", account(1, display_name=""), account(2, auth_id="a2"))))
    assert (found["account1_account_name"], found["account1_display_name"]) == ("1001", "")
    assert found["account1_auth_id"] == "1001"
    assert (found["account2_account_name"], found["account2_auth_id"]) == ("Desk 2", "a2")


def test_the_last_codec_fills_the_remaining_vocoders():
    found = values(render(device("GXP1620", account(1, codecs=("G722", "PCMA")), account(2, codecs=DEFAULT_CODECS))))
    assert vocoders(found, 1) == ["9"] + ["8"] * 6
    assert vocoders(found, 2) == ["0", "8", "18", "9", "2", "2", "2"]


def test_keys_use_the_numbering_of_their_kind_and_accounts_count_from_zero():
    keys = (key("mpk3", KeyMode.SPEED_DIAL, "1", account=2), key("line2", KeyMode.SPEED_DIAL, "2", "Home"))
    found = values(render(device("GXP1628", account(1), account(2), keys=keys)))
    assert [found[f"mpk3_{field}"] for field in ("mode", "account", "description", "value")] == [
        "0",
        "1",
        "",
        "1",
    ]
    assert [found[f"line2_{field}"] for field in ("mode", "account", "description", "value")] == [
        "10",
        "0",
        "Home",
        "2",
    ]


def test_an_unset_line_key_serves_its_own_account_or_the_first_one_filled_in():
    def lines(*numbers):
        found = values(render(device("GXP1630", *(account(number) for number in numbers))))
        assert {found[f"line{place}_mode"] for place in (1, 2, 3)} == {"0"}
        return [found[f"line{place}_account"] for place in (1, 2, 3)]

    assert lines(1) == ["0", "0", "0"]
    assert lines(1, 2, 3) == ["0", "1", "2"]
    assert lines(2) == ["1", "1", "1"]
    assert lines(1, 3) == ["0", "0", "2"]


def test_a_removed_key_and_account_are_removed_on_the_phone_too():
    before = device("GXP1628", account(1), account(2), keys=(key("mpk1", KeyMode.BLF, "1002", "Hall"),))
    after = values(render(replace(before, accounts=before.accounts[:1], keys=())))
    assert (after["mpk1_mode"], after["mpk1_description"], after["mpk1_value"]) == ("0", "", "")
    assert after["account2_auth_password"] == ""


@pytest.mark.parametrize(("protocol", "number"), [("http", "1"), ("https", "2")])
def test_the_phone_is_told_where_to_come_back_to(protocol, number):
    found = values(render(device("GXP1610", server=ServerConfig(protocol, "h:1/p/s", "h:1/firmware"))))
    assert (found["config_server_path"], found["config_server_protocol"]) == ("h:1/p/s", number)
    assert (found["firmware_server_path"], found["firmware_server_protocol"]) == ("h:1/firmware", number)
    assert found["allow_dhcp_option_43_66_override"] == "0"
    for name in (
        "firmware_file_prefix",
        "config_file_postfix",
        "config_http_username",
        "config_http_password",
    ):
        assert found[name] == ""


@pytest.mark.parametrize("switch", OPINIONS)
def test_an_opinion_that_is_switched_off_is_left_to_the_phone(switch):
    everything = values(render(device("GXP1610")))
    without = values(render(device("GXP1610", opinions_off=frozenset({switch}))))
    assert everything.keys() - without.keys() == {OPINIONS[switch].pvalue}


class TestEarlier:
    """What the phone was told before and nobody says any more: it keeps it until it is told otherwise."""

    def told(self, *names, model="GXP1628", **changes):
        return values(render(device(model, earlier=frozenset(names), **changes)))

    def test_it_goes_back_to_the_factory_value(self):
        found = self.told("vlan_tag", "ntp_server", "lldp_enable")
        assert (found["vlan_tag"], found["ntp_server"], found["lldp_enable"]) == ("0", "pool.ntp.org", "1")

    def test_what_somebody_says_now_stays(self):
        assert self.told("vlan_tag", settings={"vlan_tag": "7"})["vlan_tag"] == "7"
        assert self.told("account1_display_name", "mpk1_mode") == self.told()

    def test_what_is_left_alone_now_is_not_taken_back(self):
        assert "vlan_tag" not in self.told("vlan_tag", settings={"vlan_tag": None})
        off = frozenset({"config_http_password", "firmware_server_path"})
        assert not off & self.told(*off, opinions_off=off).keys()

    @pytest.mark.parametrize("name", [name for name, row in SETTINGS.items() if row.secret])
    def test_a_secret_is_never_made_empty(self, name):
        assert self.told(name) == self.told()

    def test_nobody_knows_the_factory_value_of_a_raw_code(self):
        assert self.told("P99999", "nonsense") == self.told()

    def test_what_the_model_does_not_have_is_no_matter(self):
        """The phone was another model before: an exchanged device under the same name."""
        others = [name for name, row in SETTINGS.items() if not row.applies_to("GXP1610")]
        assert self.told(*others, model="GXP1610") == self.told(model="GXP1610")

    def test_whatever_was_told_before_the_file_is_right(self):
        config = device("GXP1630", earlier=frozenset(SETTINGS))
        found = settings(config)
        assert [name for name, text in found.items() if fault(SETTINGS[name], text)] == []
        inspect(render(config), config.mac, config.model, found)

    def test_the_order_of_the_file_does_not_hang_on_it(self):
        names = ["vlan_tag", "lldp_enable", "ntp_server", "syslog_level"]
        assert render(device("GXP1628", earlier=frozenset(names))) == render(
            device("GXP1628", settings={name: SETTINGS[name].default for name in reversed(names)})
        )


def test_a_setting_that_the_catalogue_does_not_have_any_more_is_refused_by_its_name():
    """A layer outlives the catalogue that it was written with."""
    with pytest.raises(ConfigError) as refused:
        render(device("GXP1610", settings={"vlan_tga": "1"}))
    (problem,) = refused.value.problems
    assert problem == Problem("setting.vlan_tga", "There is no setting vlan_tga any more; take it out of its layer.")


@pytest.mark.parametrize("model", CASES)
def test_a_masked_file_shows_no_secret_and_differs_in_nothing_else(model):
    document = render(CASES[model])
    shown = masked(document)
    assert SECRET.encode() not in shown
    before, after = values(document), values(shown)
    assert before.keys() == after.keys()
    for name, text in before.items():
        if name.endswith("_auth_password"):
            assert after[name] == (MASK if text else "")
        elif name == "config_server_path":
            assert after[name] == text.replace(SECRET, MASK)
        else:
            assert after[name] == text
    assert masked(shown) == shown
    assert b"<mac>000b82273b89</mac>" in shown


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("h:1/p/s", f"h:1/p/{MASK}"),
        ("h/pre/p/s/p/t", f"h/pre/p/{MASK}"),
        ("h/s", f"h/{MASK}"),
        ("h/pp/s", f"h/{MASK}"),
        ("h:5481", "h:5481"),
        ("h/\ns", f"h/{MASK}"),
    ],
)
def test_of_the_server_path_only_what_is_no_secret_is_shown(path, shown):
    document = f'<gs_provision version="1"><config version="1"><P237>{path}</P237></config></gs_provision>'
    assert values(masked(document.encode()))["config_server_path"] == shown


def test_what_the_table_does_not_name_counts_as_a_secret():
    document = (
        b"<gs_provision><!-- s3cret --><config><P9999>s3cret</P9999><P34><b>s3cret</b></P34></config></gs_provision>"
    )
    shown = masked(document)
    assert b"s3cret" not in shown
    assert values(shown) == {"P9999": MASK, "account1_auth_password": MASK}
    assert b"<mac" not in shown


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"s3cret",
        b"<gs_provision><config><P34>s3cret</config></gs_provision>",
        b"<s3cret/>",
        b"<gs_provision><s3cret/></gs_provision>",
        b"<gs_provision><config><s3cret>1</s3cret></config></gs_provision>",
        b'<!DOCTYPE g [<!ENTITY e SYSTEM "file:///etc/hostname">]>'
        b"<gs_provision><config><P3>&e;</P3></config></gs_provision>",
        b'<!DOCTYPE g [<!ENTITY s3cret "x">]><gs_provision><config></config></gs_provision>',
    ],
)
def test_what_is_not_our_file_is_refused_without_quoting_it(document):
    for reader in (masked, values):
        with pytest.raises(DocumentError) as caught:
            reader(document)
        assert "s3cret" not in str(caught.value)
        assert caught.value.__cause__ is None
