"""What a phone may ask the door for, read from a path; pure (no Django, no database).

Contract: `/p/<secret>/cfg<mac>[.xml|.bin]` and the plain names `cfg<mac>[.xml|.bin]`, `cfg<model>.xml`, `cfg.xml` at
any depth, also below a full file path, for firmware that takes the path in the NOTIFY as a folder.
MAC and model in any letter case (formats.md d4 to d6).
"""

import hashlib
import re
import secrets
from dataclasses import dataclass, field

from devices.catalog import MODELS

MAX_PATH_CHARS = 512
SECRET_BYTES = 16  # 128 random bits make 22 characters of URL-safe base64
_SECRET = re.compile(r"/p/([A-Za-z0-9_-]{22})/(.*)", re.DOTALL)
_NAME = re.compile(r"cfg([0-9a-f]{12})(|\.xml|\.bin)", re.IGNORECASE)
_MODEL_NAME = re.compile(r"cfg(?:(?:gxp|grp)[0-9a-z]{1,12})?\.xml", re.IGNORECASE)


_PHONEBOOK = re.compile(r"/phonebook/([A-Za-z0-9_-]{22})/(?:gs_)?phonebook\.xml", re.IGNORECASE)
_IMAGES = "|".join(sorted({re.escape(model.firmware_file) for model in MODELS.values()}))
_FIRMWARE = re.compile(rf"(?:/firmware)?(?:/([0-9.]{{3,40}}))?/(?:{_IMAGES})", re.IGNORECASE)


@dataclass(frozen=True)
class FirmwareAsk:
    """A request for an image: of a version, or "" for whatever the phone shall run next."""

    version: str


def read_firmware(path: str) -> FirmwareAsk | None:
    """`/firmware/<version>/gxp1600fw.bin`, and `/firmware/gxp1600fw.bin` or `/gxp1600fw.bin` for old firmware, which
    ignores the folder (formats.md d10, d11); None if it is something else."""
    found = _FIRMWARE.fullmatch(path) if len(path) <= MAX_PATH_CHARS else None
    return None if found is None else FirmwareAsk(found[1] or "")


@dataclass(frozen=True)
class Ask:
    """One request: the secret of its path ("" for a plain name), the MAC it names ("" if none), and the suffix.

    `below` says that it was asked for below a full file path, as firmware does that takes the path for a folder.
    """

    secret: str
    mac: str
    suffix: str
    name: str
    below: bool = False

    def __repr__(self) -> str:
        return f"Ask(secret={'…' if self.secret else ''!r}, name={self.name!r})"


def read(path: str) -> Ask | None:
    """Read a decoded path that begins with "/"; None if it is nothing that a phone asks for."""
    if len(path) > MAX_PATH_CHARS:
        return None
    secret_path = _SECRET.fullmatch(path)
    secret, rest = (secret_path[1], secret_path[2]) if secret_path else ("", path)
    folders, _, name = rest.rpartition("/")
    if secret and folders and not _NAME.fullmatch(folders):
        return None  # below a secret only the file path itself may stand as a folder
    match = _NAME.fullmatch(name)
    if match is not None:
        return Ask(secret, match[1].upper(), match[2].lower(), name, bool(secret and folders))
    if _MODEL_NAME.fullmatch(name) and not secret:
        return Ask("", "", ".xml", name)
    return None


@dataclass(frozen=True)
class PhonebookAsk:
    """A request for a phonebook, by the secret of its path."""

    secret: str = field(repr=False)


def read_phonebook(path: str) -> PhonebookAsk | None:
    """`/phonebook/<secret>/phonebook.xml` or `gs_phonebook.xml` (formats.md d13); None if it is something else."""
    found = _PHONEBOOK.fullmatch(path) if len(path) <= MAX_PATH_CHARS else None
    return None if found is None else PhonebookAsk(found[1])


def fresh_secret() -> str:
    """A new path: 128 random bits, 22 characters."""
    return secrets.token_urlsafe(SECRET_BYTES)


def hash_of(secret: str) -> str:
    """How a path is found: its SHA-256; 128 random bits need no salt."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()
