"""One installation under test: its own data folder, its own host, and the Procfile's commands as real processes.

It shares no process with the ORM: it arranges by the command line and observes by JSON, by log and by reading the
SQLite file (read-only). Processes are ended by their own pid and never by name; they die with the suite.
"""

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from tests.support.manage import ROOT, Ready, die_with_the_suite, state_of
from tests.support.netns import Host

DATABASE = "gspnp.sqlite3"
COMMAND_SECONDS = 60
START_SECONDS = 60
STOP_SECONDS = 30
SOON_SECONDS = 30  # for what comes at once: it ends a test that hangs, and measures nothing
POLL_SECONDS = 0.02

Found = TypeVar("Found")


def wait_for(condition: Callable[[], Found], seconds: float, what: str | Callable[[], str]) -> Found:
    """What the condition returns as soon as it is true; an AssertionError after the bound."""
    deadline = time.monotonic() + seconds
    while True:
        found = condition()
        if found:
            return found
        if time.monotonic() >= deadline:
            raise AssertionError(f"not within {seconds:g} s: {what() if callable(what) else what}")
        time.sleep(POLL_SECONDS)


def procfile() -> dict[str, str]:
    """The commands as `make run` starts them."""
    lines = (ROOT / "Procfile").read_text(encoding="utf-8").splitlines()
    pairs = [line.partition(":") for line in lines if line.strip() and not line.startswith("#")]
    return {name.strip(): command.strip() for name, _, command in pairs}


class Site:
    """An installation. `host` is the machine that it runs on."""

    def __init__(self, folder: Path, host: Host, settings: Mapping[str, str] | None = None) -> None:
        self.folder = folder
        self.host = host
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("DJANGO_")},
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
            "PYTHONUNBUFFERED": "1",
            "GSPNP_DATA_DIR": str(folder),
            **(settings or {}),
        }
        self._processes: dict[str, subprocess.Popen] = {}
        self._ready: list[Ready] = []
        self._commands = procfile()
        self._marks: dict[str, int] = {}  # how long a log was when its present process started
        folder.mkdir(parents=True, exist_ok=True)

    # --- arranging ------------------------------------------------------------------------------------------------

    def prepare(self, template: Path | None = None) -> None:
        """An empty database: migrated here, or copied from another installation of this suite."""
        if template is not None:
            shutil.copy(template, self.folder / DATABASE)
        else:
            self.manage("migrate", "--verbosity", "0")

    def manage(self, *arguments: str, given: str = "", check: bool = True) -> subprocess.CompletedProcess:
        """Run one command of manage.py on this host and wait for its end."""
        with self._made_ready() as ready:
            done = ready.run(arguments, given, COMMAND_SECONDS)
        if check:
            assert done.returncode == 0, f"{arguments}: {done.stdout}{done.stderr}"
        return done

    @contextmanager
    def _made_ready(self) -> Iterator[Ready]:
        """A process for one command, of this host and with what the settings say now; two at a time are two."""
        ready = self._ready.pop() if self._ready else None
        if ready is not None and ready.knows != state_of(self.environment):
            ready.close()
            ready = None
        ready = ready or Ready(self.environment, self.host)
        yield ready
        self._ready.append(ready)

    def assign(self, mac: str, *more: str, user: str = "1001", password: str = "pw", name: str = "X") -> str:
        """`manage.py assign`, the CLI's save; what it printed. On a busy machine a 200 may come before the store."""
        wait_for(lambda: self.phone(mac), SOON_SECONDS, f"{mac} is in the store")
        return self.manage(*self.assignment(mac, *more, user=user, name=name), given=f"{password}\n").stdout

    @staticmethod
    def assignment(mac: str, *more: str, user: str = "1001", name: str = "X") -> list[str]:
        return ["assign", mac, "--account", "1", "--user-id", user, "--name", name, "--password-stdin",
                "--sip-server", "10.0.0.1", *more]  # fmt: skip

    def assign_all(self, macs: list[str], seconds: float = COMMAND_SECONDS) -> None:
        """The same command for many phones, in one process: 50 interpreters would disturb what is measured."""
        script = (
            "import io, json, sys\n"
            "from django.core.management import call_command\n"
            "for number, mac in enumerate(json.load(sys.stdin), start=1001):\n"
            "    sys.stdin = io.StringIO(f'secret-{number}\\n')\n"
            "    call_command('assign', mac, user_id=str(number), name=f'Phone {number}', sip_server='10.0.0.1',\n"
            "                 password_stdin=True)\n"
        )
        process = subprocess.run(
            self.host.command(sys.executable, "-c", "import django; django.setup()\n" + script),
            input=json.dumps(macs), capture_output=True, text=True, cwd=ROOT, check=False,
            env={**self.environment, "DJANGO_SETTINGS_MODULE": "gspnp.settings"}, timeout=seconds,
        )  # fmt: skip
        assert process.returncode == 0, process.stdout + process.stderr

    # --- processes ------------------------------------------------------------------------------------------------

    def start(self, *names: str) -> None:
        """Start these commands of the Procfile, and wait until each says that it is ready."""
        for name in names:
            self.launch(name, self._commands[name])
        for name in names:
            self.wait_ready(name)

    def launch(self, name: str, command: str) -> subprocess.Popen:
        """Start a shell line on this host under a name; its output is appended to that name's log."""
        assert name not in self._processes, f"{name} runs already"
        with self._log_path(name).open("ab") as log:
            self._marks[name] = log.tell()
            self._processes[name] = subprocess.Popen(
                self.host.command("/bin/sh", "-c", command),
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=ROOT, env=self.environment,
                preexec_fn=die_with_the_suite,
            )  # fmt: skip
        return self._processes[name]

    def wait_ready(self, name: str) -> None:
        ready: dict[str, Callable[[], Any]] = {
            "listen": lambda: "listening on" in self.fresh_log("listen"),
            "phones": lambda: self.open_door(self.phones_port),
            "console": lambda: self.open_door(8000),
        }
        process = self._processes[name]

        def up() -> bool:
            assert process.poll() is None, f"{name} ended with {process.returncode}:\n{self.log(name)}"
            return bool(ready.get(name, lambda: True)())

        try:
            wait_for(up, START_SECONDS, f"{name} is ready")
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.log(name)}") from None

    @property
    def phones_port(self) -> int:
        return int(self.environment.get("GSPNP_PHONES_PORT", "5481"))

    def open_door(self, port: int) -> bool:
        """Does a web server answer on this host?"""
        host = self.host.addresses[0] if self.host.addresses else "127.0.0.1"
        with self.host.socket(1) as asking:
            asking.settimeout(5)
            try:
                asking.connect((host, port))
                asking.sendall(f"GET /healthz HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
                return asking.recv(12) == b"HTTP/1.1 200"
            except OSError:
                return False

    def process(self, name: str) -> subprocess.Popen:
        return self._processes[name]

    def kill(self, name: str) -> None:
        """kill -9, at once."""
        process = self._processes.pop(name)
        process.kill()
        process.wait(STOP_SECONDS)

    def stop(self, name: str) -> int:
        """SIGTERM; its exit code."""
        process = self._processes.pop(name)
        process.terminate()
        try:
            return process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(STOP_SECONDS)
            raise

    def close(self) -> None:
        for name in list(self._processes):
            self.kill(name)
        while self._ready:
            self._ready.pop().close()

    # --- observing ------------------------------------------------------------------------------------------------

    def _log_path(self, name: str) -> Path:
        return self.folder / f"{name}.log"

    def log(self, name: str) -> str:
        """All that this process and its predecessors have said."""
        path = self._log_path(name)
        return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""

    def fresh_log(self, name: str) -> str:
        """What the process that runs now has said."""
        data = self._log_path(name).read_bytes() if self._log_path(name).exists() else b""
        return data[self._marks.get(name, 0) :].decode("utf-8", "replace")

    def phones(self) -> dict[str, dict[str, Any]]:
        """`manage.py phones --json`, by MAC."""
        return {phone["mac"]: phone for phone in json.loads(self.manage("phones", "--json").stdout)}

    def rows(self, question: str, *values: Any) -> list[dict[str, Any]]:
        """Read the database file; no process of the suite ever writes it."""
        connection = sqlite3.connect(f"file:{self.folder / DATABASE}?mode=ro", uri=True, timeout=20)
        try:
            connection.row_factory = sqlite3.Row
            return [dict(row) for row in connection.execute(question, values)]
        finally:
            connection.close()

    @contextmanager
    def nobody_writes(self) -> Iterator[None]:
        """Hold SQLite's lock meanwhile: what another process wants to commit waits. Nothing is written here."""
        connection = sqlite3.connect(self.folder / DATABASE, timeout=SOON_SECONDS, isolation_level=None)
        try:
            connection.execute("BEGIN IMMEDIATE")
            yield
        finally:
            connection.close()

    def phone(self, mac: str) -> dict[str, Any]:
        """The phone's row; empty if it was never heard."""
        return next(iter(self.rows("SELECT * FROM devices_phone WHERE mac = ?", mac)), {})

    def stage(self, mac: str) -> str:
        return self.phone(mac).get("stage", "")

    def notifies(self, mac: str) -> list[dict[str, Any]]:
        """The phone's NOTIFYs, oldest first."""
        return self.rows(
            "SELECT n.* FROM provisioning_notify n JOIN devices_phone p ON p.id = n.phone_id "
            "WHERE p.mac = ? ORDER BY n.id", mac,
        )  # fmt: skip

    def timeline(self, mac: str) -> list[str]:
        """What its events say, oldest first."""
        rows = self.rows("SELECT text FROM devices_liveevent WHERE mac = ? ORDER BY id", mac)
        return [row["text"] for row in rows]

    def wait_stage(self, mac: str, *stages: str, seconds: float = SOON_SECONDS) -> str:
        return wait_for(
            lambda: self.stage(mac) if self.stage(mac) in stages else "",
            seconds, lambda: f"{mac} is {' or '.join(stages)}; it is {self.stage(mac)!r}: {self.timeline(mac)}",
        )  # fmt: skip
