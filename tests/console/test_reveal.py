"""Looking at a phone's password: who may, over which way, and that it is told and never logged."""

import logging
import re

import pytest
from django.test import Client

from devices.models import LiveEvent
from tests import cast
from tests.console.conftest import person, signed_in
from tests.console.test_layer_pages import file_of

pytestmark = pytest.mark.django_db
URL = f"/phones/{cast.MAC}/reveal/"
SCRIPT = {"X-Requested-With": "fetch"}
ADMIN = {"name": "admin_password"}


@pytest.fixture
def trusted(db) -> Client:
    """Somebody who may look at passwords."""
    return signed_in(person("tess", "view_phone", "reveal_secret"))


@pytest.fixture
def phone(db):
    return cast.assigned().phone


def looked() -> list[str]:
    return list(LiveEvent.objects.filter(kind="looked").values_list("text", flat=True))


def test_the_password_is_shown_and_the_timeline_says_who_looked(trusted, phone, caplog):
    caplog.set_level(logging.DEBUG)
    password = file_of(phone)["admin_password"]
    answer = trusted.post(URL, ADMIN, headers=SCRIPT)
    assert answer.json()["value"] == password
    assert looked() == ["tess looked at the admin password."]
    assert "no-store" in answer["Cache-Control"]
    assert password not in caplog.text
    assert "tess looked at the admin password." in trusted.get(f"/phones/{cast.MAC}/").content.decode()


def test_without_a_script_it_is_a_page_that_nothing_keeps(trusted, phone):
    answer = trusted.post(URL, {"name": "user_password"})
    assert file_of(phone)["user_password"] in answer.content.decode()
    assert "no-store" in answer["Cache-Control"]


def test_it_is_a_permission_of_its_own(console, viewer, phone):
    for client in (console, signed_in(viewer), signed_in(person("nobody"))):
        assert client.post(URL, ADMIN, headers=SCRIPT).status_code == 403
        assert client.get(URL).status_code == 405
    assert "needs the group <strong>Administrator</strong>" in console.post(URL, ADMIN).content.decode()
    assert "data-reveal" not in console.get(f"/phones/{cast.MAC}/settings/").content.decode()
    assert looked() == []


def test_over_plain_http_from_elsewhere_it_is_refused(trusted, phone, settings):
    settings.ALLOWED_HOSTS = ["*"]
    password = file_of(phone)["admin_password"]
    for headers in ({}, SCRIPT):
        answer = trusted.post(URL, ADMIN, headers=headers | {"host": "phones.example.net"})
        assert answer.status_code == 403 and password not in answer.content.decode()
        assert "GSPNP_CONSOLE_CERT" in answer.content.decode()
    assert looked() == []
    assert trusted.post(URL, ADMIN, headers=SCRIPT | {"host": "phones.example.net"}, secure=True).status_code == 200


@pytest.mark.parametrize("name", ["account1_auth_password", "config_server_path", "vlan_tag", "", "<b>"])
def test_other_secrets_stay_write_only(trusted, phone, name):
    answer = trusted.post(URL, {"name": name}, headers=SCRIPT)
    assert answer.status_code == 409 and "value" not in answer.json()
    assert looked() == []


def test_a_phone_without_a_file_has_nothing_to_show(trusted):
    cast.seen()
    assert "Assign it first" in trusted.post(URL, ADMIN, headers=SCRIPT).json()["message"]


def test_the_page_has_a_button_for_whom_it_is_for(trusted, phone):
    words = trusted.get(f"/phones/{cast.MAC}/settings/").content.decode()
    assert re.findall(r'data-reveal>.*?name="name" value="(\w+)"', words, re.DOTALL) == [
        "admin_password",
        "user_password",
    ]


def test_whoever_asks_from_elsewhere_cannot_say_by_its_host_header_that_it_is_here(trusted, phone):
    answer = trusted.post(URL, {"name": "admin_password"}, headers={"host": "127.0.0.1"}, REMOTE_ADDR="10.0.0.66")
    assert answer.status_code == 403
