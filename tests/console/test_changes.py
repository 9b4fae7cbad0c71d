"""The list of changes: who did what, when, from where, how it was before and after; and never a secret."""

import json

import pytest
from django.contrib.auth.models import Group, User

from devices.models import Account, Extension, Phone
from gspnp.console import audit, roles
from gspnp.console.models import Change
from provisioning.layers import store
from tests import cast
from tests.console.conftest import person, signed_in, typed

pytestmark = pytest.mark.django_db
CANARY = "canary-55-secret"


@pytest.fixture
def boss(db) -> User:
    user = person("boss")
    user.groups.add(Group.objects.get(name=roles.ADMINISTRATOR))
    return user


def last() -> Change:
    found = Change.objects.order_by("-pk").first()
    assert found is not None
    return found


def everything() -> str:
    return json.dumps(list(Change.objects.values()), default=str, ensure_ascii=False)


def test_an_assignment_is_on_record_with_what_it_changed_and_without_its_password(console, listener):
    phone = cast.seen()
    fields = typed(phone, **{"account-1-password": CANARY, "account-1-display_name": "Front desk"})
    assert console.post(f"/phones/{cast.MAC}/assign/", fields).status_code == 200
    assert Account.objects.get().password == CANARY
    change = last()
    assert (change.who, change.deed, change.mac, change.host) == ("tess", "assign", cast.MAC, "127.0.0.1")
    assert "1001@172.18.0.10 Front desk" in change.after["account 1"]
    assert change.after["account 1 password"] == "••••••••"
    assert CANARY not in everything()


def test_another_caller_name_shows_the_one_before(console, listener):
    cast.assigned()
    phone = Phone.objects.get()
    fields = typed(phone, **{"account-1-password": "", "account-1-display_name": "Otto"})
    console.post(f"/phones/{cast.MAC}/assign/", fields)
    change = last()
    assert "Tess" in change.before["account 1"] and "Otto" in change.after["account 1"]


def test_a_form_that_is_refused_or_only_asked_is_no_change(console, listener):
    phone = cast.seen()
    console.post(f"/phones/{cast.MAC}/assign/", typed(phone, **{"account-1-user_id": ""}))
    console.post("/settings/layer/?level=site&name=berlin", {"version": "0", "setting-vlan_tag": "7"})
    console.get("/")
    assert not Change.objects.exclude(deed="signed in").exists()


def test_looking_at_a_password_is_on_record_and_what_it_is_is_not(boss, listener):
    cast.assigned()
    answer = signed_in(boss).post(f"/phones/{cast.MAC}/reveal/", {"name": "account1_password"})
    if answer.status_code == 409:
        answer = signed_in(boss).post(f"/phones/{cast.MAC}/reveal/", {"name": "admin_password"})
    assert answer.status_code == 200
    change = last()
    assert (change.who, change.deed, change.mac) == ("boss", "reveal", cast.MAC)
    assert cast.PASSWORD not in everything()


def test_forgetting_a_phone_keeps_who_did_it_and_what_it_was(console, listener):
    cast.assigned()
    assert console.post(f"/phones/{cast.MAC}/forget/").status_code < 400
    assert not Phone.objects.exists()
    change = last()
    assert (change.who, change.deed, change.what) == ("tess", "forget", "00:0B:82:27:3B:89")
    assert "1001" in change.before["account 1"] and change.after == {}
    assert cast.PASSWORD not in everything()


def test_an_extension_and_its_new_secret(console):
    from django.utils import timezone

    now = timezone.now()
    row = Extension.objects.create(number="1001", name="Tess", secret="old-" + CANARY, created_at=now, changed_at=now)
    page = {"version": "1", "number": "1001", "name": "Otto", "site": "", "sip_server": "10.0.0.1", "secret": CANARY}
    console.post(f"/extensions/{row.pk}/", page)
    row.refresh_from_db()
    if row.name == "Otto":
        change = last()
        assert change.before["name"] == "Tess" and change.after["name"] == "Otto"
    assert CANARY not in everything()


def test_users_made_changed_and_deleted_in_the_admin(boss):
    client = signed_in(boss)
    fields = {"username": "vera", "usable_password": "true", "password1": CANARY, "password2": CANARY}
    client.post("/admin/auth/user/add/", fields | {"is_staff": "on"})
    assert (last().deed, last().what, last().kind) == ("add", "vera", "auth.user")
    vera = User.objects.get(username="vera")
    group = Group.objects.get(name="Viewer")
    client.post(
        f"/admin/auth/user/{vera.pk}/change/",
        {"username": "vera", "is_active": "on", "is_staff": "on", "groups": [str(group.pk)],
         "date_joined_0": "2026-01-01", "date_joined_1": "00:00:00"},
    )  # fmt: skip
    assert last().after["groups"] == "Viewer"
    client.post(f"/admin/auth/user/{vera.pk}/password/", {"password1": CANARY + "2", "password2": CANARY + "2"})
    assert (last().deed, last().what) == ("password", "vera")
    assert last().before == last().after == {"password": "••••••••"}
    own = {"old_password": CANARY + "2", "new_password1": CANARY + "3", "new_password2": CANARY + "3"}
    signed_in(User.objects.get(pk=vera.pk)).post("/admin/password_change/", own)
    assert (last().who, last().deed, last().what) == ("vera", "password", "vera")
    client.post(f"/admin/auth/user/{vera.pk}/delete/", {"post": "yes"})
    assert (last().deed, last().what, last().after) == ("delete", "vera", {})
    assert CANARY not in everything() and "argon2" not in everything()


def test_a_layer_with_a_secret(console, listener):
    store.save(store.find("site", "berlin"), {"vlan_tag": "7", "ldap_password": CANARY}, by="tess")
    where = "/settings/layer/?level=site&name=berlin"
    console.post(where, {"version": "1", "do": "delete"})
    console.post(where, {"version": "1", "do": "delete", "sure": "1"})
    assert CANARY not in everything()


def test_sign_ins_sign_outs_and_one_entry_for_each_lock(technician, client):
    technician.set_password("right-horse-1")
    technician.save()
    here = {"headers": {"host": "localhost"}}
    for _ in range(9):
        client.post("/admin/login/", {"username": "tess", "password": CANARY}, **here)
    locked = Change.objects.filter(deed="locked out")
    assert [(one.what, one.host) for one in locked] == [("tess", "127.0.0.1")]
    client.post("/admin/login/", {"username": "tess", "password": "right-horse-1"}, REMOTE_ADDR="10.0.0.9", **here)
    client.post("/admin/logout/", REMOTE_ADDR="10.0.0.9", **here)
    told = [(one.who, one.deed, one.host) for one in Change.objects.filter(host="10.0.0.9").order_by("pk")]
    assert told == [("tess", "signed in", "10.0.0.9"), ("tess", "signed out", "10.0.0.9")]
    assert CANARY not in everything()


def test_the_page_shows_filters_and_escapes(boss):
    for number in range(60):
        audit.write("tess" if number % 2 else "otto", "assign", what=f"phone {number}", mac=cast.MAC)
    audit.write("mallory", "add", what="<script>alert(1)</script>", after={"name": "<b>bold</b>"})
    client = signed_in(boss)
    page = client.get("/changes/").content.decode()
    assert "<script>alert(1)" not in page and "<b>bold" not in page
    assert page.count('data-testid="change"') == 50
    only = client.get("/changes/?who=tess&page=1").content.decode()
    assert only.count('data-testid="change"') == 30
    assert client.get("/changes/?q=00:0b:82:27").content.decode().count('data-testid="change"') == 50
    for odd in ("?day=x", "?day=9999-99-99", "?day=9999-12-31", "?page=x", "?page=99999999999", "?q=%00", "?who=%00"):
        assert client.get("/changes/" + odd).status_code == 200


def test_old_entries_go_in_bites(settings, clock):
    for _ in range(3):
        audit.write("tess", "assign")
    clock.forward(days=366)
    kept = audit.write("tess", "assign")
    audit.prune()
    assert [one.pk for one in Change.objects.all()] == [kept.pk]
