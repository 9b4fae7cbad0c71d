"""Real servers for the tests: PostgreSQL from Debian's own binaries, each in a folder and on a port of its own.

A server runs as an ordinary user, dies with the process that started it, and is ended by its own pid. Folders that a
dead owner left are removed by the next one. No cluster of the system is touched.
"""

import contextlib
import os
import pwd
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from gspnp.run import die_with_parent
from tests.support.parts import missing

ROOT = Path(__file__).resolve().parent.parent.parent
BINARIES = Path("/usr/lib/postgresql")
PREFIX = "gspnp-postgresql-"
USER = "gspnp"
TEMPLATE = "gspnp_template"
START_SECONDS = 30.0
STOP_SECONDS = 30.0
MIGRATE_SECONDS = 120.0
POLL_SECONDS = 0.05
START_TRIES = 3  # somebody else may take the free port before the server does


class PostgreSQL:
    """One server: `start`, `stop` and `kill` may come in turns; its data and its port stay."""

    cluster: tuple[str, ...] = ()  # more words for initdb

    def __init__(self) -> None:
        self._binaries = _binaries()
        _sweep()
        self.folder = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-"))
        self.password = secrets.token_urlsafe(12)
        self.port = 0
        self._process: subprocess.Popen | None = None
        self._log = self.folder / "log"
        self._account = _account()
        if self._account:
            os.chown(self.folder, self._account["user"], self._account["group"])
        self._make_cluster()

    # --- the process ----------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start it and wait until it answers; after a stop on the same port with the same data."""
        tries = 1 if self.port else START_TRIES
        for left in reversed(range(tries)):
            port = self.port or free_port()
            if self._starts(port):
                self.port = port
                return
            if not left:
                raise AssertionError(f"PostgreSQL does not start: {self._log.read_text(errors='replace')[-2000:]}")

    @property
    def has_ended(self) -> bool:
        """By itself."""
        return self._process is not None and self._process.poll() is not None

    def stop(self) -> None:
        """A clean end: connections are closed by the server (as at an upgrade)."""
        self._end(signal.SIGINT)

    def kill(self) -> None:
        """An end without farewell (as at a crash); the next start recovers from the log."""
        self._end(signal.SIGQUIT)

    def remove(self) -> None:
        """End it and take its folder away."""
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    # --- databases ------------------------------------------------------------------------------------------------

    def url(self, name: str = "postgres") -> str:
        """What DATABASE_URL is to be."""
        return f"postgres://{USER}:{self.password}@127.0.0.1:{self.port}/{name}"

    def empty(self) -> str:
        """DATABASE_URL of a fresh, empty database."""
        return self._create("template0")

    def migrated(self) -> str:
        """DATABASE_URL of a fresh database with all tables; a copy of one that was migrated once."""
        if not self._exists(TEMPLATE):
            making = self._create("template0", f"{TEMPLATE}_making")
            done = subprocess.run(
                [sys.executable, "manage.py", "migrate", "--verbosity", "0"],
                cwd=ROOT, env={**os.environ, "DATABASE_URL": making, "DJANGO_SETTINGS_MODULE": "gspnp.settings"},
                capture_output=True, text=True, timeout=MIGRATE_SECONDS, check=False,
            )  # fmt: skip
            assert done.returncode == 0, done.stderr
            self._run(sql.SQL("ALTER DATABASE {} RENAME TO {}"), f"{TEMPLATE}_making", TEMPLATE)
        return self._create(TEMPLATE)

    def _create(self, template: str, name: str = "") -> str:
        name = name or f"gspnp_{secrets.token_hex(6)}"
        self._run(sql.SQL("CREATE DATABASE {} TEMPLATE {}"), name, template)
        return self.url(name)

    def _exists(self, name: str) -> bool:
        with psycopg.connect(self.url()) as connection:
            return connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone() is not None

    def _run(self, statement: sql.SQL, *names: str) -> None:
        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(statement.format(*map(sql.Identifier, names)))

    # --- inside ---------------------------------------------------------------------------------------------------

    def _make_cluster(self) -> None:
        secret = self.folder / "password"
        secret.touch(mode=0o600)
        secret.write_text(self.password + "\n")
        if self._account:
            os.chown(secret, self._account["user"], self._account["group"])
        done = subprocess.run(
            [self._binaries / "initdb", "--pgdata", self.folder / "data", "--username", USER, "--encoding", "UTF8",
             "--locale", "C", "--auth", "scram-sha-256", "--pwfile", secret, "--no-sync", *self.cluster],
            cwd=self.folder, capture_output=True, text=True, timeout=START_SECONDS, check=False, **self._account,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr

    def _starts(self, port: int) -> bool:
        options = {
            "listen_addresses": "127.0.0.1",
            "port": str(port),
            "unix_socket_directories": str(self.folder),
            "fsync": "off",  # a killed server loses nothing by it: only a machine that crashes would
        }
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [self._binaries / "postgres", "-D", self.folder / "data",
                 *(f"--{name}={value}" for name, value in options.items())],
                cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log, preexec_fn=die_with_the_suite,
                **self._account,
            )  # fmt: skip
        deadline = time.monotonic() + START_SECONDS
        url = f"postgres://{USER}:{self.password}@127.0.0.1:{port}/postgres"
        while time.monotonic() < deadline and self._process.poll() is None:
            with contextlib.suppress(psycopg.OperationalError), psycopg.connect(url, connect_timeout=5):
                return True
            time.sleep(POLL_SECONDS)
        self._end(signal.SIGQUIT)
        return False

    def _end(self, how: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(how)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _binaries() -> Path:
    found = sorted(BINARIES.glob("*/bin/postgres"), key=lambda path: int(path.parts[-3]))
    if not found:
        missing("PostgreSQL is not installed: apt-get install postgresql")
    return found[-1].parent


def _account() -> dict:
    """PostgreSQL refuses to run as root: then it gets the account that Debian made for it, or nobody's."""
    if os.geteuid() != 0:
        return {}
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            entry = pwd.getpwnam(name)
            return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
    raise AssertionError("there is neither a user postgres nor a user nobody")


def free_port() -> int:
    """A TCP port that nobody has at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _sweep() -> None:
    """Remove the folders of owners that are gone; their servers died with them."""
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        owner = re.fullmatch(rf"{PREFIX}(\d+)-.*", folder.name)
        if owner and not Path("/proc", owner[1]).exists():
            shutil.rmtree(folder, ignore_errors=True)


die_with_the_suite = partial(die_with_parent, signal.SIGQUIT)
"""For a child before it becomes its program."""


@contextlib.contextmanager
def running() -> Iterator[PostgreSQL]:
    """A server for as long as it is needed."""
    server = PostgreSQL()
    try:
        server.start()
        yield server
    finally:
        server.remove()


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgreSQL]:
    """One server for all tests of this process. Whoever stops it starts it again."""
    with running() as server:
        yield server
