"""What the console says of the login by which a phone fetches its file."""

import pytest

from devices import alarms
from devices.choices import AlarmKind
from provisioning import attempts
from provisioning.layers import store
from tests import cast

pytestmark = pytest.mark.django_db
PAGE = f"/phones/{cast.MAC}/"


def test_a_phone_with_a_login_says_of_which_kind_and_not_which(console, settings):
    settings.GSPNP_PHONE_LOGIN = "digest"
    version = cast.applied(cast.assigned())
    page = console.get(PAGE).content.decode()
    assert "it logs in (HTTP Digest)" in page
    assert version.login_secret not in page
    file = console.get(f"{PAGE}settings/").content.decode()
    assert "its login at this server" in file and version.login_secret not in file


def test_one_without_says_nothing(console):
    cast.applied(cast.assigned())
    assert "it logs in" not in console.get(PAGE).content.decode()


def test_a_wrong_login_stands_in_its_history(console, settings):
    settings.GSPNP_PHONE_LOGIN = "basic"
    version = cast.fetched(cast.assigned())
    cast.ask(cast.steady_path(version), authorization="Basic eDp5")
    attempts.flush()
    page = console.get(PAGE).content.decode()
    assert "Asked with a wrong login" in page
    assert "with a wrong login, from 10.0.0.20: refused." in page


def test_the_alarm_says_what_to_do(console):
    alarms.raise_alarm(AlarmKind.LOGINS, cast.STRANGER, mac=cast.MAC, count=10)
    alarms.raise_alarm(AlarmKind.LOGINS, alarms.SEVERAL, count=30)
    page = console.get("/alarms/").content.decode()
    assert "10.0.0.99 asked for the file of 00:0B:82:27:3B:89 with a wrong login, 10 times" in page
    assert "More than one address asked for the files of phones with wrong logins, 30 times" in page


def test_the_switch_is_found_where_the_file_is_and_by_its_words(console):
    page = console.get("/settings/layer/?level=site&name=").content.decode()
    assert "Phones log in to fetch their file" in page
    store.save(store.find("site", ""), {"phone_login": "digest"}, by="tess")
    page = console.get("/settings/layer/?level=site&name=").content.decode()
    assert "a login by HTTP Digest" in page
    assert "phone_login" in console.get("/settings/opinions/?site=").content.decode()
