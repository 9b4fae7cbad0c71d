"""What the console says of phones in every state, and of work on many of them, can be translated."""

import json

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse
from django.utils import timezone

from devices.models import Extension, Phone
from provisioning import commands
from provisioning.importing.models import PhoneImport
from provisioning.models import Attempt, AttemptKind, ConfigFile, Notify, NotifyKind, NotifyState
from sipmcast.models import ListenerStatus
from tests import cast
from tests.console.conftest import signed_in, typed
from tests.console.test_translation import ADMIN_DATA, DATA, PHONE, pseudo, unsaid, world  # noqa: F401
from tests.support.translation import unmarked

pytestmark = pytest.mark.django_db
LIST = reverse("admin:devices_phone_changelist")


@pytest.fixture
def browser(administrator, world, pseudo):  # noqa: F811
    return signed_in(administrator)


def said(answer, data=DATA) -> list[str]:
    assert answer.status_code < 500
    return unmarked(answer.content.decode(), data)


# --- one phone, as the list, its page and its drawer show it -------------------------------------------------------

STATES = [
    {"stage": "seen"}, {"stage": "ignored"}, {"stage": "retired"}, {"stage": "notified"}, {"stage": "fetched"},
    {"stage": "seen", "model": "Otto"}, {"stage": "seen", "first_seen_at": None, "last_seen_at": None},
    {"stage": "assigned", "first_seen_at": None, "last_seen_at": None, "source_host": None},
    {"stage": "assigned", "stage_reason": "otto"}, {"alarm": "otto", "alarm_at": cast.NOON},
    {"model": "", "firmware": "", "vendor": "", "source_host": None}, {"neighbour": "mismatch"},
    {"neighbour": "match"}, {"neighbour": "mismatch", "source_host": None}, {"firmware": "1.0.0.1"},
    {"online": True, "online_at": cast.NOON, "rtt_ms": 0.3}, {"online": True, "online_at": cast.NOON, "rtt_ms": 7},
    {"online": False, "online_at": cast.NOON, "last_seen_at": cast.NOON}, {"model": "GXP1610", "listed_as": "GXP1628"},
]  # fmt: skip


@pytest.mark.parametrize("state", STATES, ids=str)
@pytest.mark.parametrize("address", ["/?stage={stage}", PHONE, PHONE + "assign/"])
def test_a_phone_in_any_state(browser, address, state):
    Phone.objects.update(**state)
    assert not said(browser.get(address.format(stage=Phone.objects.get().stage)))


@pytest.mark.parametrize("why", ["its configuration uses SIP over TCP", ""])
@pytest.mark.parametrize("online", [True, False, None])
@pytest.mark.parametrize("listener_runs", [True, False])
def test_whether_it_is_there(browser, settings, why, online, listener_runs):
    settings.GSPNP_OPTIONS_SECONDS = 0
    ConfigFile.objects.update(silent_because=why)
    Phone.objects.update(online=online, online_at=cast.NOON)
    if not listener_runs:
        ListenerStatus.objects.update(heartbeat_at=cast.NOON)
    assert not said(browser.get("/")) and not said(browser.get(PHONE))


@pytest.mark.parametrize("kind", [NotifyKind.PROFILE, NotifyKind.REBOOT])
@pytest.mark.parametrize("state", NotifyState.values)
@pytest.mark.parametrize("listener_runs", [True, False])
def test_what_it_was_told(browser, kind, state, listener_runs):
    phone, now = Phone.objects.get(), timezone.now()
    Notify.objects.all().delete()
    notify = commands.send(phone.pk, kind, "tess", cast.HOST)
    settled = {"settled_at": now, "first_sent_at": now, "challenged_at": now, "note": "otto"}
    rest = settled if state not in ("waiting", "sending") else {}
    status = {"refused": 401, "delivered": 200}.get(state)
    Notify.objects.filter(pk=notify.pk).update(state=state, status=status, reason="otto" if status else "", **rest)
    if not listener_runs:
        ListenerStatus.objects.update(heartbeat_at=cast.NOON)
    assert not said(browser.get("/")) and not said(browser.get(PHONE))


def test_what_it_asked_for_in_vain_and_that_it_was_told_nothing(browser):
    phone = Phone.objects.get()
    for kind in AttemptKind.values:
        Attempt.objects.create(phone=phone, kind=kind, name="otto", source_host=cast.HOST, count=2, at=cast.NOON)
    Notify.objects.all().delete()
    phone.downloads.all().delete()
    assert not said(browser.get(PHONE))


@pytest.mark.parametrize("wrong", [
    {"account-1-user_id": ""}, {"account-1-extension": "99", "account-1-password": ""}, {"version": "9"},
    {"key-mpk1-label": "Otto"}, {"key-line1-value": "1002"}, {"seen_host": cast.STRANGER},
])  # fmt: skip
def test_a_drawer_that_is_refused(browser, wrong):
    answer = browser.post(f"{PHONE}assign/", typed(Phone.objects.get()) | wrong)
    assert answer.status_code != 200
    assert not said(answer, (*DATA, r"^Account 1 needs .*$"))  # what is wrong with a value: not yet


# --- many phones -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["notify", "check", "resync", "reboot", "ignore", "heed", "forget"])
def test_the_questions_before_an_order(browser, kind):
    assert not said(browser.post(f"/orders/{kind}/", {"phones": json.dumps([[cast.MAC, cast.HOST]])}))
    assert not said(browser.post(f"/orders/{kind}/", {"phones": json.dumps([[cast.OTHER_MAC, cast.HOST]])}))


def test_the_form_for_many_phones(browser):
    chosen = {"phones": json.dumps([[cast.MAC, cast.HOST]])}
    assert not said(browser.post("/phones/edit/", chosen))
    assert not said(browser.post("/phones/edit/", chosen | {"do": "preview"}, follow=True))


@pytest.mark.parametrize("row", [
    f"{cast.OTHER_MAC},GXP1628,1009,otto,Otto,10.0.0.9", "otto,GXP1,1,,,",
    f"{cast.MAC},GXP1628,1001,otto,Otto,10.0.0.9",
])  # fmt: skip
def test_an_import(browser, row):
    table = f"mac,model,extension,password,name,sip_server\n{row}\n".encode()
    said_of = browser.post("/phones/import/", {"file": SimpleUploadedFile("otto.csv", table)}, follow=True)
    data = (*DATA, r"\bImport of otto\.csv\b", r"\.csv\b", r"\bMAC\b")  # the first is the title of its job
    assert not said(said_of, data)
    one = PhoneImport.objects.get()
    assert not said(browser.get("/phones/import/"), data)
    assert not said(browser.post(f"/phones/import/{one.pk}/apply/", {"pace": "7"}, follow=True), data)
    assert not said(browser.get(f"/phones/import/{one.pk}/"), data)
    asked = browser.post(f"/phones/import/{one.pk}/undo/", {"pace": "7"})
    assert not said(asked, data)
    for button in ("undo", "apply", "discard"):
        answer = browser.post(f"/phones/import/{one.pk}/{button}/", {"pace": "7", "sure": "yes"}, follow=True)
        assert not said(answer, data)


def test_a_swap(browser):
    other = cast.seen(cast.OTHER_MAC, "10.0.0.30")
    assert not said(browser.get(f"{PHONE}swap/"))
    assert not said(browser.get(f"{PHONE}swap/", {"new": other.mac}))
    assert not said(
        browser.get(f"{PHONE}swap/", {"new": "nonsense"}), (*DATA, r"^Character 1 is .*$")
    )  # of a MAC: not yet


def test_extensions(browser):
    one = Extension.objects.earliest("pk")
    assert not said(browser.post(f"/extensions/{one.pk}/delete/", {"version": one.version}))
    table = SimpleUploadedFile("otto.csv", b"extension,name,secret\n1001,Otto,otto\n1003,Otto,otto\n")
    assert not said(browser.post("/extensions/import/", {"file": table, "site": ""}))
    on = {"site": "", "first": "200", "last": "249", "sip_server": "10.0.0.9", "codecs": "", "on": "1"}
    assert not said(browser.post("/extensions/handout/", on, follow=True))


@pytest.mark.parametrize("fields", [{}, {"mac": "nonsense"}, {"mac": cast.MAC}, {"mac": cast.OTHER_MAC}])
def test_a_phone_that_is_added(browser, fields):
    answer = browser.post("/phones/add/", fields, headers={"X-Requested-With": "fetch"})
    if answer["content-type"].startswith("text/html"):
        assert not said(answer, (*DATA, r"^Character 1 is .*$"))  # of a MAC: not yet
    else:
        assert not unmarked(f"<p>{answer.json().get('message', '')}</p>", DATA)


# --- the administration ----------------------------------------------------------------------------------------------


def test_the_phones_of_the_administration(browser):
    assert not said(browser.get(LIST), ADMIN_DATA)


def test_the_form_of_a_phone_in_the_administration(browser):
    address = reverse("admin:devices_phone_change", args=[Phone.objects.get().pk])
    assert not said(browser.get(address), (*ADMIN_DATA, r"^\s*(?:line|mpk)\s*$"))
