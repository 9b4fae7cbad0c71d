"""Commands from the console and the admin: who may send them, where they go, and that only what was seen is said."""

import json
import re
from datetime import timedelta

import pytest
from django.contrib.messages import constants, get_messages
from django.utils import timezone

from devices import inventory
from devices.choices import Stage
from devices.models import LiveEvent, Phone
from gspnp.console import actions
from gspnp.console.actions import ASKED
from provisioning import commands
from provisioning.jobs import runner
from provisioning.models import ConfigFile, Job, JobTarget, Notify, NotifyKind
from tests import cast
from tests.console.conftest import person, signed_in
from tests.console.test_admin_phones import LIST
from tests.console.test_phone_list import row

pytestmark = pytest.mark.django_db
URL = f"/phones/{cast.MAC}/"
KINDS = {"check": NotifyKind.CHECK_SYNC, "resync": NotifyKind.RESYNC, "reboot": NotifyKind.REBOOT}
HOSTILE = "<script>alert(1)</script>"
HERE = {"host": cast.HOST}


def command(version: ConfigFile, kind: NotifyKind) -> Notify:
    """A command that has left."""
    notify = commands.send(version.phone_id, kind, "tess", cast.HOST)
    assert cast.claim(notify, cast.opening(f"command-{notify.pk}"))
    return Notify.objects.get(pk=notify.pk)


def owed_commands() -> list[str]:
    return list(Notify.objects.exclude(kind=NotifyKind.PROFILE).order_by("id").values_list("kind", flat=True))


def told(answer) -> str:
    """The block "last command", as text."""
    found = re.search(r'data-testid="told".*?</div>', answer.content.decode(), re.DOTALL)
    return re.sub(r"<[^>]+>|\s+", " ", found[0]) if found else ""


def steps(answer) -> dict[str, bool]:
    """The last command's steps, and which were seen."""
    found = re.findall(r'<li class="([^"]*)" data-step="([^"]+)"', answer.content.decode())
    return {name: "gs-done" in classes for classes, name in found}


# --- sending ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("action", KINDS)
def test_a_command_is_owed_and_nobody_says_that_it_worked(console, listener, action):
    cast.applied(cast.assigned())
    answer = console.post(f"{URL}{action}/", HERE)
    assert (answer.status_code, answer.json()["message"]) == (200, ASKED)
    assert owed_commands() == [KINDS[action]]
    assert LiveEvent.objects.filter(kind="notify", text__contains="asked for by tess").exists()


@pytest.mark.parametrize("action", ["notify", "reboot", "accept"])
def test_a_phone_that_is_forgotten_at_this_moment_is_said_to_be(console, listener, monkeypatch, action):
    cast.assigned()
    seen = actions.get_object_or_404

    def forgotten(*arguments, **how):
        phone = seen(*arguments, **how)
        inventory.forget(phone.pk, "maria")
        return phone

    monkeypatch.setattr(actions, "get_object_or_404", forgotten)
    answer = console.post(f"{URL}{action}/", HERE)
    assert answer.status_code == 409 and "was forgotten in the meantime" in answer.json()["message"]


def test_while_no_listener_runs_a_command_is_said_to_wait(console):
    cast.applied(cast.assigned())
    assert "not running" in console.post(f"{URL}reboot/", HERE).json()["message"]
    assert "waits for the listener" in row(console.get("/"), cast.MAC)
    assert "Waiting for the listener, which is not running." in told(console.get(URL))


@pytest.mark.parametrize("action", KINDS)
def test_a_phone_without_a_configuration_of_ours_is_told_nothing(console, listener, action):
    cast.seen()
    answer = console.post(f"{URL}{action}/", HERE)
    assert answer.status_code == 409
    assert "Assign it first" in answer.json()["message"]
    assert owed_commands() == []
    assert 'data-testid="commands"' not in console.get(URL).content.decode()


@pytest.mark.parametrize("shown", [cast.STRANGER, "", "x"])
def test_a_command_goes_to_the_address_that_was_shown_or_nowhere(console, listener, shown):
    cast.applied(cast.assigned())
    answer = console.post(f"{URL}reboot/", {"host": shown})
    assert answer.status_code == 409
    assert f"now at {cast.HOST}" in answer.json()["message"]
    assert owed_commands() == []


def test_commands_need_the_permission_to_change_a_phone_and_a_post(console, viewer):
    cast.applied(cast.assigned())
    browser = signed_in(viewer)
    for action in KINDS:
        assert browser.post(f"{URL}{action}/", HERE, headers={"X-Requested-With": "fetch"}).status_code == 403
        assert console.get(f"{URL}{action}/").status_code == 405
        assert f'data-do="{action}"' not in browser.get(URL).content.decode()
        assert f'data-do="{action}"' not in browser.get("/").content.decode()
    assert owed_commands() == []


# --- what is shown of it --------------------------------------------------------------------------------------------


def test_a_waiting_restart_does_not_read_as_an_owed_configuration(console, listener):
    version = cast.assigned()
    cast.delivered(version)
    Phone.objects.update(stage=Stage.ASSIGNED)
    commands.send(version.phone_id, NotifyKind.REBOOT, "tess", cast.HOST)
    shown = row(console.get("/"), cast.MAC)
    assert "Its NOTIFY is about to be sent." not in shown
    assert "Restart: about to be sent" in shown


def test_an_answered_command_does_not_count_as_an_answer_to_our_configuration(console):
    version = cast.assigned()
    settle = command(version, NotifyKind.CHECK_SYNC)
    cast.answered(settle, 200, "OK")
    notified = re.search(r"<b>Notified</b>.*?</li>", console.get(URL).content.decode(), re.DOTALL)[0]
    assert "not yet" in notified


def test_each_step_is_shown_when_it_was_seen_and_not_before(console, listener):
    version = cast.applied(cast.assigned())
    assert "Nothing has been asked of it by hand" in console.get(URL).content.decode()
    notify = command(version, NotifyKind.REBOOT)
    way = {"sent": True, "answered": False, "started up": False, "fetched": False, "applied": False}
    assert steps(console.get(URL)) == way
    Notify.objects.update(challenged_at=timezone.now())
    cast.answered(notify, 200, "OK")
    way = {"sent": True, "challenged": True, "answered": True, "started up": False, "fetched": False, "applied": False}
    assert steps(console.get(URL)) == way
    assert "it agreed and is not back yet" in row(console.get("/"), cast.MAC)
    cast.restarted(version)
    assert steps(console.get(URL))["started up"] is True
    assert "data-command" not in row(console.get("/"), cast.MAC)
    cast.download(cast.steady_path(version))
    assert steps(console.get(f"{URL}live/")) == dict.fromkeys(way, True)


def test_a_refusal_is_told_in_words_and_marked_for_a_while(console, listener):
    notify = command(cast.applied(cast.assigned()), NotifyKind.CHECK_SYNC)
    cast.answered(notify, 403, f"{HOSTILE} & so on")
    for page in ("/", URL):
        words = console.get(page).content.decode()
        assert HOSTILE not in words
        assert "403 &lt;script&gt;" in words
    assert "Refused by the phone" in told(console.get(URL))
    assert "data-command" in row(console.get("/"), cast.MAC)
    Notify.objects.update(settled_at=timezone.now() - timedelta(hours=2))
    assert "data-command" not in row(console.get("/"), cast.MAC)
    assert "Refused by the phone" in told(console.get(URL)), "the phone's page remembers"


def test_a_password_that_was_not_told_is_no_refusal_of_the_phone(console, listener):
    notify = command(cast.applied(cast.assigned()), NotifyKind.REBOOT)
    cast.answered(notify, 401, "Unauthorized")
    assert "Not carried out: it asked for a password." in told(console.get(URL))
    assert "Restart: not carried out, it asked for a password" in row(console.get("/"), cast.MAC)


def test_silence_is_told_and_what_can_come_no_more_is_not_awaited(console, listener):
    notify = command(cast.applied(cast.assigned()), NotifyKind.RESYNC)
    cast.settling.unanswered(notify.pk)
    assert "Load the configuration again: not answered" in row(console.get("/"), cast.MAC)
    assert "Not answered in 32 s" in told(console.get(URL))
    assert "not yet" not in told(console.get(URL))


def test_a_lost_answer_of_a_phone_that_fetched_is_no_failure_in_the_list(console, listener):
    version = cast.applied(cast.assigned())
    notify = command(version, NotifyKind.RESYNC)
    cast.download(cast.steady_path(version))
    cast.settling.unanswered(notify.pk)
    assert "data-command" not in row(console.get("/"), cast.MAC)
    assert steps(console.get(URL))["fetched"] is True


def test_notify_again_is_a_command_of_a_person_and_a_save_is_none(console, listener):
    cast.applied(cast.assigned())
    assert told(console.get(URL)) == ""
    assert console.post(f"{URL}notify/", HERE).json()["message"] == ASKED
    assert "Notify again" in told(console.get(URL))


def test_every_notify_says_its_kind(console, administrator):
    version = cast.applied(cast.assigned())
    cast.answered(command(version, NotifyKind.REBOOT), 200, "OK")
    words = console.get(URL).content.decode()
    assert "Restart · Answered 2xx: 200 OK" in words
    assert "Configuration · Answered 2xx: 200 OK" in words
    listed = signed_in(administrator).get("/admin/provisioning/notify/?kind__exact=reboot").content.decode()
    assert ">Restart<" in re.sub(r"\s*([<>])\s*", r"\1", listed)


# --- many phones ----------------------------------------------------------------------------------------------------


@pytest.fixture
def two(db) -> list[Phone]:
    for mac, host in (("000B82000001", "10.0.0.21"), ("000B82000002", "10.0.0.22")):
        cast.assigned(mac, host)
    return list(Phone.objects.order_by("mac"))


def bulk(browser, action: str, phones: list[Phone], **more):
    return browser.post(LIST, {"action": action, "_selected_action": [phone.pk for phone in phones]} | more)


def carried_out(kind: str) -> Job:
    job = Job.objects.get(kind=kind)
    runner.run.call(job.pk)
    return job


def seen(phones: list[Phone]) -> str:
    return json.dumps([[phone.pk, phone.version, phone.source_host] for phone in phones])


def messages_of(answer) -> list[tuple[int, str]]:
    return [(one.level, str(one)) for one in get_messages(answer.wsgi_request)]


def test_many_phones_are_asked_by_a_job_and_failures_are_listed(administrator, two):
    bare = cast.seen("000B82000003", "10.0.0.23")
    said = messages_of(bulk(signed_in(administrator), "check", [*two, bare]))
    assert [level for level, _ in said] == [constants.INFO], "to have asked is no success"
    job = carried_out("check")
    assert owed_commands() == [NotifyKind.CHECK_SYNC] * 2
    assert "Assign it first" in job.failures.get(phone=bare).message


def test_many_phones_are_restarted_only_after_a_question(administrator, two):
    browser = signed_in(administrator)
    page = bulk(browser, "reboot", two).content.decode()
    assert "a call on it may be cut off" in page
    assert "10.0.0.22" in page
    assert not Job.objects.filter(kind="reboot").exists()
    Phone.objects.filter(pk=two[0].pk).update(source_host=cast.STRANGER)
    bulk(browser, "reboot", two[:1], apply="1", seen=seen(two))
    job = carried_out("reboot")
    assert f"now it is at {cast.STRANGER}" in job.failures.get().message
    assert Notify.objects.get(kind=NotifyKind.REBOOT).phone == two[1]


@pytest.mark.parametrize("rows", ["", "x", "[]", f"[[{10**30}, 1, null]]", "[[-1, 1, null]]", '[[1, 1, "x"]]'])
def test_a_tampered_question_restarts_nothing(administrator, two, rows):
    assert bulk(signed_in(administrator), "reboot", two, apply="1", seen=rows).status_code == 302
    assert not JobTarget.objects.exists()


def test_who_may_only_look_restarts_nothing(two):
    browser = signed_in(person("looker", "view_phone", is_staff=True))
    for action in KINDS:
        bulk(browser, action, two, apply="1", seen=seen(two))
    assert not Job.objects.filter(kind__in=KINDS).exists()


@pytest.mark.parametrize("value", ["http://pbx/", "", "a b", "[::1", "pbx:99999"])
def test_a_sip_server_that_no_phone_could_use_is_refused_in_the_form(administrator, two, value):
    page = bulk(signed_in(administrator), "set_sip_server", two, apply="1", value=value, seen=seen(two))
    assert page.status_code == 200
    assert 'role="alert"' in page.content.decode()
    assert ConfigFile.objects.count() == 2
