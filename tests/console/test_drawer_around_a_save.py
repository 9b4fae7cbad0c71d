"""Around a save: the way back from it, the next new phone, who else saved, and what hostile texts do to the drawing."""

from datetime import timedelta

import pytest
from django.contrib.sessions.models import Session
from django.utils import timezone

from devices import inventory
from devices.catalog import MODELS, find_model, slots
from devices.choices import Stage
from devices.models import Account, Key, Phone
from gspnp.console.faces import face_of
from provisioning import swapping
from provisioning.models import ConfigFile, Notify
from tests import cast
from tests.console.conftest import person, signed_in, typed

pytestmark = pytest.mark.django_db
URL = f"/phones/{cast.MAC}/assign/"


@pytest.fixture
def maria(db):
    return signed_in(person("maria", "view_phone", "change_phone"))


def save(browser, mac: str = cast.MAC, **changes) -> dict:
    answer = browser.post(f"/phones/{mac}/assign/", typed(Phone.objects.get(mac=mac), **changes))
    assert answer.status_code == 200
    return answer.json()


def undo(browser, host: str = cast.HOST):
    return browser.post(f"{URL}undo/", {"seen_host": host})


def news(browser, version: int, after: int = 0) -> dict:
    return browser.get(f"{URL}news/", {"version": version, "after": after}).json()


# --- the way back ---------------------------------------------------------------------------------------------------


def test_a_save_is_taken_back_with_its_password_codecs_and_keys(console, listener):
    cast.seen()
    save(console, **{
        "account-1-codecs": ["G722", "PCMA"], "account-1-voicemail": "*97", "account-1-auth_id": "a1",
        "key-mpk2-mode": "blf", "key-mpk2-value": "1002", "key-mpk2-label": "Reception",
    })  # fmt: skip
    before = ConfigFile.objects.get()
    said = save(console, **{"account-1-password": "other", "account-1-display_name": "Wrong"})
    assert said["undo"] is True
    answer = undo(console)
    assert answer.status_code == 200
    assert answer.json()["message"].startswith("1001 · …3B:89: Taken back. The phone gets its NOTIFY now")
    account = Account.objects.get()
    assert (account.password, account.display_name, account.auth_id) == ("s3cr3t", "", "a1")
    assert (account.codecs, account.voicemail) == (["G722", "PCMA"], "*97")
    assert [str(key) for key in Key.objects.all()] == ["mpk2: blf 1002"]
    assert ConfigFile.objects.latest("number").number == before.number + 2
    assert Notify.objects.filter(state="waiting").get().config_file.number == before.number + 2


def test_a_first_assignment_or_a_save_that_changed_nothing_offers_no_way_back(console):
    cast.seen()
    assert save(console)["undo"] is False
    assert save(console, **{"account-1-password": ""})["undo"] is False
    assert undo(console).status_code == 409


def test_a_replaced_phone_does_not_get_back_what_its_successor_has(console):
    """It was retired before the save: there is no assignment of before that it could simply have again."""
    old = cast.assigned().phone
    swapping.swap(Phone.objects.get(pk=old.pk), cast.seen(cast.OTHER_MAC, "10.0.0.9"), by="t", seen_host="10.0.0.9")
    other = {"account-1-user_id": "2002", "account-1-password": "other"}
    assert save(console, **other)["undo"] is False
    assert undo(console).status_code == 409
    assert [one.user_id for one in Account.objects.order_by("phone__mac")] == ["2002", "1001"]


def test_what_somebody_saved_since_is_not_taken_back(console, maria):
    cast.seen()
    save(console)
    save(console, **{"account-1-display_name": "Mine"})
    save(maria, **{"account-1-display_name": "Hers"})
    answer = undo(console)
    assert answer.status_code == 409
    assert "saved again since then, so nothing was taken back" in answer.json()["message"]
    assert Account.objects.get().display_name == "Hers"


def test_a_phone_that_was_forgotten_and_assigned_anew_gets_nothing_back(console):
    """The versions of the new row begin anew, and come to the same number."""
    cast.seen()
    save(console)
    save(console, **{"account-1-display_name": "Wrong"})
    before = Phone.objects.get()
    inventory.forget(before.pk, "maria")
    again = cast.seen()
    for name in ("Ada", "Grace"):
        cast.save(Phone.objects.get(pk=again.pk), cast.draft(display_name=name))
    assert Phone.objects.get().version == before.version
    assert undo(console).status_code == 409
    assert Account.objects.get().display_name == "Grace"


def test_nobody_takes_back_somebody_elses_save_or_an_old_one_or_one_at_another_address(console, maria):
    cast.seen()
    save(console)
    save(console, **{"account-1-display_name": "Mine"})
    assert undo(maria).status_code == 409
    assert "has moved" in undo(console, "10.0.0.99").json()["message"]
    with cast.stopped_clock(timezone.now() + timedelta(minutes=16)):
        assert "history has the way" in undo(console).json()["message"]
    assert "taken_back" not in console.session, "what cannot be taken back is not kept"
    assert undo(console).status_code == 409, "once"


def test_what_is_kept_for_the_way_back_holds_no_password_in_the_clear(console):
    cast.seen()
    save(console, **{"account-1-password": "canary-7"})
    answer = console.post(URL, typed(Phone.objects.get(), **{"account-1-display_name": "New"}))
    assert b"canary" not in answer.content
    kept = Session.objects.get().get_decoded()["taken_back"]
    assert kept["mac"] == cast.MAC
    assert "canary" not in str(kept)


def test_a_viewer_may_neither_take_back_nor_ask(viewer):
    cast.seen()
    browser = signed_in(viewer)
    fetch = {"X-Requested-With": "fetch"}
    assert browser.post(f"{URL}undo/", headers=fetch).status_code == 403
    assert browser.get(f"{URL}news/", headers=fetch).status_code == 403


# --- the next new phone ---------------------------------------------------------------------------------------------


def arrived(minute: int, **changes) -> str:
    mac = f"000B820001{minute:02X}"
    phone = cast.seen(mac, f"10.0.1.{minute}", **changes)
    Phone.objects.filter(pk=phone.pk).update(first_seen_at=cast.NOON + timedelta(minutes=minute))
    return mac


def test_the_next_new_phone_is_the_one_that_arrived_next_and_after_the_newest_the_oldest(console):
    macs = [arrived(minute) for minute in range(1, 5)]
    Phone.objects.filter(mac=macs[2]).update(stage=Stage.IGNORED)
    arrived(5, model="HT801")
    order = [save(console, mac, then="next")["next"] for mac in (macs[1], macs[3], macs[0])]
    assert [one and one["mac"] for one in order] == [macs[3], macs[0], None]
    assert order[0]["url"] == f"/phones/{macs[3]}/assign/"


def test_nothing_is_said_of_a_next_phone_to_who_did_not_ask(console):
    arrived(1)
    cast.seen()
    assert "next" not in save(console)


# --- who else saved -------------------------------------------------------------------------------------------------


def test_an_open_form_is_told_who_saved_the_phone(console, maria):
    cast.seen()
    save(console)
    shown = console.get(URL).context
    assert news(console, shown["version"], shown["events"]) == {"changed": False, "stage": "assigned"}
    save(maria, **{"account-1-display_name": "Hers"})
    assert news(console, shown["version"], shown["events"]) == {"changed": True, "by": "maria", "stage": "assigned"}
    after = console.get(URL).context["events"]
    assert news(console, shown["version"], after)["by"] == "", "an older save says nothing of this one"
    assert console.get(f"{URL}news/", {"version": "x"}).status_code == 400


def test_a_changed_password_shows_by_its_mark_and_the_mark_says_nothing_else(console, maria):
    cast.seen()
    save(console)
    first = console.get(URL)
    save(maria, **{"account-1-password": "other"})
    second = console.get(URL)
    assert first.context["password_marks"]["1"] != second.context["password_marks"]["1"]
    assert b"other" not in second.content
    save(maria, **{"account-1-password": ""} | {"account-1-display_name": "x"})
    assert console.get(URL).context["password_marks"] == second.context["password_marks"]


def test_whoever_assigns_a_phone_without_a_password_changed_no_password(console):
    cast.seen()
    before = console.get(URL).context["password_marks"]
    save(console, **{"account-1-password": ""})
    assert Account.objects.get().password == ""
    assert console.get(URL).context["password_marks"] == before


# --- the drawing ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", MODELS)
def test_each_model_is_drawn_with_all_its_keys_and_none_covers_another(name):
    model = find_model(name)
    face = face_of(model)
    assert [cap.slot for cap in face.caps] == list(slots(model))
    for cap in face.caps:
        for box in (cap.hit, cap.body, cap.label):
            assert box.x >= 0 and box.right <= face.size.width
            assert box.y >= 0 and box.bottom <= face.size.height
        assert cap.fit > 60
    boxes = [cap.hit for cap in face.caps]
    for at, one in enumerate(boxes):
        for other in boxes[at + 1 :]:
            aside = one.right <= other.x + 0.01 or other.right <= one.x + 0.01
            assert aside or one.bottom <= other.y + 0.01 or other.bottom <= one.y + 0.01


@pytest.mark.parametrize("name", MODELS)
def test_each_key_of_the_drawing_has_its_editor_and_its_fields(console, name):
    cast.seen(model=name)
    words = console.get(URL).content.decode()
    for slot in slots(find_model(name)):
        assert f'data-cap="{slot.name}"' in words
        assert f'id="editor-{slot.name}"' in words
        for part in ("mode", "value", "label", "account"):
            assert words.count(f'name="key-{slot.name}-{part}"') == 1


def test_the_drawings_numbers_are_numbers_in_every_language(console, settings):
    cast.seen()
    settings.LANGUAGE_CODE, settings.USE_THOUSAND_SEPARATOR = "de", True
    words = console.get(URL).content.decode()
    drawing = words[words.index("<svg") : words.index("</svg>")]
    assert 'viewBox="0 0 470 350"' in drawing
    assert not [part for part in drawing.split('"') if part.replace(",", "").isdigit() and "," in part]


def test_64_emoji_as_a_label_are_refused_with_words_and_32_are_kept(console):
    cast.seen()
    key = {"key-mpk1-mode": "blf", "key-mpk1-value": "1002"}
    answer = console.post(URL, typed(Phone.objects.get(), **key, **{"key-mpk1-label": "\U0001f600" * 64}))
    assert answer.status_code == 422
    words = answer.content.decode()
    assert "has 64 characters; shorten it to 32" in words
    assert "\U0001f600" * 64 in words, "what was typed is still there"
    save(console, **key, **{"key-mpk1-label": "\U0001f600" * 32})
    assert Key.objects.get().label == "\U0001f600" * 32


def test_a_label_or_a_layer_that_is_markup_stays_text(console):
    cast.seen(model="<img src=x onerror=alert(1)>")
    assert "<img src=x" not in console.get(URL).content.decode()
    cast.seen(cast.OTHER_MAC, "10.0.0.30")
    url = f"/phones/{cast.OTHER_MAC}/assign/"
    label = '"><img src=x onerror=1>'
    fields = {"key-mpk1-mode": "blf", "key-mpk1-value": "1002", "key-mpk1-label": label}
    assert console.post(url, typed(Phone.objects.get(mac=cast.OTHER_MAC), **fields)).status_code == 200
    assert "<img" not in console.get(url).content.decode()


@pytest.mark.parametrize("what", ["late", "forgotten"])
def test_what_was_before_is_not_kept_longer_than_it_can_be_taken_back(console, what):
    phone = cast.seen()
    save(console)
    save(console, **{"account-1-display_name": "Mine"})
    assert "taken_back" in console.session
    if what == "forgotten":
        inventory.forget(phone.pk, "maria")
    with cast.stopped_clock(timezone.now() + timedelta(minutes=16 if what == "late" else 0)):
        console.get("/")
    assert "taken_back" not in console.session
