"""Millions of events and a hundred thousand phones slow no page: what is asked is answered by an index.

The plans are the database's own, for a fill that is just large enough for it to choose as it would for a large one.
"""

import re
from datetime import timedelta
from itertools import islice

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from devices import live, retention
from devices.choices import EventKind
from devices.models import LiveEvent, Phone
from gspnp.console import figures
from gspnp.console.filters import Counts
from provisioning import downloads, keeping  # noqa: F401  (keeping registers its rules)
from provisioning.firmware import pins
from provisioning.models import ConfigFile, Download, Notify
from sipmcast import desk
from tests import cast

pytestmark = [pytest.mark.db, pytest.mark.django_db(transaction=True)]
PHONES, EVENTS_EACH, DOWNLOADS_EACH = 1_000, 30, 10
GROWING = ("devices_liveevent", "provisioning_download", "provisioning_notify", "provisioning_configfile",
           "devices_account", "console_change", "sipmcast_transcript")  # fmt: skip


def mac(number: int) -> str:
    return f"000B82{number:06X}"


def fill() -> None:
    """Phones, each with a file, a NOTIFY, downloads and a timeline of a hundred days."""
    now = timezone.now()
    phones = Phone.objects.bulk_create(
        Phone(mac=mac(n), stage="applied", stage_at=now, listed_at=now, first_seen_at=now, last_seen_at=now,
              online=n % 20 > 0, online_at=now, stage_reason="" if n % 50 else "It did not answer.")
        for n in range(PHONES)
    )  # fmt: skip
    files = ConfigFile.objects.bulk_create(
        ConfigFile(phone=phone, number=1, content=b"x", first_hash=f"f{phone.pk}", steady_hash=f"s{phone.pk}",
                   created_at=now) for phone in phones
    )  # fmt: skip
    Notify.objects.bulk_create(
        Notify(phone=file.phone, config_file=file, origin="save", state="delivered", created_at=now, next_at=now,
               settled_at=now) for file in files
    )  # fmt: skip
    step = timedelta(days=100) / (EVENTS_EACH * PHONES)
    rows = ((phone, turn) for turn in range(EVENTS_EACH) for phone in phones)
    events = (
        (phone.pk, phone.mac, EventKind.SEEN.value, "applied", "x" * 60, now - timedelta(days=100) + place * step)
        for place, (phone, _) in enumerate(rows)
    )
    while bite := list(islice(events, 5_000)):
        live.append_rows(bite)
    Download.objects.bulk_create(
        Download(phone=file.phone, config_file=file, path_kind="steady", name="x", status=200, counts=True,
                 source_host="10.0.0.1", at=now - timedelta(days=10 * turn)) for turn in range(DOWNLOADS_EACH)
        for file in files
    )  # fmt: skip
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("VACUUM ANALYZE")  # SQLite has no statistics in the product either


def plan_of(sql: str) -> str:
    explain = "EXPLAIN" if connection.vendor == "postgresql" else "EXPLAIN QUERY PLAN"
    with connection.cursor() as cursor:
        cursor.execute(f"{explain} {sql.replace('%', '%%')}", [])
        return "\n".join(str(row[-1]) for row in cursor.fetchall())


def scans(plan: str) -> set[str]:
    """Tables of which every row is read."""
    found = re.findall(r"Seq Scan on (\w+)" if connection.vendor == "postgresql" else r"SCAN (\w+)(?! USING)\b", plan)
    return {name for name in found if f"SCAN {name} USING" not in plan}


def asked(call) -> list[str]:
    """The queries that this call makes, without those that read some rows from one end of a table by its key."""
    with CaptureQueriesContext(
        connection,
    ) as queries:
        call()
    sqls = [query["sql"] for query in queries if query["sql"].lstrip(" (").startswith("SELECT")]
    return [sql for sql in sqls if "WHERE" in sql or not re.search(r"ORDER BY 1 (ASC|DESC) +LIMIT \d+", sql)]


def plans(call) -> str:
    return "\n".join(plan_of(sql) for sql in asked(call))


def test_events_and_downloads_are_found_by_an_index_however_many_there_are():
    fill()
    phone, now = Phone.objects.get(mac=mac(500)), timezone.now()
    newest = live.newest_id()
    rules, sweeper = {rule.name: rule for rule in retention.rules()}, retention.Sweeper()
    pk = "devices_liveevent_pkey" if connection.vendor == "postgresql" else "INTEGER PRIMARY KEY"
    a_minute = (now - timedelta(minutes=1), now)
    for what, call, index in (
        ("timeline", lambda: list(LiveEvent.objects.filter(mac=phone.mac).order_by("-id")[:41]), "liveevent_timeline"),
        ("tail", lambda: live.after(newest), pk),
        ("oldest events", lambda: sweeper._next(rules["events"]), "liveevent_by_time"),
        ("oldest downloads", lambda: sweeper._next(rules["downloads"]), "download_by_time"),
        ("downloads of an hour", lambda: figures._fetched(*a_minute), "download_by_time"),
        ("repeats", lambda: downloads._goes_on_and_on(phone.pk, now), "provisioning_download_phone_id"),
        ("its downloads", lambda: list(Download.objects.filter(phone=phone)[:10]), "provisioning_download_phone_id"),
    ):  # fmt: skip
        plan = plans(call)
        assert index in plan and not scans(plan), f"{what}: {plan}"
    assert sweeper._next(rules["events"])

    user = User.objects.create(username="tess", is_superuser=True, is_staff=True)
    client = Client(headers={"host": "localhost"})
    client.force_login(user)
    cast.assigned()
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:  # a thousand rows are read faster than their index: can it be used?
            cursor.execute("SET enable_seqscan = off")
    page = f"/phones/{phone.mac}/"
    for path in (
        "/", "/rows/?stage=attention", page, f"{page}?kind=trouble", f"{page}history/", "/overview/",
        f"/admin/devices/liveevent/?q={phone.mac}",
    ):  # fmt: skip
        figures.memory.clear()
        for sql in asked(lambda path=path: client.get(path)):
            plan = plan_of(sql)
            assert not scans(plan).intersection(GROWING), f"{path}: {sql}\n{plan}"
    legs = {(cast.LEG.interface, cast.LEG.host): cast.LEG}
    for call in (  # several times a second, by each listener
        lambda: desk.look(legs, "pbx#1", {}, 100, "berlin"),
        lambda: desk.upkeep(legs, "pbx#1", [], "berlin"),
    ):
        for sql in asked(call):
            plan = plan_of(sql)
            assert not scans(plan).intersection((*GROWING, "devices_phone")), f"{sql}\n{plan}"
    for sql in asked(pins.give_up):  # every few seconds, by the worker
        if "held_back" in sql:
            assert "file_of_an_upgrade" in plan_of(sql), f"{sql}\n{plan_of(sql)}"
    plan = plans(lambda: (Counts().reaches, Counts().attention))
    for index in ("phone_silent", "phone_has_stopped", "phone_with_alarm", "phone_of_another_mac"):
        assert index in plan, plan
    assert "devices_phone" not in scans(plan), plan
    for rule in (rule for rule in retention.rules() if rule.walk is None):  # the others look at a window by its keys
        for sql in asked(lambda rule=rule: sweeper._next(rule)):
            plan = plan_of(sql)
            assert not scans(plan).intersection(GROWING), f"{rule.name}: {sql}\n{plan}"
