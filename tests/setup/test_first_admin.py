"""The first administrator: made once, with a password that is its owner's after the first sign-in."""

import stat

import pytest
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.urls import reverse

from gspnp.console.first_password import password_file
from gspnp.console.management.commands.first_admin import ALPHABET, readable_password
from gspnp.console.models import TemporaryPassword

pytestmark = pytest.mark.django_db
CHANGE = "/admin/password_change/"
OWN = "a good long one, mine 7"


@pytest.fixture(autouse=True)
def data_folder(settings, tmp_path, monkeypatch):
    """A data folder of this test's own, and no password given."""
    settings.GSPNP_DATA_DIR = tmp_path
    monkeypatch.setenv("GSPNP_ADMIN_PASSWORD", "")
    return tmp_path


def make() -> str:
    call_command("first_admin", verbosity=0)
    return password_file().read_text().strip()


def change(client, old: str, new: str):
    return client.post(CHANGE, {"old_password": old, "new_password1": new, "new_password2": new})


def test_the_generated_password_is_readable_random_and_private():
    password = make()
    assert stat.S_IMODE(password_file().stat().st_mode) == 0o600
    assert get_user_model().objects.get(username="admin").check_password(password)
    assert len(ALPHABET) ** 20 > 2**80
    assert len({readable_password() for _ in range(100)}) == 100


def test_a_second_run_changes_nothing():
    password = make()
    assert make() == password
    assert get_user_model().objects.count() == 1


def test_another_superuser_is_enough():
    get_user_model().objects.create_superuser("boss", password="x")
    call_command("first_admin", verbosity=0)
    assert not password_file().exists()
    assert get_user_model().objects.count() == 1


def test_a_given_password_is_literal_and_need_not_be_changed(monkeypatch, client):
    monkeypatch.setenv("GSPNP_ADMIN_PASSWORD", "$ # = ' \" x")
    call_command("first_admin", verbosity=0)
    assert not password_file().exists()
    assert client.login(username="admin", password="$ # = ' \" x")
    assert client.get("/admin/").status_code == 200


def test_a_file_left_over_from_a_lost_database_is_replaced(data_folder):
    password_file().write_text("old\n")
    assert make() != "old"


def test_everything_leads_to_the_password_form_until_it_is_changed(client):
    password = make()
    assert client.login(username="admin", password=password)
    for path in (
        "/",
        "/admin/",
        reverse("admin:auth_user_changelist"),
        "/admin/password_change/done/",
    ):
        answer = client.get(path)
        assert (answer.status_code, answer.headers["Location"]) == (302, CHANGE), path
    assert client.get(CHANGE).status_code == 200
    assert client.get("/static/no-such-file").status_code == 404

    assert change(client, password, OWN).status_code == 302
    assert not password_file().exists()
    assert not TemporaryPassword.objects.exists()
    assert client.get("/admin/").status_code == 200
    assert get_user_model().objects.get(username="admin").check_password(OWN)


def test_the_way_out_stays_open(client):
    assert client.login(username="admin", password=make())
    assert client.post(reverse("admin:logout"), follow=True).redirect_chain == [("/admin/login/", 302)]


def test_the_same_password_again_is_no_change(client):
    password = make()
    assert client.login(username="admin", password=password)
    assert "This is the password that the set-up made." in change(client, password, password).content.decode()
    assert password_file().exists()
    assert client.get("/admin/").headers["Location"] == CHANGE


def test_a_wrong_try_or_a_saved_profile_keeps_the_duty(client):
    password = make()
    assert client.login(username="admin", password=password)
    change(client, "wrong", OWN)
    user = get_user_model().objects.get(username="admin")
    user.first_name = "Ada"
    user.save()
    assert password_file().exists()
    assert TemporaryPassword.objects.count() == 1


def test_a_password_set_for_them_or_a_deleted_user_ends_it_too():
    make()
    user = get_user_model().objects.get(username="admin")
    user.set_password(OWN)
    user.save()
    assert not password_file().exists()
    user.delete()
    make()
    get_user_model().objects.all().delete()
    assert not password_file().exists()


def test_others_go_their_way(client):
    make()
    get_user_model().objects.create_superuser("boss", password="x")
    assert client.login(username="boss", password="x")
    assert client.get("/admin/").status_code == 200


def test_the_form_says_why_before_and_after_an_error(client):
    password = make()
    assert client.login(username="admin", password=password)
    for answer in (client.get(CHANGE), change(client, "wrong", OWN)):
        assert "why-new-password" in answer.content.decode()
    change(client, password, OWN)
    assert "why-new-password" not in client.get(CHANGE).content.decode()


def test_the_sign_in_welcomes_nobody_back_and_leads_nowhere_else(client):
    page = client.get("/admin/login/").content.decode()
    assert "Welcome back" not in page
    assert "Return to site" not in page
