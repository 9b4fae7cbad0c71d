"""What may stand in a layer, as people look for it: found by any of its words, offered only if a layer can hold it."""

import pytest

from provisioning.gxp.catalogue import SETTINGS
from provisioning.gxp.entries import QUICK, _by_name, entry, label_of, search, shown
from provisioning.gxp.layers import problems
from provisioning.gxp.pvalues import COMPUTED, OWNED


def names(text: str) -> list[str]:
    return [one.name for one in search(text)]


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("vlan tag", "vlan_tag"),
        ("P51", "vlan_tag"),
        ("51", "vlan_tag"),
        ("802.1q", "vlan_tag"),
        ("SRTP", "accounts_srtp_mode"),
        ("p443", "accounts_srtp_mode"),
        ("account2 srtp", "account2_srtp_mode"),
        ("country", "country"),
        ("iana", "iana_time_zone"),
        ("encrypted", "file_format"),
        ("P8765", "P8765"),
    ],
)
def test_a_setting_is_found_by_name_p_code_group_or_note(text, first):
    assert first in names(text)[:3]


@pytest.mark.parametrize("text", ["", "   ", "no such thing", "\x00", "x" * 10_000, "é漢"])
def test_nonsense_finds_nothing(text):
    assert search(text) == []


def test_what_belongs_to_the_assignment_is_never_offered():
    assert entry("account1_sip_user_id") is None and entry("P35") is None and entry("mpk1_value") is None
    assert not {one.name for one in _by_name().values()} & OWNED.keys()


def test_everything_that_is_offered_can_stand_in_a_layer():
    for one in _by_name().values():
        if one.can_be_left_alone:
            assert problems({one.name: None}) == []
        if one.settable and one.choices:
            assert all(problems({one.name: value}) == [] for value in one.choices), one.name
        assert one.settable == (one.row is None or one.row.name not in COMPUTED)


def test_every_setting_is_offered_or_owned():
    offered = {one.row.name for one in _by_name().values() if one.row is not None}
    assert offered | OWNED.keys() == SETTINGS.keys()


def test_what_is_looked_for_first_exists():
    assert all(entry(name) is not None for group in QUICK.values() for name in group)


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("vlan_tag", "VLAN tag"),
        ("l3_qos_sip", "L3 QoS SIP"),
        ("account1_sip_transport", "Account 1 SIP transport"),
        ("disable_ssh", "Disable SSH"),
    ],
)
def test_names_are_written_as_people_say_them(name, label):
    assert label_of(name) == label


def test_secrets_are_masked_whoever_asks():
    for name in ("admin_password", "xsi_password", "account1_auth_password", "P8765", "accounts_nonsense"):
        assert shown(name, "hush") == "********", name
    assert shown("phonebook_server_path", "pbx/phonebook/hush") == "pbx/********"
    assert (shown("vlan_tag", "7"), shown("disable_ssh", "1"), shown("vlan_tag", None)) == (
        "7",
        "1 (yes)",
        "left alone",
    )
    assert shown("country", "DE") == "DE (Germany)"
