"""Power returns on one street: 200 assigned phones, each in a network namespace of its own, all at the same moment.

Each phone has its own address and hardware address on one bridge with the machine of the product: SUBSCRIBE to the
group, 200, then its file of 12 KB over a connection of its own. One C program (boots.c) opens the sockets in all
namespaces and is the same for both sides. Told: the phones were assigned while they had no power, each is owed a
NOTIFY, answers it and fetches from its URL (the harder case). Again: they restart with that file, and fetch by the path
that it names, which is the proof that they applied it. Later: any start after that; nothing is new. All four processes
of the product run, on SQLite.

The peer stores nothing and knows nobody: a bare responder in C that sends the 200 and, when told, a NOTIFY at once, and
nginx (Debian's, a worker for each core, sendfile, no access log) with the same bytes in files. It runs on the same
machine, before or after the product in turns. Time is from the first SUBSCRIBE to the last byte of the last file. CPU
is that of the listener and the phones' door, or of responder and nginx.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from tests.bench import peers
from tests.bench.downloads import NGINX_CONF
from tests.bench.ground import Ground, host_of, mac_of
from tests.bench.product import INTERFACE, Product, cpu_seconds
from tests.bench.report import Part, Table, median_of, ratio
from tests.bench.store_reader import StoreReader
from tests.support.netns import Host, Lab
from tests.support.parts import require
from tests.support.site import SOON_SECONDS, wait_for

PHONES = 200
FIRST = 1
OUR_NUMBER = 250
NGINX_PORT = 8080
LIMIT_SECONDS = 60.0
SETTLE_SECONDS = 1.5
GOAL = 2.0
STOP_SECONDS = 20
PROCESSES = ("listen", "phones")
STEPS = {"told": "told by NOTIFY", "again": "again, with that file", "later": "any later start"}
STAGES = {"told": "fetched", "again": "applied", "later": "applied"}
SPREADS = {"at once": 0.0, "within 1 s": 1.0}


class Street(Ground):
    """The product's machine and the phones' on one LAN, each phone where `arrange` says that it is."""

    def __init__(self, lab: Lab, folder: Path) -> None:
        self.folder = folder
        lan = lab.lan(host_of(FIRST).rpartition(".")[0])
        self.pbx: Host = lab.host("pbx")
        lab.plug(self.pbx, lan, OUR_NUMBER)
        self.homes = [lab.host("p") for _ in range(PHONES)]
        for number, home in enumerate(self.homes, FIRST):
            lab.plug(home, lan, int(host_of(number).rpartition(".")[2]), mac_of(number))
        self.phones = self.homes[0]
        self.names = folder / "namespaces"
        self.names.write_text("\n".join(home.namespace for home in self.homes) + "\n", encoding="ascii")

    @cached_property
    def boots(self) -> Path:
        return self._build("boots.c")

    def boot(self, step: str, spread: float, port: int, paths: Path) -> dict[str, Any]:
        """All phones once; what they have to say."""
        words = [
            str(self.boots), "--phones", str(PHONES), "--first-host", host_of(FIRST), "--first-mac", mac_of(FIRST)[6:],
            "--namespaces", str(self.names), "--spread", str(spread), "--limit", str(LIMIT_SECONDS),
        ]  # fmt: skip
        words += ["--notified"] if step == "told" else ["--paths", str(paths), "--server", f"{self.pbx.address}:{port}"]
        done = subprocess.run(words, capture_output=True, text=True, check=True, timeout=2 * LIMIT_SECONDS)
        return json.loads(done.stdout)


@dataclass(frozen=True)
class Side:
    """What is measured: the pids whose CPU time counts, and the port of its files."""

    pids: tuple[int, ...]
    port: int

    @property
    def cpu_seconds(self) -> float:
        return sum(map(cpu_seconds, self.pids))


Figures = dict[tuple[str, str, str], list[float]]


def _measure(street: Street, side: Side, who: str, what: tuple[str, str], paths: Path, figures: Figures) -> None:
    """One storm. A download that failed, or a NOTIFY that should not be, is an error: the figure would mean nothing."""
    step, how = what
    before = side.cpu_seconds
    said = street.boot(step, SPREADS[how], side.port, paths)
    if said["fetched"]["phones"] != PHONES or said["wrong"] or said["failed"]:
        raise RuntimeError(f"{who}, {step}: {said}")
    figures[who, *what].append(said["fetched"]["last"])
    figures[f"{who} answered", *what].append(said["answered"]["last"])
    figures[f"{who} notified", *what].append(said["notified"]["last"])
    figures[f"{who} resent", *what].append(said["resent"])
    if who == "ours":
        time.sleep(SETTLE_SECONDS)  # what the door notes later costs too
    figures[f"{who} cpu", *what].append(1000 * (side.cpu_seconds - before) / PHONES)


def _ours(street: Street, name: str, how: str, figures: Figures) -> Path:
    """The three starts one after the other at a site of its own; the folder with what nginx is to serve."""
    with Product(street, name) as product:
        folder = street.folder / f"served-{name}"
        folder.mkdir()
        product.python("tests.bench.boot_site", str(FIRST), str(PHONES), street.pbx.address, INTERFACE, str(folder))
        product.start()
        side = Side(tuple(product.site.process(one).pid for one in PROCESSES), product.site.phones_port)
        reader = StoreReader(product)
        for step in STEPS:
            _measure(street, side, "ours", (step, how), folder / "paths", figures)
            stage = STAGES[step]
            wait_for(
                lambda stage=stage: reader.count("devices_phone", f"stage = '{stage}'") == PHONES,
                SOON_SECONDS, f"all phones are {stage}",
            )  # fmt: skip
        reader.close()
    return folder


@contextmanager
def _nginx(street: Street, folder: Path) -> Iterator[int]:
    """Serving the files of a folder on the product's machine; its pid."""
    text = NGINX_CONF.format(folder=folder, port=NGINX_PORT).replace("127.0.0.1", street.pbx.address)
    (folder / "nginx.conf").write_text(text, encoding="ascii")
    process = subprocess.Popen(street.pbx.command(require("nginx"), "-c", str(folder / "nginx.conf")), env=os.environ)
    try:
        wait_for(lambda: _is_open(street), SOON_SECONDS, "nginx is open")
        yield process.pid
    finally:
        process.terminate()
        process.wait(STOP_SECONDS)


def _is_open(street: Street) -> bool:
    with street.pbx.socket(1) as asking:
        return asking.connect_ex((street.pbx.address, NGINX_PORT)) == 0


def _peer(street: Street, folder: Path, how: str, figures: Figures) -> None:
    """The same three starts with files of the same size."""
    with _nginx(street, folder) as nginx:
        for step in STEPS:
            url = f"http://{street.pbx.address}:{NGINX_PORT}/told" if step == "told" else ""
            with peers.responder(street, url) as responder:
                side = Side((nginx, responder), NGINX_PORT)
                _measure(street, side, "peer", (step, how), folder / "paths", figures)


def main(repeats: int) -> Part:
    part = Part("boot", "200 phones on one street start up", __doc__ or "")
    figures: Figures = defaultdict(list)
    with ExitStack() as stack:
        lab = Lab("boot")
        stack.callback(lab.close)
        street = Street(lab, Path(stack.enter_context(_folder())))
        for repeat in range(repeats):
            for how in SPREADS:
                folder = _ours(street, f"boot-{repeat}-{how.replace(' ', '')}", how, figures)
                _peer(street, folder, how, figures)
    for how in SPREADS:
        part.add(_table(how, figures))
    part.say(f"Goal: at most {GOAL:g} times the responder with nginx.")
    return part


@contextmanager
def _folder() -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="gspnp-bench-") as folder:
        Path(folder).chmod(0o755)  # nginx's workers read in it
        yield folder


def _table(how: str, figures: Figures) -> Table:
    title = f"{PHONES} phones start up {how}: ms from the first SUBSCRIBE"
    table = Table(title, ["", "gspnp", "responder and nginx", "times"])

    def row(words: str, name: str, step: str, digits: int, is_goal: bool = False) -> None:
        ours, peer = (figures[f"{who}{name}", step, how] for who in ("ours", "peer"))
        table.add(words, median_of(ours, digits), median_of(peer, digits), ratio(ours, peer) if is_goal else "")

    for step, words in STEPS.items():
        row(f"{words}: last file", "", step, 0, is_goal=True)
        row("… last 200", " answered", step, 0)
        if step == "told":
            row("… last NOTIFY", " notified", step, 0)
        row("… SUBSCRIBEs sent again", " resent", step, 0)
        row("… CPU for each phone, ms", " cpu", step, 2)
    return table
