"""The bodies of a version in each format, read by other people's tools, and what each name of a path leads to."""

import re
import struct
import subprocess
from pathlib import Path
from urllib.parse import unquote

import pytest

from provisioning.gxp import document, encoder, files, openssl_enc
from provisioning.gxp.config import ConfigError
from provisioning.gxp.files import Bodies, Bootstrap, FileFormat, FormatChoice, Part
from tests.golden.cases import CASES

KEY = "Kq3" * 10
SALT = bytes(range(8))
FIRST = "172.18.0.10:5481/p/firstfirstfirstfirst12"
MODELS = sorted(CASES)


def texts_of(model: str, **more: str) -> dict[str, str]:
    return document.in_order(document.settings(CASES[model]) | more)


def bodies(model: str, choice: FormatChoice, **more: str) -> tuple[Bodies, bytes, dict[str, str]]:
    texts = texts_of(model, **more)
    plain = document.written(CASES[model].mac, texts)
    return files.bodies(CASES[model].mac, plain, texts, choice, FIRST, SALT), plain, texts


def read_encoder_file(data: bytes) -> tuple[str, dict[str, str]]:
    """An encoder file as formats.md (c) describes it; it shares nothing with our own decoder."""
    words = struct.unpack(f">{len(data) // 2}H", data)
    assert words[0] << 16 | words[1] == len(words), "the length in words"
    assert sum(words) % 0x10000 == 0, "the sum of all words"
    assert data[12:16] == b"\r\n\r\n"
    text = data[16:].rstrip(b"\0").decode("ascii")
    pairs = [part.split("=", 1) for part in text.split("&")]
    assert pairs.pop() == ["gnkey", "0b82"]
    assert len(dict(pairs)) == len(pairs), "no setting comes twice"
    return data[6:12].hex(), {name: unquote(value) for name, value in pairs}


def elements(plain: bytes) -> dict[str, str]:
    return dict(document.read(plain)[1])


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("digest", ["md5", "sha256"])
def test_openssl_decrypts_an_encrypted_file(model, digest, tmp_path: Path):
    choice = FormatChoice(FileFormat.ENCRYPTED, digest)
    made, plain, _ = bodies(model, choice, **{files.KEY_SETTING: KEY})
    source = tmp_path / "file"
    source.write_bytes(made.final)
    command = ["openssl", "enc", "-d", "-aes-256-cbc", "-md", digest, "-k", KEY, "-in", str(source)]
    assert subprocess.run(command, capture_output=True, check=True).stdout == plain


@pytest.mark.parametrize("model", MODELS)
def test_a_binary_file_says_what_the_xml_text_says(model):
    made, plain, _ = bodies(model, FormatChoice(FileFormat.BINARY))
    mac, said = read_encoder_file(made.final)
    assert mac == CASES[model].mac.lower()
    assert said == elements(plain)
    assert not made.bootstrap


@pytest.mark.parametrize("kind", list(Bootstrap))
def test_a_bootstrap_carries_the_key_and_what_leads_to_the_file_and_nothing_else(kind):
    choice = FormatChoice(FileFormat.ENCRYPTED, bootstrap=kind)
    made, _, _ = bodies("GXP1630", choice, **{files.KEY_SETTING: KEY})
    said = read_encoder_file(made.bootstrap)[1] if kind is Bootstrap.BINARY else elements(made.bootstrap)
    assert said == {"P1359": KEY, "P237": FIRST, "P212": "1", "P234": "", "P235": ""}


def test_the_steady_path_stands_in_no_bootstrap():
    made, _, texts = bodies("GXP1630", FormatChoice(FileFormat.ENCRYPTED), **{files.KEY_SETTING: KEY})
    steady = texts["config_server_path"].rpartition("/")[2]
    assert steady.encode() not in made.bootstrap


def test_the_same_salt_gives_the_same_bytes_and_another_one_others():
    choice = FormatChoice(FileFormat.ENCRYPTED)
    texts = texts_of("GXP1628", **{files.KEY_SETTING: KEY})
    plain = document.written(CASES["GXP1628"].mac, texts)
    made = [files.bodies(CASES["GXP1628"].mac, plain, texts, choice, FIRST, salt) for salt in (SALT, SALT, b"12345678")]
    assert made[0] == made[1]
    assert made[0].final != made[2].final


@pytest.mark.parametrize("choice", [FormatChoice(FileFormat.ENCRYPTED), FormatChoice(FileFormat.BINARY)])
def test_a_body_that_does_not_come_back_as_meant_is_refused(choice, monkeypatch):
    monkeypatch.setattr(openssl_enc, "decrypt", lambda *args: b"<other/>")
    real = encoder.decode

    def other(data, **options):
        mac, pairs = real(data, **options)
        return mac, [("P270", "other") if name == "P270" else (name, text) for name, text in pairs]

    monkeypatch.setattr(encoder, "decode", other)
    with pytest.raises(ConfigError, match="did not come back") as refused:
        bodies("GXP1628", choice, **{files.KEY_SETTING: KEY})
    assert not re.search("Desk|secret", str(refused.value))


# The table of the design, word for word: path, name asked -> XML text, encrypted (binary bootstrap), binary.
TABLE = [
    (True, "", Part.FINAL, Part.BOOTSTRAP, Part.FINAL),
    (True, ".xml", Part.FINAL, Part.FINAL, None),
    (True, ".bin", None, Part.BOOTSTRAP, Part.FINAL),
    (False, "", None, None, Part.FINAL),
    (False, ".xml", Part.FINAL, Part.FINAL, None),
    (False, ".bin", None, None, Part.FINAL),
]


@pytest.mark.parametrize(("by_first", "suffix", "xml", "encrypted", "binary"), TABLE)
def test_each_name_leads_to_what_the_table_says(by_first, suffix, xml, encrypted, binary):
    for format_, expected in zip(FileFormat, (xml, encrypted, binary), strict=True):
        assert files.part(FormatChoice(format_), suffix, by_first=by_first) == expected, format_


def test_a_plain_bootstrap_has_no_name_of_a_binary_file():
    choice = FormatChoice(FileFormat.ENCRYPTED, bootstrap=Bootstrap.XML)
    assert files.part(choice, ".bin", by_first=True) is None
    assert files.content_type(choice, Part.BOOTSTRAP) == "text/xml"
