"""Certificates of the doors: what an operator gets wrong is named with what to do, and a renewed one is taken."""

import datetime as dt
import os
import ssl

import pytest

from devices.certificates import CertificateError, Files, context, read, worries
from devices.renewals import LOOK_SECONDS, Keeper
from tests.support.certificates import DAY, Authority, new_key, pem_of_key, write

NOW = dt.datetime.now(dt.UTC)


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


def said_of(files: Files, hosts=()) -> str:
    return " ".join(f"{one.words} {one.remedy}" for one in worries(files, read(files), hosts, NOW))


def test_a_certificate_with_its_key_is_read_and_nothing_is_to_be_said_of_it(authority, tmp_path):
    files = authority.files(tmp_path, ["phones.example.net", "10.0.0.1", "*.voice.example"])
    found = read(files)
    assert found.names == ("phones.example.net", "*.voice.example")
    assert said_of(files, ["phones.example.net", "Phones.Example.NET.", "10.0.0.1", "a.voice.example"]) == ""
    assert not found.covers("10.0.0.2")
    assert not found.covers("voice.example")
    assert not found.covers("a.b.voice.example")


def test_one_file_may_hold_both(authority, tmp_path):
    key = new_key()
    files = write(tmp_path, authority.signed(key, ["localhost"]) + pem_of_key(key), b"")
    read(files._replace(key=files.cert))


def missing_file(authority, folder):
    return authority.files(folder)._replace(cert=folder / "nothing.pem")


def folder_for_file(authority, folder):
    return authority.files(folder)._replace(cert=folder)


def text_for_certificate(authority, folder):
    return write(folder, b"hello", pem_of_key(new_key()))


def damaged_certificate(authority, folder):
    return write(folder, b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", pem_of_key(new_key()))


def certificate_for_key(authority, folder):
    files = authority.files(folder)
    return files._replace(key=files.cert)


def other_key(authority, folder):
    return write(folder, authority.signed(new_key()), pem_of_key(new_key()))


def issuer_first(authority, folder):
    key = new_key()
    return write(folder, authority.pem + authority.signed(key), pem_of_key(key))


def key_with_password(authority, folder):
    key = new_key()
    return write(folder, authority.signed(key), pem_of_key(key, b"secret-password"))


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (missing_file, "GSPNP_PHONES_CERT: there is no file"),
        (folder_for_file, "GSPNP_PHONES_CERT: .* cannot be read"),
        (text_for_certificate, "GSPNP_PHONES_CERT: .* holds no certificate in PEM"),
        (damaged_certificate, "GSPNP_PHONES_CERT: .* holds no certificate in PEM"),
        (certificate_for_key, "GSPNP_PHONES_KEY: .* holds no private key in PEM"),
        (other_key, "GSPNP_PHONES_KEY: the key in .* does not fit the first certificate"),
        (issuer_first, "put the door's own certificate first"),
        (key_with_password, "GSPNP_PHONES_KEY: .* has a password, .* openssl pkey"),
    ],
)
def test_what_cannot_be_used_is_named_with_what_to_do(authority, tmp_path, made, words):
    with pytest.raises(CertificateError, match=words) as raised:
        read(made(authority, tmp_path))
    assert "secret-password" not in str(raised.value)


@pytest.mark.skipif(os.geteuid() != 0, reason="takes another user's eyes, which root can")
def test_a_key_that_this_user_may_not_read_is_named(authority, tmp_path):
    files = authority.files(tmp_path)
    child = os.fork()
    if not child:
        os.setuid(65534)
        try:
            read(files)
        except CertificateError as error:
            os._exit(7 if "may not be read by this user" in str(error) else 8)
        finally:
            os._exit(9)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7


@pytest.mark.parametrize(
    ("validity", "hosts", "words"),
    [
        ({"until": -DAY}, ["localhost"], "expired on"),
        ({"until": 20 * DAY}, ["localhost"], "expires on"),
        ({"since": DAY}, ["localhost"], "is valid only from"),
        ({}, ["10.0.0.1"], "is not for 10.0.0.1: it names localhost, 127.0.0.1"),
    ],
)
def test_what_will_not_do_for_long_or_for_all_is_said(authority, tmp_path, validity, hosts, words):
    assert words in said_of(authority.files(tmp_path, **validity), hosts)


def test_a_certificate_without_names_and_an_open_key_are_said(authority, tmp_path):
    files = authority.files(tmp_path, hosts=[])
    files.key.chmod(0o644)
    said = said_of(files, ["phones.example.net"])
    assert "it names no name at all" in said
    assert f"chmod o-rwx {files.key}" in said


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1 is deprecated")
def test_the_lowest_version_is_the_one_that_was_asked_for(authority, tmp_path):
    files = authority.files(tmp_path)
    assert context(files).minimum_version is ssl.TLSVersion.TLSv1_2
    assert context(files, "1.0").minimum_version is ssl.TLSVersion.TLSv1
    assert context(files, "1.3").minimum_version is ssl.TLSVersion.TLSv1_3


def test_a_renewed_certificate_is_taken_and_a_half_written_one_is_not(authority, tmp_path, caplog):
    now = 0.0
    files = authority.files(tmp_path)
    keeper = Keeper(files, read, lambda: now)
    first = keeper.current()
    key = new_key()
    files.cert.write_bytes(authority.signed(key, ["renewed.example"]))  # its key comes a moment later
    assert keeper.current() is first
    now += LOOK_SECONDS
    assert keeper.current() is first
    assert "the one before goes on" in caplog.text
    files.key.write_bytes(pem_of_key(key))
    assert keeper.current() is first  # looked just now
    now += LOOK_SECONDS
    assert keeper.current().names == ("renewed.example",)
    files.cert.unlink()
    now += LOOK_SECONDS
    assert keeper.current().names == ("renewed.example",)


def test_a_renewed_certificate_that_was_not_readable_is_taken_once_it_is(authority, tmp_path, caplog):
    """certbot writes for root alone; who mends that by chown or chmod does not write the file again."""
    now, may_read = 0.0, True

    def made(files: Files):
        if not may_read:
            raise CertificateError("it may not be read by this user")
        return read(files)

    files = authority.files(tmp_path)
    keeper = Keeper(files, made, lambda: now)
    key = new_key()
    files.cert.write_bytes(authority.signed(key, ["renewed.example"]))
    files.key.write_bytes(pem_of_key(key))
    may_read = False
    now += LOOK_SECONDS
    assert keeper.current().names != ("renewed.example",)
    may_read = True
    files.key.chmod(0o640)
    now += LOOK_SECONDS
    assert keeper.current().names == ("renewed.example",)
