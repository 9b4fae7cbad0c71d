"""Encrypted and binary files at the phones' door: who gets the key, and what proves that the file was taken."""

import logging

import pytest

from devices.models import LiveEvent
from provisioning import outbox
from provisioning.gxp.document import values
from provisioning.layers import store
from provisioning.models import Download
from tests import cast

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("clock")]

NAME, XML = f"cfg{cast.MAC.lower()}", f"cfg{cast.MAC.lower()}.xml"


@pytest.fixture
def encrypted(settings):
    settings.GSPNP_FILE_FORMAT = "encrypted"
    version = cast.assigned()
    cast.delivered(version)
    return cast.now(version)


@pytest.fixture
def binary(settings):
    settings.GSPNP_FILE_FORMAT = "binary"
    version = cast.assigned()
    cast.delivered(version)
    return cast.now(version)


def test_the_whole_way_of_an_encrypted_file(encrypted):
    key = cast.ask(cast.first_path(encrypted, NAME))
    assert (key.status, key.headers["content-type"]) == (200, "application/octet-stream")
    assert cast.proofs(encrypted)[:3] == ("notified", False, False), "the key proves nothing"
    file = cast.ask(cast.first_path(encrypted, XML))
    assert file.body.startswith(b"Salted__")
    assert cast.proofs(encrypted)[:3] == ("fetched", True, False)
    again = cast.ask(cast.steady_path(encrypted))
    assert again.body == file.body
    assert cast.proofs(encrypted)[:3] == ("applied", True, True)


@pytest.mark.parametrize("starts", [True, False])
def test_the_key_is_given_until_the_next_start_after_each_notify(encrypted, clock, starts):
    assert cast.ask(cast.first_path(encrypted, NAME)).status == 200
    assert cast.ask(cast.first_path(encrypted, NAME)).status == 200, "its last bytes may have been lost"
    clock.forward(seconds=5 if starts else 31)
    if starts:
        cast.restarted(encrypted)
    assert cast.ask(cast.first_path(encrypted, NAME)).status == 404, "else a phone would flash it at every boot"
    assert cast.ask(cast.first_path(encrypted, XML)).status == 200
    clock.forward(seconds=40)
    outbox.notify_again(encrypted.phone_id, "tess", cast.HOST)
    cast.sent(encrypted)
    assert cast.ask(cast.first_path(encrypted, NAME)).status == 200, "a person asked anew: it may have been reset"


def test_the_key_is_not_over_if_it_was_not_taken_whole(encrypted):
    assert cast.ask(cast.first_path(encrypted, NAME), method="HEAD").status == 200
    assert cast.ask(cast.first_path(encrypted, NAME), **{"range": "bytes=0-9"}).status == 200
    assert cast.ask(cast.first_path(encrypted, NAME)).status == 200


def test_the_key_leaves_by_the_first_path_only(encrypted):
    for name in (NAME, f"{NAME}.bin"):
        assert cast.ask(cast.steady_path(encrypted, name)).status == 404
    assert cast.ask(cast.first_path(encrypted, NAME), host=cast.STRANGER).status == 404
    assert cast.now(encrypted).bootstrap_at is None


def test_an_old_file_of_another_format_does_not_lead_to_an_encrypted_one(settings):
    version = cast.applied(cast.assigned())
    settings.GSPNP_FILE_FORMAT = "encrypted"
    newer = cast.save(version.phone).config_file
    assert newer.number == 2, "another format is another version"
    assert cast.ask(cast.steady_path(version)).status == 404, "the phone has no key: it keeps what it has"
    assert cast.now(newer).fetched_at is None


def test_the_key_stays_from_version_to_version_and_is_taken_back_with_the_format(settings, encrypted):
    def key():
        return values(bytes(outbox.current_file(encrypted.phone_id).content))["xml_config_file_password"]

    first = key()
    assert len(first) == 32
    cast.save(encrypted.phone, cast.draft(display_name="Tess II"))
    assert key() == first
    settings.GSPNP_FILE_FORMAT = "xml"
    cast.save(encrypted.phone)
    assert key() == ""


def test_a_new_key_is_not_what_the_old_steady_path_leads_to(settings, encrypted):
    for path in (cast.first_path(encrypted, NAME), cast.first_path(encrypted, XML), cast.steady_path(encrypted)):
        cast.ask(path)
    for file_format in ("xml", "encrypted"):
        settings.GSPNP_FILE_FORMAT = file_format
        newer = cast.save(encrypted.phone).config_file
    assert cast.ask(cast.steady_path(encrypted)).status == 404, "it could not open it, and it would count as fetched"
    assert cast.now(newer).fetched_at is None


@pytest.mark.parametrize(
    ("runs", "digest"), [("1.0.4.88", "md5"), ("1.0.7.0", "sha256"), ("1.0.7.81", "sha256"), ("", "md5")]
)
def test_the_digest_is_that_of_the_firmware(runs, digest):
    phone = cast.seen(firmware=runs)
    values = {"file_format": "encrypted", "file_digest_sha256_from": "1.0.7.0"}
    store.save(store.find("site", ""), values, by="tess")
    assert cast.save(phone).config_file.digest == digest


def test_an_encrypted_successor_is_served_by_the_old_steady_path(encrypted):
    for path in (cast.first_path(encrypted, NAME), cast.first_path(encrypted, XML), cast.steady_path(encrypted)):
        cast.ask(path)
    newer = cast.save(encrypted.phone, cast.draft(display_name="Tess II")).config_file
    assert cast.ask(cast.steady_path(encrypted)).body == newer.bytes_of("final")


def test_the_whole_way_of_a_binary_file(binary):
    assert cast.ask(cast.first_path(binary, XML)).status == 404
    assert cast.ask(cast.first_path(binary, NAME)).body[12:16] == b"\r\n\r\n"
    assert cast.proofs(binary)[:3] == ("fetched", True, False)
    assert cast.ask(cast.steady_path(binary, XML)).status == 404
    assert cast.ask(cast.steady_path(binary, f"{NAME}.BIN")).status == 200
    assert cast.proofs(binary)[:3] == ("applied", True, True)


def test_if_none_match_and_length_are_those_of_the_bytes_that_are_served(encrypted):
    file = cast.ask(cast.first_path(encrypted, XML))
    assert int(file.headers["content-length"]) == len(file.body)
    again = cast.ask(cast.first_path(encrypted, XML), **{"if-none-match": file.headers["etag"]})
    assert (again.status, again.body) == (304, b"")
    key = cast.ask(cast.first_path(encrypted, NAME))
    assert key.headers["etag"] != file.headers["etag"]


def test_no_key_stands_in_an_event_or_a_record(encrypted):
    cast.ask(cast.first_path(encrypted, NAME))
    key = values(bytes(encrypted.content))["xml_config_file_password"]
    told = [*LiveEvent.objects.values_list("text", flat=True), *Download.objects.values_list("name", flat=True)]
    assert told and not any(key in text for text in told)


@pytest.mark.parametrize("kind", ["binary", "xml"])
def test_an_automatic_notify_goes_on_with_the_file_only_after_a_key_that_needs_a_restart(encrypted, clock, kind):
    store.save(store.find("site", ""), {"file_bootstrap": kind}, by="tess")
    version = cast.save(encrypted.phone, cast.draft(display_name="Tess II")).config_file
    cast.delivered(version)
    cast.ask(cast.first_path(version, NAME))
    clock.forward(minutes=11)
    notify = cast.restarted(version)
    (row,) = outbox.read(type(notify).objects.filter(pk=notify.pk))
    assert (row.has_key is not None) == (kind == "xml")


def test_a_name_that_is_not_there_by_design_is_no_line_in_the_log(settings, caplog):
    """Phones ask for `cfg<mac>` first, at each start; whoever reads the log would take it for a fault."""
    caplog.set_level(logging.INFO)
    version = cast.applied(cast.assigned())
    caplog.clear()
    assert cast.ask(cast.steady_path(version, NAME)).status == 404
    assert "refused" not in caplog.text
    assert cast.ask(f"/p/{'A' * 22}/{NAME}").status == 404
    assert f"asked for {NAME}: refused" in caplog.text
