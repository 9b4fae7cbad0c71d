"""Whoever may not look at passwords cannot try them either: a right guess and a wrong one leave the same behind."""

import re

import pytest

from devices.models import Account, LiveEvent, Phone
from provisioning.models import ConfigFile, Notify, SettingsLayer
from tests import cast
from tests.console.conftest import person, signed_in, typed
from tests.console.test_admin_phones import form_of, stored_row, url, words_of
from tests.console.test_layer_pages import fields, posted

pytestmark = pytest.mark.django_db
BASE = f"/phones/{cast.MAC}/"
LAYER_SECRET = "Hush1canary"


def in_the_drawer(browser, guess: str):
    answer = browser.post(f"{BASE}assign/", typed(Phone.objects.get(), **{"account-1-password": guess}))
    return answer.json()


def undone(browser, guess: str):
    return in_the_drawer(browser, guess), browser.post(f"{BASE}undo/", {"seen_host": cast.HOST}).json()


def taken_back_by_the_history(browser, guess: str):
    said = in_the_drawer(browser, guess)
    asked = {"version": Phone.objects.get().version, "seen_host": cast.HOST, "sure": "yes"}
    return said, words_of(browser.post(f"{BASE}history/1/back/", asked))


def in_the_admin(browser, guess: str):
    phone = Phone.objects.get()
    # What else the form says is stored already: it is the guess alone that may make a difference.
    browser.post(url(phone), form_of(phone, [stored_row(Account.objects.get())], []))
    phone.refresh_from_db()
    row = stored_row(Account.objects.get(), new_password=guess)
    return [words for words in words_of(browser.post(url(phone), form_of(phone, [row], []))) if "changed" not in words]


def in_its_own_settings(browser, guess: str):
    own = f"{BASE}settings/"
    assert browser.post(own, posted(browser.get(own), "save", ldap_password=LAYER_SECRET)).status_code == 302
    answer = browser.post(own, posted(browser.get(own), "save", ldap_password=guess))
    assert answer.status_code == 302
    _phone, _, seen = fields(browser.get(own))["seen"].partition(".")
    return words_of(answer), seen


def marks(browser) -> dict[str, str]:
    return browser.get(f"{BASE}assign/").context["password_marks"]


def traces(browser, said) -> list:
    """All that this person can find out afterwards."""
    history = [browser.get(f"{BASE}history/", {"before": 1, "after": to}).content.decode() for to in (2, 3)]
    configuration = browser.get(BASE).content.decode().partition('data-testid="configuration"')[2]
    versions = list(SettingsLayer.objects.values_list("version", flat=True)), Phone.objects.get().version
    events = list(LiveEvent.objects.order_by("pk").values_list("kind", "stage", "text"))
    files = list(ConfigFile.objects.order_by("pk").values_list("number", "why", "saved_by"))
    owed = list(Notify.objects.order_by("pk").values_list("state", "origin"))
    shown = [re.findall(r'data-change="\w+"', words) for words in (*history, configuration.partition("</section>")[0])]
    return [said, shown, marks(browser), versions, events, files, owed]


DOORS = [in_the_drawer, undone, taken_back_by_the_history, in_the_admin, in_its_own_settings]


@pytest.mark.parametrize(
    ("door", "is_heard"), [(door, True) for door in DOORS] + [(door, False) for door in (in_the_drawer, undone)]
)
def test_a_right_guess_leaves_what_a_wrong_one_leaves(console, listener, door, is_heard):
    found = []
    for guess in (None, "Wrong1guess"):
        guess = guess or (LAYER_SECRET if door is in_its_own_settings else cast.PASSWORD)
        if is_heard:
            cast.applied(cast.save(cast.seen()).config_file)
        else:
            cast.save(cast.inventory.prestage(cast.MAC, "GXP1628", "", "tess"))
        before = marks(console)
        found.append(traces(console, door(console, guess)))
        assert door is in_its_own_settings or marks(console) != before
        Phone.objects.all().delete()
        LiveEvent.objects.all().delete()
    assert found[0] == found[1]


def test_whoever_may_look_at_passwords_is_told_that_nothing_has_changed(listener):
    chief = signed_in(person("chief", "view_phone", "change_phone", "reveal_secret", is_staff=True))
    cast.seen()
    in_the_drawer(chief, cast.PASSWORD)
    cast.fetched(ConfigFile.objects.latest("pk"))
    assert "Nothing has changed" in in_the_drawer(chief, cast.PASSWORD)["message"]
    assert ConfigFile.objects.count() == 1
