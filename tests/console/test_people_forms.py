"""Adding and changing people and groups: the forms say what they mean, and lead back to where one came from."""

import pytest
from django.contrib.auth.models import Group, User

from gspnp.console import roles
from tests.console.conftest import person, signed_in

pytestmark = pytest.mark.django_db
ADD = "/admin/auth/user/add/"


@pytest.fixture
def boss(db) -> User:
    user = person("boss")
    user.groups.add(Group.objects.get(name=roles.ADMINISTRATOR))
    return user


def fields(user: User, **changes) -> dict:
    return {"username": user.username, "is_active": "on", "is_staff": "on"} | changes


def test_the_form_that_adds_somebody_asks_for_what_is_needed_and_leads_back_to_people(boss):
    client = signed_in(boss)
    shown = client.get(ADD).content.decode()
    assert "May sign in" in shown
    for odd in ("usable_password", "Single Sign-On", "Staff status", "After you"):
        assert odd not in shown
    typed = {"username": "vera", "password1": "long-enough-1", "password2": "long-enough-1", "is_staff": "on"}
    answer = client.post(ADD, typed)
    assert (answer.status_code, answer["Location"]) == (302, "/people/")
    vera = User.objects.get(username="vera")
    assert vera.check_password("long-enough-1")
    shown = client.get(f"/admin/auth/user/{vera.pk}/change/").content.decode()
    assert "last_login" not in shown and "date_joined" not in shown and "May sign in" in shown
    own = client.get(f"/admin/auth/user/{boss.pk}/change/").content.decode()
    assert "May sign in" in own and "Staff status" not in own and 'name="is_staff"' not in own
    answer = client.post(f"/admin/auth/user/{vera.pk}/change/", fields(vera, first_name="Vera"))
    assert (answer.status_code, answer["Location"]) == (302, "/people/")


def test_what_is_wrong_with_the_password_stands_beside_the_password(boss):
    form = signed_in(boss).post(ADD, {"username": "vera", "password1": "1234", "password2": "1234"}).context["errors"]
    assert form and not User.objects.filter(username="vera").exists()
    answer = signed_in(boss).post(ADD, {"username": "vera", "password1": "1234", "password2": "1234"})
    errors = answer.context["adminform"].form.errors
    assert "password1" in errors and "password2" not in errors
    unlike = signed_in(boss).post(ADD, {"username": "vera", "password1": "long-enough-1", "password2": "other-one-1"})
    assert "password2" in unlike.context["adminform"].form.errors
    assert signed_in(boss).post(ADD, {"username": "vera"}).context["adminform"].form.errors.keys() == {
        "password1", "password2",
    }  # fmt: skip


def test_whoever_renames_himself_comes_back_to_people_too(boss):
    group = str(Group.objects.get(name=roles.ADMINISTRATOR).pk)
    answer = signed_in(boss).post(f"/admin/auth/user/{boss.pk}/change/", fields(boss, username="chief", groups=[group]))
    assert (answer.status_code, answer["Location"]) == (302, "/people/")
    assert User.objects.get(pk=boss.pk).username == "chief"


@pytest.mark.parametrize("button", ["_save", "_continue"])
def test_who_leaves_the_administrators_is_led_where_he_may_go_and_told(boss, button):
    boss.groups.add(Group.objects.get(name=roles.TECHNICIAN))
    stays = str(Group.objects.get(name=roles.TECHNICIAN).pk)
    client = signed_in(boss)
    answer = client.post(
        f"/admin/auth/user/{boss.pk}/change/", fields(boss, groups=[stays]) | {button: "1"}, follow=True
    )
    assert answer.status_code == 200 and answer.request["PATH_INFO"] == "/"
    assert "taken the affairs of people from yourself" in answer.content.decode()


def test_a_ready_made_group_is_not_deleted_by_button_address_or_action(boss):
    client = signed_in(boss)
    ready, other = Group.objects.get(name=roles.TECHNICIAN), Group.objects.create(name="Night shift")
    assert "/delete/" not in client.get(f"/admin/auth/group/{ready.pk}/change/").content.decode()
    assert "/delete/" in client.get(f"/admin/auth/group/{other.pk}/change/").content.decode()
    assert client.post(f"/admin/auth/group/{ready.pk}/delete/", {"post": "yes"}).status_code == 403
    both = {"action": "delete_selected", "post": "yes", "_selected_action": [str(ready.pk), str(other.pk)]}
    client.post("/admin/auth/group/", both)
    assert Group.objects.filter(pk=ready.pk).exists()
    kept = [str(pk) for pk in ready.permissions.values_list("pk", flat=True)]
    answer = client.post(f"/admin/auth/group/{ready.pk}/change/", {"name": ready.name, "permissions": kept})
    assert (answer.status_code, answer["Location"]) == (302, "/people/")


def test_a_refusal_names_the_smallest_ready_made_group_that_suffices(boss):
    blank = signed_in(person("blank"))
    assert "needs the group <strong>Viewer</strong> (or more)" in blank.get("/").content.decode()
    assert "needs the group Technician (or more)" in blank.post("/phones/add/", headers={
        "X-Requested-With": "fetch"}).json()["message"]  # fmt: skip
    changes = blank.get("/changes/").content.decode()
    assert "<strong>Administrator</strong>" in changes and "Can view" not in changes
    Group.objects.get(name=roles.VIEWER).permissions.clear()
    assert "needs the group <strong>Technician</strong>" in blank.get("/").content.decode()
    outsider = signed_in(person("outsider", is_staff=False))
    assert "May sign in” is switched off" in outsider.get("/").content.decode()
