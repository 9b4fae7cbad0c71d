"""Where many lists are open a process beside the console makes their rows, the same ones; if it dies, the console."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.bench.page import CONSOLE_PORT, CSRF
from tests.support.site import ROOT, SOON_SECONDS, wait_for
from tests.support.world import World

pytestmark = pytest.mark.net
PAGES = 10
BUSY_TICKS = 20  # of CPU time, which whoever is only there never uses


def used_ticks(pid: int) -> int:
    """CPU time of a process (proc(5), stat)."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


class Console:
    """One that runs, with a phone that was heard and somebody who is signed in."""

    def __init__(self, world: World) -> None:
        self.world, self.site = world, world.site
        self.site.start("console", "listen")
        arrange = [sys.executable, "-m", "tests.bench.arrange", "technician"]
        environment = {**self.site.environment, "DJANGO_SETTINGS_MODULE": "gspnp.settings"}
        self.session = subprocess.run(
            world.pbx.command(*arrange), cwd=ROOT, env=environment, capture_output=True, text=True, check=True
        ).stdout.strip()
        self.phone = world.phone()
        self.phone.boot()
        wait_for(lambda: self.phone.mac in self.site.phones(), SOON_SECONDS, "the phone is heard")
        self._watcher = world.host()

    def rows(self) -> str:
        """The rows of the list, but for what is of one answer; "" if there are none."""
        cookie = f"Cookie: sessionid={self.session}; csrftoken={CSRF}"
        url = f"http://{self.world.pbx.address}:{CONSOLE_PORT}/rows/"
        asked = ["curl", "-s", "-m", str(SOON_SECONDS), "--fail", "-H", cookie, url]
        return subprocess.run(self._watcher.command(*asked), capture_output=True, text=True, check=False).stdout

    @contextmanager
    def open_pages(self) -> Iterator[None]:
        words = [sys.executable, "-m", "tests.bench.open_pages", self.world.pbx.address, self.session, str(PAGES)]
        pages = subprocess.Popen(
            self._watcher.command(*words), cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        try:
            assert pages.stdout is not None and pages.stdout.readline() == "open\n"
            yield
        finally:
            pages.kill()
            pages.wait()

    def beside(self) -> int:
        """The process id of what makes rows; 0 if nothing does. Started by the console, it is the only such one."""
        pid = self.site.process("console").pid
        found = [
            int(child)
            for thread in os.listdir(f"/proc/{pid}/task")
            for child in Path(f"/proc/{pid}/task/{thread}/children").read_text(encoding="ascii").split()
            if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes()
        ]
        return found[0] if found else 0

    def wait_beside(self, *, instead_of: int = 0) -> int:
        """Until there is one, and it works when rows are asked for."""

        def found() -> int:
            pid = self.beside() if self.rows() else 0
            return pid if pid != instead_of else 0

        pid = wait_for(found, SOON_SECONDS, lambda: f"rows are made beside: {self.site.log('console')}")
        least = used_ticks(pid) + BUSY_TICKS
        wait_for(lambda: self.rows() and used_ticks(pid) >= least, SOON_SECONDS, "it makes what is asked for")
        return pid


@pytest.fixture(scope="module")
def console(make_world: Callable[..., World]) -> Console:
    return Console(make_world())


def test_with_few_pages_open_the_console_does_it_by_itself(console: Console):
    assert console.rows()
    assert console.beside() == 0


def test_many_pages_get_the_same_rows_and_an_old_process_is_no_loss(console: Console):
    alone = console.rows()
    with console.open_pages():
        first = console.wait_beside()
        assert console.rows() == alone
        os.kill(first, signal.SIGKILL)
        assert console.rows() == alone, "a thread makes what the dead process does not"
        second = console.wait_beside(instead_of=first)
        assert console.rows() == alone
        assert second != first
    assert "Traceback" not in console.site.log("console")


def test_it_ends_with_the_console(console: Console):
    with console.open_pages():
        pid = console.wait_beside()
        console.site.kill("console")
    wait_for(lambda: not Path(f"/proc/{pid}").exists(), SOON_SECONDS, "it is gone")
