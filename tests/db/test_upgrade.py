"""From the first release to this one, with data, and back: nothing is lost.

`upgrade/first_release.json` was written by the first release itself (commit d3d6176, migrations 0001): phones that were
seen, assigned, notified and applied, one of them saved anew after that. Its times are those of the tests' clock.
"""

import base64
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.core.management.color import no_style
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.utils.dateparse import parse_datetime

from devices.models import Account, Key, LiveEvent, Phone
from devices.trust import Verdict
from gspnp.env import BASE_DIR
from provisioning import outbox
from provisioning.models import ConfigFile, Download, Notify
from tests import cast
from tests.support.servers import postgresql  # noqa: F401

SUITE_SECONDS = 400
pytestmark = pytest.mark.timeout(SUITE_SECONDS + 60)

WRITTEN = json.loads((Path(__file__).parent / "upgrade" / "first_release.json").read_text(encoding="utf-8"))
OURS = ("console", "sipmcast", "provisioning", "devices")
NOTHING = [(app, None) for app in OURS]
FIRST = [(app, "0001_initial") for app in OURS]
TABLES = {model._meta.db_table: model for model in (Phone, Account, Key, LiveEvent, ConfigFile, Notify, Download)}
STAGES = {1: "seen", 2: "assigned", 3: "assigned", 4: "applied", 5: "assigned"}


def migrate(targets) -> None:
    MigrationExecutor(connection).migrate(targets)


def newest() -> list:
    return MigrationExecutor(connection).loader.graph.leaf_nodes()


def write(table: str, rows: list[dict]) -> None:
    """As the rows stand there: what is encrypted is not opened. The column's own type decides, in whatever database."""
    with connection.cursor() as cursor:
        kinds = {one.name: one for one in connection.introspection.get_table_description(cursor, table)}
        boolean = {
            name for name, one in kinds.items()
            if connection.introspection.get_field_type(one.type_code, one) == "BooleanField"
        }  # fmt: skip
        for row in rows:
            values = [stored(name, value, boolean) for name, value in row.items()]
            names = ", ".join(connection.ops.quote_name(name) for name in row)
            cursor.execute(f"INSERT INTO {table} ({names}) VALUES ({', '.join(['%s'] * len(row))})", values)
        for statement in connection.ops.sequence_reset_sql(no_style(), [TABLES.get(table, User)]):
            cursor.execute(statement)


def stored(name: str, value, boolean: set[str]):
    if isinstance(value, dict):
        return base64.b64decode(value["bytes"])
    if name in boolean:
        return bool(value)
    if name.endswith(("_at", "_until")) or name in ("at", "date_joined", "unless_steady_since"):
        moment = parse_datetime(value) if value else None
        return None if moment is None else connection.ops.adapt_datetimefield_value(moment.replace(tzinfo=cast.UTC))
    return value


def read() -> dict[str, list[dict]]:
    """The columns of the first release, as they stand there now."""
    found = {}
    for table, rows in WRITTEN.items():
        names = list(rows[0])
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT {', '.join(map(connection.ops.quote_name, names))} FROM {table} ORDER BY id")
            found[table] = [
                {name: bytes(one) if isinstance(one, memoryview) else one for name, one in zip(names, row, strict=True)}
                for row in cursor.fetchall()
            ]
    return found


def what_is_there() -> None:
    """Every promise that the first release had made is kept."""
    assert dict(Phone.objects.values_list("pk", "stage")) == STAGES
    assert {one.password for one in Account.objects.all()} == {cast.PASSWORD}
    for file in ConfigFile.objects.all():
        assert b"<gs_provision" in bytes(file.content), "the file opens"
    assert [(key.kind, key.value, key.label) for key in Key.objects.all()] == [("mpk", "1002", "Reception")]
    owed = Notify.objects.filter(state__in=("waiting", "sending", "withheld"))
    assert dict(owed.values_list("phone", "state")) == {2: "waiting", 3: "sending", 5: "waiting"}
    assert bytes(owed.get(phone=3).datagram) == b"NOTIFY", "it is sent again as it was"
    assert User.objects.get().check_password("s3cr3t")


def phones_get_their_files() -> None:
    """By the paths that phones had been given before the upgrade."""
    applied, renewed = ConfigFile.objects.get(phone=4), ConfigFile.objects.get(phone=5, number=2)
    again = ask_steady(applied)
    assert again.status == 200 and again.body == bytes(applied.content)
    assert cast.stage(applied) == "applied"
    old = ConfigFile.objects.get(phone=5, number=1)
    assert ask_steady(old).body == bytes(renewed.content), "the path that the phone has serves what is current"
    fresh = ConfigFile.objects.get(phone=2)
    with cast.neighbours_say(Verdict.MATCH):
        notify = cast.sent(fresh)
    assert outbox.current_file(2) == fresh and notify.state == "sending"
    first = cast.ask(f"/p/{fresh.first_secret}/cfg{fresh.phone.mac}", host=fresh.phone.source_host)
    assert first.status == 200 and cast.stage(fresh) == "fetched"
    assert ask_steady(fresh).status == 200 and cast.stage(fresh) == "applied"


def ask_steady(file: ConfigFile):
    name = f"cfg{file.phone.mac.lower()}.xml"
    return cast.ask(f"/p/{file.steady_secret}/{name}", host=file.phone.source_host)


def first_release() -> dict[str, list[dict]]:
    """The tables of the first release with what it wrote; what was there goes, for each migration can be taken back."""
    migrate(NOTHING)
    migrate(FIRST)
    for table, rows in WRITTEN.items():
        write(table, rows)
    return read()


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("present")
def test_an_upgrade_from_the_first_release_loses_nothing(clock):
    before = first_release()
    migrate(newest())
    assert read() == before, "no value of an old column has changed"
    clock.forward(minutes=10)
    what_is_there()
    phones_get_their_files()


@pytest.mark.long
@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("present")
def test_the_way_back_to_the_first_release_loses_nothing_that_it_knew():
    before = first_release()
    migrate(newest())
    migrate(FIRST)
    assert read() == before
    migrate(newest())
    what_is_there()


@pytest.mark.long
@pytest.mark.xdist_group("postgresql")
@pytest.mark.skipif("TESTS_DATABASE_URL" in os.environ, reason="this is that run")
def test_both_hold_on_postgresql(postgresql):  # noqa: F811
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "DJANGO_"))}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", __file__, "--ds", "tests.db.settings_postgresql", "-q", "-n0", "-p",
         "no:cacheprovider"],
        cwd=BASE_DIR, env={**environment, "TESTS_DATABASE_URL": postgresql.empty()}, capture_output=True, text=True,
        timeout=SUITE_SECONDS, check=False,
    )  # fmt: skip
    assert done.returncode == 0 and "2 passed" in done.stdout, f"{done.stdout[-20_000:]}\n{done.stderr[-5_000:]}"
