"""Encrypted configuration files, against the real `openssl enc` and against damage."""

from __future__ import annotations

import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provisioning.gxp.document import DocumentError, render, values
from provisioning.gxp.openssl_enc import (
    MAX_PASSPHRASE,
    EncryptionError,
    decrypt,
    encrypt,
    key_and_iv,
    passphrase_fault,
)
from tests.golden.cases import CASES, account, device
from tests.support.parts import require

DIGESTS = ("md5", "sha256")
SALT = bytes.fromhex("0102030405060708")
PRINTABLE = "".join(map(chr, range(0x20, 0x7F)))
PASSPHRASES = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), min_size=1, max_size=MAX_PASSPHRASE)
LEGAL = st.characters(exclude_categories=["Cc", "Cs"], exclude_characters="\ufffe\uffff")
DOCUMENT = render(CASES["GXP1620"])
SMALL = b'<?xml version="1.0" encoding="UTF-8"?><gs_provision version="1"><config version="1"></config></gs_provision>'

# formats.md b, for the passphrase "pw" and SALT.
VECTORS = {
    "md5": (
        "222776D258E716EFDAA0CF5A7E504B9D21982575418A44BE8D93693294778EEA",
        "F44A4CA59001D91D765385D7BEA75845",
    ),
    "sha256": (
        "92F2B861271D26F4C325658C3CA150CB5030E56DD136311C4E273809D48EE152",
        "917C3DA3719B9C987E5191CC72DD80A7",
    ),
}


def openssl(direction: str, data: bytes, passphrase: str, digest: str, *options: str) -> bytes:
    """What the vendor's command line gives (formats.md b2), with the digest named."""
    command = [require("openssl"), "enc", direction, "-aes-256-cbc", "-md", digest, "-k", passphrase, *options]
    return subprocess.run(command, input=data, capture_output=True, check=True, timeout=30).stdout


@pytest.mark.parametrize("digest", DIGESTS)
def test_key_and_iv_are_those_of_the_vectors(digest):
    key, iv = VECTORS[digest]
    assert key_and_iv("pw", SALT, digest) == (bytes.fromhex(key), bytes.fromhex(iv))


@pytest.mark.parametrize("digest", DIGESTS)
@pytest.mark.parametrize("passphrase", ["pw", PRINTABLE, "-k", "x" * MAX_PASSPHRASE], ids=["pw", "all", "dash", "long"])
def test_openssl_reads_what_we_write(digest, passphrase):
    assert openssl("-d", encrypt(DOCUMENT, passphrase, SALT, digest), passphrase, digest) == DOCUMENT


@pytest.mark.parametrize("digest", DIGESTS)
@pytest.mark.parametrize("passphrase", ["pw", PRINTABLE], ids=["pw", "all"])
def test_we_read_what_openssl_writes(digest, passphrase):
    written = openssl("-e", DOCUMENT, passphrase, digest)
    assert decrypt(written, passphrase, digest) == DOCUMENT
    # Its random salt, used again, gives its bytes.
    assert encrypt(DOCUMENT, passphrase, written[8:16], digest) == written


@pytest.mark.parametrize("digest", DIGESTS)
def test_we_read_what_openssl_writes_with_a_salt_that_was_given_and_without_any(digest):
    """OpenSSL 3 leaves the head out where the salt is given; OpenSSL 1 writes it."""
    written = openssl("-e", DOCUMENT, "pw", digest, "-S", SALT.hex())
    ours = encrypt(DOCUMENT, "pw", SALT, digest)
    assert ours.removeprefix(b"Salted__" + SALT) == written.removeprefix(b"Salted__" + SALT)
    assert decrypt(ours[16:], "pw", digest, salt=SALT) == DOCUMENT
    unsalted = openssl("-e", DOCUMENT, "pw", digest, "-nosalt")
    assert decrypt(unsalted, "pw", digest, salt=b"") == DOCUMENT


@pytest.mark.parametrize("length", [0, 1, 15, 16, 17, 32])
def test_openssl_agrees_on_the_padding_of_any_length(length):
    document = b"x" * length
    written = encrypt(document, "pw", SALT, "md5")
    assert len(written) == 16 + (length // 16 + 1) * 16
    assert openssl("-d", written, "pw", "md5") == decrypt(written, "pw", "md5") == document


@given(
    name=st.text(LEGAL, max_size=128),
    password=st.text(LEGAL, max_size=128),
    passphrase=PASSPHRASES,
    salt=st.binary(min_size=8, max_size=8),
    digest=st.sampled_from(DIGESTS),
)
def test_any_settings_come_back_under_any_printable_passphrase(name, password, passphrase, salt, digest):
    document = render(device("GXP1610", account(1, display_name=name, password=password)))
    written = encrypt(document, passphrase, salt, digest)
    assert written == encrypt(document, passphrase, salt, digest)
    assert values(decrypt(written, passphrase, digest)) == values(document)


@given(document=st.binary(max_size=200), passphrase=PASSPHRASES)
def test_any_bytes_come_back(document, passphrase):
    assert decrypt(encrypt(document, passphrase, SALT, "sha256"), passphrase, "sha256") == document


def test_salt_passphrase_and_digest_each_change_the_file():
    files = {
        encrypt(DOCUMENT, passphrase, salt, digest)
        for passphrase in ("pw", "pW")
        for salt in (SALT, SALT[::-1])
        for digest in DIGESTS
    }
    assert len(files) == 8


@pytest.mark.parametrize("digest", DIGESTS)
def test_every_single_flipped_bit_is_refused_by_the_padding_or_by_the_xml(digest):
    """True of this file. In general nobody can know: the format has no integrity check, see the next test."""
    written = encrypt(SMALL, "pw", SALT, digest)
    assert values(decrypt(written, "pw", digest)) == {}
    for bit in range(len(written) * 8):
        flipped = bytearray(written)
        flipped[bit // 8] ^= 1 << bit % 8
        with pytest.raises((EncryptionError, DocumentError)):
            values(decrypt(bytes(flipped), "pw", digest))


def test_damage_that_leaves_the_last_block_alone_is_not_noticed_here():
    """What the reader of `decrypt` must know: blocks that were exchanged come out as bytes without a refusal."""
    document = b"<?xml?>".ljust(16, b"-") * 6
    written = encrypt(document, "pw", SALT, "md5")
    exchanged = written[:32] + written[48:64] + written[32:48] + written[64:]
    assert decrypt(exchanged, "pw", "md5") != document


def test_a_wrong_passphrase_or_digest_never_gives_a_document():
    written = encrypt(DOCUMENT, "right", SALT, "md5")
    refusals = set()
    for guess in [*(f"wrong {number}" for number in range(600)), "Right", "right "]:
        with pytest.raises((EncryptionError, DocumentError)) as refused:
            values(decrypt(written, guess, "md5"))
        refusals.add(type(refused.value))
        if isinstance(refused.value, EncryptionError):
            assert not refused.value.damaged
    # One in 256 gets past the padding: the XML parser is the second look.
    assert refusals == {EncryptionError, DocumentError}
    with pytest.raises(EncryptionError, match="passphrase or the digest") as refused:
        decrypt(written, "right", "sha256")
    assert not refused.value.damaged


def test_a_file_cut_off_is_told_from_a_wrong_passphrase():
    written = encrypt(SMALL, "pw", SALT, "md5")
    for end in range(len(written)):
        with pytest.raises(EncryptionError) as refused:
            decrypt(written[:end], "pw", "md5")
        assert refused.value.damaged
    with pytest.raises(EncryptionError, match="The passphrase fits"):
        decrypt(written[:-16], "pw", "md5")


@pytest.mark.parametrize("data", [b"", b"Salted__", b"salted__" + SALT + bytes(16), SMALL, DOCUMENT])
def test_a_file_that_is_not_encrypted_is_called_damaged(data):
    with pytest.raises(EncryptionError, match="Salted__") as refused:
        decrypt(data, "pw", "md5")
    assert refused.value.damaged


@pytest.mark.parametrize(
    ("passphrase", "fault"),
    [
        ("", "is empty; enter or generate one"),
        ("x" * 129, "has 129 characters; shorten it to 128"),
        ("päss", "character 2 is not printable ASCII"),
        ("pass\n", "character 5 is not printable ASCII"),
        ("\tpass", "character 1 is not printable ASCII"),
        ("pass\x7f", "character 5 is not printable ASCII"),
        ("pa\u200bss", "character 3 is not printable ASCII"),
        ("pa\udc00ss", "character 3 is not printable ASCII"),
    ],
)
def test_a_passphrase_that_cannot_be_typed_everywhere_is_refused(passphrase, fault):
    assert fault in str(passphrase_fault(passphrase))
    with pytest.raises(EncryptionError, match=fault):
        encrypt(SMALL, passphrase, SALT, "md5")
    with pytest.raises(EncryptionError, match=fault):
        decrypt(encrypt(SMALL, "pw", SALT, "md5"), passphrase, "md5")


def test_every_printable_character_may_stand_in_a_passphrase():
    assert passphrase_fault(PRINTABLE) is None
    assert all(passphrase_fault(char) is None for char in PRINTABLE)


@pytest.mark.parametrize("salt", [b"", SALT[:7], SALT + b"9"])
def test_a_salt_of_another_length_is_refused(salt):
    with pytest.raises(EncryptionError, match="salt"):
        encrypt(SMALL, "pw", salt, "md5")
    if salt:
        with pytest.raises(EncryptionError, match="salt"):
            decrypt(bytes(16), "pw", "md5", salt=salt)


@pytest.mark.parametrize("digest", ["", "MD5", "sha1", "shake_128"])
def test_another_digest_is_refused(digest):
    with pytest.raises(EncryptionError, match="md5 or sha256"):
        encrypt(SMALL, "pw", SALT, digest)
    with pytest.raises(EncryptionError, match="md5 or sha256"):
        decrypt(encrypt(SMALL, "pw", SALT, "md5"), "pw", digest)


@given(data=st.binary(max_size=100), magic=st.sampled_from([b"", b"Salted__", b"Salted__" + SALT]))
def test_any_bytes_are_read_or_refused(data, magic):
    try:
        decrypt(magic + data, "pw", "md5")
    except EncryptionError as refused:
        assert "pw" not in str(refused)


def test_no_message_quotes_passphrase_or_document():
    secret = "Zk3rT9qLw2XbVn7YcHs5Ag"
    document = SMALL.replace(b"></config>", b"><P34>" + secret.encode() + b"</P34></config>")
    written = encrypt(document, secret, SALT, "md5")
    for data, passphrase in ((written[:-16], secret), (written, secret[:-1]), (written, secret + "é"), (b"", secret)):
        with pytest.raises(EncryptionError) as refused:
            decrypt(data, passphrase, "md5")
        assert secret[:-1] not in str(refused.value)
