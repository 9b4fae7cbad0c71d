"""Whether a phone with a certain file can be asked over UDP if it is there."""

import pytest

from provisioning.gxp import hearing
from provisioning.gxp.catalogue import by_element

TRANSPORT, RANDOM_PORT, SERVER_ONLY = (by_element(code).name for code in ("P130", "P78", "P2347"))


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({}, ""),
        ({TRANSPORT: "0"}, ""),
        ({TRANSPORT: "1"}, "TCP"),
        ({TRANSPORT: "2"}, "TLS"),
        ({TRANSPORT: "9"}, ""),
        ({RANDOM_PORT: "0", SERVER_ONLY: "0"}, ""),
        ({RANDOM_PORT: "1"}, "random SIP port"),
        ({SERVER_ONLY: "1"}, "its server only"),
        ({TRANSPORT: "0", RANDOM_PORT: "1", SERVER_ONLY: "1"}, "random SIP port"),
    ],
)
def test_a_file_that_makes_a_phone_deaf_says_why(values: dict[str, str], words: str):
    said = hearing.silent_because({"account1_active": "1", **values})
    assert bool(said) == bool(words)
    assert words in said
    assert not said or said.startswith("its configuration "), "it completes “silent because …”"
