"""The list of changes: who did what, when, from where, how it was before and after; and never a secret."""

import json

import pytest
from django.contrib.auth.models import Group, Permission, User
from django.test import Client

from devices import directory, inventory
from devices.directory import Entry
from devices.models import Account, Extension, Phone
from gspnp.console import actions, audit, roles
from gspnp.console.models import Change
from provisioning.firmware import images
from provisioning.layers import store
from tests import cast
from tests.console.conftest import person, signed_in, typed
from tests.console.test_layer_pages import SITE, saved

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
    pk = directory.add(Entry("", "1001", "Tess", "old-" + CANARY))
    page = {"number": "1001", "name": "Otto", "secret": CANARY, "site": "", "sip_server": "", "auth_id": "",
            "voicemail": ""}  # fmt: skip

    def save(version: int, **changes: str) -> dict:
        fields = {f"extension-{name}": text for name, text in (page | changes).items()}
        assert console.post(f"/extensions/{pk}/", fields | {"version": version}).status_code == 302
        return {"before": last().before, "after": last().after}

    secret = {"secret": "••••••••"}
    assert save(1) == {"before": secret | {"name": "Tess"}, "after": secret | {"name": "Otto"}}
    assert save(2, secret=CANARY + "2") == {"before": secret, "after": secret}
    assert save(3, secret="", name="Ida") == {"before": {"name": "Otto"}, "after": {"name": "Ida"}}
    assert Extension.objects.get().secret == CANARY + "2"
    assert Change.objects.filter(deed="extension").count() == 3
    assert CANARY not in everything()


def test_users_made_changed_and_deleted_in_the_admin(boss):
    client = signed_in(boss)
    group, other = Group.objects.get(name="Viewer"), Group.objects.get(name="Technician")
    fields = {"username": "vera", "usable_password": "true", "password1": CANARY, "password2": CANARY}
    client.post("/admin/auth/user/add/", fields | {"is_staff": "on", "groups": [str(group.pk)]})
    assert (last().deed, last().what, last().kind) == ("add", "vera", "auth.user")
    assert last().after["groups"] == "Viewer" and last().after["is_staff"] == "True"
    vera = User.objects.get(username="vera")
    client.post(
        f"/admin/auth/user/{vera.pk}/change/",
        {"username": "vera", "is_active": "on", "is_staff": "on", "groups": [str(other.pk)],
         "date_joined_0": "2026-01-01", "date_joined_1": "00:00:00"},
    )  # fmt: skip
    assert (last().before["groups"], last().after["groups"]) == ("Viewer", "Technician")
    client.post(f"/admin/auth/user/{vera.pk}/password/", {"password1": CANARY + "2", "password2": CANARY + "2"})
    assert (last().deed, last().what) == ("password", "vera")
    assert last().before == last().after == {"password": "••••••••"}
    own = {"old_password": CANARY + "2", "new_password1": CANARY + "3", "new_password2": CANARY + "3"}
    signed_in(User.objects.get(pk=vera.pk)).post("/admin/password_change/", own)
    assert (last().who, last().deed, last().what) == ("vera", "password", "vera")
    client.post(f"/admin/auth/user/{vera.pk}/delete/", {"post": "yes"})
    assert (last().deed, last().what, last().after) == ("delete", "vera", {})
    assert CANARY not in everything() and "argon2" not in everything()


def test_a_layer_with_a_secret_also_if_nothing_else_is_changed(console, listener):
    for secret in (CANARY, CANARY + "2"):
        assert saved(console, SITE, ldap_password=secret).status_code == 302
        assert store.find("site", "").values == {"ldap_password": secret}
        assert last().after == {"setting: LDAP password": "••••••••"}
    assert last().before == last().after and Change.objects.filter(deed="layer").count() == 2
    saved(console, SITE, ldap_password="", vlan_tag="7")
    assert (last().before, last().after) == ({}, {"setting: VLAN tag": "7"})
    assert CANARY not in everything()


def test_what_a_group_got_and_lost_is_told_however_much_it_has(administrator):
    technicians = Group.objects.get(name=roles.TECHNICIAN)
    kept = list(technicians.permissions.exclude(codename="view_release").values_list("pk", flat=True))
    more = Permission.objects.get(codename="reveal_secret")
    fields = {"name": technicians.name, "permissions": [str(pk) for pk in (*kept, more.pk)]}
    assert signed_in(administrator).post(f"/admin/auth/group/{technicians.pk}/change/", fields).status_code == 302
    assert last().before == {"permissions": "Provisioning | release | Can view release"}
    assert last().after == {"permissions": str(more)}


def test_an_action_of_the_admin_names_what_it_was_done_to(administrator, listener):
    client, one = signed_in(administrator), {"post": "yes", "action": "delete_selected"}
    gone = [str(person(name).pk) for name in ("vera", "otto")]
    client.post("/admin/auth/user/", one | {"_selected_action": gone})
    assert not User.objects.filter(username="vera").exists()
    assert last().after == {"action": "delete_selected", "chosen": "vera, otto"}
    cast.assigned()
    phone = Phone.objects.get()
    seen = json.dumps([[phone.pk, phone.version, phone.source_host]])
    fields = {"action": "set_sip_server", "apply": "1", "value": "10.9.9.9", "seen": seen, "_selected_action": "1"}
    assert client.post("/admin/devices/phone/", fields).status_code == 302
    assert Account.objects.get().sip_server == "10.9.9.9"
    assert last().after == {"action": "set_sip_server", "value": "10.9.9.9", "chosen": "00:0B:82:27:3B:89"}


@pytest.mark.parametrize(
    ("url", "what"),
    [("?level=model&name=gxp1628", "model GXP1628"), ("?level=site&name=%20berlin%20", "site berlin"),
     ("?level=template&name=%20Lobby", "template Lobby")],
)  # fmt: skip
def test_another_spelling_of_a_layer_leaves_an_entry_too(console, listener, url, what):
    for tag in ("7", "8"):
        assert saved(console, f"/settings/layer/{url}", vlan_tag=tag).status_code == 302
        assert (last().deed, last().what, last().after) == ("layer", what, {"setting: VLAN tag": tag})


def test_another_spelling_of_a_model_or_of_a_row_leaves_an_entry_too(console, boss):
    images.add("1.0.7.81", [b"firmware" * 1000], by="tess")
    assert console.post("/firmware/path/%20gxp1628/", {"path": "1.0.7.81", "sure": "1"}).status_code == 302
    assert (last().what, last().after) == ("GXP1628", {"path": "1.0.7.81"})
    vera = person("vera")
    words = {"password1": CANARY, "password2": CANARY}
    assert signed_in(boss).post(f"/admin/auth/user/0{vera.pk}/password/", words).status_code == 302
    vera.refresh_from_db()
    assert vera.check_password(CANARY)
    assert (last().what, last().after) == ("vera", {"password": "••••••••"})
    odd = {"action": ["delete_selected", ""], "index": "0", "post": "yes", "_selected_action": f" {vera.pk}"}
    signed_in(boss).post("/admin/auth/user/", odd)
    assert not User.objects.filter(username="vera").exists()
    assert last().after == {"action": "delete_selected", "chosen": "vera"}
    pks = [directory.add(Entry("", number)) for number in ("1001", "1002")]
    every = {"action": "delete_selected", "post": "yes", "select_across": "on", "_selected_action": str(pks[0])}
    assert signed_in(boss).post("/admin/devices/extension/", every).status_code == 302
    assert not Extension.objects.exists()
    assert last().after == {"action": "delete_selected", "chosen": "all"}


def test_what_has_no_row_of_its_own_is_told_by_what_was_typed(console, boss, listener):
    console.post("/phones/add/", {"mac": "00-0B-82-11-22-33", "model": "GXP1628", "site": ""})
    assert (last().mac, last().after) == ("000B82112233", {"mac": "00-0B-82-11-22-33", "model": "GXP1628"})
    cast.assigned()
    shown = {"old_version": Phone.objects.get(mac=cast.MAC).version, "new_version": "1", "new": "000B82112233"}
    assert console.post(f"/phones/{cast.MAC}/swap/", shown).status_code in (302, 409)
    for _ in range(6):
        Client(headers={"host": "localhost"}).post(
            "/admin/login/", {"username": "tess", "password": CANARY}, REMOTE_ADDR="10.0.0.1"
        )
    signed_in(boss).post("/people/unlock/", {"name": "tess", "host": "10.0.0.1"})
    assert last().after == {"name": "tess", "host": "10.0.0.1"}


@pytest.mark.parametrize("table", ["auth/user", "django_tasks_database/dbtaskresult"])
def test_nonsense_in_an_action_breaks_no_page(viewer, table):
    odd = {"action": "delete_selected", "_selected_action": ["x", "", "\0", "9" * 30, "-1"], "seen": "[["}
    assert signed_in(viewer).post(f"/admin/{table}/", odd).status_code == 403


def test_that_passwords_left_with_an_export_is_told(administrator):
    cast.assigned()
    answer = signed_in(administrator).post("/phones/export/", {"secrets": "yes", "kind": "csv"})
    assert answer.status_code == 200 and answer["Content-Type"].startswith("text/csv")
    assert (last().deed, last().after) == ("export", {"kind": "csv", "secrets": "yes"})


def test_a_nul_in_a_form_keeps_no_entry_out(db):
    """PostgreSQL stores none, in a text or in JSON."""
    change = audit.write("tess", "order\0", what="a\0b", after={"do\0": "x\0"})
    assert not any("\0" in text for text in (change.deed, change.what, *change.after, *change.after.values()))


def test_a_deed_that_broke_after_it_was_done_is_on_record(console, listener, monkeypatch):
    cast.assigned()
    monkeypatch.setattr(actions, "ACTIONS", {"forget": actions.Action(_forgets_and_breaks, "devices.delete_phone")})
    console.raise_request_exception = False
    assert console.post(f"/phones/{cast.MAC}/forget/").status_code == 500
    assert (last().deed, last().mac, last().after) == ("forget", cast.MAC, {})
    count = Change.objects.count()
    monkeypatch.setattr(actions, "ACTIONS", {"forget": actions.Action(lambda *_: 1 / 0, "devices.delete_phone")})
    cast.assigned()
    assert console.post(f"/phones/{cast.MAC}/forget/").status_code == 500
    assert Change.objects.count() == count


def _forgets_and_breaks(phone, by, host):
    inventory.forget(phone.pk, by)
    raise RuntimeError("after it was done")


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


def test_phones_forgotten_in_the_administration_are_on_record(administrator, listener):
    for mac in (cast.MAC, cast.OTHER_MAC):
        cast.seen(mac)
    pks = [str(pk) for pk in Phone.objects.order_by("pk").values_list("pk", flat=True)]
    one = {"post": "yes", "action": "delete_selected", "_selected_action": pks}
    signed_in(administrator).post("/admin/devices/phone/", one)
    assert not Phone.objects.exists()
    change = last()
    assert change.after == {"action": "delete_selected", "chosen": "00:0B:82:27:3B:89, 00:0B:82:AA:AA:AA"}
    signed_in(administrator).post("/admin/devices/phone/", one)
    assert last().deed == "signed in", "there was nothing to forget"


def test_that_a_key_may_leave_with_a_release_is_told(console, listener):
    cast.assigned()
    console.post(f"/phones/{cast.MAC}/release/", {"host": cast.HOST, "minutes": "5", "with_key": "yes"})
    assert last().after == {"host": cast.HOST, "minutes": "5", "with_key": "yes"}
