"""What a setting says of a value that is to go into a phone's file."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provisioning.gxp.catalogue import SETTINGS, Kind, fault, setting

SETTING_NAMES = tuple(SETTINGS)

PEM = "-----BEGIN CERTIFICATE-----\nMIIB\nAAAA\n-----END CERTIFICATE-----\n"
GOOD = [
    ("account1_display_name", "Žofie 📞 ]]> & <b> \"'"),
    ("account1_auth_password", " !\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"),
    ("account1_sip_user_id", "دفتر"),
    ("account1_sip_server", "[2001:db8::10]:5060"),
    ("account1_sip_server", ""),
    ("account1_register_expiration_minutes", "1"),
    ("account1_register_expiration_minutes", "64800"),
    ("account1_dns_primary_ip", "192.0.2.53"),
    ("account1_tel_uri", "1"),
    ("account1_bypass_dial_plan", "contact,mpk"),
    ("phonebook_interval_minutes", "0"),
    ("phonebook_interval_minutes", "720"),
    ("multicast_listen_1_address", "224.0.1.20:10000"),
    ("ipv6_dns1", "2001:db8::1"),
    ("config_server_path", "pbx.example:5481/p/abc/$MAC"),
    ("phonebook_server_path", ""),
    ("action_url_registered", "pbx.example/a?mac=$mac&x=1"),
    ("sip_tls_certificate", PEM),
    ("sip_tls_certificate", PEM + PEM),
    ("sip_tls_certificate", ""),
    ("dial_tone", "f1=350@-13,f2=440@-13,c=10/20-30/40-50/60;"),
    ("dial_tone", "f1=425"),
    ("time_zone", "CET-1CEST-2,M3.5.0/02:00:00,M10.5.0/03:00:00"),
    ("display_language", "zh-tw"),
    ("local_rtp_port", "5004"),
    ("admin_password", "a1B2"),
]


@pytest.mark.parametrize(("name", "text"), GOOD)
def test_a_value_that_the_phone_takes_has_no_fault(name, text):
    assert fault(setting(name), text) is None


BAD = [
    ("account1_display_name", "a\x00b", "control character"),
    ("account1_display_name", "a\nb", "control character"),
    ("account1_display_name", "a\u0085b", "control character"),
    ("account1_display_name", "\ud83d", "half of a character"),
    ("account1_display_name", "\uffff", "cannot stand in an XML file"),
    ("account1_display_name", "x" * 129, "shorten it to 128"),
    ("account1_sip_user_id", "10 01", "blank"),
    ("account1_sip_user_id", "10\u200b01", "invisible"),
    ("account1_sip_server", "sip://pbx", "scheme"),
    ("account1_register_expiration_minutes", "0", "from 1 to 64800 minutes"),
    ("account1_register_expiration_minutes", "64801", "from 1 to 64800 minutes"),
    ("account1_register_expiration_minutes", "", "from 1 to 64800 minutes"),
    ("account1_register_expiration_minutes", "060", "whole number"),
    ("account1_register_expiration_minutes", "-1", "whole number"),
    ("account1_register_expiration_minutes", "6e1", "whole number"),
    ("account1_register_expiration_minutes", "٦٠", "whole number"),
    ("account1_register_expiration_minutes", "60 ", "whole number"),
    ("account1_register_expiration_minutes", "9" * 120, "whole number"),
    ("account1_register_expiration_minutes", "9" * 5000, "shorten"),
    ("account1_sip_transport", "3", "0 (UDP), 1 (TCP), 2 (TLS/TCP)"),
    ("account1_sip_transport", "UDP", "0 (UDP)"),
    ("account1_sip_transport", "", "choose from"),
    ("account1_dns_primary_ip", "1.2.3", "IPv4"),
    ("account1_dns_primary_ip", "2001:db8::1", "IPv4"),
    ("ipv6_dns1", "192.0.2.1", "IPv6"),
    ("ipv6_dns1", "fe80::1%eth0", "IPv6"),
    ("account1_bypass_dial_plan", "mpk,", "commas"),
    ("account1_bypass_dial_plan", "mpk,mpk", "once each"),
    ("phonebook_interval_minutes", "4", "from 5 to 720 minutes, or 0 for off"),
    ("multicast_listen_1_address", "224.0.1.20", "with a port"),
    ("multicast_listen_1_address", "pbx.example:10000", "IPv4"),
    ("multicast_listen_1_address", "224.0.1.20:99999", "with a port"),
    ("config_server_path", "", "enter it"),
    ("config_server_path", "http://pbx.example/p/x", "scheme"),
    ("config_server_path", "pbx.example/p/x/", "slash"),
    ("action_url_registered", "pbx.example/a b", "blank"),
    ("action_url_registered", "pbx.example/é", "ASCII"),
    ("action_url_registered", "http://tess:s3cret@pbx.example/", "without it"),
    ("sip_tls_certificate", "MIIB", "PEM"),
    ("sip_tls_certificate", PEM.replace("\n", "\r\n"), "plain line ends"),
    ("sip_tls_certificate", PEM.replace("MIIB", "MII\x00"), "PEM"),
    ("sip_tls_certificate", "-----BEGIN A-----\n" + "-----END A\n" * 100_000, "shorten it to 8192"),
    ("dial_tone", "440", "tone"),
    ("dial_tone", "f1=440,c=1/1-1/1-1/1-1/1", "tone"),
    ("local_rtp_port", "5005", "even"),
    ("admin_password", "a&b", "letters and digits only"),
    ("pppoe_password", 'a"b', "double quote"),
    ("keypad_lock_password", "12a", "digits only"),
    ("dhcp_vendor_class_option60", "", "enter it"),
]


@pytest.mark.parametrize(("name", "text", "words"), BAD)
def test_a_fault_says_what_to_do(name, text, words):
    assert words in str(fault(setting(name), text))


@pytest.mark.parametrize("name", [name for name, one in SETTINGS.items() if one.secret])
def test_a_fault_never_repeats_the_value(name):
    said = fault(setting(name), "h/Zk3rT9\x01qLw2X")
    assert said is not None and "Zk3rT9" not in said and "qLw2X" not in said


@given(name=st.sampled_from(SETTING_NAMES), text=st.text(max_size=300))
def test_whatever_the_text_a_fault_is_a_sentence_or_nothing(name, text):
    said = fault(setting(name), text)
    assert said is None or (said and "\n" not in said and said.isprintable())
    if said is None and setting(name).kind is not Kind.PEM:
        assert all(ord(char) >= 0x20 for char in text)
