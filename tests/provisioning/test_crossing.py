"""Phones move from plain HTTP to TLS on the same port: none is lost, and the old way closes behind each."""

from pathlib import Path

import pytest
from django.test import override_settings

from devices.certificates import Files
from provisioning import assignment, plan, stuck
from provisioning.layers import store
from provisioning.models import ConfigFile
from provisioning.phonebook import books
from provisioning.release import windows
from provisioning.rendering import texts_of
from tests import cast

pytestmark = [pytest.mark.django_db, pytest.mark.db, pytest.mark.usefixtures("clock")]

CERTIFICATE = Files("GSPNP_PHONES_CERT", "GSPNP_PHONES_KEY", Path("/door.pem"), Path("/door.key"))
PLAIN, SECURE = f"http://{cast.OURS}:5481", f"https://{cast.OURS}:5481"


@pytest.fixture
def plain_phone() -> ConfigFile:
    """One that was applied before there was TLS."""
    return cast.applied(cast.assigned())


@pytest.fixture
def tls():
    """From now on the door has a certificate."""
    with override_settings(PHONES_CERTIFICATE=CERTIFICATE):
        yield


def with_http(how: str):
    return override_settings(GSPNP_PHONES_HTTP=how)


def status(path: str, secure: bool, **asked) -> int:
    return cast.ask(path, secure=secure, **asked).status


def moved(version: ConfigFile) -> ConfigFile:
    """Tess saves the assignment again."""
    saved = cast.save(version.phone)
    assert saved.changed and saved.notify is not None
    return saved.config_file


def test_a_new_phone_is_told_https_everywhere(tls):
    books.switch("", True)
    version = cast.assigned()
    texts = texts_of(version)
    assert version.base_url == SECURE
    assert (texts["config_server_protocol"], texts["firmware_server_protocol"]) == ("2", "2")
    assert texts["phonebook_download_protocol"] == "3"
    assert texts["config_server_path"].startswith(f"{cast.OURS}:5481/p/")


def test_a_phone_whose_file_says_http_goes_on_until_it_has_the_one_that_says_https(plain_phone, tls):
    old = cast.steady_path(plain_phone)
    assert status(old, secure=False) == 200
    fresh = moved(plain_phone)
    assert fresh.base_url == SECURE
    assert cast.ask(old).body == bytes(fresh.content), "it takes the new file by the way that it knows"
    assert cast.stage(fresh) == "fetched"
    assert status(cast.steady_path(fresh), secure=True) == 200
    assert cast.stage(fresh) == "applied"
    assert status(old, secure=False) == status(old, secure=True) == 404, "and the old way is closed behind it"


def test_a_path_that_only_a_file_with_https_names_leads_nowhere_by_plain_http(tls):
    version = cast.assigned()
    cast.sent(version)
    nothing = cast.ask("/nothing")
    assert cast.ask(cast.first_path(version)) == nothing
    assert status(cast.first_path(version), secure=True) == 200
    assert cast.ask(cast.steady_path(version)) == nothing
    assert cast.stage(version) == "fetched"
    assert cast.proofs(version) == ("fetched", True, False, 1)


def test_what_is_owed_from_before_may_still_be_told_and_fetched(tls):
    with override_settings(PHONES_CERTIFICATE=None):
        version = cast.assigned()
    assert assignment.base_url_changed(cast.OURS, version.base_url) is None
    cast.sent(version)
    assert status(cast.first_path(version), secure=False) == 200


def test_when_nothing_secret_leaves_by_plain_http_any_more(plain_phone, tls):
    book = books.switch("", True)
    phonebook = f"/phonebook/{book.secret}/phonebook.xml"
    assert status(phonebook, secure=False) == 200
    with with_http("0"):
        assert cast.ask(cast.steady_path(plain_phone)) == cast.ask("/nothing") == cast.ask(phonebook)
        assert status(cast.steady_path(plain_phone), secure=True) == status(phonebook, secure=True) == 200
        assert assignment.base_url_changed(cast.OURS, plain_phone.base_url) == SECURE
        assert status("/healthz", secure=False) == 200


def test_what_only_leads_here_leaves_plainly_and_says_https(tls):
    name = f"/cfg{cast.OTHER_MAC.lower()}.xml"
    with with_http("0"):
        led = cast.ask(name, settings={"GSPNP_PLAIN_BOOTSTRAP": True})
    assert led.status == 200 and b"<P212>2</P212>" in led.body


def test_all_leaves_by_plain_http_if_the_operator_says_so(tls):
    version = cast.assigned()
    cast.sent(version)
    with with_http("1"):
        assert status(cast.first_path(version), secure=False) == 200


@pytest.mark.parametrize(("how", "expected"), [("moving", 200), ("0", 404)])
def test_a_released_file_leaves_plainly_while_phones_move(plain_phone, tls, how, expected):
    windows.open_release(plain_phone.phone_id, cast.HOST, by="tess")
    with with_http(how):
        assert status(f"/cfg{cast.MAC.lower()}.xml", secure=False) == expected


def test_a_proxy_that_is_trusted_has_done_the_tls(tls):
    version = cast.assigned()
    trusted = {"GSPNP_TRUSTED_PROXIES": ["10.0.0.5"]}
    cast.sent(version)
    path = cast.first_path(version)
    assert cast.ask(path, host="10.0.0.5", settings=trusted, x_forwarded_for=cast.HOST).status == 200
    assert cast.ask(path, x_forwarded_proto="https").status == 404, "anybody can write that"


def test_without_a_certificate_of_ours_nothing_changes(plain_phone):
    with override_settings(GSPNP_PUBLIC_URL="https://pnp.example"):
        fresh = moved(plain_phone)
        cast.sent(fresh)
        assert fresh.base_url == "https://pnp.example"
        assert status(cast.first_path(fresh), secure=False) == 200, "TLS ends at a proxy in front"
    assert plan.plainly("https://pnp.example") is None


def test_a_layer_keeps_phones_on_http_whose_firmware_speaks_another_tls(plain_phone, tls):
    store.save(store.find("model", "GXP1628"), {"file_transport": "http"}, by="tess")
    books.switch("", True)
    version = cast.save(plain_phone.phone, cast.draft(user_id="1009")).config_file
    texts = texts_of(version)
    assert version.base_url == PLAIN
    assert (texts["config_server_protocol"], texts["firmware_server_protocol"]) == ("1", "1")
    assert texts["phonebook_download_protocol"] == "1"
    assert assignment.base_url_changed(cast.OURS, version.base_url) is None
    cast.applied(version)
    assert status(cast.steady_path(version), secure=False) == 200
    assert status(cast.steady_path(version), secure=True) == 200


def test_taken_out_of_that_layer_it_moves(plain_phone, tls):
    store.save(store.find("model", "GXP1628"), {"file_transport": "http"}, by="tess")
    held = cast.applied(cast.save(plain_phone.phone, cast.draft(user_id="1009")).config_file)
    store.save(store.find("model", "GXP1628"), {"file_transport": "https"}, by="tess")
    assert moved(held).base_url == SECURE


def test_a_phone_that_stands_still_behind_tls_is_said_to_have_a_way_out(tls, clock):
    version = cast.assigned()
    cast.delivered(version)
    clock.forward(minutes=6)
    stuck.explain_all()
    reason = cast.reason(version)
    assert SECURE in reason and "set “How the phone fetches it” to HTTP for its model." in reason
