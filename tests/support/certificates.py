"""Certificates made for one test: an authority of its own, and what it signs."""

import datetime as dt
import ipaddress
from collections.abc import Sequence
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from devices.certificates import Files

DAY = dt.timedelta(days=1)


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def pem_of_key(key, password: bytes = b"") -> bytes:
    how = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, how)


def new_key():
    return ec.generate_private_key(ec.SECP256R1())


class Authority:
    """It signs certificates of doors; `pem` is what clients have to know."""

    def __init__(self) -> None:
        self._key = new_key()
        self._name = _name("gspnp test authority")
        own = self._builder(self._name, self._key, 30 * DAY, -DAY)
        own = own.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        self.pem = own.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    def _builder(self, name: x509.Name, key, until: dt.timedelta, since: dt.timedelta) -> x509.CertificateBuilder:
        now = dt.datetime.now(dt.UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + since)
            .not_valid_after(now + until)
        )

    def signed(
        self, key, hosts: Sequence[str] = (), until: dt.timedelta = 90 * DAY, since: dt.timedelta = -200 * DAY
    ) -> bytes:
        """The certificate of this key for these names and addresses, in PEM."""
        builder = self._builder(_name("door"), key, until, since)
        if hosts:
            builder = builder.add_extension(x509.SubjectAlternativeName([_general(host) for host in hosts]), False)
        return builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    def files(self, folder: Path, hosts: Sequence[str] = ("127.0.0.1", "localhost"), **validity) -> Files:
        """A certificate, with its key, in files that an operator could have named."""
        key = new_key()
        return write(folder, self.signed(key, hosts, **validity) + self.pem, pem_of_key(key))


def write(folder: Path, cert: bytes, key: bytes) -> Files:
    """Both files; the key is for its owner alone."""
    folder.mkdir(parents=True, exist_ok=True)
    files = Files("GSPNP_PHONES_CERT", "GSPNP_PHONES_KEY", folder / "door.pem", folder / "door.key")
    files.cert.write_bytes(cert)
    files.key.write_bytes(key)
    files.key.chmod(0o600)
    return files


def _general(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)
