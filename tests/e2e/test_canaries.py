"""Canary secrets go through everything the product does, at DEBUG; then all that it wrote is searched for them.

The database file with its log and all its columns, the logs of every process and command, temporary files, what the
console answers to whom may not look, and dumps.
"""

import html
import http.client
import json
import re
import secrets
import urllib.parse
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from tests.support.canaries import leaks, leaks_of_folder, leaks_of_rows
from tests.support.netns import Host
from tests.support.site import DATABASE, SOON_SECONDS, wait_for
from tests.support.steps import Tell
from tests.support.strict_digest import Lock
from tests.support.world import World

pytestmark = [pytest.mark.net, pytest.mark.timeout(400)]

ADMIN, VIEWER = "Root's own canary 4711", "Viewer's own canary 4711"
FIELD_KEY = "Y2FuYXJ5IGtleTogMzIgYnl0ZXMgb2YgYSBrZXkuLi4="
SECRET_KEY = "canary-secret-key-" + "fedcba9876543210" * 3
CODECS = ("PCMU", "PCMA")
MARK = "canary" + secrets.token_hex(4)
WAYS = (
    "assign", "mistyped", "cli", "import", "import_faulty", "import_settings", "extension", "extension_table", "layer",
    "raw", "own", "admin_password", "admin_form", "login",
)  # fmt: skip
CANARY = {way: f"{MARK}{way.replace('_', '').upper()}{secrets.token_hex(3)}" for way in WAYS}


class Answer:
    """What the console answered."""

    def __init__(self, response: http.client.HTTPResponse) -> None:
        self.status, self.headers, self.body = response.status, response.headers, response.read()

    @property
    def text(self) -> str:
        return self.body.decode("utf-8", "replace")

    @property
    def faults(self) -> str:
        """What it complains about, for a person who reads the failed test."""
        words = re.findall(
            r'class="[^"]*gs-error[^"]*"[^>]*>(.*?)</|class="errorlist[^"]*"[^>]*>(.*?)</ul>', self.text, re.S
        )
        return f"{self.status} {[' '.join(''.join(one).split()) for one in words] or self.text[:600]}"

    @property
    def hidden(self) -> dict[str, str]:
        """The hidden fields of its forms but for the settings and the token."""
        found = re.findall(r'<input type="hidden" name="([\w-]+)" value="([^"]*)"', self.text)
        return {name: html.unescape(value) for name, value in found if name not in ("setting", "csrfmiddlewaretoken")}


class Person:
    """Somebody at the console, on the server itself: only there passwords may be looked at over HTTP."""

    def __init__(self, host: Host, name: str, password: str) -> None:
        self.host, self.cookies = host, {}
        self.get("/admin/login/")
        self.signed_in = self.post("/admin/login/?next=/", username=name, password=password).status == 302

    def get(self, path: str) -> Answer:
        return self._ask("GET", path, b"", "")

    def post(self, path: str, fields: Mapping[str, Any] | None = None, as_page: bool = False, **more: Any) -> Answer:
        body = urllib.parse.urlencode({**(fields or {}), **more}, doseq=True).encode()
        return self._ask("POST", path, body, "application/x-www-form-urlencoded", as_page)

    def upload(self, path: str, name: str, data: bytes, **fields: str) -> Answer:
        edge = "edge-of-the-form"
        parts = [
            f'--{edge}\r\nContent-Disposition: form-data; name="{one}"\r\n\r\n{text}\r\n'
            for one, text in fields.items()
        ]
        head = f'--{edge}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n\r\n'
        body = "".join(parts).encode() + head.encode() + data + f"\r\n--{edge}--\r\n".encode()
        return self._ask("POST", path, body, f"multipart/form-data; boundary={edge}")

    def _ask(self, method: str, path: str, body: bytes, kind: str, as_page: bool = False) -> Answer:
        asking = self.host.socket(1)
        asking.settimeout(SOON_SECONDS)
        asking.connect(("127.0.0.1", 8000))
        connection = http.client.HTTPConnection("127.0.0.1", 8000)
        connection.sock = asking
        headers = {"Cookie": "; ".join(f"{name}={value}" for name, value in self.cookies.items())}
        if method == "POST":
            headers |= {"Content-Type": kind, "X-CSRFToken": self.cookies.get("csrftoken", "")}
            headers |= {"Origin": "http://127.0.0.1:8000"} | ({} if as_page else {"X-Requested-With": "fetch"})
        connection.request(method, path, body, headers)
        answer = Answer(connection.getresponse())
        for cookie in answer.headers.get_all("Set-Cookie") or ():
            name, _, value = cookie.partition(";")[0].partition("=")
            self.cookies[name] = value
        connection.close()
        return answer


def assignment(drawer: Answer, user: str, password: str) -> dict[str, Any]:
    names = re.findall(r'name="((?:account|key)-[\w-]+)"', drawer.text)
    blank: dict[str, Any] = {
        name: "1" if name.startswith("key-") and name.endswith("-account") else "" for name in names
    }
    blank |= {name: list(CODECS) for name in names if name.endswith("-codecs")}
    return drawer.hidden | blank | {
        "account-1-user_id": user, "account-1-password": password, "account-1-sip_server": "10.0.0.1",
    }  # fmt: skip


def save_layer(person: Person, url: str, values: Mapping[str, str]) -> Answer:
    """Through the preview, as a person does."""
    page = person.get(url)
    rows = {f"value-{name}": text for name, text in values.items()}
    seen = person.post(url, page.hidden | rows | {"setting": list(values), "do": "preview"})
    assert seen.status == 200, seen.faults
    return person.post(url, seen.hidden | {"do": "save", "pace": "300"})


@pytest.fixture(scope="module")
def world(make_world: Callable[..., World]) -> World:
    built = make_world(
        {
            "GSPNP_ADMIN_PASSWORD": ADMIN,
            "GSPNP_LOG_LEVEL": "DEBUG",
            "GSPNP_PHONE_LOGIN": "basic",
            "GSPNP_FIELD_KEYS": FIELD_KEY,
            "SECRET_KEY": SECRET_KEY,
        }
    )
    site = built.site
    temporary = site.folder / "tmp"
    temporary.mkdir()
    site.environment |= {"TMPDIR": str(temporary)}
    site.manage("collectstatic", "--no-input", "--verbosity", "0")
    site.manage("first_admin")
    script = (
        "from django.contrib.auth.models import Permission, User; import sys;"
        "viewer = User.objects.create_user('viewer', password=sys.stdin.readline().strip(), is_staff=True);"
        "viewer.user_permissions.set(Permission.objects.filter(codename__startswith='view_'))"
    )
    site.manage("shell", "--no-imports", "-c", script, given=f"{VIEWER}\n")
    site.start("console", "phones", "listen", "work")
    return built


@pytest.fixture(scope="module")
def spoken(world: World) -> dict[str, str]:
    """Everything was done once with each canary; they, and the secret paths that came to be."""
    site = world.site
    said: list[str] = []
    root = Person(world.pbx, "admin", ADMIN)
    assert root.signed_in and not Person(world.pbx, "admin", CANARY["login"]).signed_in
    phone, second, third = world.phone(), world.phone(), world.phone(lan=1)
    for one in (phone, second, third):
        one.boot()
        wait_for(lambda one=one: site.phone(one.mac), SOON_SECONDS, "stored")
    assert (
        save_layer(root, "/settings/layer/?level=model&name=GXP1628", {"xsi_password": CANARY["layer"]}).status == 302
    )
    assert save_layer(root, "/settings/layer/?level=site&name=", {"P9998": CANARY["raw"]}).status == 302
    # The drawer, at first with a mistake.
    drawer = f"/phones/{phone.mac}/assign/"
    assert root.post(drawer, assignment(root.get(drawer), "10 01", CANARY["mistyped"])).status == 422
    saved = root.post(drawer, assignment(root.get(drawer), "1001", CANARY["assign"]))
    assert saved.status == 200, saved.faults
    phone.be_provisioned()
    assert phone.values["P34"] == CANARY["assign"] and CANARY["raw"] in phone.values.values()
    own = f"/phones/{phone.mac}/settings/"
    changed = root.post(own, root.get(own).hidden | {
        "value-ldap_password": CANARY["own"], "value-admin_password": CANARY["admin_password"],
        "setting": ["ldap_password", "admin_password"], "do": "save",
    })  # fmt: skip
    assert changed.status == 302, changed.faults
    phone.be_provisioned()
    # The command line; and a phone that asks for a login.
    said.append(site.assign(second.mac, user="1002", password=CANARY["cli"]))
    second.be_provisioned()
    telling = Tell(site, second.mac, "check")
    answered, right = second.await_login(second.next_transaction(), Lock(username="1002", password=CANARY["cli"]))
    assert right
    second.answer(answered)
    telling.ended()
    # Tables: one that is right, one with a fault in the row, one with settings.
    head = b"mac,model,extension,password,sip_server\n"
    for way, mac, user in (("import", "000B82C0FFE1", "2001"), ("import_faulty", "000B82C0FFE2", "20 01")):
        row = f"{mac},GXP1628,{user},{CANARY[way]},10.0.0.1\n".encode()
        assert root.upload("/phones/import/", f"{way}.csv", head + row).status in (302, 200)
    wait_for(lambda: len(site.rows("SELECT * FROM provisioning_importrow")) == 2, SOON_SECONDS, "both are read")
    one = site.rows("SELECT id FROM provisioning_phoneimport WHERE title LIKE 'import.csv%'")[0]["id"]
    wait_for(lambda: root.post(f"/phones/import/{one}/apply/", pace="300").status == 302, SOON_SECONDS, "applied")
    wait_for(lambda: site.phone("000B82C0FFE1"), SOON_SECONDS, "carried out")
    long = head + b"".join(
        b"000B82C1%04X,GXP1628,%d,%s,10.0.0.1\n" % (n, n + 3000, CANARY["import_settings"].encode())
        for n in range(2500)
    )
    assert len(long) > 130_000 and root.upload("/phones/import/", "long.csv", long).status in (302, 200)
    # The directory of extensions.
    entry = {"number": "4001", "secret": CANARY["extension"], "name": "Dee", "sip_server": "10.0.0.1", "site": ""}
    added = root.post("/extensions/add/", {f"extension-{name}": text for name, text in entry.items()})
    assert added.status in (200, 302), added.faults
    table = (
        f"number,name,secret\n4002,Eve,{CANARY['extension_table']}\n4 0 0 3,Bad,{CANARY['extension_table']}\n".encode()
    )
    root.upload("/extensions/import/", "extensions.csv", table)
    # The administration's own form of a phone.
    pk = site.phone(third.mac)["id"]
    form = {
        "seen_version": site.phone(third.mac)["version"], "seen_host": third.address,
        "accounts-TOTAL_FORMS": 1, "accounts-INITIAL_FORMS": 0, "accounts-MIN_NUM_FORMS": 0,
        "accounts-MAX_NUM_FORMS": 10,
        "keys-TOTAL_FORMS": 0, "keys-INITIAL_FORMS": 0, "keys-MIN_NUM_FORMS": 0, "keys-MAX_NUM_FORMS": 10,
        "accounts-0-phone": pk, "accounts-0-number": 1, "accounts-0-user_id": "5001", "accounts-0-display_name": "T",
        "accounts-0-new_password": CANARY["admin_form"], "accounts-0-sip_server": "10.0.0.1",
        "accounts-0-codecs": "PCMA", "accounts-0-auth_id": "", "accounts-0-voicemail": "",
    }  # fmt: skip
    changed = root.post(f"/admin/devices/phone/{pk}/change/", form)
    assert changed.status == 302, changed.faults
    third.be_provisioned()
    # Looked at, by who may; exported, by who may.
    for as_page in (False, True):  # a page's context is what a template's error could tell
        shown = root.post(f"/phones/{phone.mac}/reveal/", as_page=as_page, name="admin_password")
        assert CANARY["admin_password"] in shown.text, shown.faults
    assert CANARY["assign"] in root.post("/phones/export/", secrets="yes", kind="csv").text
    phones = (phone, second, third)
    told = [notify.message.raw.decode("utf-8", "replace") for one in phones for notify in one.notifies]
    told += [value for one in phones for value in one.values.values()]
    paths = {secret for text in told for secret in re.findall(r"/p/([\w-]{22})", text)}
    found = {f"path {number}": secret for number, secret in enumerate(sorted(paths))}
    logins = {f"login {number}": one.values["P1361"] for number, one in enumerate(phones)}
    assert all(logins.values())
    found |= logins
    canaries = CANARY | found | {"field key": FIELD_KEY, "secret key": SECRET_KEY, "admin": ADMIN, "viewer": VIEWER}
    assert len(found) >= 9
    assert not leaks("\n".join(said).encode(), canaries)
    return canaries


def test_no_file_that_was_written_holds_one(world: World, spoken: dict[str, str]):
    assert (world.site.folder / f"{DATABASE}-wal").stat().st_size > 0
    assert all("DEBUG" in world.site.log(name) for name in ("listen", "phones", "work"))
    assert leaks_of_folder(world.site.folder, spoken) == {}


def test_no_column_of_any_table_holds_one(world: World, spoken: dict[str, str]):
    assert leaks_of_rows(world.site.folder / DATABASE, spoken) == {}


def test_no_dump_holds_one(world: World, spoken: dict[str, str]):
    for kind in ("json", "xml"):
        assert leaks(world.site.manage("dumpdata", "--format", kind).stdout.encode(), spoken) == set()


def test_no_page_and_no_export_shows_one(world: World, spoken: dict[str, str]):
    viewer, root = Person(world.pbx, "viewer", VIEWER), Person(world.pbx, "admin", ADMIN)
    assert viewer.signed_in and root.signed_in
    macs = list(world.site.phones())
    pages = ["/", "/rows/", "/phones.json", "/overview/", "/settings/", "/settings/layer/?level=site&name=", "/jobs/",
             "/settings/layer/?level=model&name=GXP1628", "/extensions/", "/extensions/export/", "/phones/import/",
             "/phones/export/?kind=csv", "/phones/export/?kind=csv&secrets=yes", "/doctor/", "/nowhere/"]  # fmt: skip
    pages += [f"/phones/{mac}/{part}" for mac in macs[:4] for part in ("", "live/", "assign/", "settings/", "history/")]
    pages += [f"/phones/import/{one['id']}/" for one in world.site.rows("SELECT id FROM provisioning_phoneimport")]
    pages += [f"/jobs/{one['id']}/" for one in world.site.rows("SELECT id FROM provisioning_job")]
    pages += ["/admin/", "/admin/devices/account/", "/admin/devices/liveevent/", "/admin/provisioning/configfile/"]
    pages += [
        f"/admin/devices/phone/{one['id']}/history/" for one in world.site.rows("SELECT id FROM devices_phone LIMIT 4")
    ]
    for person in (viewer, root):
        for page in pages:
            answer = person.get(page)
            assert answer.status < 500, page
            assert leaks(answer.body, spoken) == set(), page
    for mac in macs:
        answer = viewer.post(f"/phones/{mac}/reveal/", name="admin_password")
        assert answer.status == 403 and leaks(answer.body, spoken) == set()
    assert leaks(viewer.post("/phones/export/", secrets="yes", kind="csv").body, spoken) == set()


def test_a_broken_page_tells_none(world: World, spoken: dict[str, str]):
    """The database is away in the middle of a save: error page, log, and nothing of what was typed."""
    site = world.site
    root = Person(world.pbx, "admin", ADMIN)
    mac = next(iter(site.phones()))
    fields = assignment(root.get(f"/phones/{mac}/assign/"), "1001", spoken["mistyped"])
    site.manage(
        "shell",
        "--no-imports",
        "-c",
        "from django.db import connection as c; c.cursor().execute('ALTER TABLE devices_account RENAME TO gone')",
    )
    try:
        answer = root.post(f"/phones/{mac}/assign/", fields)
        assert answer.status == 500 and leaks(answer.body, spoken) == set()
        assert "Traceback" in site.log("console")
    finally:
        site.manage(
            "shell",
            "--no-imports",
            "-c",
            "from django.db import connection as c; c.cursor().execute('ALTER TABLE gone RENAME TO devices_account')",
        )
    assert leaks_of_folder(site.folder, spoken) == {}
    assert json.loads(site.manage("phones", "--json").stdout)
