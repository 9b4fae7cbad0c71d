"""Whether a phone with a certain file can be asked over UDP if it is there."""

import pytest

from provisioning.gxp import hearing
from provisioning.gxp.document import DocumentError


def document(**values: str) -> bytes:
    settings = "".join(f"<{name}>{text}</{name}>" for name, text in {"P271": "1", **values}.items())
    head = b'<?xml version="1.0"?><gs_provision version="1"><config version="1">'
    return head + f"{settings}</config></gs_provision>".encode()


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({}, ""),
        ({"P130": "0"}, ""),
        ({"P130": "1"}, "TCP"),
        ({"P130": "2"}, "TLS"),
        ({"P130": "9"}, ""),
        ({"P78": "0", "P2347": "0"}, ""),
        ({"P78": "1"}, "random SIP port"),
        ({"P2347": "1"}, "its server only"),
        ({"P130": "0", "P78": "1", "P2347": "1"}, "random SIP port"),
    ],
)
def test_a_file_that_makes_a_phone_deaf_says_why(values: dict[str, str], words: str):
    said = hearing.silent_because(document(**values))
    assert bool(said) == bool(words)
    assert words in said
    assert not said or said.startswith("its configuration "), "it completes “silent because …”"


@pytest.mark.parametrize("rubbish", [b"", b"Salted__x", b"<gs_provision>"])
def test_what_is_no_file_is_refused(rubbish: bytes):
    with pytest.raises(DocumentError):
        hearing.silent_because(rubbish)
