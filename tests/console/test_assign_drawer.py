"""The assignment drawer: what is typed is what is stored, and every problem stands beside its field."""

import re
from datetime import timedelta

import pytest
from django.utils import timezone

from devices import inventory
from devices.choices import Stage
from devices.models import Account, Key, Phone
from devices.trust import Verdict
from gspnp.console.forms import AssignForm
from provisioning.gxp.document import values
from provisioning.models import ConfigFile, Notify
from tests import cast
from tests.console.conftest import signed_in, typed

pytestmark = pytest.mark.django_db
WHO = "1001 · …3B:89: "  # whose save it was, where several are made one after the other
URL = f"/phones/{cast.MAC}/assign/"
ODD = " \u00dc\u6f22 \U0001f600 & < > \" ' ]]> {{x}} $1 "


def errors(answer) -> dict[str, str]:
    """Problems by field."""
    found = re.findall(r'data-error-for="([^"]+)">([^<]*)<', answer.content.decode())
    return {name: words.replace("&#x27;", "'") for name, words in found}


def problem(answer) -> str:
    found = re.search(r'data-testid="form-problem".*?<span class="gs-grow">(.*?)</span>', answer.content.decode(), re.S)
    return found[1] if found else ""


def stored_values() -> dict[str, str]:
    return values(ConfigFile.objects.latest("number").content)


def test_a_save_makes_account_keys_file_and_notify_and_says_what_happens(console, listener):
    phone = cast.seen()
    fields = typed(phone, **{
        "account-1-display_name": "Reception",
        "account-1-voicemail": "*97",
        "key-mpk1-mode": "blf", "key-mpk1-value": "1002", "key-mpk1-label": "Door",
        "key-line2-mode": "speed_dial", "key-line2-value": "0301234567",
    })  # fmt: skip
    answer = console.post(URL, fields)
    assert answer.status_code == 200
    assert answer.json()["message"].startswith(f"{WHO}Saved. The phone gets its NOTIFY now")
    account = Account.objects.get()
    assert (account.user_id, account.password, account.display_name) == ("1001", "s3cr3t", "Reception")
    assert {str(key) for key in Key.objects.all()} == {"mpk1: blf 1002", "line2: speed_dial 0301234567"}
    assert Notify.objects.get().state == "waiting"
    assert Phone.objects.get().stage == Stage.ASSIGNED
    assert Phone.objects.get().events.latest("id").text == "Assigned by tess."


def test_the_answer_says_when_the_listener_is_away(console):
    answer = console.post(URL, typed(cast.seen()))
    assert answer.json()["message"] == f"{WHO}Saved. Waiting for the listener, which is not running."


def test_of_a_phone_that_was_heard_long_ago_no_notify_is_promised(console, listener):
    phone = cast.seen()
    Phone.objects.update(subscribed_at=timezone.now() - timedelta(hours=1))
    answer = console.post(URL, typed(phone))
    assert answer.json()["message"].startswith(f"{WHO}Saved. It is a while since this phone was heard")


def test_any_unicode_and_markup_survives_to_the_stored_bytes(console):
    fields = typed(cast.seen(), **{
        "account-1-password": ODD, "account-1-display_name": ODD,
        "key-mpk3-mode": "blf", "key-mpk3-value": "1003", "key-mpk3-label": "<b>&amp;\u200f",
    })  # fmt: skip
    assert console.post(URL, fields).status_code == 200
    account = Account.objects.get()
    assert (account.password, account.display_name) == (ODD, ODD)
    written = stored_values()
    assert list(written.values()).count(ODD) >= 2
    assert "<b>&amp;\u200f" in written.values()


def test_a_label_that_turns_the_reading_direction_is_refused_beside_its_field(console):
    fields = typed(cast.seen(), **{
        "account-1-display_name": "Otto\u202e", "account-1-password": "se\u202ecret",
        "key-mpk3-mode": "blf", "key-mpk3-value": "1003", "key-mpk3-label": "\u2067Stock",
    })  # fmt: skip
    answer = console.post(URL, fields)
    errors = answer.context["form"]
    assert answer.status_code == 422
    assert list(errors.accounts[0].errors) == ["display_name"]
    assert "turns the reading direction (U+202E); remove it" in str(errors.accounts[0].errors)
    assert [key.slot.name for key in errors.keys if key.errors] == ["mpk3"]


@pytest.mark.parametrize("name", ["user_id", "password", "display_name", "sip_server", "auth_id", "voicemail"])
@pytest.mark.parametrize("sign", ["\0", "\t", "\x1f", "\x7f", "\u0085"])
@pytest.mark.parametrize("text", ["10{}01", "1001{}", "{}1001"])
def test_a_control_character_is_refused_wherever_it_stands(console, name, sign, text):
    answer = console.post(URL, typed(cast.seen(), **{f"account-1-{name}": text.format(sign)}))
    assert answer.status_code == 422
    assert f"U+{ord(sign):04X}" in errors(answer)[f"account-1-{name}"]
    assert not Account.objects.exists()


@pytest.mark.parametrize("name", ["value", "label"])
def test_a_control_character_in_a_key_is_refused(console, name):
    fields = {"key-mpk1-mode": "blf", "key-mpk1-value": "1", f"key-mpk1-{name}": "a\x07b"}
    answer = console.post(URL, typed(cast.seen(), **fields))
    assert "control character (U+0007)" in errors(answer)[f"key-mpk1-{name}"]


def test_every_problem_stands_beside_its_field_at_once(console):
    fields = typed(cast.seen(), **{
        "account-1-user_id": "", "account-1-sip_server": "http://pbx/", "account-1-codecs": [],
        "account-1-display_name": "x" * 129,
        "key-mpk2-mode": "speed_dial", "key-mpk4-label": "left over",
        "key-mpk5-mode": "blf", "key-mpk5-value": "7", "key-mpk5-account": "2",
    })  # fmt: skip
    answer = console.post(URL, fields)
    assert answer.status_code == 422
    found = errors(answer)
    assert "needs a user ID" in found["account-1-user_id"]
    assert "host" in found["account-1-sip_server"]
    assert "Choose at least one codec" in found["account-1-codecs"]
    assert "has 129 characters; shorten it to 128" in found["account-1-display_name"]
    assert "Speed dial needs the number to dial" in found["key-mpk2-value"]
    assert "Choose what key 4 does" in found["key-mpk4-mode"]
    assert "Account 2 is not filled in" in found["key-mpk5-account"]
    assert not ConfigFile.objects.exists()


@pytest.mark.parametrize(
    ("field", "value"), [("key-mpk1-mode", "line"), ("key-mpk1-account", "9"), ("account-1-codecs", ["G999"])]
)
def test_what_the_model_does_not_offer_is_refused(console, field, value):
    fields = {"key-mpk1-mode": "blf", "key-mpk1-value": "1"} | {field: value}
    answer = console.post(URL, typed(cast.seen(), **fields))
    assert answer.status_code == 422
    assert field in errors(answer)


def test_a_blank_password_keeps_the_stored_one_and_it_is_never_sent_back(console):
    console.post(URL, typed(cast.seen()))
    phone = Phone.objects.get()
    form = console.get(URL).content.decode()
    assert "s3cr3t" not in form
    assert "stored; blank keeps it" in form
    fields = typed(phone, **{"account-1-password": "", "account-1-display_name": "New"})
    assert console.post(URL, fields).status_code == 200
    assert Account.objects.get().password == "s3cr3t"


def test_the_stored_password_can_be_removed(console):
    console.post(URL, typed(cast.seen()))
    fields = typed(Phone.objects.get(), **{"account-1-password": "", "account-1-password_clear": "on"})
    assert console.post(URL, fields).status_code == 200
    assert Account.objects.get().password == ""


def test_a_refused_password_is_not_sent_back_either(console):
    answer = console.post(URL, typed(cast.seen(), **{"account-1-password": "canary\x01", "account-1-user_id": ""}))
    assert answer.status_code == 422
    assert "canary" not in answer.content.decode()


def test_a_second_account_counts_only_when_it_is_filled_in(console):
    fields = typed(cast.seen(), **{"account-2-sip_server": "172.18.0.10"})
    assert console.post(URL, fields).status_code == 200
    assert [account.number for account in Account.objects.all()] == [1]
    fields = typed(Phone.objects.get(), **{"account-2-sip_server": "172.18.0.10", "account-2-user_id": "2001"})
    assert console.post(URL, fields).status_code == 200
    assert [account.user_id for account in Account.objects.all()] == ["1001", "2001"]
    assert console.post(URL, typed(Phone.objects.get(), **{"account-1-password": ""})).status_code == 200
    assert [account.number for account in Account.objects.all()] == [1]


def test_codecs_keep_their_order(console):
    console.post(URL, typed(cast.seen(), **{"account-1-codecs": ["G722", "PCMA", "PCMU"]}))
    assert Account.objects.get().codecs == ["G722", "PCMA", "PCMU"]
    form = console.get(URL).content.decode()
    assert re.findall(r'data-codec="(\w+)"', form)[:3] == ["G722", "PCMA", "PCMU"]


def test_the_last_used_server_is_offered_for_the_next_phone(console):
    console.post(URL, typed(cast.seen(), **{"account-1-sip_server": "pbx.example.org:5080"}))
    other = cast.seen(cast.OTHER_MAC, "10.0.0.21")
    form = AssignForm(other, other.known_model)
    assert form.accounts[0]["sip_server"].value() == "pbx.example.org:5080"
    assert Account.objects.filter(phone=other).count() == 0


def test_the_same_save_again_changes_nothing_and_says_so(console, listener):
    phone = cast.seen()
    console.post(URL, typed(phone))
    again = typed(Phone.objects.get(), **{"account-1-password": ""})
    assert "notified again" in console.post(URL, again).json()["message"]
    cast.fetched(ConfigFile.objects.get())
    again = typed(Phone.objects.get(), **{"account-1-password": ""})
    said = console.post(URL, again).json()["message"]
    assert said == f"{WHO}Nothing has changed: the phone already has this configuration."
    assert ConfigFile.objects.count() == 1


def test_a_typed_password_is_not_said_to_be_the_stored_one(console, listener):
    """Neither by the words, nor by what can be taken back, nor by the words of that."""
    console.post(URL, typed(cast.seen()))
    said = []
    for guess in (cast.PASSWORD, "0000"):
        cast.fetched(ConfigFile.objects.latest("pk"))
        answer = console.post(URL, typed(Phone.objects.get(), **{"account-1-password": guess})).json()
        said.append((answer, console.post(f"{URL}undo/", {"seen_host": cast.HOST}).json()))
    assert said[0] == said[1]
    assert said[0][0]["undo"] and "Saved. The phone gets its NOTIFY now" in said[0][0]["message"]


def test_a_stale_version_is_refused_and_nothing_is_lost(console):
    phone = cast.seen()
    before = typed(phone, **{"account-1-display_name": "Mine"})
    console.post(URL, typed(phone, **{"account-1-display_name": "Theirs"}))
    answer = console.post(URL, before)
    assert answer.status_code == 422
    assert "saved by somebody else" in problem(answer)
    assert 'value="Mine"' in answer.content.decode()
    assert Account.objects.get().display_name == "Theirs"


def test_an_open_form_of_a_phone_that_is_put_elsewhere_says_so(console):
    phone = cast.seen()
    before = typed(phone)
    inventory.move(phone.pk, "berlin", "theo")
    asked = {"version": phone.version, "after": 0}
    assert console.get(f"{URL}news/", asked).json()["changed"]
    assert console.post(URL, before).status_code == 422
    assert not ConfigFile.objects.exists()


@pytest.mark.parametrize("version", ["", "x", "-1", "9" * 30])
def test_a_damaged_version_is_refused(console, version):
    assert console.post(URL, typed(cast.seen(), version=version)).status_code == 422
    assert not ConfigFile.objects.exists()


def test_a_moved_phone_is_shown_where_it_is_now_before_it_is_saved(console):
    phone = cast.seen()
    fields = typed(phone)
    cast.seen(host="10.0.0.77")
    answer = console.post(URL, fields)
    assert answer.status_code == 422
    assert "moved from 10.0.0.20 to 10.0.0.77" in problem(answer)
    assert 'name="seen_host" value="10.0.0.77"' in answer.content.decode()
    assert not Notify.objects.exists()
    assert console.post(URL, fields | {"seen_host": "10.0.0.77"}).status_code == 200


def test_a_model_that_we_do_not_know_has_words_instead_of_a_form(console):
    cast.seen(model="<script>alert(1)</script>")
    words = console.get(URL).content.decode()
    assert "cannot be configured" in words
    assert "account-1-user_id" not in words
    assert console.post(URL, {}).status_code == 200
    assert not ConfigFile.objects.exists()


@pytest.mark.parametrize(("model", "accounts", "mpks"), [("GXP1610", 1, 0), ("GXP1628", 2, 8), ("GXP1630", 3, 8)])
def test_the_form_has_what_the_model_has(console, model, accounts, mpks):
    cast.seen(model=model)
    words = console.get(URL).content.decode()
    assert len(set(re.findall(r'name="account-(\d)-user_id"', words))) == accounts
    assert len(set(re.findall(r'name="key-mpk(\d)-mode"', words))) == mpks


def test_a_viewer_may_not_open_it(viewer):
    cast.seen()
    assert signed_in(viewer).get(URL, headers={"X-Requested-With": "fetch"}).status_code == 403
    assert signed_in(viewer).post(URL, {}, headers={"X-Requested-With": "fetch"}).status_code == 403


def test_a_lost_key_is_said_and_nothing_breaks(console, settings):
    console.post(URL, typed(cast.seen()))
    settings.GSPNP_FIELD_KEYS = ["b3RoZXIga2V5OiAzMiBieXRlcyBvZiBhIGtleS4uLi4="]
    answer = console.get(URL)
    assert answer.status_code == 200
    assert "GSPNP_FIELD_KEYS" in answer.content.decode()
    assert console.get(f"/phones/{cast.MAC}/").status_code == 200


@pytest.mark.parametrize(("verdict", "warned"), [(v, v is Verdict.MISMATCH) for v in Verdict])
def test_an_address_that_is_another_devices_is_warned_of_before_the_save(console, verdict, warned):
    cast.seen(host="10.0.0.9")
    with cast.neighbours_say(verdict):
        words = console.get(URL).content.decode()
    assert ("shows another device's MAC at 10.0.0.9. Save only if you are sure" in words) == warned


def test_where_the_table_knows_phones_a_save_to_another_devices_address_sends_nothing_and_says_so(console):
    cast.seen(host="10.0.0.9")
    with cast.neighbours_say(Verdict.MISMATCH, knows_phones=True):
        assert "A save sends nothing there." in console.get(URL).content.decode()
