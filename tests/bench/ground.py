"""Where everything is measured: a PBX machine, a machine that is thousands of phones, and a cable between them.

Each phone has an address of its own behind the second machine, which routes for them: a flat network of 10,000
addresses would measure the kernel's neighbour table (1,024 entries by default) and not the server.
"""

import json
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

from tests.support.netns import Host, Lab, run_ip

HERE = Path(__file__).resolve().parent
GROUP = "224.0.1.75"
PORT = 5060
PHONES_NETWORK = "10.72.0.0/16"
FIRST_HOST = IPv4Address("10.72.1.0")
MAX_PHONES = 60_000
COMPILE = ("cc", "-O2", "-Wall", "-Wextra")
BUILD_SECONDS = 60
LIMIT_SECONDS = 60.0  # of one load, unless it says otherwise


class Missing(Exception):
    """This part cannot be measured on this machine; the text says what is missing."""


@dataclass(frozen=True)
class Load:
    """One run of the load generator. `first` numbers the phones, so that two loads can be different phones."""

    phones: int
    first: int = 0
    rounds: int = 1
    window: int = 0
    rate: float = 0
    clump: int = 1
    silent: int = 0  # further phones that send nothing and answer NOTIFY and OPTIONS
    notifies: int = 0
    quiet_seconds: float = 0
    limit_seconds: float = LIMIT_SECONDS

    def arguments(self) -> list[str]:
        assert self.first + self.phones + self.silent <= MAX_PHONES
        return [
            "--phones", str(self.phones), "--rounds", str(self.rounds), "--window", str(self.window),
            "--rate", str(self.rate), "--clump", str(self.clump),
            "--silent", str(self.silent), "--notifies", str(self.notifies), "--quiet", str(self.quiet_seconds),
            "--limit", str(self.limit_seconds), "--first-host", host_of(self.first),
            "--first-mac", mac_of(self.first)[6:],
        ]  # fmt: skip


def host_of(number: int) -> str:
    return str(FIRST_HOST + number)


def mac_of(number: int) -> str:
    return f"000B82{0x100000 + number:06X}"


class Ground:
    """The two machines and the compiled programs, for as long as one part lasts."""

    def __init__(self, lab: Lab, folder: Path) -> None:
        self.folder = folder
        lan = lab.lan()
        self.pbx: Host = lab.host("pbx")
        self.phones: Host = lab.host("phones")
        lab.plug(self.pbx, lan, 1)
        lab.plug(self.phones, lan, 2)
        run_ip("-n", self.phones.namespace, "route", "add", "local", PHONES_NETWORK, "dev", "lo")
        run_ip("-n", self.pbx.namespace, "route", "add", PHONES_NETWORK, "via", self.phones.address)

    @cached_property
    def responder(self) -> Path:
        return self._build("responder.c")

    @cached_property
    def load_program(self) -> Path:
        return self._build("load.c")

    def _build(self, source: str) -> Path:
        if shutil.which(COMPILE[0]) is None:
            raise Missing("there is no C compiler (cc): apt-get install gcc libc6-dev")
        program = self.folder / Path(source).stem
        subprocess.run(
            [*COMPILE, "-o", str(program), str(HERE / source), "-lm"], check=True, timeout=BUILD_SECONDS
        )  # fmt: skip
        return program

    def start(self, load: Load, each: Path | None = None) -> subprocess.Popen:
        """Let the phones loose; `each` is a file of three doubles per request: sent, answered, notified."""
        more = ["--each", str(each)] if each else []
        command = self.phones.command(str(self.load_program), *load.arguments(), *more)
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    def run(self, load: Load, each: Path | None = None) -> dict[str, Any]:
        """Let the phones loose and wait for their end; what the load generator has to say."""
        return result_of(self.start(load, each), load)


def result_of(process: subprocess.Popen, load: Load) -> dict[str, Any]:
    """Wait for a load's end. A load that does not end by itself is ended."""
    try:
        said, _ = process.communicate(timeout=load.limit_seconds + load.quiet_seconds + 30)
    finally:
        process.kill()
    if process.returncode:
        raise RuntimeError(f"the load generator ended with {process.returncode}")
    return json.loads(said)


@contextmanager
def prepared(name: str) -> Iterator[Ground]:
    """A ground of its own, and nothing left of it afterwards."""
    lab = Lab(name)
    try:
        with tempfile.TemporaryDirectory(prefix="gspnp-bench-") as folder:
            yield Ground(lab, Path(folder))
    finally:
        lab.close()


def per_second(result: dict[str, Any]) -> float:
    """Answered SUBSCRIBEs a second, from the first SUBSCRIBE to the last first answer."""
    return result["answered"] / result["answer_seconds"] if result["answered"] else 0.0


def notified_per_second(result: dict[str, Any]) -> float:
    """Phones that were answered and notified a second, from the first SUBSCRIBE to the last phone's NOTIFY or 200."""
    seconds = max(result["answer_seconds"], result["notify_seconds"])
    return result["notified"] / seconds if result["notified"] else 0.0
