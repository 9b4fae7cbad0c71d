"""Certificates of our two doors: read, held against their keys, and what an operator has to know of them.

Files are PEM: the door's own certificate first, then its issuers' up to what clients know. The contexts that the doors
speak TLS with are made here too. Imports no Django, no socket. RFC 5280, RFC 7468; names as RFC 9525 compares them.
"""

from __future__ import annotations

import ipaddress
import ssl
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_pem_private_key

VERSIONS = {
    "1.0": ssl.TLSVersion.TLSv1,
    "1.1": ssl.TLSVersion.TLSv1_1,
    "1.2": ssl.TLSVersion.TLSv1_2,
    "1.3": ssl.TLSVersion.TLSv1_3,
}
# What clients of 2017 may know: also without forward secrecy, which comes last. OpenSSL's level 0 is what lets it speak
# the versions before 1.2 at all, because their signatures use SHA-1 (SSL_CTX_set_security_level(3)).
CIPHERS = "DEFAULT:!aNULL:!eNULL:!PSK:!SRP"
CIPHERS_OF_OLD = f"{CIPHERS}:@SECLEVEL=0"
SOON_DAYS = 21  # certbot renews 30 days before the end: what is nearer has failed for a week. Our choice


class CertificateError(Exception):
    """These files cannot be used. The text names the setting and says what to do."""


class Files(NamedTuple):
    """Where a door's certificate and its private key are, and which settings say so. One file may hold both."""

    cert_setting: str
    key_setting: str
    cert: Path
    key: Path

    @property
    def stamp(self) -> tuple[tuple[int, int, int, int], ...]:
        """Changes whenever one of the two files is written, replaced, or given to somebody. Raises OSError."""
        return tuple(
            (at.st_ino, at.st_mtime_ns, at.st_ctime_ns, at.st_size) for at in (self.cert.stat(), self.key.stat())
        )


@dataclass(frozen=True)
class Certificate:
    """What stands in the door's own certificate: names, addresses, and from when to when it is valid."""

    names: tuple[str, ...]
    addresses: tuple[ipaddress.IPv4Address | ipaddress.IPv6Address, ...]
    valid_from: datetime
    valid_until: datetime

    def covers(self, host: str) -> bool:
        """Whether a client that asks for this host name or address finds it in here."""
        try:
            return ipaddress.ip_address(host.strip("[]")) in self.addresses
        except ValueError:
            wanted = host.lower().rstrip(".")
            return any(_matches(name.lower().rstrip("."), wanted) for name in self.names)


class Worry(NamedTuple):
    """What works, but not for every client, or not for long; and what to do."""

    words: str
    remedy: str


def read(files: Files) -> Certificate:
    """The certificate in these files, which has been tried with its key. Raises CertificateError."""
    cert_text, key_text = _bytes_of(files.cert, files.cert_setting), _bytes_of(files.key, files.key_setting)
    try:
        own = x509.load_pem_x509_certificates(cert_text)[0]
        found = _read(own)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise CertificateError(
            f"{files.cert_setting}: {files.cert} holds no certificate in PEM (it begins with "
            "-----BEGIN CERTIFICATE-----). Name the file with the certificate and, below it, its issuers'."
        ) from error
    key = _private_key(files, key_text)
    if key.public_key() != own.public_key():
        raise CertificateError(
            f"{files.key_setting}: the key in {files.key} does not fit the first certificate in {files.cert}. Name the "
            "key that the certificate was made for, and put the door's own certificate first in its file."
        )
    context(files)
    return found


def context(files: Files, lowest: str = "1.2") -> ssl.SSLContext:
    """What a door speaks TLS with, from this version of it on (one of VERSIONS). Raises CertificateError."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.set_ciphers(CIPHERS_OF_OLD if lowest in ("1.0", "1.1") else CIPHERS)
    made.options |= ssl.OP_NO_RENEGOTIATION  # it is asked for by those who want to make us compute
    made.minimum_version = VERSIONS[lowest]
    try:
        # A key with a password would be asked for at the terminal.
        made.load_cert_chain(files.cert, files.key, password=lambda: b"")
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        why = getattr(error, "reason", None) or getattr(error, "strerror", None) or error
        raise CertificateError(
            f"{files.cert_setting} ({files.cert}) and {files.key_setting} ({files.key}) cannot be used ({why}). "
            "Use an RSA key of 2048 bits or more, or an elliptic one (P-256), and a signature with SHA-256."
        ) from error
    return made


def worries(files: Files, found: Certificate, hosts: Iterable[str], now: datetime) -> Iterator[Worry]:
    """What an operator should mend, although the door opens: dates, names of `hosts` that are missing, an open key."""
    where, renew = f"{files.cert_setting}: the certificate in {files.cert}", "Renew it; it is taken without a restart."
    if found.valid_until <= now:
        yield Worry(f"{where} expired on {found.valid_until:%Y-%m-%d}: clients that check it turn away.", renew)
    elif found.valid_until - now <= timedelta(days=SOON_DAYS):
        yield Worry(f"{where} expires on {found.valid_until:%Y-%m-%d}.", renew)
    if found.valid_from > now:
        words = f"{where} is valid only from {found.valid_from:%Y-%m-%d %H:%M} UTC on."
        yield Worry(words, "Look at this machine's clock, or wait.")
    missing = sorted({host for host in hosts if not found.covers(host)})
    if missing:
        said = ", ".join([*found.names, *map(str, found.addresses)]) or "no name at all"
        words = f"{where} is not for {', '.join(missing)}: it names {said}."
        yield Worry(words, "Have one made with these names (subjectAltName); clients that check names refuse this one.")
    if files.key.stat().st_mode & 0o007:
        words = f"{files.key_setting}: every user of this machine may use the key in {files.key}."
        yield Worry(words, f"chmod o-rwx {files.key}")


def _bytes_of(path: Path, setting: str) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise CertificateError(f"{setting}: there is no file {path}. Correct the path, or leave it empty.") from None
    except PermissionError:
        raise CertificateError(
            f"{setting}: {path} may not be read by this user. Give it to the user or group that gspnp runs as "
            "(folders above it too), or a copy of it; docs/tls.md has the lines for certbot."
        ) from None
    except OSError as error:
        raise CertificateError(f"{setting}: {path} cannot be read ({error.strerror}). Name a PEM file.") from None


def _private_key(files: Files, text: bytes):
    try:
        return load_pem_private_key(text, password=None)
    except TypeError:
        raise CertificateError(
            f"{files.key_setting}: the key in {files.key} has a password, and nobody is there to type it. Take it off: "
            f"openssl pkey -in {files.key} -out KEY, with KEY readable by gspnp's user alone."
        ) from None
    except (ValueError, UnsupportedAlgorithm):
        raise CertificateError(
            f"{files.key_setting}: {files.key} holds no private key in PEM (-----BEGIN PRIVATE KEY-----). "
            "Name the file with the key that the certificate was made for."
        ) from None


def _read(own: x509.Certificate) -> Certificate:
    try:
        among = own.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        names = tuple(among.get_values_for_type(x509.DNSName))
        addresses = tuple(among.get_values_for_type(x509.IPAddress))
    except x509.ExtensionNotFound:
        names, addresses = (), ()
    hosts = tuple(one for one in addresses if isinstance(one, ipaddress.IPv4Address | ipaddress.IPv6Address))
    return Certificate(names, hosts, own.not_valid_before_utc, own.not_valid_after_utc)


def _matches(name: str, wanted: str) -> bool:
    """A `*` stands for one whole label, the first one; RFC 9525 6.3."""
    if name.startswith("*."):
        return name[2:] == wanted.partition(".")[2] != ""
    return name == wanted
