"""A phone's tab "History": versions, what differs between two, and the way back in one click."""

import re

import pytest

from devices.models import Phone
from provisioning.models import ConfigFile
from tests import cast
from tests.console.conftest import person, signed_in
from tests.console.test_layer_pages import file_of

pytestmark = pytest.mark.django_db
URL = f"/phones/{cast.MAC}/history/"


@pytest.fixture
def phone(db) -> Phone:
    """Two versions: the first one was applied."""
    version = cast.applied(cast.assigned())
    return cast.save(version.phone, cast.draft(display_name="Otto", password="another-canary")).config_file.phone


def changes(answer) -> dict[str, tuple[str, ...]]:
    found = re.findall(r'<tr data-change="(\w+)">(.*?)</tr>', answer.content.decode(), re.DOTALL)
    return {name: tuple(re.findall(r'<td data-label="\w+">([^<]*)</td>', cells)) for name, cells in found}


def back(client, phone: Phone, number: int, **changes):
    phone.refresh_from_db()
    seen = {"version": phone.version, "seen_host": phone.source_host, "sure": "yes"} | changes
    return client.post(f"{URL}{number}/back/", seen, follow=True)


def test_the_versions_are_listed_with_who_when_why_and_whether_applied(console, phone):
    lines = re.findall(r'<tr data-version="(\d)">(.*?)</tr>', console.get(URL).content.decode(), re.DOTALL)
    texts = {number: re.sub(r"<[^>]+>|\s+", " ", cells) for number, cells in lines}
    assert list(texts) == ["2", "1"]
    assert "current" in texts["2"] and "not applied" in texts["2"] and "tess" in texts["2"] and "Saved." in texts["2"]
    assert "current" not in texts["1"] and "not applied" not in texts["1"] and "applied" in texts["1"]


def test_two_versions_are_compared_by_name_with_secrets_masked(console, phone):
    answer = console.get(URL, {"before": 1, "after": 2})
    assert changes(answer)["account1_display_name"] == ("Tess", "Otto")
    assert "account1_auth_password" not in changes(answer), "it would tell that a guess was wrong"
    chief = signed_in(person("chief", "view_phone", "reveal_secret"))
    assert changes(chief.get(URL, {"before": 1, "after": 2}))["account1_auth_password"] == ("********", "********")
    assert "config_server_path" not in changes(answer), "it is another one in every version"
    for secret in (cast.PASSWORD, "another-canary"):
        assert secret not in answer.content.decode()
    assert changes(console.get(URL, {"before": 2, "after": 1}))["account1_display_name"] == ("Otto", "Tess")


@pytest.mark.parametrize("numbers", [{"before": 1, "after": 9}, {"before": "x", "after": "²"}, {"before": 1}])
def test_a_version_that_is_not_there_breaks_nothing(console, phone, numbers):
    answer = console.get(URL, numbers)
    assert answer.status_code in (200, 422) and not changes(answer)


def test_one_click_goes_back_and_says_what_happened(console, phone):
    answer = back(console, phone, 1)
    assert "Version 3 says what version 1 said." in answer.content.decode()
    texts = file_of(phone)
    assert (texts["account1_display_name"], texts["account1_auth_password"]) == ("Tess", cast.PASSWORD)
    newest = ConfigFile.objects.latest("number")
    assert (newest.number, newest.saved_by, newest.why) == (3, "tess", "Back to version 1.")
    assert cast.owed(phone.pk).config_file_id == newest.pk


def test_who_is_not_sure_yet_is_asked(console, phone):
    asked = back(console, phone, 1, sure="").content.decode()
    assert "Go back to version 1?" in asked
    assert ConfigFile.objects.count() == 2
    hidden = dict(re.findall(r'<input type="hidden" name="(version|seen_host|sure)" value="([^"]*)"', asked))
    console.post(f"{URL}1/back/", hidden)
    assert ConfigFile.objects.latest("number").why == "Back to version 1."


def test_nobody_goes_back_from_a_page_that_is_old(console, phone):
    assert "saved by somebody else" in back(console, phone, 1, version=1).content.decode()
    assert "has moved" in back(console, phone, 1, seen_host=cast.STRANGER).content.decode()
    assert "none any more" in back(console, phone, 9).content.decode()
    assert ConfigFile.objects.count() == 2


def test_who_may_only_look_cannot_go_back(viewer, phone):
    looking = signed_in(viewer)
    assert "Go back" not in looking.get(URL).content.decode()
    assert looking.post(f"{URL}1/back/", {}).status_code == 403
    assert signed_in(viewer).get(f"{URL}1/back/").status_code == 405


def test_a_phone_without_a_version_has_an_empty_history(console):
    cast.seen()
    assert "Saving an assignment makes the first one" in console.get(URL).content.decode()


def test_one_version_alone_is_not_offered_for_comparison(console):
    phone = cast.assigned().phone
    assert 'data-testid="compare"' not in console.get(f"/phones/{cast.MAC}/history/").content.decode()
    cast.save(phone, cast.draft(cast.blf("mpk1", "1002", "Reception")))
    assert 'data-testid="compare"' in console.get(f"/phones/{cast.MAC}/history/").content.decode()
