"""Signing in: wrong passwords lock, sessions end, a new password ends the others; and what a page may do."""

import io
import json
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from axes.models import AccessAttempt
from django.contrib.auth.models import Group, User
from django.contrib.sessions.models import Session
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client
from django.utils import timezone

from gspnp.console import lockout, roles, sessions
from gspnp.console.models import Change
from tests.console.conftest import person

pytestmark = pytest.mark.django_db
PASSWORD = "correct-horse-1"  # noqa: S105
LOGIN = "/admin/login/"


@pytest.fixture
def tess(technician) -> User:
    technician.set_password(PASSWORD)
    technician.save()
    return technician


def browser(host: str = "10.0.0.7", **headers: str) -> Client:
    return Client(headers={"host": "localhost"} | headers, REMOTE_ADDR=host)


def enter(client: Client, password: str, name: str = "tess"):
    return client.post(LOGIN, {"username": name, "password": password})


def locks(client: Client, name: str = "tess") -> bool:
    return [enter(client, f"wrong-{n}", name).status_code for n in range(5)] == [200] * 4 + [429]


def test_five_wrong_passwords_lock_the_name_from_that_address_also_for_the_right_one(tess):
    assert locks(browser())
    answer = enter(browser(), PASSWORD)
    assert answer.status_code == 429
    assert 0 < int(answer["Retry-After"]) <= 900
    assert "Too many wrong passwords" in answer.content.decode()
    assert "_auth_user_id" not in answer.client.session
    assert enter(browser("10.0.0.8"), PASSWORD).status_code == 302, "a colleague elsewhere is not locked out"


def test_another_browser_or_a_forged_header_gives_no_further_tries(tess):
    assert locks(browser())
    for headers in ({"user-agent": "other"}, {"x-forwarded-for": "10.9.9.9"}, {"x-requested-with": "XMLHttpRequest"}):
        answer = enter(browser(**headers), PASSWORD)
        assert answer.status_code == 429
        assert "Access-Control-Allow-Origin" not in answer


def test_behind_a_trusted_proxy_the_real_address_is_locked_and_no_other(tess, settings):
    settings.GSPNP_TRUSTED_PROXIES = ["10.0.0.1"]
    assert locks(browser("10.0.0.1", **{"x-forwarded-for": "6.6.6.6, 192.0.2.9"}))
    assert enter(browser("10.0.0.1", **{"x-forwarded-for": "192.0.2.9"}), PASSWORD).status_code == 429
    assert enter(browser("10.0.0.1", **{"x-forwarded-for": "192.0.2.10"}), PASSWORD).status_code == 302


def test_a_lock_ends_by_itself_and_tries_during_it_do_not_lengthen_it(tess):
    assert locks(browser())
    earlier = timezone.now() - timedelta(minutes=14)
    AccessAttempt.objects.update(attempt_time=earlier)
    assert enter(browser(), "wrong").status_code == 429
    assert AccessAttempt.objects.get().attempt_time == earlier
    AccessAttempt.objects.update(attempt_time=timezone.now() - timedelta(minutes=16))
    assert enter(browser(), PASSWORD).status_code == 302


def test_a_lock_does_not_last_for_as_long_as_the_clock_was_wrong(tess):
    assert locks(browser())
    AccessAttempt.objects.update(attempt_time=timezone.now() + timedelta(hours=1))
    assert lockout.locked() == []
    assert enter(browser(), "wrong").status_code == 200, "it counts anew"
    assert enter(browser(), PASSWORD).status_code == 302
    assert locks(browser()), "and locks as before"


def test_a_console_whose_clock_is_behind_forgives_no_tries_of_another_one(tess):
    """Else whoever fails there now and then tries at the other one without end."""
    assert locks(browser())
    AccessAttempt.objects.update(attempt_time=timezone.now() + timedelta(minutes=2))
    assert enter(browser("10.0.0.9"), "wrong").status_code == 200
    assert enter(browser(), PASSWORD).status_code == 429
    assert [one["host"] for one in lockout.locked()] == ["10.0.0.7"]


def test_a_lock_after_the_clock_was_set_back_stands_in_the_list_of_changes(tess):
    assert locks(browser())
    Change.objects.update(at=timezone.now() + timedelta(hours=1))
    AccessAttempt.objects.all().delete()
    assert locks(browser())
    assert Change.objects.filter(deed="locked out").count() == 2


def test_a_session_outlives_a_clock_that_is_set_back_and_ends_no_later_for_it(tess, clock):
    client = browser()
    enter(client, PASSWORD)
    clock.forward(hours=-1)
    assert client.get("/overview/").status_code == 200
    clock.forward(hours=8)
    assert client.get("/overview/").status_code == 302


@pytest.mark.django_db(transaction=True)
def test_many_tries_at_the_same_moment_are_no_more_than_five(tess, monkeypatch):
    tried = []
    check = User.check_password
    monkeypatch.setattr(User, "check_password", lambda user, raw: (tried.append(raw), check(user, raw))[1])

    def guess(number: int) -> int:
        try:
            return enter(browser(), f"wrong-{number}").status_code
        finally:
            connection.close()

    with ThreadPoolExecutor(12) as pool:
        answers = sorted(pool.map(guess, range(12)))
    assert answers == [200] * 4 + [429] * 8
    assert len(tried) == 5


def test_a_right_password_in_time_forgets_the_wrong_ones(tess):
    for _ in range(2):
        for n in range(4):
            assert enter(browser(), f"wrong-{n}").status_code == 200
        assert enter(browser(), PASSWORD).status_code == 302


def test_a_name_that_nobody_has_is_treated_alike_and_kept_as_a_digest_only(db):
    typed = "my-secret-password"
    assert locks(browser(), typed)
    kept = str(list(AccessAttempt.objects.values()))
    assert typed not in kept
    assert "wrong-" not in kept


@pytest.mark.parametrize("odd", ["", "a\0b", "x" * 5000, "tess\ud800".encode("utf-8", "replace").decode(), "<b>"])
def test_odd_names_end_in_no_500(tess, odd):
    for _ in range(7):
        assert enter(browser(), "wrong", odd).status_code in (200, 429)


def test_unlock_on_the_command_line(tess):
    assert locks(browser())
    said = io.StringIO()
    call_command("unlock", stdout=said)
    assert "tess" in said.getvalue() and "10.0.0.7" in said.getvalue()
    call_command("unlock", "tess", stdout=io.StringIO())
    assert enter(browser(), PASSWORD).status_code == 302
    with pytest.raises(CommandError, match="No wrong password"):
        call_command("unlock", "maria")
    assert lockout.locked() == []


def test_a_sign_in_that_nobody_was_sent_to_leads_to_the_phones(tess):
    assert enter(browser(), PASSWORD)["Location"] == "/"


def test_signing_in_makes_a_new_session_and_what_was_before_leads_nowhere(tess):
    client = browser()
    session = client.session
    session["planted"] = "by a stranger"
    session.save()
    client.cookies["sessionid"] = before = session.session_key
    enter(client, PASSWORD)
    assert client.cookies["sessionid"].value != before
    assert not Session.objects.filter(session_key=before).exists()


def test_a_new_password_ends_the_other_sessions_and_not_ones_own(tess):
    here, elsewhere = browser(), browser("10.0.0.8")
    for client in (here, elsewhere):
        enter(client, PASSWORD)
        assert client.get("/").status_code == 200
    new = "another-horse-2"
    fields = {"old_password": PASSWORD, "new_password1": new, "new_password2": new}
    assert here.post("/admin/password_change/", fields).status_code == 302
    assert here.get("/").status_code == 200
    assert elsewhere.get("/").status_code == 302


def test_a_session_ends_after_hours_of_nothing_and_a_page_that_renews_itself_is_nothing(tess, clock):
    client = browser()
    enter(client, PASSWORD)
    for _ in range(3):
        clock.forward(hours=7)
        assert client.get("/overview/").status_code == 200
    for _ in range(7):
        clock.forward(hours=1)
        assert client.get("/rows/", headers={"x-requested-with": "fetch"}).status_code == 200
    clock.forward(hours=1)
    assert client.get("/rows/", headers={"x-requested-with": "fetch"}).status_code == 401
    assert client.get("/").status_code == 302


def test_a_session_ends_after_a_week_whatever_is_done(tess, clock):
    client = browser()
    enter(client, PASSWORD)
    for _ in range(27):
        clock.forward(hours=6)
        assert client.get("/overview/").status_code == 200
    clock.forward(hours=6)
    assert client.get("/overview/").status_code == 302
    assert not Session.objects.filter(expire_date__gt=clock() + timedelta(days=8)).exists()


def test_a_session_from_before_this_version_goes_on_and_gets_its_times(tess, clock):
    client = browser()
    client.force_login(tess)
    session = client.session
    for name in (sessions.BEGAN, sessions.DONE):
        session.pop(name, None)
    session.save()
    assert client.get("/").status_code == 200
    clock.forward(hours=9)
    assert client.get("/").status_code == 302


@pytest.mark.parametrize("path", ["/", LOGIN, "/no-such-page", "/admin/", "/healthz", "/words.js", "/overview/"])
def test_every_answer_says_what_a_page_may(path, console):
    policy = console.get(path)["Content-Security-Policy"]
    said = dict(part.strip().partition(" ")[::2] for part in policy.split(";"))
    assert said["script-src"] == "'self' 'unsafe-eval'"
    assert said["frame-ancestors"] == said["object-src"] == said["base-uri"] == "'none'"
    assert said["form-action"] == said["default-src"] == "'self'"
    assert said["connect-src"] == "'self' ws://localhost"


def test_a_host_that_is_not_ours_is_refused_with_a_policy_that_does_not_repeat_it(db):
    answer = Client(headers={"host": "evil.example"}).get("/")
    assert answer.status_code == 400
    assert "evil" not in answer["Content-Security-Policy"]


def test_the_ready_made_groups_are_there_and_one_that_somebody_changed_stays_as_it_is(db):
    technician = Group.objects.get(name=roles.TECHNICIAN)
    technician.permissions.clear()
    Group.objects.get(name=roles.VIEWER).delete()
    roles.make_missing()
    assert technician.permissions.count() == 0
    found = {f"{p.content_type.app_label}.{p.codename}" for p in Group.objects.get(name="Viewer").permissions.all()}
    assert found == roles.permissions_of("Viewer")
    assert all(".view_" in one for one in found)


@pytest.mark.parametrize("role", [role.name for role in roles.ROLES])
def test_every_permission_of_a_group_exists_and_only_administrators_look_at_passwords(role, db):
    user = person("somebody")
    user.groups.add(Group.objects.get(name=role))
    assert user.get_all_permissions() == roles.permissions_of(role)
    assert user.has_perm("devices.reveal_secret") is (role == roles.ADMINISTRATOR)
    assert user.has_perm("auth.change_user") is (role == roles.ADMINISTRATOR)
    assert user.has_perm("devices.change_phone") is (role != roles.VIEWER)


def test_the_old_password_cannot_be_tried_without_end_by_who_has_a_session(tess):
    here = browser()
    assert enter(here, PASSWORD).status_code == 302
    new = {"new_password1": "correct-horse-2", "new_password2": "correct-horse-2"}
    tried = [here.post("/admin/password_change/", new | {"old_password": f"wrong-{n}"}).status_code for n in range(5)]
    assert tried == [200] * 4 + [429]
    kept = json.dumps(list(AccessAttempt.objects.values()), default=str)
    assert not any(word in kept for word in ("wrong-", "correct-horse")), "no password is kept that was typed there"
    assert here.post("/admin/password_change/", new | {"old_password": PASSWORD}).status_code == 429
    tess.refresh_from_db()
    assert tess.check_password(PASSWORD)
    assert enter(browser(), PASSWORD).status_code == 429, "it is the same count"
    lockout.unlock("tess")
    assert (
        here.post("/admin/password_change/", new | {"new_password2": "x", "old_password": PASSWORD}).status_code == 200
    )
    assert not AccessAttempt.objects.exists()
    assert here.post("/admin/password_change/", new | {"old_password": PASSWORD}).status_code == 302


@pytest.mark.parametrize(("path", "is_own"), [(LOGIN, False), ("/admin/password_change/", True)])
def test_where_a_password_is_typed_it_is_said_that_it_can_be_read_on_the_way(tess, path, is_own):
    there, here = browser(), browser("127.0.0.1")
    for client in (there, here):
        if is_own:
            client.force_login(tess)
    assert 'data-testid="plain-http"' in there.get(path).content.decode()
    assert 'data-testid="plain-http"' not in here.get(path).content.decode()
    assert 'data-testid="plain-http"' not in there.get(path, secure=True).content.decode()


def test_sign_in_and_sign_out_have_one_word_everywhere(tess):
    client = browser()
    shown = client.get(LOGIN).content.decode()
    assert shown.count("Sign in") >= 2
    wrong = enter(client, "wrong").content.decode()
    assert "may not sign in here" in wrong and "staff" not in wrong
    assert enter(client, PASSWORD).status_code == 302
    inside = client.get("/").content.decode()
    assert "Sign out" in inside
    for page in (shown, wrong, inside, client.get("/admin/devices/phone/").content.decode()):
        assert "Log in" not in page and "Log out" not in page
