"""The phone's memory: the configuration file as a phone reads it, what it keeps, and where it asks next.

It must never import asyncio or socket. Sources: Grandstream "XML Provisioning Guide" (2011) for the file,
the admin guides of sibling models for the order of file names, vendor-derived GXP16xx templates for the
P-values.
"""

import hashlib
import re
import struct
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

from sipmcast.simulator.aes import decrypt_cbc
from sipmcast.simulator.digest import Account

# The few P-values the boot itself looks at, with the factory's values (vendor-derived GXP16xx templates).
# The factory's P237 names a server on the Internet; a simulated phone starts with none.
PROTOCOL, SERVER_PATH, PREFIX, POSTFIX = "P212", "P237", "P234", "P235"
SIP_SERVER, USER_ID, AUTH_ID, PASSWORD = "P47", "P35", "P36", "P34"  # account 1
NO_CHALLENGE = "P4428"  # formats.md g6
FILE_KEY = "P1359"  # formats.md b1
HTTP_USER, HTTP_PASSWORD = "P1360", "P1361"  # formats.md d20
OPTION_66_ALLOWED, PLUG_AND_PLAY = "P145", "P1414"
FACTORY = {
    PROTOCOL: "1",
    SERVER_PATH: "",
    PREFIX: "",
    POSTFIX: "",
    OPTION_66_ALLOWED: "1",
    PLUG_AND_PLAY: "1",
}
SCHEMES = {"1": "http", "2": "https"}


class FileRefused(ValueError):
    """The configuration file is not one this phone may take; the text says why."""


class NoWay(ValueError):
    """The stored path cannot be asked; the text says why."""


def looks_like_xml(body: bytes) -> bool:
    """Whether a delivered file is XML text at all; encoder binaries and encrypted files are not."""
    return body.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<")


def opened(body: bytes, passphrase: str, digest: str) -> bytes | None:
    """The XML text of a delivered file, decrypted if need be; None if it is neither. formats.md b4, b5."""
    if looks_like_xml(body):
        return body
    if not passphrase or not body.startswith(b"Salted__") or len(body) % 16:
        return None
    salt, secret = body[8:16], passphrase.encode()
    derived = block = b""
    while len(derived) < 48:
        block = hashlib.new(digest, block + secret + salt, usedforsecurity=False).digest()
        derived += block
    plain = decrypt_cbc(derived[:32], derived[32:48], body[16:])
    padding = plain[-1] if plain else 0
    text = plain[:-padding] if 1 <= padding <= 16 else b""
    return text if looks_like_xml(text) else None


def looks_like_binary(body: bytes) -> bool:
    """Whether it is an encoder file: length, word sum, and the mark after the MAC. formats.md (c)."""
    if len(body) < 16 or len(body) % 2 or body[12:16] != b"\r\n\r\n":
        return False
    words = struct.unpack(f">{len(body) // 2}H", body)
    return int.from_bytes(body[:4], "big") == len(words) and sum(words) % 65536 == 0


def read_binary(body: bytes, mac: str) -> dict[str, str]:
    """P-values of an encoder file made for this MAC, or FileRefused."""
    if not looks_like_binary(body):
        raise FileRefused("the binary file is damaged")
    if body[6:12].hex().upper() != mac:
        raise FileRefused(f"the binary file is for {body[6:12].hex()}")
    *pairs, last = body[16:].rstrip(b"\0").split(b"&")
    if last != b"gnkey=0b82":
        raise FileRefused("the binary file does not end with its gnkey")
    values: dict[str, str] = {}
    for pair in pairs:
        name, equals, text = pair.decode("ascii").partition("=")
        if not re.fullmatch(r"P[0-9]{1,6}", name) or not equals or name in values:
            raise FileRefused(f"{name} is no P-value, or comes twice")
        values[name] = unquote(text, errors="strict")
    return values


def read_file(body: bytes, mac: str) -> dict[str, str]:
    """P-values of a plain XML file made for this MAC, or FileRefused."""
    if body.startswith(b"\xef\xbb\xbf"):
        raise FileRefused("the file starts with a byte order mark")
    if b"<!DOCTYPE" in body or b"<!ENTITY" in body:
        raise FileRefused("the file has a document type")
    try:
        root = ElementTree.fromstring(body)
    except (ElementTree.ParseError, LookupError, ValueError) as error:
        raise FileRefused(f"the file is not well-formed XML: {error}") from None
    if root.tag != "gs_provision" or root.get("version") != "1":
        raise FileRefused('the root is not gs_provision version="1"')
    if [child.tag for child in root] not in (["config"], ["mac", "config"]):
        raise FileRefused("below the root there must be an optional mac and one config")
    if root[0].tag == "mac" and root[0].text != mac.lower():
        raise FileRefused(f"the file is for {root[0].text!r} and not for {mac.lower()}")
    if root[-1].get("version") != "1":
        raise FileRefused('config has not version="1"')
    return _read_values(root[-1])


def _read_values(config: ElementTree.Element) -> dict[str, str]:
    values: dict[str, str] = {}
    for element in config:
        if not re.fullmatch(r"P[0-9]{1,6}", element.tag) or len(element):
            raise FileRefused(f"{element.tag} is no P-value")
        if element.tag in values:
            raise FileRefused(f"{element.tag} comes twice")
        values[element.tag] = element.text or ""
    if not values:
        raise FileRefused("the file has no P-values")
    return values


@dataclass
class Flash:
    """What survives a reboot: P-values over factory values, and the checksum of the file that was flashed."""

    factory: dict[str, str] = field(default_factory=lambda: dict(FACTORY))
    values: dict[str, str] = field(default_factory=dict)
    checksum: str = ""

    def get(self, name: str) -> str:
        """A P-value as it stands now; unknown ones are empty."""
        return self.values.get(name, self.factory.get(name, ""))

    def knows(self, body: bytes) -> bool:
        """Whether these bytes are the file that was flashed last. Source: vendor guide, step 5."""
        return self.checksum == hashlib.sha256(body).hexdigest()

    def write(self, body: bytes, values: dict[str, str]) -> None:
        """Flash a file: the values it names change, all others stay."""
        self.values.update(values)
        self.checksum = hashlib.sha256(body).hexdigest()

    def forget(self) -> None:
        """Back to factory values."""
        self.values.clear()
        self.checksum = ""

    def account(self) -> Account | None:
        """The first SIP account of the file that was flashed; None for a phone without one."""
        user_id = self.get(USER_ID)
        if not self.checksum or not user_id:
            return None
        return Account(
            user_id=user_id,
            username=self.get(AUTH_ID) or user_id,
            password=self.get(PASSWORD),
            realm=self.get(SIP_SERVER),
            guards_commands=self.get(NO_CHALLENGE) != "1",
        )

    def http_login(self) -> tuple[str, str] | None:
        """User and password for the configuration server; None if it has none."""
        user, password = self.get(HTTP_USER), self.get(HTTP_PASSWORD)
        return (user, password) if user or password else None

    def stored_url(self) -> str:
        """The folder in P237 as a URL, an empty text if there is none, or NoWay."""
        path = self.get(SERVER_PATH)
        if not path:
            return ""
        if "://" in path:
            raise NoWay("P237 has a scheme; the phone wants host[:port][/path]")
        if path.endswith("/"):
            raise NoWay("P237 ends with a slash; the phone wants host[:port][/path]")
        return f"{self._scheme()}://{path}/"

    def option_66_url(self, text: str) -> str:
        """DHCP option 66 as a folder URL; without a scheme, P212 gives it."""
        if re.match(r"tftp://", text, re.IGNORECASE):
            raise NoWay("option 66 names a TFTP server, which this simulator does not speak")
        url = text if "://" in text else f"{self._scheme()}://{text}"
        return url if url.endswith("/") else url + "/"

    def _scheme(self) -> str:
        protocol = self.get(PROTOCOL)
        if protocol == "0":
            raise NoWay("P212 says TFTP, which this simulator does not speak")
        if protocol not in SCHEMES:
            raise NoWay(f"P212 is {protocol!r}; the phone knows 0 (TFTP), 1 (HTTP) and 2 (HTTPS)")
        return SCHEMES[protocol]

    def names(self, mac: str, model: str) -> list[str]:
        """File names in the order of asking, with prefix and postfix glued on."""
        plain = [f"cfg{mac.lower()}", f"cfg{mac.lower()}.xml", f"cfg{model.lower()}.xml", "cfg.xml"]
        return [f"{self.get(PREFIX)}{name}{self.get(POSTFIX)}" for name in plain]


def redacted(url: str) -> str:
    """A URL's path without its secret segment: `/p/…/cfg000b82273b89.xml`. Safe for logs and reports."""
    return re.sub(r"/p/[^/]+", "/p/…", urlsplit(url).path or "/")
