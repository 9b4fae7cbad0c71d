"""AES-256-CBC files as `openssl enc -aes-256-cbc -md md5|sha256 -k PASSPHRASE` writes and reads them.

Pure: must never import Django, asyncio or socket. Same document, passphrase, salt and digest: the same bytes.
Obeys the OpenSSL enc format (formats.md b4, b5): "Salted__", 8 salt bytes, ciphertext with PKCS#7 padding; key and
IV by EVP_BytesToKey with one round, no PBKDF2. The passphrase is the phone's P1359 (b1).

The format has no integrity check. One round of a fast digest is also cheap to guess at: only a long random
passphrase protects a file.
"""

from __future__ import annotations

import hashlib
import re
from typing import Literal

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.padding import PKCS7

from provisioning.gxp.fields import MAX_TEXT

Digest = Literal["md5", "sha256"]

SALT_BYTES = 8
MAX_PASSPHRASE = MAX_TEXT  # characters; our choice, the vendor documents no bound for P1359

_MAGIC = b"Salted__"
_BLOCK_BYTES = 16
_KEY_BYTES = 32
_DIGESTS = ("md5", "sha256")
_UNTYPEABLE = re.compile(r"[^ -~]")  # outside printable ASCII
_XML_START = b"<?xml"


class EncryptionError(ValueError):
    """The file could not be written or read. The message never quotes passphrase, key or document.

    `damaged` is True if the file itself is at fault whatever the passphrase may be; False if the passphrase or
    the digest is wrong or refused, or where a wrong one and a damaged file look the same.
    """

    def __init__(self, message: str, *, damaged: bool = False) -> None:
        super().__init__(message)
        self.damaged = damaged


def passphrase_fault(passphrase: str) -> str | None:
    """None, or what to do about a passphrase: 1 to 128 printable ASCII characters, blanks and all signs included.

    Others are refused because their bytes would depend on the character set of whoever types them into the phone
    or into `openssl`. Source: our choice, no vendor text names a rule for P1359.
    """
    if not passphrase:
        return "is empty; enter or generate one"
    if len(passphrase) > MAX_PASSPHRASE:
        return f"has {len(passphrase)} characters; shorten it to {MAX_PASSPHRASE}"
    untypeable = _UNTYPEABLE.search(passphrase)
    if untypeable:
        position = untypeable.start() + 1
        return f"character {position} is not printable ASCII; use unaccented letters, digits, blanks and ASCII signs"
    return None


def encrypt(document: bytes, passphrase: str, salt: bytes, digest: Digest) -> bytes:
    """The encrypted file. Keep `salt` per file version: another one would change every byte. Raises EncryptionError."""
    if len(salt) != SALT_BYTES:
        raise EncryptionError(f"The salt has {len(salt)} bytes; it must have {SALT_BYTES}.")
    padder = PKCS7(_BLOCK_BYTES * 8).padder()
    padded = padder.update(document) + padder.finalize()
    encryptor = _cipher(passphrase, salt, digest).encryptor()
    return _MAGIC + salt + encryptor.update(padded) + encryptor.finalize()


def decrypt(data: bytes, passphrase: str, digest: Digest, salt: bytes | None = None) -> bytes:
    """The document inside an encrypted file. Raises EncryptionError.

    `salt` is only for files without the "Salted__" head: the one given to `openssl enc -S` (OpenSSL 3 then writes
    no head), or b"" for `-nosalt`.

    A wrong passphrase or digest is noticed by the padding only, and 1 in 256 passes it. A damaged file passes too
    if its last block survived. So read the result as XML before believing it.
    """
    if salt is None:
        if data[: len(_MAGIC)] != _MAGIC or len(data) < len(_MAGIC) + SALT_BYTES:
            raise EncryptionError('The file does not begin with "Salted__" and a salt; it is damaged.', damaged=True)
        salt, data = data[len(_MAGIC) :][:SALT_BYTES], data[len(_MAGIC) + SALT_BYTES :]
    elif len(salt) not in (0, SALT_BYTES):
        raise EncryptionError(f"The salt has {len(salt)} bytes; it must have {SALT_BYTES}, or none for -nosalt.")
    if not data or len(data) % _BLOCK_BYTES:
        raise EncryptionError("The encrypted part is not made of whole blocks; the file was cut off.", damaged=True)
    decryptor = _cipher(passphrase, salt, digest).decryptor()
    return _without_padding(decryptor.update(data) + decryptor.finalize())


def key_and_iv(passphrase: str, salt: bytes, digest: Digest) -> tuple[bytes, bytes]:
    """EVP_BytesToKey with one round: D0 = D(passphrase + salt), Di = D(Di-1 + passphrase + salt); key, then IV."""
    fault = passphrase_fault(passphrase)
    if fault:
        raise EncryptionError(f"The passphrase: {fault}.")
    if digest not in _DIGESTS:
        raise EncryptionError("The digest is md5 or sha256; choose one of them.")
    secret = passphrase.encode("ascii") + salt
    derived = block = b""
    while len(derived) < _KEY_BYTES + _BLOCK_BYTES:
        block = hashlib.new(digest, block + secret, usedforsecurity=False).digest()
        derived += block
    return derived[:_KEY_BYTES], derived[_KEY_BYTES : _KEY_BYTES + _BLOCK_BYTES]


def _cipher(passphrase: str, salt: bytes, digest: Digest) -> Cipher[modes.CBC]:
    key, iv = key_and_iv(passphrase, salt, digest)
    return Cipher(algorithms.AES(key), modes.CBC(iv))


def _without_padding(padded: bytes) -> bytes:
    unpadder = PKCS7(_BLOCK_BYTES * 8).unpadder()
    try:
        return unpadder.update(padded) + unpadder.finalize()
    except ValueError:
        pass
    # CBC reads its first block without the others: if that one makes sense, the passphrase and the digest are right.
    if padded.startswith(_XML_START):
        raise EncryptionError("The passphrase fits, but the end of the file is damaged or cut off.", damaged=True)
    raise EncryptionError("The passphrase or the digest does not fit this file, or the file is damaged.")
