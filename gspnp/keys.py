"""The two kinds of keys of an installation: Django's SECRET_KEY and the keys of encrypted fields.

From the environment, else from files in the data folder that are made once, by whoever comes first, and are
readable by their owner only. Whoever loses the field keys loses every stored secret, so nothing here ever
replaces a key. Imports no Django settings: the settings import this. Source: our choice.
"""

from __future__ import annotations

import base64
import binascii
import fcntl
import logging
import os
import secrets
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from gspnp.env import Env, SettingError
from gspnp.env import env as process_env

logger = logging.getLogger(__name__)

SECRET_KEY_FILE = "secret-key"
FIELD_KEYS_FILE = "field-keys"
SECRET_KEY_BYTES = 64
FIELD_KEY_BYTES = 32


class Keys(NamedTuple):
    """`field_keys` are Fernet keys: the first encrypts, every one decrypts."""

    secret_key: str
    field_keys: list[str]

    def __repr__(self) -> str:
        return f"Keys(…, {len(self.field_keys)} field keys)"


def sqlite_exists(database: Mapping[str, Any]) -> bool:
    """Whether this entry of Django's DATABASES is an SQLite file that has been written to."""
    if not str(database.get("ENGINE", "")).endswith("sqlite3"):
        return False
    try:
        return Path(database["NAME"]).stat().st_size > 0
    except OSError:
        return False


def load_or_create(data_dir: Path, database_exists: bool, env: Env = process_env) -> Keys:
    """The keys of this installation; made when neither the environment nor the data folder has them.

    `database_exists` says that a database of this installation is already there: then a missing file is a
    loss, not a beginning. Raises SettingError with the remedy when a key is lost, malformed or cannot be read
    or written.
    """
    secret_key = env.str("SECRET_KEY", "") or _from_file(data_dir / SECRET_KEY_FILE, new_secret_key, database_exists)
    field_keys = env.str("GSPNP_FIELD_KEYS", "")
    source = "GSPNP_FIELD_KEYS"
    if not field_keys:
        source = str(data_dir / FIELD_KEYS_FILE)
        field_keys = _from_file(data_dir / FIELD_KEYS_FILE, new_field_key, database_exists)
    return Keys(secret_key=secret_key, field_keys=parse_field_keys(field_keys, source))


def parse_field_keys(text: str, source: str) -> list[str]:
    """Fernet keys from a list separated by newlines or commas. The error names `source`, never a key."""
    keys = [entry.strip() for entry in text.replace(",", "\n").splitlines() if entry.strip()]
    for number, key in enumerate(keys, start=1):
        if not _is_fernet_key(key):
            raise SettingError(
                f"{source}: key {number} is not 32 bytes in urlsafe base64. Restore it from a backup; "
                "a new one is made by: python -m gspnp.keys"
            )
    if not keys:
        raise SettingError(f"{source} holds no key. Restore it from a backup.")
    return keys


def new_secret_key() -> str:
    """A random SECRET_KEY."""
    return secrets.token_urlsafe(SECRET_KEY_BYTES)


def new_field_key() -> str:
    """A random Fernet key."""
    return base64.urlsafe_b64encode(secrets.token_bytes(FIELD_KEY_BYTES)).decode("ascii")


def write_private(path: Path, text: str) -> bool:
    """Write a new file of mode 0600, whole or not at all; False if there is one already.

    The file is written beside its place and linked into it: of several processes that begin together one
    wins, and no one ever reads a half-written file.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with open(descriptor, "w", encoding="utf-8") as file:
            file.write(text + "\n")
            file.flush()
            os.fsync(file.fileno())
        os.link(beside, path)
    except FileExistsError:
        return False
    finally:
        beside.unlink()
    return True


def replace_private(path: Path, text: str) -> None:
    """Put a file of mode 0600 into the place of another one, whole or not at all; its owner stays. Raises OSError."""
    beside = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    try:
        write_private(beside, text)
        give_to_owner(beside, path if path.exists() else path.parent)
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


@contextmanager
def alone(data_dir: Path, *, waiting: bool = False) -> Iterator[None]:
    """Nobody else changes the field keys of this folder, or copies them beside what they open, until the end of this.

    Of two that each put a new key in front of what they had read, the second would throw the first one's key away.
    Raises BlockingIOError if somebody is at it, unless one is `waiting` for that.
    """
    data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(data_dir, os.O_RDONLY | os.O_DIRECTORY)  # the kernel ends its lock with the process
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX if waiting else fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)


def read_again(data_dir: Path, env: Env = process_env) -> list[str]:
    """The field keys as they are now: the file may have been changed since this process read it. Raises SettingError,
    OSError."""
    text, source = env.str("GSPNP_FIELD_KEYS", ""), "GSPNP_FIELD_KEYS"
    if not text:
        path = data_dir / FIELD_KEYS_FILE
        text, source = path.read_text(encoding="utf-8"), str(path)
    return parse_field_keys(text, source)


def give_to_owner(path: Path, of: Path) -> None:
    """What root has made must not lock the service out of its own files: it belongs to the owner of `of`."""
    if os.geteuid() == 0:
        there = of.stat()
        os.chown(path, there.st_uid, there.st_gid)


def _from_file(path: Path, make: Callable[[], str], database_exists: bool) -> str:
    try:
        if not path.exists():
            if database_exists:
                raise SettingError(
                    f"{path} is missing, but there is a database that was written with it. Without it the "
                    "stored secrets are lost. Restore the file from a backup, or start anew with an empty "
                    "data folder (GSPNP_DATA_DIR)."
                )
            write_private(path, make())
        _tighten(path)
        text = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingError(f"{path} cannot be used ({error}). Make the folder writable for this user.") from error
    if not text:
        raise SettingError(f"{path} is empty. Restore it from a backup.")
    return text


def _tighten(path: Path) -> None:
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077:
        logger.warning("%s was readable by others (mode %04o); it is 0600 now.", path, mode)
        path.chmod(0o600)


def _is_fernet_key(key: str) -> bool:
    try:
        return len(base64.b64decode(key, altchars=b"-_", validate=True)) == FIELD_KEY_BYTES
    except (binascii.Error, ValueError):
        return False


if __name__ == "__main__":
    import sys

    sys.stdout.write(new_field_key() + "\n")
