"""The catalogue of settings: its data, and how a broken data file is refused."""

from __future__ import annotations

import csv
import io
from dataclasses import replace

import pytest

from devices.catalog import MODELS
from provisioning.gxp.catalogue import (
    COLUMNS,
    DATA,
    SETTINGS,
    CatalogueError,
    Confidence,
    Kind,
    by_element,
    fault,
    read_settings,
    setting,
)

TEXT = DATA.read_text(encoding="utf-8")

# Account 1 only: other families have these for it, and nobody names the numbers of accounts 2 and 3. P49 has no third.
ACCOUNT_1_ONLY = {
    "support_rport", "use_sbc", "callee_id_display", "auth_header_on_initial_register", "use_mac_header",
    "force_blf_pickup_by_prefix", "bypass_dial_plan", "on_hold_reminder_tone", "opus_payload_type", "crypto_life_time",
}  # fmt: skip
NOT_ACCOUNT_3 = ACCOUNT_1_ONLY | {"g723_rate"}


# The data


def test_every_row_is_read_once_and_in_its_order():
    rows = list(csv.DictReader(io.StringIO(TEXT)))
    assert [row["name"] for row in rows] == list(SETTINGS)
    assert len({one.code for one in SETTINGS.values()}) == len(rows) > 700
    assert all(name == one.name and by_element(one.element) is one for name, one in SETTINGS.items())


def test_the_file_is_plain_utf_8_with_plain_line_ends():
    content = DATA.read_bytes()
    assert not content.startswith(b"\xef\xbb\xbf")
    assert b"\r" not in content and content.endswith(b"\n")


def test_known_codes_are_where_the_vendor_templates_have_them():
    expected = {
        "account1_active": 271,
        "account2_sip_server": 402,
        "account3_auth_password": 506,
        "account1_preferred_vocoder_7": 46,
        "mpk1_mode": 323,
        "mpk8_mode": 353,
        "mpk8_value": 356,
        "line1_mode": 1363,
        "line3_value": 1470,
        "config_server_path": 237,
        "firmware_server_protocol": 6767,
        "xml_config_file_password": 1359,
        "firmware_upgrade_confirmation": 8375,
        "firmware_check_policy": 238,
        "time_zone": 64,
        "admin_password": 2,
    }
    assert {name: setting(name).code for name in expected} == expected
    assert by_element("P237") is setting("config_server_path")
    assert by_element("P99999") is by_element("237") is by_element("") is None
    with pytest.raises(KeyError):
        setting("config_server_paths")


def test_every_model_has_settings_and_only_what_its_accounts_and_keys_allow():
    for model in MODELS.values():
        names = {name for name, one in SETTINGS.items() if one.applies_to(model.name)}
        assert len(names) > 400
        for number in (1, 2, 3):
            assert any(name.startswith(f"account{number}_") for name in names) == (number <= model.accounts), model
            assert (f"line{number}_mode" in names) == (number <= model.line_keys), model
        for number in range(1, 9):
            assert (f"mpk{number}_mode" in names) == (number <= model.mpks), model
    assert not any(one.applies_to("GRP2612W") or one.applies_to("") for one in SETTINGS.values())


@pytest.mark.parametrize(("number", "absent"), [(2, ACCOUNT_1_ONLY), (3, NOT_ACCOUNT_3)])
def test_accounts_2_and_3_have_the_settings_of_account_1(number, absent):
    first = {name[len("account1_") :]: one for name, one in SETTINGS.items() if name.startswith("account1_")}
    other = {name[len("account1_") :]: one for name, one in SETTINGS.items() if name.startswith(f"account{number}_")}
    assert first.keys() - other.keys() == absent
    assert not other.keys() - first.keys()
    for field, one in other.items():
        like = first[field]
        for column in ("kind", "choices", "least", "most", "pattern", "unit", "secret"):
            assert getattr(one, column) == getattr(like, column), f"{one.name}: {column}"


@pytest.mark.parametrize(("kind", "count"), [("mpk", 8), ("line", 3)])
def test_the_keys_of_a_kind_are_alike(kind, count):
    for field in ("mode", "account", "description", "value"):
        alike = [one for name, one in SETTINGS.items() if name.startswith(kind) and name.endswith(f"_{field}")]
        shapes = {(one.kind, tuple(one.choices.items()), one.least, one.most, one.default) for one in alike}
        assert (len(alike), len(shapes)) == (count, 1)


def test_what_is_secret_is_exactly_this():
    assert {name for name, one in SETTINGS.items() if one.secret} == {
        "account1_auth_password",
        "account2_auth_password",
        "account3_auth_password",
        "admin_password",
        "config_http_password",
        "config_server_path",
        "dot1x_md5_password",
        "firmware_http_password",
        "keypad_lock_password",
        "ldap_password",
        "openvpn_key",
        "phonebook_server_path",
        "pppoe_password",
        "sip_tls_key_password",
        "sip_tls_private_key",
        "tr069_connreq_password",
        "tr069_cpe_key",
        "tr069_password",
        "user_password",
        "xml_config_file_password",
        "xsi_password",
        "xsi_sip_password",
    }


def test_nothing_that_sounds_secret_is_shown():
    words = ("password", "secret", "private", "psk", "community", "passphrase", "_key_file")
    assert not [name for name, one in SETTINGS.items() if any(word in name for word in words) and not one.secret]


def test_every_row_is_consistent_and_says_how_sure_it_is():
    for one in SETTINGS.values():
        assert one.source and one.group
        assert not one.default or fault(one, one.default) is None, one.name
        assert all(fault(one, value) is None for value in one.choices), one.name
        if one.kind is Kind.NUMBER:
            assert fault(one, str(one.least)) is None or one.pattern, one.name
            assert fault(one, str((one.most or 0) + 1)) is not None, one.name
        if one.confidence is Confidence.DOCUMENTED:
            assert "1.0.4.33" in one.source or "1.0.3.6" in one.source, one.name
        else:
            assert not ("1.0.4.33" in one.source or "1.0.3.6" in one.source) or "CONFLICT" in one.note, one.name


def test_expiry_is_in_minutes_on_these_phones():
    for number in (1, 2, 3):
        assert setting(f"account{number}_register_expiration_minutes").unit == "minutes"


# A data file that is broken


def broken(row_name: str, changes: dict[str, str]) -> str:
    """The data file with one row changed."""
    rows = list(csv.DictReader(io.StringIO(TEXT)))
    assert [row for row in rows if row["name"] == row_name]
    out = io.StringIO()
    writer = csv.DictWriter(out, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(row | changes if row["name"] == row_name else row for row in rows)
    return out.getvalue()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"code": "047x"}, "code is not a number"),
        ({"code": ""}, "code is empty"),
        ({"code": "271"}, "belongs to account1_active"),
        ({"name": "account1_active"}, "earlier row"),
        ({"models": "GXP1699"}, "there is no model GXP1699"),
        ({"models": ""}, "models is empty"),
        ({"kind": "colour"}, "kind is not known"),
        ({"choices": "0=no;yes"}, "value=label"),
        ({"choices": "0=no;0=yes"}, "value=label"),
        ({"choices": ""}, "needs choices"),
        ({"kind": "text"}, "takes no choices"),
        ({"kind": "number"}, "needs least and most"),
        ({"kind": "number", "least": "9", "most": "1"}, "least is above most"),
        ({"least": "1"}, "takes no least"),
        ({"kind": "text", "choices": "", "default": ""}, "needs most"),
        ({"pattern": "["}, "regular expression"),
        ({"pattern": "[0-9]*", "note": ""}, "needs a note"),
        ({"default": "7"}, "its default is not one of the choices"),
        ({"secret": "no"}, "secret is not known"),
        ({"source": ""}, "source is empty"),
        ({"confidence": "sure"}, "confidence is not known"),
        ({"confidence": "conflict"}, "needs a note"),
        ({"unit": " s"}, "begins or ends with a blank"),
    ],
)
def test_a_broken_row_is_refused_with_its_name(changes, words):
    with pytest.raises(CatalogueError) as caught:
        read_settings(broken("account1_sip_transport", changes))
    message = str(caught.value)
    assert words in message
    assert changes.get("name", "account1_sip_transport") in message
    assert message.startswith("settings.csv, line ")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "the first line"),
        ("code,name\n1,a\n", "the first line"),
        (TEXT + "1,a\n", "a: has 2 columns"),
        (TEXT + "\n", "a row without a name: has 0 columns"),
        (TEXT + '1,"a', "unexpected end"),
    ],
)
def test_a_file_of_another_shape_is_refused(text, words):
    with pytest.raises(CatalogueError, match=words):
        read_settings(text)


def test_a_setting_can_be_looked_up_but_not_changed():
    with pytest.raises(TypeError):
        SETTINGS["x"] = setting("time_zone")  # type: ignore[index]
    with pytest.raises(AttributeError):
        setting("time_zone").code = 1  # type: ignore[misc]
    assert replace(setting("time_zone"), code=1) != setting("time_zone")
    assert len({setting("time_zone"), setting("account1_sip_transport")}) == 2
