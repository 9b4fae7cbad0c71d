"""Secrets at rest: MultiFernet for short texts, AES-256-GCM with a key id for whole files and for secret paths.

Keys are `settings.GSPNP_FIELD_KEYS` (Fernet keys): the first one encrypts, every one decrypts, so that a key is
rotated by putting a new one in front. Losing all of them loses every secret, by design.
Layout of sealed bytes (our choice): b"G1", 4 bytes key id, 12 bytes nonce, ciphertext with its 16-byte tag.
"""

import base64
import hashlib
import hmac
import os
from functools import lru_cache

from cryptography.exceptions import InvalidTag
from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from django.conf import settings

MAGIC = b"G1"
KEY_ID_BYTES = 4
NONCE_BYTES = 12
_FERNET = "gAAAA"  # how every Fernet token begins: version 0x80 and the years until 2106


class CannotDecrypt(Exception):
    """No key in GSPNP_FIELD_KEYS opens this value: put back the key that it was written with."""


@lru_cache(maxsize=8)
def _ring(keys: tuple[str, ...]) -> tuple[MultiFernet, dict[bytes, AESGCM]]:
    """The two ciphers of a key list; the AES key is derived, so that one key never serves two algorithms."""
    sealed: dict[bytes, AESGCM] = {}
    for key in keys:
        raw = base64.urlsafe_b64decode(key)
        file_key = hmac.digest(raw, b"gspnp file key", hashlib.sha256)
        sealed[hashlib.sha256(file_key).digest()[:KEY_ID_BYTES]] = AESGCM(file_key)
    return MultiFernet([Fernet(key) for key in keys]), sealed


def _current_ring() -> tuple[MultiFernet, dict[bytes, AESGCM]]:
    return _ring(tuple(settings.GSPNP_FIELD_KEYS))


def seal_text(text: str) -> str:
    """Encrypt a short secret; the same text gives another token each time."""
    return _current_ring()[0].encrypt(text.encode("utf-8", "surrogatepass")).decode("ascii")


def open_text(token: str) -> str:
    """Decrypt what `seal_text` wrote. Raises CannotDecrypt."""
    try:
        return _current_ring()[0].decrypt(token.encode("ascii")).decode("utf-8", "surrogatepass")
    except (InvalidToken, UnicodeError) as error:
        raise CannotDecrypt("no key in GSPNP_FIELD_KEYS opens this secret") from error


def seal_token(text: str) -> str:
    """Encrypt a secret that a boot storm reads thousands of times a second: ten times as fast as `seal_text`."""
    return base64.b64encode(seal_bytes(text.encode("ascii"))).decode("ascii")


def open_token(token: str) -> str:
    """Decrypt what `seal_token` wrote, or `seal_text` before it came to be. Raises CannotDecrypt."""
    if token.startswith(_FERNET):
        return open_text(token)
    try:
        return open_bytes(base64.b64decode(token, validate=True)).decode("ascii")
    except ValueError as error:
        raise CannotDecrypt("no key in GSPNP_FIELD_KEYS opens this secret") from error


def seal_bytes(content: bytes) -> bytes:
    """Encrypt a whole file under the first key."""
    key_id, cipher = next(iter(_current_ring()[1].items()))
    nonce = os.urandom(NONCE_BYTES)
    return MAGIC + key_id + nonce + cipher.encrypt(nonce, content, MAGIC + key_id)


def open_bytes(sealed: bytes) -> bytes:
    """Decrypt what `seal_bytes` wrote. Raises CannotDecrypt."""
    head = len(MAGIC) + KEY_ID_BYTES
    cipher = _current_ring()[1].get(bytes(sealed[len(MAGIC) : head]))
    if cipher is None or sealed[: len(MAGIC)] != MAGIC:
        raise CannotDecrypt("no key in GSPNP_FIELD_KEYS opens this file")
    try:
        return cipher.decrypt(sealed[head : head + NONCE_BYTES], sealed[head + NONCE_BYTES :], sealed[:head])
    except (InvalidTag, ValueError) as error:
        raise CannotDecrypt("this file was changed or cut short after it was encrypted") from error


def resealed(sealed: str | bytes) -> str | bytes | None:
    """The same secret under the first key, in the same form; None if it is under that key already.

    Raises CannotDecrypt.
    """
    keys = tuple(settings.GSPNP_FIELD_KEYS)
    current = next(iter(_ring(keys)[1]))
    if isinstance(sealed, bytes):
        is_current = sealed[: len(MAGIC) + KEY_ID_BYTES] == MAGIC + current
        content = open_bytes(sealed)
        return None if is_current else seal_bytes(content)
    if not sealed.startswith(_FERNET):
        token = open_token(sealed)
        return None if base64.b64decode(sealed)[: len(MAGIC) + KEY_ID_BYTES] == MAGIC + current else seal_token(token)
    try:
        _ring(keys[:1])[0].decrypt(sealed.encode("ascii"))
        return None
    except InvalidToken:
        return seal_text(open_text(sealed))


def key_ids(keys: tuple[str, ...]) -> list[str]:
    """By what these keys can be told apart; nothing can be opened with it."""
    return [key_id.hex() for key_id in _ring(keys)[1]]


def probe(key: str) -> str:
    """A token of nothing, by which a backup is found to need this key."""
    return _ring((key,))[0].encrypt(b"").decode("ascii")
