"""Files of 12 KB that phones fetch again, beside nginx that serves the same bytes by the same paths from a folder.

A site of 5,000 applied phones, each of which asks from an address of its own on loopback by its own path. Ours looks
the path up in the database, opens what is stored encrypted there, and records each download. nginx (Debian's, a worker
for each core, sendfile, no access log) does none of that. One generator (downloads.c) drives all of them and shares
the cores with them. Keep-alive: 64 connections that ask on and on. New: a connection for each request, as phones do.
Latency: an open loop at half of the median rate of the same kind, timed from when a request was due. The CPU time is
that of the door, or of nginx and its workers, for each download, with what it writes afterwards; PostgreSQL's own
processes are not in it. The limits of requests a second, which are far below, are set aside.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.bench.ground import BUILD_SECONDS, COMPILE, HERE, Missing
from tests.bench.product import cpu_seconds
from tests.bench.refusals import _is_open
from tests.bench.report import Part, Table, median_of, ratio
from tests.support.parts import require
from tests.support.servers import free_port, running
from tests.support.site import ROOT, SOON_SECONDS, wait_for

PHONES = 5000
CONNECTIONS = 64
SECONDS = 3.0
SETTLE_SECONDS = 2.0  # until what a door has noted is written, and its CPU time is known
TIMES = 2  # as often in each repeat: what else runs on the machine comes and goes within seconds
ARRANGE_SECONDS = 600
STOP_SECONDS = 20
UNLIMITED = "1000000"
KINDS = {"keep-alive": (), "new connections": ("--new",)}
GOALS = {"keep-alive": 0.2, "new connections": 0.4}
NGINX_CONF = """\
user root;
worker_processes auto;
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/nginx.log;
events {{ worker_connections 2048; }}
http {{
    access_log off;
    sendfile on;
    tcp_nopush on;
    keepalive_requests 1000000000;
    types {{ text/xml xml; }}
    client_body_temp_path {folder}/t1;
    proxy_temp_path {folder}/t2;
    fastcgi_temp_path {folder}/t3;
    uwsgi_temp_path {folder}/t4;
    scgi_temp_path {folder}/t5;
    server {{ listen 127.0.0.1:{port} backlog=1024; root {folder}/files; }}
}}
"""


@dataclass(frozen=True)
class Server:
    """What is measured."""

    name: str
    process: subprocess.Popen
    port: int
    folder: Path
    """Where the paths are that it knows."""

    @property
    def cpu_seconds(self) -> float:
        """What it and its workers have used."""
        return cpu_seconds(self.process.pid)


def main(repeats: int) -> Part:
    part = Part("downloads", "Configuration downloads", __doc__ or "")
    rates: dict[tuple[str, str], list[float]] = defaultdict(list)
    costs: dict[tuple[str, str], list[float]] = defaultdict(list)
    waits: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    faults: list[str] = []
    with tempfile.TemporaryDirectory(prefix="gspnp-bench-") as folder, ExitStack() as stack:
        program = _built(Path(folder))
        servers = _servers(Path(folder), stack)

        def run(kind: str, server: Server, *more: str) -> dict[str, Any]:
            result = _load(program, server, *KINDS[kind], *more)
            if result["failed"]:
                faults.append(f"{server.name}, {kind}: {result['failed']} downloads failed")
            return result

        for server in servers:
            _load(program, server, "--seconds", "1")  # warm: pages, statements, addresses
        for _ in range(repeats * TIMES):
            for kind in KINDS:
                for server in servers:
                    before = server.cpu_seconds
                    result = run(kind, server, "--seconds", str(SECONDS))
                    rates[kind, server.name].append(result["per_second"])
                    time.sleep(SETTLE_SECONDS)
                    costs[kind, server.name].append((server.cpu_seconds - before) / max(1, result["all"]) * 1e6)
        for _ in range(repeats):
            for kind in KINDS:
                for server in servers:
                    half = statistics.median(rates[kind, server.name]) / 2
                    waits[kind, server.name].append(run(kind, server, "--seconds", str(SECONDS), "--rate", str(half)))
                    time.sleep(SETTLE_SECONDS)
        _tables(part, [server.name for server in servers], rates, costs, waits)
    for fault in faults:
        part.say(f"Wrong: {fault}")
    return part


def _tables(part: Part, names: list[str], rates: Mapping, costs: Mapping, waits: Mapping) -> None:
    fast = Table(f"Downloads a second, {CONNECTIONS} connections",
                 ["", "a second: median (least … most)", "of nginx", "goal", "µs of CPU each"])  # fmt: skip
    late = Table("Milliseconds of a download at half of that load", ["", "a second", "p50", "p99", "worst"])
    for kind in KINDS:
        for name in names:
            is_ours = name != names[0]
            share = ratio(rates[kind, name], rates[kind, names[0]]) if is_ours else ""
            goal = f"{GOALS[kind]}" if is_ours else ""
            fast.add(f"{name}, {kind}", median_of(rates[kind, name]), share, goal, median_of(costs[kind, name]))
            of_one = [
                [result[figure] for result in waits[kind, name]] for figure in ("per_second", "p50", "p99", "max")
            ]
            late.add(f"{name}, {kind}", median_of(of_one[0]), *(median_of(figures, 2) for figures in of_one[1:]))
    part.add(fast)
    part.add(late)


def _load(program: Path, server: Server, *more: str) -> dict[str, Any]:
    words = [str(program), "--paths", str(server.folder / "paths"), "--port", str(server.port)]
    done = subprocess.run(
        [*words, "--connections", str(CONNECTIONS), *more], capture_output=True, text=True, check=True, timeout=60
    )
    return json.loads(done.stdout)


def _built(folder: Path) -> Path:
    program = folder / "load"
    try:
        command = [*COMPILE, "-o", str(program), str(HERE / "downloads.c")]
        subprocess.run(command, check=True, timeout=BUILD_SECONDS)
    except FileNotFoundError as error:
        raise Missing("there is no C compiler (cc): apt-get install gcc libc6-dev") from error
    return program


def _servers(folder: Path, stack: ExitStack) -> list[Server]:
    """nginx, and our door on each database; the first two have the same files."""
    nginx = require("nginx")
    on_sqlite, on_postgresql = folder / "sqlite", folder / "postgresql"
    sqlite = _arranged(on_sqlite, {})
    peer = stack.enter_context(_nginx(nginx, on_sqlite))
    first = stack.enter_context(_door("gspnp on SQLite", on_sqlite, sqlite))
    url = stack.enter_context(running()).empty()
    postgresql = _arranged(on_postgresql, {"DATABASE_URL": url})
    return [peer, first, stack.enter_context(_door("gspnp on PostgreSQL", on_postgresql, postgresql))]


def _arranged(folder: Path, settings: Mapping[str, str]) -> dict[str, str]:
    """A site with its phones; its environment."""
    folder.mkdir()
    environment = {**os.environ, "GSPNP_DATA_DIR": str(folder / "data"), "GSPNP_HTTP_RATE": UNLIMITED,
                   "GSPNP_HTTP_RATE_PER_SOURCE": UNLIMITED, **settings}  # fmt: skip
    (folder / "data").mkdir()
    subprocess.run(
        [sys.executable, "-m", "tests.bench.download_site", str(PHONES), str(folder)], cwd=ROOT, check=True,
        env={**environment, "DJANGO_SETTINGS_MODULE": "gspnp.settings"}, timeout=ARRANGE_SECONDS,
    )  # fmt: skip
    return environment


@contextmanager
def _nginx(program: str, folder: Path) -> Iterator[Server]:
    port = free_port()
    configuration = folder / "nginx.conf"
    configuration.write_text(NGINX_CONF.format(folder=folder, port=port), encoding="ascii")
    with _started("nginx", [program, "-c", str(configuration)], port, folder, dict(os.environ)) as server:
        yield server


@contextmanager
def _door(name: str, folder: Path, environment: Mapping[str, str]) -> Iterator[Server]:
    port = free_port()
    given = {**environment, "GSPNP_PHONES_BIND": "127.0.0.1", "GSPNP_PHONES_PORT": str(port)}
    with _started(name, [sys.executable, "-m", "gspnp.serve", "phones"], port, folder, given) as server:
        yield server


@contextmanager
def _started(
    name: str, command: list[str], port: int, folder: Path, environment: Mapping[str, str]
) -> Iterator[Server]:
    with (folder / f"{port}.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log)
    try:
        wait_for(lambda: _is_open(("127.0.0.1", port)), SOON_SECONDS, f"{name} is open")
        yield Server(name, process, port, folder)
    finally:
        process.terminate()
        process.wait(STOP_SECONDS)
