"""What may be wrong with a configuration, and the words for it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from devices.catalog import KeyMode
from provisioning.gxp.config import ConfigError, KeyConfig, Problem, ServerConfig, validate
from provisioning.gxp.document import render
from tests.golden.cases import CASES, account, device, key


def problems(config):
    return {problem.field: problem.message for problem in validate(config)}


@pytest.mark.parametrize("model", CASES)
def test_the_golden_configurations_have_no_problem(model):
    assert validate(CASES[model]) == []


def test_a_phone_without_accounts_and_keys_is_allowed():
    assert validate(replace(device("GXP1610"), accounts=())) == []


@pytest.mark.parametrize(
    ("config", "field", "words"),
    [
        (device("GXP1620", account(3)), "account.3", "GXP1620 has 2 accounts; remove account 3."),
        (device("GXP1610", account(2)), "account.2", "GXP1610 has 1 account; remove account 2."),
        (device("GXP1610", account(0)), "account.0", "remove account 0"),
        (device("GXP1620", account(1), account(1)), "account.1", "given twice"),
        (device("GXP1610", account(1, user_id="")), "account.1.user_id", "needs a user ID"),
        (device("GXP1610", account(1, user_id="10 01")), "account.1.user_id", "character 3 is a blank"),
        (
            device("GXP1610", account(1, user_id="1001\u200b")),
            "account.1.user_id",
            "character 5 is invisible",
        ),
        (device("GXP1610", account(1, auth_id=" ")), "account.1.auth_id", "character 1 is a blank"),
        (device("GXP1610", account(1, sip_server="")), "account.1.sip_server", "needs a SIP server"),
        (device("GXP1610", account(1, codecs=())), "account.1.codecs", "at least one codec"),
        (device("GXP1610", account(1, codecs=("PCMU", "MP3"))), "account.1.codecs", "Codec 2 is not known"),
        (device("GXP1610", account(1, codecs=("PCMU", "PCMU"))), "account.1.codecs", "PCMU is chosen twice"),
        (
            device("GXP1610", account(1, display_name="n" * 129)),
            "account.1.display_name",
            "shorten it to 128",
        ),
        (device("GXP1610", mac="000b82273b89"), "mac", "000B82273B89"),
        (device("GXP1610", mac="nonsense"), "mac", "not a hex digit"),
        (device("GXP1610", opinions_off=frozenset({"P237"})), "opinions_off", "config_server_path"),
    ],
)
def test_an_account_problem_names_the_field_and_what_to_do(config, field, words):
    assert words in problems(config)[field]


@pytest.mark.parametrize(
    ("model", "wrong", "field", "words"),
    [
        ("GXP1610", key("mpk1", KeyMode.BLF, "1002"), "key.mpk1", "GXP1610 has no MPK keys; remove mpk1."),
        (
            "GXP1628",
            key("mpk9", KeyMode.BLF, "1002"),
            "key.mpk9",
            "GXP1628 has MPK keys 1 to 8; remove mpk9.",
        ),
        ("GXP1628", key("line3", KeyMode.LINE), "key.line3", "GXP1628 has line keys 1 to 2"),
        ("GXP1628", key("mpk3", KeyMode.BLF), "key.mpk3.value", "BLF needs the extension to watch"),
        ("GXP1628", key("mpk3", KeyMode.SPEED_DIAL, "  "), "key.mpk3.value", "needs the number to dial"),
        (
            "GXP1628",
            key("line1", KeyMode.BLF, "1002"),
            "key.line1.mode",
            "line keys do not offer BLF; choose from",
        ),
        ("GXP1628", key("mpk1", KeyMode.LINE), "key.mpk1.mode", "MPK keys do not offer Line"),
        ("GXP1615", key("line1", KeyMode.SPEED_DIAL_ACTIVE, "1"), "key.line1.mode", "Speed dial via active"),
        ("GXP1628", key("line1", KeyMode.LINE, "1002"), "key.line1.value", "takes no value; clear it"),
        (
            "GXP1628",
            key("line1", KeyMode.LINE, label="x" * 33),
            "key.line1.label",
            "33 characters; shorten it to 32",
        ),
        ("GXP1628", key("mpk1", KeyMode.BLF, "1" * 65), "key.mpk1.value", "65 characters; shorten it to 64"),
        (
            "GXP1628",
            key("mpk1", KeyMode.BLF, "1", account=2),
            "key.mpk1.account",
            "fill it in or choose account 1.",
        ),
        ("GXP1628", key("mpk1", KeyMode.BLF, "1", account=3), "key.mpk1.account", "GXP1628 has 2 accounts"),
        ("GXP1628", key("mpk1", KeyMode.BLF, "1", account=0), "key.mpk1.account", "another account than 0"),
        (
            "GXP1628",
            key("mpk1", KeyMode.BLF, "1", label="a\nb"),
            "key.mpk1.label",
            "character 2 is a control",
        ),
    ],
)
def test_a_key_problem_names_the_key_the_model_and_what_to_do(model, wrong: KeyConfig, field, words):
    assert words in problems(device(model, keys=(wrong,)))[field]


def test_a_key_given_twice_is_refused():
    twice = (key("mpk1", KeyMode.BLF, "1"), key("mpk1", KeyMode.BLF, "2"))
    assert "given twice" in problems(device("GXP1628", keys=twice))["key.mpk1"]


@pytest.mark.parametrize("mode", [KeyMode.VOICEMAIL, KeyMode.CALL_RETURN, KeyMode.TRANSFER])
def test_a_mode_that_works_without_a_value_needs_none(mode):
    assert problems(device("GXP1628", keys=(key("mpk1", mode), key("line2", mode)))) == {}


@pytest.mark.parametrize(
    "address",
    [
        "pbx",
        "pbx.example.net",
        "pbx_1.lan:5070",
        "10.0.0.1",
        "10.0.0.1:65535",
        "[2001:db8::1]",
        "[::1]:5060",
        "sip:5060",
    ],
)
def test_a_sip_server_is_a_host_or_host_and_port(address):
    assert problems(device("GXP1610", account(1, sip_server=address))) == {}


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("sip:pbx.example.net", "scheme"),
        ("https://pbx", "scheme"),
        ("pbx/x", "only host or host:port"),
        ("1001@pbx", "only host or host:port"),
        ("pbx .lan", "blank"),
        (" pbx", "blank"),
        ("2001:db8::1", "brackets"),
        ("[2001:db8::1", "IPv6 address in brackets"),
        ("[10.0.0.1]", "IPv6 address in brackets"),
        ("[fe80::1%eth0]", "IPv6 address in brackets"),
        ("[::1]5060", "port"),
        ("pbx:0", "port"),
        ("pbx:65536", "port"),
        ("pbx:", "port"),
        ("pbx:\u0661\u0662", "port"),
        ("a:b:c", "more than one colon"),
        (":5060", "no host"),
        ("10.0.0.256", "IPv4"),
        ("10.0.0", "IPv4"),
        ("bücher.example", "xn--"),
        ("-pbx", "host name"),
        ("pbx..lan", "host name"),
        ("<pbx>", "host name"),
        ("p" * 400, "shorten"),
    ],
)
def test_a_wrong_sip_server_says_what_to_enter(address, words):
    assert words in problems(device("GXP1610", account(1, sip_server=address)))["account.1.sip_server"]


@pytest.mark.parametrize(
    "char", ["\x00", "\x07", "\t", "\n", "\r", "\x7f", "\x85", "\ud800", "\udfff", "\ufffe", "\uffff"]
)
@pytest.mark.parametrize("name", ["display_name", "password", "user_id", "auth_id", "voicemail", "sip_server"])
def test_a_character_that_cannot_be_sent_is_refused_with_its_position(name, char):
    message = problems(device("GXP1610", account(1, **{name: f"ab{char}"})))[f"account.1.{name}"]
    assert "character 3" in message
    assert f"U+{ord(char):04X}" in message


@pytest.mark.parametrize(
    ("server", "field", "words"),
    [
        (ServerConfig("http", "http://10.0.0.1/p/s", "10.0.0.1"), "server.config_path", "scheme"),
        (ServerConfig("http", "10.0.0.1/p/s/", "10.0.0.1"), "server.config_path", "slash"),
        (ServerConfig("http", "", "10.0.0.1"), "server.config_path", "no host"),
        (ServerConfig("http", "10.0.0.1/p/a?b", "10.0.0.1"), "server.config_path", "URL path"),
        (ServerConfig("http", "10.0.0.1/p/s", "x y"), "server.firmware_path", "blank"),
        (ServerConfig("ftp", "10.0.0.1/p/s", "10.0.0.1"), "server.protocol", "http or https"),  # type: ignore[arg-type]
    ],
)
def test_a_wrong_server_path_says_what_to_change(server, field, words):
    assert words in problems(device("GXP1610", server=server))[field]


def test_a_path_that_is_not_written_is_not_checked():
    server = ServerConfig("http", "", "")
    off = frozenset({"config_server_path", "firmware_server_path"})
    assert validate(device("GXP1610", server=server, opinions_off=off)) == []


def test_all_problems_come_at_once_and_in_one_error():
    config = device("GXP1610", account(1, user_id="", sip_server=""), keys=(key("mpk1", KeyMode.BLF),))
    with pytest.raises(ConfigError) as caught:
        render(config)
    assert caught.value.problems == tuple(validate(config))
    assert [problem.field for problem in caught.value.problems] == [
        "account.1.sip_server",
        "account.1.user_id",
        "key.mpk1",
    ]
    assert Problem("key.mpk1", "GXP1610 has no MPK keys; remove mpk1.") in caught.value.problems


def test_no_secret_is_in_a_repr_or_in_a_problem():
    hidden = "hunter2"
    config = device(
        "GXP1610",
        account(1, password=f"{hidden}\x00"),
        server=ServerConfig("http", f"10.0.0.1/p/{hidden}/", "10.0.0.1"),
    )
    assert len(validate(config)) == 2
    assert hidden not in repr(config) + repr(validate(config)) + str(ConfigError(validate(config)))


@pytest.mark.parametrize("value", ["10 02", "1002@pbx", "10\u200b02"])
def test_what_a_blf_key_watches_is_a_number_alone(value):
    problems = validate(device("GXP1628", keys=(key("mpk1", KeyMode.BLF, value=value),)))
    assert [problem.field for problem in problems] == ["key.mpk1.value"]
