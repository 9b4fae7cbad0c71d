"""What a person sees where there is nothing, or nothing for them: our own page, and no entry that leads there."""

import re

import psycopg
import pytest
from django.core import management
from django.db import DatabaseError, InterfaceError, OperationalError, connection, transaction
from django.template import loader
from django.test import Client
from django.urls import reverse

import manage
from gspnp import full, urls
from tests import cast
from tests.console.conftest import person, signed_in


def test_an_address_without_a_page_says_so_with_a_way_back_and_repeats_nothing_of_it(console):
    answer = console.get("/phones/<script>alert(1)</script>/")
    page = answer.content.decode()
    assert answer.status_code == 404
    assert 'data-testid="error-page"' in page and 'href="/"' in page
    assert "alert(1)" not in page


def test_neither_404_nor_500_asks_the_database(django_assert_num_queries, db):
    with django_assert_num_queries(0):
        missing = Client(headers={"host": "localhost"}).get("/no-such-page/")
    assert missing.status_code == 404
    with django_assert_num_queries(0):
        failed = loader.get_template("500.html").render()
    assert "Something went wrong here" in failed


def test_an_exception_in_a_page_ends_in_our_page(console, monkeypatch):
    def broken(_request):
        raise RuntimeError("secret detail")

    monkeypatch.setattr(urls.views, "healthz", broken)
    monkeypatch.setattr(urls.urlpatterns[0], "callback", broken)
    console.raise_request_exception = False
    answer = console.get("/healthz")
    page = answer.content.decode()
    assert answer.status_code == 500
    assert 'data-testid="error-page"' in page
    assert "secret detail" not in page


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OperationalError("database or disk is full"), "Make room"),
        (OperationalError('could not extend file "base/1": No space left on device'), "Make room"),
        (OperationalError("connection refused"), "The database is away"),
        (InterfaceError("the connection is closed"), "The database is away"),
    ],
)
def test_a_database_that_is_full_or_away_is_said_to_people_and_to_scripts(console, monkeypatch, error, words):
    def broken(_request):
        raise error

    monkeypatch.setattr(urls.urlpatterns[0], "callback", broken)
    console.raise_request_exception = False
    answer = console.get("/healthz", headers={"accept": "text/html,*/*"})
    page = answer.content.decode()
    assert (answer.status_code, answer["Retry-After"]) == (503, "10")
    assert 'data-testid="error-page"' in page and words in page and "connection" not in page
    assert "stored" not in page and 'data-testid="try-again"' in page, "nobody wanted to store anything"
    answer = console.get("/healthz", headers={"accept": "*/*"})
    assert answer.status_code == 503 and words in answer.json()["message"]
    assert answer.json()["away"] == (words == "The database is away")
    posted = console.post("/healthz", headers={"accept": "text/html,*/*"}).content.decode()
    assert "stored" in posted and "again.js" not in posted, "a form is not sent anew by itself"


def test_the_log_says_it_in_one_line_and_of_a_fault_where_it_is(console, monkeypatch, caplog):
    errors = [OperationalError("couldn't get a connection after 5.00 sec"), ValueError("ours")]

    def broken(_request):
        raise errors.pop(0)

    monkeypatch.setattr(urls.urlpatterns[0], "callback", broken)
    console.raise_request_exception = False
    found = []
    while errors:
        caplog.clear()
        console.get("/healthz")
        (record,) = (one for one in caplog.records if one.name == "django.request")
        found.append((record.getMessage(), bool(record.exc_info)))
    (away, away_at), (_, fault_at) = found
    assert "/healthz: The database cannot be asked now (couldn't get a connection after 5.00 sec)." in away
    assert (away_at, fault_at) == (False, True)


def test_a_table_that_is_not_there_is_a_fault_and_not_an_absence(console, monkeypatch):
    def broken(_request):
        raise OperationalError("no such table: devices_phone")

    monkeypatch.setattr(urls.urlpatterns[0], "callback", broken)
    console.raise_request_exception = False
    assert console.get("/healthz").status_code == 500


def test_a_command_says_that_the_disk_is_full(monkeypatch):
    def full(_words):
        raise OperationalError("database or disk is full")

    monkeypatch.setattr(management, "execute_from_command_line", full)
    with pytest.raises(SystemExit, match="Make room on it and try again: nothing of this was stored"):
        manage.main()


def test_a_command_says_that_the_database_is_away_and_where_to_look(monkeypatch):
    def away(_words):
        raise OperationalError("connection failed: Connection refused\n\tIs the server running on that host?")

    monkeypatch.setattr(management, "execute_from_command_line", away)
    with pytest.raises(SystemExit) as ended:
        manage.main()
    assert "(connection failed: Connection refused)" in ended.value.code
    assert "whether its disk is full" in ended.value.code


def test_a_postgresql_that_speaks_another_language_is_full_too(monkeypatch):
    said = psycopg.errors.DiskFull("konnte Datei nicht erweitern: Auf dem Gerät ist kein Speicherplatz mehr verfügbar")
    error = OperationalError(str(said))
    error.__cause__ = said
    assert full.is_full(error)
    assert not full.is_full(OperationalError("deadlock detected"))


@pytest.mark.django_db
@pytest.mark.parametrize("wrong", ["SELECT abs(1, 2, 3)", "SELECT x FROM (SELECT 1 AS x), (SELECT 2 AS x)"])
def test_a_statement_of_ours_that_is_wrong_is_no_database_that_is_away(wrong):
    """Its place in the code is all that helps, and no server has to be looked at."""
    with pytest.raises(DatabaseError) as raised, transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(wrong)
    assert full.in_words(raised.value) == ""


def test_a_form_with_an_old_token_says_what_to_do(technician):
    strict = Client(headers={"host": "localhost"}, enforce_csrf_checks=True)
    strict.force_login(technician)
    answer = strict.post("/phones/import/")
    assert answer.status_code == 403
    assert "nothing was done" in answer.content.decode()


@pytest.mark.parametrize("path", ["/", "/admin/auth/user/"])
def test_whoever_may_not_do_it_can_sign_in_as_somebody_else_and_comes_back_here(db, path):
    clerk = person("clerk", is_staff=True)
    client = signed_in(clerk)
    answer = client.get(path)
    page = answer.content.decode()
    assert answer.status_code == 403
    assert 'data-testid="another-account"' in page
    going_on = re.search(r'name="next" value="([^"]+)"', page)[1]
    left = client.post(reverse("admin:logout"), {"next": going_on})
    assert left.status_code == 302
    assert left["location"] == going_on
    assert "_auth_user_id" not in client.session


def entries(client: Client, path: str = "/") -> list[str]:
    page = client.get(path).content.decode()
    menu = page[page.index('id="nav-sidebar-apps"') :]
    return re.findall(r'<a href="(/[^"]*)" class="flex h-\[38px\]', menu)


def test_the_menu_has_what_the_user_may_open(viewer, administrator, db):
    support = person("support", "view_phone", "view_notify", is_staff=True)
    assert "/jobs/" in entries(signed_in(viewer))
    assert [one for one in entries(signed_in(viewer)) if one.startswith("/admin/")] == ["/admin/devices/phone/"]
    admins = [one for one in entries(signed_in(support)) if one.startswith("/admin/")]
    assert admins == ["/admin/devices/phone/", "/admin/provisioning/notify/"]
    assert entries(signed_in(person("nobody"))) == []
    everything = entries(signed_in(administrator))
    assert len(everything) == 23
    assert all(signed_in(administrator).get(one).status_code == 200 for one in everything)


def test_a_form_in_another_charset_is_not_understood_and_breaks_nothing(db):
    strict = Client(headers={"host": "localhost", "cookie": "csrftoken=" + "a" * 32}, enforce_csrf_checks=True)
    strict.raise_request_exception = False
    form = "application/x-www-form-urlencoded; charset=latin-1"
    answer = strict.post("/admin/login/", "a=b", content_type=form)
    assert answer.status_code == 400
    assert 'data-testid="error-page"' in answer.content.decode()
    assert "Content-Security-Policy" in answer.headers


@pytest.mark.parametrize("method", ["get", "post"])
@pytest.mark.parametrize("page", ["devices/phone", "auth/user"])
def test_a_form_that_names_no_field_to_look_up_by_breaks_nothing(administrator, page, method):
    row = cast.seen().pk if page.startswith("devices") else administrator.pk
    client = signed_in(administrator)
    client.raise_request_exception = False
    address = f"/admin/{page}/{row}/change/"
    answer = client.get(address, {"_to_field": ""}) if method == "get" else client.post(address, {"_to_field": ""})
    assert answer.status_code == 400
