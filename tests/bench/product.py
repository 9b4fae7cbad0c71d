"""The whole product on the PBX machine of a ground: console, phones' door, listener and task worker as `make run` has
them, with a data folder of its own, on SQLite or on PostgreSQL.
"""

import os
import subprocess
import sys
from collections.abc import Iterable, Mapping
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.bench.ground import Ground
from tests.support.site import ROOT, Site

CLOCK_TICKS = os.sysconf("SC_CLK_TCK")
ARRANGE_SECONDS = 300
INTERFACE = "eth0"
OTHERS = ("console", "phones", "work")


class Product:
    """One installation that lives for one measurement."""

    def __init__(self, ground: Ground, name: str, settings: Mapping[str, str] | None = None) -> None:
        self.ground = ground
        self.site = Site(ground.folder / f"site-{name}", ground.pbx, settings)

    def __enter__(self) -> Self:
        self.site.prepare()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.site.close()

    def python(self, *arguments: str, given: str = "") -> str:
        """Run a module with the site's settings; what it printed."""
        done = subprocess.run(
            self.ground.pbx.command(sys.executable, "-m", *arguments),
            input=given, capture_output=True, text=True, cwd=ROOT, check=False, timeout=ARRANGE_SECONDS,
            env=self.environment,
        )  # fmt: skip
        if done.returncode:
            raise RuntimeError(f"{arguments}: {done.stderr[-2000:]}")
        return done.stdout

    @property
    def environment(self) -> dict[str, str]:
        return {**self.site.environment, "DJANGO_SETTINGS_MODULE": "gspnp.settings"}

    def arrange(self, shape: str, count: int, first: int = 0) -> None:
        """Phones of this shape in the database (see arrange.py); `new` ones are not there at all."""
        if shape != "new":
            self.python("tests.bench.arrange", shape, str(first), str(count), self.ground.pbx.address, INTERFACE)

    @cached_property
    def session(self) -> str:
        """The session key of a person who is signed in and may do everything."""
        return self.python("tests.bench.arrange", "technician").strip()

    def start(self) -> None:
        """All four processes, as the Procfile starts them."""
        self.site.start(*OTHERS, "listen")

    def start_listener(self, command: str = "") -> None:
        """The listener alone, perhaps by another command line."""
        if not command:
            self.site.start("listen")
            return
        self.site.launch("listen", command)
        self.site.wait_ready("listen")

    @property
    def memory_bytes(self) -> int:
        """Resident memory of the listener (proc(5), VmRSS)."""
        status = Path(f"/proc/{self.site.process('listen').pid}/status").read_text(encoding="ascii")
        return 1024 * int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS:")))


def family(pid: int) -> Iterable[int]:
    """A process and all that came from it."""
    yield pid
    for thread in os.listdir(f"/proc/{pid}/task"):
        for child in Path(f"/proc/{pid}/task/{thread}/children").read_text(encoding="ascii").split():
            yield from family(int(child))


def cpu_seconds(pid: int) -> float:
    """What a process and all that came from it have used (proc(5), stat)."""
    total = 0
    for one in family(pid):
        fields = Path(f"/proc/{one}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        total += int(fields[11]) + int(fields[12])
    return total / CLOCK_TICKS


def thread_seconds(pid: int) -> dict[str, float]:
    """CPU seconds that each thread of a process has used, in the order of their birth (proc(5), stat)."""
    spent: dict[str, float] = {}
    for number, thread in enumerate(sorted(os.listdir(f"/proc/{pid}/task"), key=int)):
        with suppress(OSError):
            fields = Path(f"/proc/{pid}/task/{thread}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
            spent["main" if not number else f"thread {number}"] = (int(fields[11]) + int(fields[12])) / CLOCK_TICKS
    return spent
