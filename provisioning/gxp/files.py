"""What a phone downloads: the settings as XML text, as encrypted XML with its bootstrap, or as the encoder's binary.

Pure: must never import Django, asyncio or socket. Every body is read back by a decoder here before it is given out.

A phone can read an encrypted file only if it has the key (P1359) already, so a *bootstrap* brings the key first. Its
server path is the first path, never the steady one: a phone that comes by the steady path has decrypted its file.
Source: formats.md (b), (c), c8.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType

from provisioning.gxp import document, encoder, openssl_enc
from provisioning.gxp.catalogue import SETTINGS
from provisioning.gxp.config import ConfigError, Problem
from provisioning.gxp.document import DocumentError
from provisioning.gxp.openssl_enc import Digest, EncryptionError


class FileFormat(StrEnum):
    """How the final file is written."""

    XML = "xml"
    ENCRYPTED = "encrypted"
    BINARY = "binary"


class Bootstrap(StrEnum):
    """How the key of an encrypted file comes to the phone."""

    BINARY = "binary"
    XML = "xml"


class Part(StrEnum):
    """What one name of a path leads to."""

    FINAL = "final"
    BOOTSTRAP = "bootstrap"


@dataclass(frozen=True)
class FormatChoice:
    """The format of one version. `digest` and `bootstrap` matter to encrypted files only."""

    format: FileFormat = FileFormat.XML
    digest: Digest = "md5"
    bootstrap: Bootstrap = Bootstrap.BINARY

    @property
    def is_encrypted(self) -> bool:
        return self.format is FileFormat.ENCRYPTED


@dataclass(frozen=True)
class Bodies:
    """The bytes of one version; `bootstrap` is empty for whatever needs none."""

    final: bytes = field(repr=False)
    bootstrap: bytes = field(repr=False, default=b"")


KEY_SETTING = "xml_config_file_password"
# What the bootstrap carries: the key, and what the phone needs to find the encrypted file: server, protocol, and no
# leftover prefix or postfix in its name.
BOOTSTRAP_SETTINGS = (
    KEY_SETTING, "config_server_path", "config_server_protocol", "config_file_prefix", "config_file_postfix",
)  # fmt: skip

_XML_TYPE = "text/xml"  # formats.md a17
_BYTES_TYPE = "application/octet-stream"

# By path and suffix of the name asked: design, "Serving". A suffix of .bin is one more name of a binary file (c7).
_BY_FIRST: Mapping[tuple[FileFormat, str], Part] = MappingProxyType(
    {
        (FileFormat.XML, ""): Part.FINAL,
        (FileFormat.XML, ".xml"): Part.FINAL,
        (FileFormat.ENCRYPTED, ""): Part.BOOTSTRAP,
        (FileFormat.ENCRYPTED, ".xml"): Part.FINAL,
        (FileFormat.BINARY, ""): Part.FINAL,
    }
)
_BY_STEADY: Mapping[tuple[FileFormat, str], Part] = MappingProxyType(
    {
        (FileFormat.XML, ".xml"): Part.FINAL,
        (FileFormat.ENCRYPTED, ".xml"): Part.FINAL,
        (FileFormat.BINARY, ""): Part.FINAL,
    }
)


def part(choice: FormatChoice, suffix: str, *, by_first: bool) -> Part | None:
    """What `cfg<mac>` with this suffix ("", ".xml", ".bin") leads to by a first or a steady path; None: nothing."""
    table = _BY_FIRST if by_first else _BY_STEADY
    found = table.get((choice.format, "" if suffix == ".bin" else suffix))
    return None if suffix == ".bin" and found is not None and not _is_binary(choice, found) else found


def is_same_key(choice: FormatChoice, key: str, before: FormatChoice, key_before: str) -> bool:
    """Whether who can open an earlier version can open this one: both are encrypted, with the same key."""
    return choice.is_encrypted and before.is_encrypted and key == key_before != ""


def content_type(choice: FormatChoice, which: Part) -> str:
    """The Content-Type of a body."""
    if which is Part.BOOTSTRAP:
        return _XML_TYPE if choice.bootstrap is Bootstrap.XML else _BYTES_TYPE
    return _XML_TYPE if choice.format is FileFormat.XML else _BYTES_TYPE


def bodies(
    mac: str, plain: bytes, texts: Mapping[str, str], choice: FormatChoice, first_path: str, salt: bytes
) -> Bodies:
    """The bodies of a version, each read back; `plain` is its XML text, `texts` what it says, by name, in order.

    The key of an encrypted file stands in `texts`. `first_path` is host[:port][/path] of the version's first path.
    Raises ConfigError if a body does not come back as it was meant; a phone never gets it.
    """
    if choice.format is FileFormat.XML:
        return Bodies(plain)
    if choice.format is FileFormat.BINARY:
        return Bodies(_binary(mac, texts))
    key = texts[KEY_SETTING]
    final = openssl_enc.encrypt(plain, key, salt, choice.digest)
    try:
        back = openssl_enc.decrypt(final, key, choice.digest)
    except EncryptionError as error:
        raise _did_not_come_back(str(error)) from None
    if back != plain:
        raise _did_not_come_back("the decrypted file is another one")
    first = {"config_server_path": first_path}
    carried = {name: first.get(name, texts[name]) for name in BOOTSTRAP_SETTINGS if name in texts}
    return Bodies(final, _binary(mac, carried) if choice.bootstrap is Bootstrap.BINARY else _plain(mac, carried))


def _is_binary(choice: FormatChoice, which: Part) -> bool:
    if which is Part.BOOTSTRAP:
        return choice.bootstrap is Bootstrap.BINARY
    return choice.format is FileFormat.BINARY


def _plain(mac: str, texts: Mapping[str, str]) -> bytes:
    body = document.written(mac, texts)
    try:
        back = document.values(body)
    except DocumentError as error:
        raise _did_not_come_back(str(error)) from None
    _compare(back, texts)
    return body


def _binary(mac: str, texts: Mapping[str, str]) -> bytes:
    for name, text in texts.items():
        if "\n" in text:
            words = f"{name} has line ends, which the binary format cannot hold; choose file_format xml or encrypted."
            raise ConfigError([Problem(f"setting.{name}", words)])
    names = {SETTINGS[name].element if name in SETTINGS else name: name for name in texts}
    try:
        body = encoder.encode(mac, [(element, texts[name]) for element, name in names.items()])
        named_mac, pairs = encoder.decode(body)
    except encoder.EncoderError as error:
        raise ConfigError([Problem("file", str(error))]) from None
    if named_mac != mac:
        raise _did_not_come_back("the binary file names another MAC")
    _compare({names.get(element, element): text for element, text in pairs}, texts)
    return body


def _compare(found: Mapping[str, str], meant: Mapping[str, str]) -> None:
    wrong = [name for name in {**meant, **found} if found.get(name) != meant.get(name)]
    if wrong:
        raise ConfigError(
            [Problem(f"setting.{name}", f"{name} did not come back as it was meant; report this.") for name in wrong]
        )


def _did_not_come_back(why: str) -> ConfigError:
    return ConfigError([Problem("file", f"The file did not come back as it was meant ({why}); report this.")])
