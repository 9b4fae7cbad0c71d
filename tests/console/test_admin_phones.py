"""The admin: every change of a phone is an assignment, so a file and a NOTIFY follow; bulk work goes phone by phone."""

import json
import re

import pytest
from django.contrib.messages import get_messages
from django.db import OperationalError, connection
from django.urls import reverse

from devices.choices import Stage
from devices.models import Account, Key, LiveEvent, Phone
from gspnp.console.admin import bulk as bulk_module
from gspnp.console.admin import inlines
from provisioning.jobs import runner
from provisioning.models import ConfigFile, Job, Notify
from tests import cast
from tests.console.conftest import person, signed_in

pytestmark = pytest.mark.django_db
LIST = "/admin/devices/phone/"


@pytest.fixture
def admin_browser(administrator):
    return signed_in(administrator)


def url(phone: Phone) -> str:
    return reverse("admin:devices_phone_change", args=[phone.pk])


def form_of(phone: Phone, accounts: list[dict], keys: list[dict]) -> dict:
    """The change form as a browser posts it; rows with an `id` are there already."""
    fields = {"seen_version": phone.version, "seen_host": phone.source_host}
    for prefix, rows in (("accounts", accounts), ("keys", keys)):
        fields |= {
            f"{prefix}-TOTAL_FORMS": len(rows),
            f"{prefix}-INITIAL_FORMS": sum("id" in row for row in rows),
            f"{prefix}-MIN_NUM_FORMS": 0,
            f"{prefix}-MAX_NUM_FORMS": 10,
        }
        for at, row in enumerate(rows):
            fields |= {f"{prefix}-{at}-{name}": value for name, value in ({"phone": phone.pk} | row).items()}
    return fields


def account_row(**changes) -> dict:
    row = {
        "number": 1,
        "user_id": "1001",
        "new_password": "s3cr3t",
        "display_name": "Tess",
        "sip_server": "172.18.0.10",
    }
    return row | {"auth_id": "", "voicemail": "", "codecs": "PCMA, G722"} | changes


def stored_row(account: Account, **changes) -> dict:
    return account_row(id=account.pk, new_password="") | changes


def key_row(**changes) -> dict:
    return {"kind": "mpk", "number": 1, "mode": "blf", "value": "1002", "label": "Door", "account": 1} | changes


def words_of(answer) -> list[str]:
    return [str(message) for message in get_messages(answer.wsgi_request)]


def problems(answer) -> str:
    return re.sub(r"<[^>]+>|\s+", " ", answer.content.decode())


def test_saving_the_form_makes_a_file_and_a_notify(admin_browser):
    phone = cast.seen()
    answer = admin_browser.post(url(phone), form_of(phone, [account_row()], [key_row()]))
    assert answer.status_code == 302
    account = Account.objects.get()
    assert (account.user_id, account.password, account.codecs) == ("1001", "s3cr3t", ["PCMA", "G722"])
    assert str(Key.objects.get()) == "mpk1: blf 1002"
    assert ConfigFile.objects.count() == Notify.objects.filter(state="waiting").count() == 1
    assert Phone.objects.get().stage == Stage.ASSIGNED
    assert LiveEvent.objects.latest("id").text == "Assigned by root."
    assert any(words.startswith("Saved.") for words in words_of(answer))


def test_a_blank_password_keeps_the_stored_one(admin_browser):
    version = cast.assigned()
    account = Account.objects.get()
    admin_browser.post(url(version.phone), form_of(cast.now(version).phone, [stored_row(account, user_id="1009")], []))
    changed = Account.objects.get()
    assert (changed.user_id, changed.password) == ("1009", cast.PASSWORD)
    assert ConfigFile.objects.count() == 2


def test_the_words_of_a_save_do_not_tell_whether_a_password_is_right(listener):
    phone = cast.assigned().phone
    tess = signed_in(person("technician", "view_phone", "change_phone", is_staff=True))
    said = []
    for password in ("", cast.PASSWORD, "0000"):  # the first makes the rest of the form what is stored
        row = stored_row(Account.objects.get(), new_password=password)
        answer = tess.post(url(phone), form_of(Phone.objects.get(), [row], []))
        said.append(words_of(answer)[-2])  # the last is Django's own
    assert Account.objects.get().password == "0000"
    assert said[1] == said[2]


def test_a_deleted_account_is_a_draft_without_it(admin_browser):
    phone = cast.seen()
    cast.save(phone, cast.plan.Draft((cast.account(1), cast.account(2))))
    first, second = Account.objects.order_by("number")
    rows = [stored_row(first), stored_row(second, number=2, user_id="1002", DELETE="on")]
    assert admin_browser.post(url(phone), form_of(Phone.objects.get(), rows, [])).status_code == 302
    assert [account.number for account in Account.objects.all()] == [1]
    assert Account.objects.get().password == cast.PASSWORD


def test_problems_stand_in_the_form_and_nothing_is_written(admin_browser):
    phone = cast.seen()
    rows = [account_row(user_id="", sip_server="http://x/", codecs="PCMU, G999")]
    answer = admin_browser.post(url(phone), form_of(phone, rows, [key_row(value=""), key_row(number=2, account=2)]))
    assert answer.status_code == 200
    said = problems(answer)
    for words in (
        "needs a user ID",
        "enter only host",
        "Codec 2 is not known",
        "BLF needs the extension",
        "Account 2 is not",
    ):
        assert words in said
    assert not Account.objects.exists()
    assert not ConfigFile.objects.exists()
    assert Phone.objects.get().version == 0


@pytest.mark.parametrize("name", ["user_id", "new_password", "display_name", "voicemail"])
def test_a_control_character_is_refused_here_too(admin_browser, name):
    phone = cast.seen()
    answer = admin_browser.post(url(phone), form_of(phone, [account_row(**{name: "a\x07b"})], []))
    assert "control character (U+0007)" in problems(answer)
    assert not Account.objects.exists()


def test_a_key_that_the_model_has_not_is_refused(admin_browser):
    phone = cast.seen(model="GXP1610")
    answer = admin_browser.post(url(phone), form_of(phone, [account_row()], [key_row()]))
    assert "no MPK keys" in problems(answer)
    phone = cast.seen(cast.OTHER_MAC, "10.0.0.30")
    answer = admin_browser.post(url(phone), form_of(phone, [account_row()], [key_row(), key_row()]))
    assert "given twice" in problems(answer)


def test_a_stale_form_and_a_moved_phone_are_refused(admin_browser):
    phone = cast.seen()
    before = form_of(phone, [account_row()], [])
    cast.save(phone)
    assert "saved by somebody else" in problems(admin_browser.post(url(phone), before))
    other = cast.seen(cast.OTHER_MAC, "10.0.0.30")
    before = form_of(other, [account_row()], [])
    cast.seen(cast.OTHER_MAC, "10.0.0.31")
    assert "moved from 10.0.0.30 to 10.0.0.31" in problems(admin_browser.post(url(other), before))


def bulk(browser, action: str, phones: list[Phone], value: str | None = None, seen: list | None = None):
    fields = {"action": action, "_selected_action": [phone.pk for phone in phones]}
    if value is not None:
        rows = [[phone.pk, phone.version, phone.source_host] for phone in phones]
        fields |= {"apply": "1", "value": value, "seen": json.dumps(seen or rows)}
    return browser.post(LIST, fields)


@pytest.fixture
def two(db) -> list[Phone]:
    cast.assigned("000B82000001", "10.0.0.21")
    cast.assigned("000B82000002", "10.0.0.22")
    return list(Phone.objects.order_by("mac"))


def test_the_sip_server_of_many_phones_is_set_with_a_file_and_a_notify_each(admin_browser, two):
    page = bulk(admin_browser, "set_sip_server", two)
    assert page.status_code == 200
    assert "10.0.0.22" in page.content.decode()
    answer = bulk(admin_browser, "set_sip_server", two, "pbx.example.org")
    assert words_of(answer) == ["Phones saved and notified: 2."]
    assert {account.sip_server for account in Account.objects.all()} == {"pbx.example.org"}
    assert {account.password for account in Account.objects.all()} == {cast.PASSWORD}
    assert ConfigFile.objects.count() == 4
    assert Notify.objects.filter(state="waiting", config_file__number=2).count() == 2
    again = bulk(admin_browser, "set_sip_server", list(Phone.objects.order_by("mac")), "pbx.example.org")
    assert words_of(again)[-1] == "Phones that had it already: 2."


def test_the_codecs_of_many_phones_are_set_in_order(admin_browser, two):
    bulk(admin_browser, "set_codecs", two, "g722, PCMA")
    assert [account.codecs for account in Account.objects.all()] == [["G722", "PCMA"]] * 2


def test_what_fails_is_listed_by_phone_and_field_and_the_rest_go_on(admin_browser, two):
    bare = cast.seen("000B82000003", "10.0.0.23")
    rows = [[two[0].pk, 0, two[0].source_host], [two[1].pk, 1, two[1].source_host], [bare.pk, 0, bare.source_host]]
    answer = bulk(admin_browser, "set_sip_server", [*two, bare], "pbx.example.org", rows)
    said = words_of(answer)
    assert said[0] == "Phones saved and notified: 1."
    assert any("00:0B:82:00:00:01: This phone was saved by somebody else" in words for words in said)
    assert any("00:0B:82:00:00:03: It has no account yet" in words for words in said)


def test_what_fails_alike_is_said_once(admin_browser, db):
    bare = [cast.seen(f"000B820000{number:02}", f"10.0.0.{number}") for number in range(10, 22)]
    (said,) = words_of(bulk(admin_browser, "set_sip_server", bare, "pbx.example.org"))
    assert said.startswith("12 phones: It has no account yet. Assign it first. (00:0B:82:00:00:10, 00:0B:82:00:00:11,")
    assert said.endswith("00:0B:82:00:00:19, …)")


@pytest.mark.parametrize(
    ("action", "value", "words"),
    [
        ("set_sip_server", "no server", "The SIP server"),
        ("set_sip_server", "", "enter host or host:port"),
        ("set_codecs", "PCMU, nonsense", "Codec 2 is not known"),
        ("set_codecs", "PCMU, PCMU", "PCMU is chosen twice"),
        ("set_codecs", "", "Choose at least one codec."),
    ],
)
def test_a_value_that_no_phone_could_use_is_refused_once_in_the_form(admin_browser, two, action, value, words):
    page = bulk(admin_browser, action, two, value)
    html = page.content.decode()
    assert page.status_code == 200 and html.count(words) == 1
    assert html.count('role="alert"') == 1
    assert ConfigFile.objects.count() == 2


def test_the_history_of_a_phone_is_its_page(admin_browser, two):
    answer = admin_browser.get(f"/admin/devices/phone/{two[0].pk}/history/")
    assert answer["Location"] == "/phones/000B82000001/"


def test_a_control_character_in_a_bulk_value_is_refused(admin_browser, two):
    page = bulk(admin_browser, "set_sip_server", two, "pbx\x07")
    assert "control character" in page.content.decode()
    assert ConfigFile.objects.count() == 2


def test_a_tampered_page_changes_nothing(admin_browser, two):
    for seen in ([["x"]], [[float("inf"), 1, "10.0.0.21"]], [[10**30, 1, "10.0.0.21"]]):
        bulk(admin_browser, "set_sip_server", two, "pbx.example.org", seen)
    assert ConfigFile.objects.count() == 2


def failing_for(phone: Phone, error: Exception, then=bulk_module.save):
    """`save`, and for one phone only this error."""

    def instead(one, *args, **options):
        if one.pk == phone.pk:
            raise error
        return then(one, *args, **options)

    return instead


def test_a_busy_database_fails_one_phone_and_the_rest_go_on(admin_browser, two, monkeypatch):
    monkeypatch.setattr(bulk_module, "save", failing_for(two[0], OperationalError("database is locked")))
    said = words_of(bulk(admin_browser, "set_sip_server", two, "pbx.example.org"))
    assert said[0] == "Phones saved and notified: 1."
    assert "00:0B:82:00:00:01: The database refused (database is locked)." in said[1]
    assert Account.objects.get(phone=two[1]).sip_server == "pbx.example.org"


def test_each_phone_is_fetched_when_its_turn_comes(two):
    gone = cast.inventory.forget(two[1].pk, "tess") and two[1].pk
    assert bulk_module.for_each([two[0].pk, gone], lambda phone: "seen").done == {"seen": 1}


@pytest.mark.parametrize("kind", ["notify", "check", "resync", "ignore"])
def test_what_many_phones_are_to_do_is_ordered_with_the_addresses_of_the_list(admin_browser, two, kind):
    (said,) = words_of(bulk(admin_browser, kind, two))
    job = Job.objects.get(kind=kind)
    assert f'href="/jobs/{job.pk}/"' in said and f"Job {job.pk} shows how far it has come." in said
    assert list(job.targets.values_list("phone", "host")) == [(one.pk, one.source_host) for one in two]
    (refused,) = words_of(bulk(admin_browser, kind, two))[1:]
    assert "waits for this already" in refused


def test_to_notify_all_confirms_the_address_of_nobody_who_was_not_shown(admin_browser):
    for number in range(60):
        cast.assigned(f"000B820000{number:02X}", f"10.0.1.{number + 1}")
    Phone.objects.update(approved_host=None)
    before = set(Notify.objects.values_list("pk", flat=True))
    chosen = {"action": "notify", "select_across": "1", "index": "0", "_selected_action": [Phone.objects.first().pk]}
    said = words_of(admin_browser.post(LIST, chosen))
    assert "No address is confirmed by this." in said[0]
    runner.run.call(Job.objects.get(kind="notify").pk)
    assert not Phone.objects.exclude(approved_host=None).exists()
    assert Notify.objects.exclude(pk__in=before).exists()


def test_deleting_is_forgetting_with_its_event(admin_browser, two):
    page = bulk(admin_browser, "delete_selected", two[:1])
    assert "its accounts, keys, files" in page.content.decode()
    admin_browser.post(LIST, {"action": "delete_selected", "_selected_action": [two[0].pk], "post": "yes"})
    admin_browser.post(reverse("admin:devices_phone_delete", args=[two[1].pk]), {"post": "yes"})
    assert not Phone.objects.exists()
    assert LiveEvent.objects.filter(kind="forgotten", text="Forgotten by root.").count() == 2


def test_phones_cannot_be_added_by_hand_and_parts_only_in_their_phone(admin_browser, two):
    assert admin_browser.get(f"{LIST}add/").status_code == 403
    account = Account.objects.first()
    answer = admin_browser.get(reverse("admin:devices_account_change", args=[account.pk]))
    assert answer["Location"] == url(account.phone)
    assert (
        admin_browser.post(reverse("admin:devices_account_delete", args=[account.pk]), {"post": "yes"}).status_code
        == 403
    )


@pytest.mark.parametrize(("query", "found"), [("00-0b-82-00-00-02", 1), ("1001", 2), ("10.0.0.21", 1), ("zzz", 0)])
def test_the_list_finds_phones_in_any_spelling(admin_browser, two, query, found):
    words = admin_browser.get(LIST, {"q": query}).content.decode()
    assert sum(mac in words for mac in ("00:0B:82:00:00:01", "00:0B:82:00:00:02")) == found


def test_who_may_only_look_changes_nothing(two):
    browser = signed_in(person("looker", "view_phone", "view_account", "view_key", is_staff=True))
    assert browser.get(url(two[0])).status_code == 200
    assert browser.post(url(two[0]), form_of(two[0], [account_row()], [])).status_code == 403
    bulk(browser, "set_sip_server", two, "pbx.example.org")
    bulk(browser, "ignore", two)
    assert ConfigFile.objects.count() == 2
    assert not Phone.objects.filter(stage=Stage.IGNORED).exists()


@pytest.mark.parametrize(
    "more", [(), ("view_account", "view_key"), ("change_key",), ("view_account",), ("add_account", "change_account")]
)
def test_who_may_change_the_phone_may_change_its_parts(more):
    phone = cast.seen()
    browser = signed_in(person("changer", "view_phone", "change_phone", *more, is_staff=True))
    page = browser.get(url(phone))
    assert page.status_code == 200
    assert "accounts-TOTAL_FORMS" in page.content.decode()
    answer = browser.post(url(phone), form_of(phone, [account_row()], [key_row()]))
    assert answer.status_code == 302
    account = Account.objects.get()
    assert (account.user_id, account.password) == ("1001", "s3cr3t")
    phone.refresh_from_db()
    answer = browser.post(url(phone), form_of(phone, [stored_row(account, DELETE="on")], []))
    assert answer.status_code in (200, 302)


@pytest.mark.parametrize("more", [("change_key",), ("change_account", "add_account"), ("view_key", "delete_account")])
def test_who_may_change_only_parts_changes_nothing(two, more):
    browser = signed_in(person("looker", "view_phone", *more, is_staff=True))
    page = browser.get(url(two[0]))
    assert page.status_code == 200
    assert cast.PASSWORD not in page.content.decode()
    assert browser.post(url(two[0]), form_of(two[0], [account_row()], [])).status_code == 403
    assert ConfigFile.objects.count() == 2


@pytest.mark.django_db(transaction=True)
def test_the_lock_is_held_for_the_save_only(admin_browser, monkeypatch):
    phone = cast.seen()
    inside = []

    def watched(*args, **options):
        inside.append(connection.in_atomic_block)
        return bulk_module.save(*args, **options)

    monkeypatch.setattr(inlines, "save", watched)
    assert admin_browser.post(url(phone), form_of(phone, [account_row()], [])).status_code == 302
    assert inside == [False]
    assert ConfigFile.objects.count() == 1


def test_a_part_that_is_none_is_not_found(admin_browser):
    for part in ("0", "abc", "9" * 5000):
        assert admin_browser.get(f"/admin/devices/account/{part}/change/").status_code == 404
