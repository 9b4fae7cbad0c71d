"""The disk of PostgreSQL is full while phones start up and a person saves; then there is room again. Nobody has to
start anything of ours anew, and nothing is half-written."""

import contextlib
import http.client
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.support.deployed import Browser, Deployed, running, simulated
from tests.support.disk import SmallDisk
from tests.support.parts import require_root
from tests.support.servers import PostgreSQL
from tests.support.simulated import ending
from tests.support.site import ROOT, SOON_SECONDS, wait_for

pytestmark = [pytest.mark.servers, pytest.mark.long, pytest.mark.timeout(600)]

DISK_MB = 160
PHONES = 30
EARLY = 6  # that have their configuration before the disk is full
FIRST_MAC = 0x000B82D00000
VICTIM = f"{FIRST_MAC:012X}"  # whom somebody saves until there is no room
MACS = [f"{FIRST_MAC + number:012X}" for number in range(PHONES)]
SIMULATOR_SECONDS = 400
BACK_SECONDS = 120  # until what was held up meanwhile is done
RESTART_SECONDS = 0.5
LISTENER_PORT = 5484
ASSIGN = """
import io, sys
from django.core.management import call_command
for mac in sys.stdin.read().split():
    sys.stdin = io.StringIO("secret\\n")
    call_command("assign", mac, user_id=mac[-4:], name="X", sip_server="10.0.0.1", password_stdin=True)
"""
SAVE_ON = """
import io, sys
from django.core.management import call_command
mac = sys.stdin.read().strip()
for number in range(500):  # tables have some room in their last pages
    sys.stdin = io.StringIO("secret\\n")
    call_command("assign", mac, user_id=mac[-4:], name=f"X {number}", sip_server="10.0.0.1", password_stdin=True)
"""
STEADY = """
from provisioning.models import ConfigFile
version = ConfigFile.objects.select_related("phone").latest("pk")
print(f"/p/{version.steady_secret}/cfg{version.phone.mac.lower()}.xml")
"""
VERSIONS = """
SELECT count(*), max(number) FROM provisioning_configfile f JOIN devices_phone p ON p.id = f.phone_id WHERE mac = %s
"""
NAMES = "SELECT display_name FROM devices_account a JOIN devices_phone p ON p.id = a.phone_id WHERE mac = %s"
PRESENT = """
SELECT count(*), count(applied_at) FROM provisioning_configfile
WHERE (phone_id, number) IN (SELECT phone_id, max(number) FROM provisioning_configfile GROUP BY phone_id)
"""
OPEN = "SELECT count(*) FROM provisioning_notify WHERE state IN ('waiting', 'sending', 'withheld')"


class OnSmallDisk(PostgreSQL):
    """With its tables, or all of it, on a small file system; when it ends by itself it is started again, as systemd and
    docker-compose.yml do."""

    cluster = ("--wal-segsize=1",)

    def __init__(self, has_log_elsewhere: bool) -> None:
        self.has_log_elsewhere = has_log_elsewhere
        self._closing = threading.Event()
        self._keeper = threading.Thread(target=self._keep, name="postgresql keeper", daemon=True)
        self.disk: SmallDisk | None = None
        try:
            super().__init__()
        except BaseException:
            if self.disk is not None:
                self.disk.close()
            raise
        self._keeper.start()

    def _make_cluster(self) -> None:
        data = self.folder / "data"
        data.mkdir()
        self.disk = SmallDisk(data, DISK_MB)
        log = self.folder / "wal"
        log.mkdir()
        for folder, mode in ((data, 0o700), (log, 0o700)):
            folder.chmod(mode)
            if self._account:
                os.chown(folder, self._account["user"], self._account["group"])
        if self.has_log_elsewhere:
            self.cluster = (*self.cluster, f"--waldir={log}")
        super()._make_cluster()

    def use_up_log(self) -> None:
        """Until its next piece cannot be made, of which the server dies (PANIC)."""
        with contextlib.suppress(psycopg.OperationalError), psycopg.connect(self.url(), autocommit=True) as connection:
            while True:
                connection.execute("SELECT pg_logical_emit_message(true, 'filler', repeat('x', 500000))")

    def said(self) -> str:
        return self._log.read_text(encoding="utf-8", errors="replace")

    def _keep(self) -> None:
        is_down = False
        while not self._closing.wait(RESTART_SECONDS):
            if is_down or self.has_ended:
                try:
                    self.start()
                    is_down = False
                except AssertionError:  # there is no room for that either
                    is_down = True

    def remove(self) -> None:
        self._closing.set()
        self._keeper.join()
        self.kill()
        self.disk.close()
        super().remove()


@pytest.fixture(params=[True, False], ids=["its tables'", "also its log's"])
def server(request: pytest.FixtureRequest) -> Iterator[OnSmallDisk]:
    require_root()
    made = OnSmallDisk(has_log_elsewhere=request.param)
    try:
        made.start()
        yield made
    finally:
        made.remove()


@pytest.fixture
def deployed(server: OnSmallDisk, tmp_path: Path) -> Iterator[Deployed]:
    with running(tmp_path, server) as built:
        yield built


def switched_on(deployed: Deployed, first: str, count: int) -> subprocess.Popen[str]:
    """So many phones, one after the other; they wait until they are assigned."""
    seconds = str(SIMULATOR_SECONDS)
    return simulated(
        deployed, "--mac", first, "--count", str(count), "--stagger", "0.1", "--wait-assign", seconds,
        "--timeout", seconds,
    )  # fmt: skip


def listed(deployed: Deployed) -> int:
    """-1 while the database cannot be asked."""
    with contextlib.suppress(psycopg.OperationalError):
        return int(deployed.rows("SELECT count(*) FROM devices_phone")[0][0])
    return -1


def assign(deployed: Deployed, macs: list[str]) -> None:
    deployed.manage("shell", "--no-imports", "-c", ASSIGN, given="\n".join(macs))


def refused_save(deployed: Deployed) -> tuple[int, str]:
    """How many saves of VICTIM are stored until there is no room for one, and what is said of that."""
    done = subprocess.run(
        [sys.executable, "manage.py", "shell", "--no-imports", "-c", SAVE_ON], cwd=ROOT,
        env=deployed.environment("work"), input=VICTIM, capture_output=True, text=True, timeout=BACK_SECONDS,
        check=False,
    )  # fmt: skip
    assert done.returncode, "there was room for all"
    return done.stdout.count("saved"), done.stderr


def answered(deployed: Deployed) -> int:
    """How many phones the listener has answered: stored, or held."""
    connection = http.client.HTTPConnection(deployed.other_address(31), LISTENER_PORT, timeout=SOON_SECONDS)
    try:
        connection.request("GET", "/metrics")
        text = connection.getresponse().read().decode()
    finally:
        connection.close()
    return sum(int(float(n)) for n in re.findall(r'gspnp_sip_answers_total\{kind="(?:un)?stored"\} (\S+)', text))


def stories(process: subprocess.Popen[str]) -> list[str]:
    lines = process.communicate(timeout=SIMULATOR_SECONDS)[0].splitlines()
    return [story["reason"] for story in map(json.loads, lines) if story["outcome"] != "through"]


def test_phones_are_answered_and_nothing_is_lost_or_half_written(server: OnSmallDisk, deployed: Deployed):
    browser = Browser(deployed, 99, {})
    assert browser.sign_in("admin", deployed.admin_password) == 302
    wait_for(lambda: "listening on" in deployed.log("listen"), BACK_SECONDS, "the listener listens")
    with ending(early := switched_on(deployed, MACS[0], EARLY)):
        wait_for(lambda: listed(deployed) == EARLY, BACK_SECONDS, lambda: f"{listed(deployed)} are in the list")
        assign(deployed, MACS[:EARLY])
        assert stories(early) == []
    steady = deployed.manage("shell", "--no-imports", "-c", STEADY).strip()
    before, live = answered(deployed), browser.live()
    server.disk.fill()
    if not server.has_log_elsewhere:
        server.use_up_log()
    with ending(late := switched_on(deployed, MACS[EARLY], PHONES - EARLY)):
        stored, said = refused_save(deployed)
        assert "Traceback" not in said and "disk" in said and "is full" in said, said
        wait_for(lambda: answered(deployed) - before >= PHONES - EARLY, BACK_SECONDS, "all are answered")
        list_is = browser.ask("GET", "/phones.json")
        file_is = browser.ask("GET", steady, port=5481)
        if server.has_log_elsewhere:
            assert (list_is[0], file_is[0]) == (200, 200), "what is there can be read"
        else:
            assert stored == 0 and "PANIC" in server.said()
            assert (list_is[0], file_is[0]) == (503, 503) and "The database is away" in list_is[2].decode()
        server.disk.make_room()
        wait_for(lambda: listed(deployed) == PHONES, BACK_SECONDS, lambda: f"{listed(deployed)} are in the list")
        assign(deployed, MACS[EARLY:])
        assert stories(late) == []
        assert live.until(MACS[-1])["events"], "the open page has heard of it"
    assert deployed.rows(VERSIONS, VICTIM) == [(1 + stored, 1 + stored)], "of the save that failed nothing is there"
    assert deployed.rows(NAMES, VICTIM) == [(f"X {stored - 1}" if stored else "X",)]
    if stored:
        with ending(again := switched_on(deployed, VICTIM, 1)):
            assert stories(again) == []
    all_is_well(deployed, browser)


def all_is_well(deployed: Deployed, browser: Browser) -> None:
    """Each phone is in the list once, has taken its present file, and is owed nothing."""
    assert deployed.rows("SELECT stage, count(*) FROM devices_phone GROUP BY stage") == [("applied", PHONES)]
    assert deployed.rows(PRESENT) == [(PHONES, PHONES)]
    assert deployed.rows(OPEN) == [(0,)]
    status, _, body = browser.ask("GET", "/phones.json")
    assert status == 200 and {one["stage"] for one in json.loads(body)} == {"applied"}
    assert all(process.poll() is None for process in deployed._processes.values()), "none has ended"
    for name, text in deployed.logs().items():
        assert "Traceback" not in text, f"{name}: {text[-3000:]}"
