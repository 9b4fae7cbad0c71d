"""Assigning by choosing from the directory: the look-up, whose secret is taken, and the warning about other phones."""

import io
import json

import pytest
from django.core.management import call_command

from devices import directory, inventory
from devices.choices import EventKind, Stage
from devices.directory import Entry
from devices.models import Account, Extension, LiveEvent, Phone
from tests import cast
from tests.console.conftest import person, signed_in, typed

pytestmark = pytest.mark.django_db
SECRET = "s3cr3t-of-the-directory"
ASSIGN = f"/phones/{cast.MAC}/assign/"


def find(client, **asked) -> dict:
    return client.get("/extensions/find/", asked).json()


def numbers(said: dict) -> list[str]:
    return [f"{one['site']}/{one['number']}" for one in said["found"]]


@pytest.fixture
def tess(db) -> Extension:
    entry = Entry("", "1001", "Tess Ünal", SECRET, "auth1", "172.18.0.10", "*98")
    return Extension.objects.get(pk=directory.add(entry))


# --- the look-up ----------------------------------------------------------------------------------------------------


@pytest.mark.db  # each database compares names in its own way
def test_what_is_typed_is_found_by_number_and_name_without_a_secret(viewer, tess):
    client = signed_in(viewer)
    for text in ("10", "1001", "tess", "ÜNAL", "unal", "Tèss", "u\u0308nal"):
        assert numbers(find(client, q=text)) == ["/1001"], text
    assert numbers(find(client, q="t%l")) == numbers(find(client, q="t_ss")) == []
    directory.add(Entry("", "1002", "Йосип GROẞ"))
    assert numbers(find(client, q="gross")) == numbers(find(client, q="йосип")) == ["/1002"]
    said = find(client, q="1001")
    assert SECRET not in json.dumps(said)
    assert said["found"][0] | {"id": 0} == {
        "id": 0, "number": "1001", "name": "Tess Ünal", "site": "", "auth_id": "auth1", "sip_server": "172.18.0.10",
        "voicemail": "*98", "has_secret": True, "phones": [],
    }  # fmt: skip


def test_the_phones_own_site_comes_first_then_the_number_itself(console):
    for site, number in (("", "100"), ("berlin", "2100"), ("berlin", "1001"), ("berlin", "100")):
        directory.add(Entry(site, number))
    inventory.move(cast.seen().pk, "berlin", "tess")
    assert numbers(find(console, q="100", mac=cast.MAC)) == ["berlin/100", "berlin/1001", "berlin/2100", "/100"]
    assert numbers(find(console, q="", mac=cast.MAC)) == ["berlin/100", "berlin/1001", "berlin/2100"]


def test_at_most_twenty_and_nothing_for_who_may_not_look(console, db):
    for number in range(1000, 1050):
        directory.add(Entry("", str(number)))
    assert len(find(console, q="10")["found"]) == 20
    assert signed_in(person("nobody")).get("/extensions/find/?q=10").status_code == 403
    assert console.get("/extensions/find/?q=%00&mac=nonsense&server=" + "x" * 999).status_code == 200


def test_another_phone_that_has_it_is_named_and_this_one_is_not(console, tess):
    cast.assigned()
    cast.save(cast.seen(cast.OTHER_MAC, "10.0.0.21"), cast.draft(sip_server="other.example"))
    said = find(console, q="1001", mac=cast.MAC, server="172.18.0.10")
    named = [{"mac": "00:0B:82:AA:AA:AA", "model": "GXP1628", "account": 1, "url": f"/phones/{cast.OTHER_MAC}/"}]
    assert said["held"] == named == said["found"][0]["phones"], "the same site makes it the same"
    inventory.move(Phone.objects.get(mac=cast.OTHER_MAC).pk, "berlin", "tess")
    assert find(console, q="1001", mac=cast.MAC, server="172.18.0.10")["held"] == []
    assert find(console, q="1001", mac=cast.MAC, server="OTHER.example")["held"] == named
    Phone.objects.filter(mac=cast.OTHER_MAC).update(stage=Stage.RETIRED)
    assert find(console, q="1001", mac=cast.MAC, server="other.example")["held"] == []


# --- the secret -----------------------------------------------------------------------------------------------------


def assign(client, **changes):
    phone = Phone.objects.get(mac=cast.MAC)
    return client.post(ASSIGN, typed(phone, **{name.replace("__", "-"): value for name, value in changes.items()}))


def chosen(one: Extension, **changes) -> dict:
    return {"account-1-password": "", "account-1-extension": str(one.pk)} | changes


def test_the_secret_is_taken_on_the_server(console, tess):
    cast.seen()
    assert SECRET not in console.get(ASSIGN).content.decode()
    answer = assign(console, **chosen(tess))
    assert answer.status_code == 200 and SECRET not in answer.content.decode()
    assert Account.objects.get().password == SECRET


def test_a_typed_password_wins(console, tess):
    cast.seen()
    assign(console, **chosen(tess, **{"account-1-password": "typed"}))
    assert Account.objects.get().password == "typed"


def test_a_number_that_was_changed_by_hand_takes_nobodys_secret(console, tess):
    cast.seen()
    answer = assign(console, **chosen(tess, **{"account-1-user_id": "1002"}))
    assert answer.status_code == 422 and "not in the directory any more" in answer.content.decode()
    assert not Account.objects.exists()


def test_an_extension_that_is_gone_is_said_beside_the_password(console, tess):
    cast.seen()
    fields = chosen(tess)
    directory.remove(tess.pk, 1)
    page = assign(console, **fields).content.decode()
    assert 'data-error-for="account-1-password"' in page


@pytest.mark.parametrize("made_up", ["x", "-1", "0", "9" * 30, "1; DROP"])
def test_a_made_up_id_is_as_good_as_none(console, made_up):
    cast.seen()
    assert assign(console, **{"account-1-extension": made_up}).status_code == 200
    assert Account.objects.get().password == "s3cr3t"


def test_a_secret_whose_key_is_lost_is_said_and_nothing_is_saved(console, tess, settings):
    cast.seen()
    settings.GSPNP_FIELD_KEYS = ["9pbTZ4oC7uKyoiX0sXRK6ipOqXz0Yy9IMmAVcP0VWZ0="]
    answer = assign(console, **chosen(tess))
    assert answer.status_code == 422 and "GSPNP_FIELD_KEYS" in answer.content.decode()


def test_a_form_that_comes_back_still_says_whose_secret_it_takes(console, tess):
    cast.seen()
    page = assign(console, **chosen(tess, **{"account-1-sip_server": "http://x"})).content.decode()
    assert f'name="account-1-extension" value="{tess.pk}"' in page and SECRET not in page


@pytest.mark.parametrize(
    ("site", "server", "typed_server", "beside", "words"),
    [
        ("berlin", "", "172.18.0.10", "account-1-password", "is for phones of site berlin"),
        ("berlin", "172.18.0.10", "172.18.0.10", "account-1-password", "Type the password, move the phone"),
        ("", "pbx.example", "evil.example", "account-1-sip_server", "for its SIP server pbx.example alone"),
        ("", "pbx.example", "", "account-1-sip_server", "Enter that one here"),
        ("hamburg", "pbx.example", "pbx.example:5061", "account-1-sip_server", "look at secrets"),
    ],
)
def test_a_secret_stays_with_its_site_and_its_server(console, site, server, typed_server, beside, words):
    one = Extension(pk=directory.add(Entry(site, "1001", "Boss", SECRET, sip_server=server)))
    inventory.move(cast.seen().pk, "hamburg", "tess")
    fields = chosen(one, **{"account-1-sip_server": typed_server})
    answer = assign(console, **fields)
    page = answer.content.decode()
    assert answer.status_code == 422 and f'data-error-for="{beside}"' in page and words in page
    assert SECRET not in page and not Account.objects.exists()
    assign(console, **fields | {"account-1-password": "typed", "account-1-sip_server": typed_server or "x.example"})
    assert Account.objects.get().password == "typed", "who knows the password may type it"


def test_who_may_look_at_secrets_may_give_any(db):
    one = Extension(pk=directory.add(Entry("berlin", "1001", "Boss", SECRET, sip_server="pbx.example")))
    cast.seen()
    may = signed_in(person("revealer", "view_phone", "change_phone", "reveal_secret"))
    assert assign(may, **chosen(one, **{"account-1-sip_server": "other.example"})).status_code == 200
    assert Account.objects.get().password == SECRET


@pytest.mark.parametrize(
    ("site", "server"), [("", ""), ("", "PBX.example"), ("hamburg", ""), ("hamburg", "pbx.Example")]
)
def test_the_secret_of_the_phones_site_or_of_none_is_taken_and_the_timeline_says_so(console, site, server):
    one = Extension(pk=directory.add(Entry(site, "1001", "Tess", SECRET, sip_server=server)))
    inventory.move(cast.seen().pk, "hamburg", "tess")
    assert assign(console, **chosen(one, **{"account-1-sip_server": "pbx.example"})).status_code == 200
    assert Account.objects.get().password == SECRET
    event = LiveEvent.objects.get(kind=EventKind.LOOKED)
    assert event.text == "The secret of extension 1001 was given to this phone by tess."
    assert event.phone == Phone.objects.get()


def test_a_typed_password_is_nobodys_of_the_directory(console, tess):
    cast.seen()
    assign(console, **chosen(tess, **{"account-1-password": "typed"}))
    assert not LiveEvent.objects.filter(kind=EventKind.LOOKED).exists()


def test_it_is_told_of_a_phone_that_was_not_heard_yet_too(console, tess):
    inventory.prestage(cast.MAC, "GXP1628", "", "tess")
    assign(console, **chosen(tess))
    assert LiveEvent.objects.filter(kind=EventKind.LOOKED, text__contains="extension 1001").count() == 1


# --- the warning ----------------------------------------------------------------------------------------------------


def test_a_save_says_that_another_phone_has_it_too_and_saves(console, listener):
    cast.save(cast.seen(cast.OTHER_MAC, "10.0.0.21"))
    cast.seen()
    words = assign(console).json()["message"]
    assert words.startswith("1001 · …3B:89: Saved.") and words.endswith(
        "Extension 1001 is on 00:0B:82:AA:AA:AA (GXP1628) too."
    )
    page = console.get(ASSIGN).content.decode()
    assert f'href="/phones/{cast.OTHER_MAC}/"' in page, "and so does the form"


def test_nobody_else_has_it_and_nothing_is_said(console):
    cast.seen()
    assert " too." not in assign(console).json()["message"]
    assert "Also on" not in console.get(ASSIGN).content.decode()


def test_the_command_says_it_on_stderr():
    cast.save(cast.seen(cast.OTHER_MAC, "10.0.0.21"))
    cast.seen()
    out, err = io.StringIO(), io.StringIO()
    call_command("assign", cast.MAC, "--user-id", "1001", "--sip-server", "172.18.0.10", stdout=out, stderr=err)
    assert "version 1 saved" in out.getvalue()
    assert err.getvalue().strip() == "Extension 1001 is on 00:0B:82:AA:AA:AA (GXP1628) too."
