"""Who may ask what: every address of the console door, read from the URLconf itself, tried as each role and as nobody.

An address that is new fails here until somebody has said in RULES who may use it.
"""

import re
import threading
from collections.abc import Iterator

import pytest
from django.contrib.auth.models import Group, Permission, User
from django.test import Client
from django.urls import URLPattern, get_resolver

from gspnp.console import actions, doctor, orders, roles
from tests import cast
from tests.console.conftest import person, signed_in

NOBODY, OUTSIDER, BLANK, VIEWER, TECHNICIAN, ADMINISTRATOR = range(6)
NEVER = 6  # this method or this thing is for nobody
NAMES = (
    "nobody",
    "who has everything but staff status",
    "staff without a permission",
    *(one.name for one in roles.ROLES),
)
EVERYBODY, STAFF = NOBODY, BLANK

# Route: who may GET it, who may POST it. A number means this role and all above it.
RULES: dict[str, tuple[int, int]] = {
    "healthz": (EVERYBODY, NEVER),
    "words": (EVERYBODY, NEVER),
    "admin/password_change/done/": (EVERYBODY, NEVER),
    "admin:login": (EVERYBODY, EVERYBODY),
    "admin:logout": (NEVER, EVERYBODY),
    "admin:jsi18n": (STAFF, NEVER),
    "admin:index": (STAFF, STAFF),
    "admin:search": (STAFF, STAFF),
    "admin:password_change": (STAFF, STAFF),
    "admin:password_change_done": (EVERYBODY, NEVER),
    "admin:view_on_site": (STAFF, STAFF),
    "admin:app_list": (STAFF, STAFF),
    "admin/(?P<url>.*)$": (STAFF, STAFF),
    "admin:autocomplete": (NEVER, NEVER),  # without a model it is refused to all; see Django's own tests
    "admin:auth_user_password_change": (ADMINISTRATOR, ADMINISTRATOR),
    # These lead on to pages of the console, which ask.
    "admin:devices_phone_import_export": (STAFF, STAFF),
    "admin:devices_account_change": (STAFF, STAFF),
    "admin:devices_key_change": (STAFF, STAFF),
    "admin:devices_extension_add": (STAFF, STAFF),
    "console:people": (ADMINISTRATOR, NEVER),
    "console:unlock": (NEVER, ADMINISTRATOR),
    "console:changes": (ADMINISTRATOR, NEVER),
    "console:reveal": (NEVER, ADMINISTRATOR),
    "console:columns": (VIEWER, VIEWER),
    "console:doctor": (VIEWER, VIEWER),
    "console:export": (VIEWER, VIEWER),
    "console:order": (NEVER, TECHNICIAN),
    "console:act": (NEVER, TECHNICIAN),
    "console:imports": (VIEWER, TECHNICIAN),
    "console:extension_export": (NEVER, VIEWER),
    **dict.fromkeys(
        ("console:phones", "console:rows", "console:filters", "console:signed_in", "console:overview",
         "console:overview_live", "console:layers", "console:catalogue", "console:jobs", "console:job",
         "console:job_live", "console:extensions", "console:extension_find",
         "console:firmware", "console:phonebook", "console:phonebook_file", "console:phones_json",
         "console:import_sample", "console:import", "console:alarms", "console:alarms_live",
         "console:listeners", "console:listeners_live",
         "console:phone", "console:phone_live", "console:phone_history"),
        (VIEWER, NEVER),
    ),
    **dict.fromkeys(
        ("console:layer", "console:opinions", "console:handout", "console:phone_settings"), (VIEWER, TECHNICIAN)
    ),
    **dict.fromkeys(
        ("console:assign", "console:swap", "console:add_phone", "console:extension_add", "console:extension_import",
         "console:extension", "console:bulk_edit"),
        (TECHNICIAN, TECHNICIAN),
    ),
    **dict.fromkeys(
        ("console:job_pause", "console:job_resume", "console:job_cancel", "console:firmware_upload",
         "console:firmware_remove", "console:firmware_pin", "console:phonebook_switch", "console:phonebook_renew",
         "console:import_press", "console:assign_undo", "console:roll_back", "console:extension_delete",
         "console:alarms_dismiss", "console:alarm_dismiss", "console:decoy_add", "console:decoys_make",
         "console:decoy_remove", "console:release", "console:listener_forget"),
        (NEVER, TECHNICIAN),
    ),
    "console:assign_news": (TECHNICIAN, NEVER),
    "console:setting_row": (TECHNICIAN, NEVER),
    "console:bulk_edit_again": (TECHNICIAN, NEVER),
}  # fmt: skip

# Tables of the admin: who may look, who may add, change and delete.
TABLES: dict[str, tuple[int, int, int, int]] = {
    "provisioning_contact": (VIEWER, TECHNICIAN, TECHNICIAN, TECHNICIAN),
    "devices_extension": (VIEWER, STAFF, NEVER, TECHNICIAN),
    "devices_phone": (VIEWER, NEVER, TECHNICIAN, TECHNICIAN),
    "devices_account": (VIEWER, NEVER, TECHNICIAN, NEVER),
    "devices_key": (VIEWER, NEVER, TECHNICIAN, NEVER),
    "auth_user": (ADMINISTRATOR, ADMINISTRATOR, ADMINISTRATOR, ADMINISTRATOR),
    "auth_group": (ADMINISTRATOR, ADMINISTRATOR, ADMINISTRATOR, ADMINISTRATOR),
    **dict.fromkeys(
        ("provisioning_notify", "provisioning_download", "provisioning_configfile", "devices_liveevent",
         "sipmcast_listenerstatus"),
        (VIEWER, NEVER, NEVER, NEVER),
    ),
    "django_tasks_database_dbtaskresult": (NEVER, NEVER, NEVER, NEVER),
}  # fmt: skip

QUERIES = {"console:layer": "?level=site&name=berlin", "console:opinions": "?site=berlin"}
FILLED = {
    "object_id": "999999",
    "mac": cast.MAC,
    "action": "check",
    "kind": "check",
    "button": "discard",
    "model": "GXP1628",
    "version": "1.0",
    "alarm_id": "999999",
}


def routes(resolver=None, prefix: str = "", spaces: tuple[str, ...] = ()) -> Iterator[tuple[str, str]]:
    """Name (or, without one, pattern) and pattern of everything that the console door answers."""
    for one in (resolver or get_resolver("gspnp.urls")).url_patterns:
        here = prefix + str(one.pattern)
        if isinstance(one, URLPattern):
            yield ":".join([*spaces, one.name]) if one.name else here, here
        else:
            yield from routes(one, here, (*spaces, one.namespace) if one.namespace else spaces)


ROUTES = sorted(set(routes()))


def path_of(pattern: str) -> str:
    """An address that it matches."""
    pattern = pattern.replace("^(?P<app_label>", "<").replace("(?P<url>.*)$", "nothing/here/").rstrip("$")
    pattern = re.sub(r"<([a-z_|]+)\)/", "devices/", pattern)
    return "/" + re.sub(r"<(?:\w+:)?(\w+)>", lambda found: FILLED.get(found[1], "1"), pattern)


def rule_of(name: str, pattern: str) -> tuple[int, int]:
    """Who may GET and POST it; KeyError if nobody has said."""
    if name in RULES:
        return RULES[name]
    table, _, verb = name.removeprefix("admin:").rpartition("_")
    if pattern.startswith("admin/") and pattern.endswith("<path:object_id>/"):
        return STAFF, STAFF  # leads on to the form
    look, add, change, delete = TABLES[table]
    return {
        "changelist": (look, look),
        "add": (add, add),
        "change": (look, change),
        "delete": (delete, delete),
        "history": (STAFF, STAFF),  # there is no such row: the admin leads away before it asks who it is
    }[verb]


@pytest.fixture
def people(db, monkeypatch) -> list[Client]:
    """A browser for each role."""
    cast.seen()
    outsider = person("outsider", is_staff=False)
    outsider.user_permissions.set(Permission.objects.all())
    members = []
    for role in roles.ROLES:
        user = person(role.name.lower())
        user.groups.add(Group.objects.get(name=role.name))
        members.append(user)
    busy = threading.Lock()
    busy.acquire()
    monkeypatch.setattr(doctor, "_running", busy)  # it answers that it is being run, and asks no network
    users: list[User] = [outsider, person("blank"), *members]
    return [Client(headers={"host": "localhost"}), *(signed_in(user) for user in users)]


def is_let_in(client: Client, method: str, path: str) -> bool:
    answer = client.generic(method, path)
    assert answer.status_code < 500, f"{method} {path}: {answer.status_code}"
    to_login = answer.status_code == 302 and answer["Location"].startswith("/admin/login/")
    return not to_login and answer.status_code not in (401, 403, 405)


def let_in(people: list[Client], method: str, path: str) -> list[str]:
    return [name for name, client in zip(NAMES, people, strict=True) if is_let_in(client, method, path)]


@pytest.mark.parametrize(("name", "pattern"), ROUTES, ids=[f"{name} {pattern}" for name, pattern in ROUTES])
def test_an_address_is_for_whom_its_rule_says(people, name, pattern):
    path = path_of(pattern) + QUERIES.get(name, "")
    if name == "admin:logout":
        people[VIEWER].post(path)
        assert people[VIEWER].get("/").status_code == 302
        return
    for method, least in zip(("GET", "POST"), rule_of(name, pattern), strict=True):
        expected = [other for rank, other in enumerate(NAMES) if rank >= least]
        if least == EVERYBODY:
            expected = list(NAMES)
        assert let_in(people, method, path) == expected, f"{method} {path}"


def test_every_rule_is_of_an_address_that_there_is():
    known = {name for name, _ in ROUTES}
    assert set(RULES) <= known
    assert {f"admin:{table}_changelist" for table in TABLES} <= known


@pytest.mark.parametrize("kind", sorted(actions.ACTIONS))
def test_every_action_on_a_phone_is_for_technicians(people, kind):
    cast.assigned()
    path = f"/phones/{cast.MAC}/{kind}/"
    assert not any(is_let_in(client, "POST", path) for client in people[:TECHNICIAN])
    assert is_let_in(people[TECHNICIAN], "POST", path)


@pytest.mark.parametrize("kind", sorted(orders.DEEDS))
def test_every_order_is_for_technicians(people, kind):
    assert let_in(people, "POST", f"/orders/{kind}/") == ["Technician", "Administrator"]


def test_an_administrator_who_is_no_superuser_makes_none_and_touches_none(people, db):
    root = User.objects.create_superuser("root", password="x")  # noqa: S106
    administrator = people[ADMINISTRATOR]
    own = User.objects.get(username="administrator")
    administrator.post(
        f"/admin/auth/user/{own.pk}/change/",
        {"username": "administrator", "is_active": "on", "is_staff": "on", "is_superuser": "on",
         "date_joined_0": "2026-01-01", "date_joined_1": "00:00:00", "groups": [str(own.groups.get().pk)]},
    )  # fmt: skip
    assert not User.objects.get(pk=own.pk).is_superuser
    for path in (f"/admin/auth/user/{root.pk}/password/", f"/admin/auth/user/{root.pk}/delete/"):
        assert administrator.post(path, {"post": "yes"}).status_code == 403
    administrator.post(
        "/admin/auth/user/", {"action": "delete_selected", "_selected_action": [str(root.pk)], "post": "yes"}
    )
    assert User.objects.filter(pk=root.pk).exists()


def test_who_is_added_by_an_administrator_can_sign_in_and_belongs_to_the_group(people, db):
    group = Group.objects.get(name=roles.VIEWER)
    page = people[ADMINISTRATOR].get("/admin/auth/user/add/").content.decode()
    assert re.search(r'name="is_staff"[^>]*checked', page)
    fields = {"username": "vera", "usable_password": "true", "password1": "long-enough-1", "password2": "long-enough-1"}
    answer = people[ADMINISTRATOR].post("/admin/auth/user/add/", fields | {"groups": [str(group.pk)], "is_staff": "on"})
    assert answer.status_code == 302
    vera = User.objects.get(username="vera")
    assert vera.is_staff and not vera.is_superuser and list(vera.groups.all()) == [group]
    assert signed_in(vera).get("/").status_code == 200


def test_nobody_shuts_himself_out(administrator):
    other = User.objects.create_superuser("other")
    client, own = signed_in(administrator), f"/admin/auth/user/{administrator.pk}/"
    fields = {"username": "root", "date_joined_0": "2026-01-01", "date_joined_1": "00:00:00", "first_name": "Ruth"}
    assert client.post(f"{own}change/", fields).status_code == 302
    administrator.refresh_from_db()
    assert administrator.first_name == "Ruth"
    assert administrator.is_active and administrator.is_staff and administrator.is_superuser
    assert client.post(f"{own}delete/", {"post": "yes"}).status_code == 403
    both = {"action": "delete_selected", "post": "yes", "_selected_action": [str(administrator.pk), str(other.pk)]}
    client.post("/admin/auth/user/", both)
    assert User.objects.filter(is_superuser=True).count() == 2
    client.post("/admin/auth/user/", both | {"_selected_action": [str(other.pk)]})
    assert User.objects.get(is_superuser=True) == administrator
