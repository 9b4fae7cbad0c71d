"""`manage.py` kept ready: to import Django and all of ours takes a second of a core, and the suite runs hundreds of
commands. A process that has done this waits for one installation, and each command is a fork of it: real arguments,
settings, streams and exit code, on the installation's own host.

Run as a module it is that process; `Ready` is the suite's end of it.
"""

import gc
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from functools import partial
from io import FileIO
from pathlib import Path
from select import select

from gspnp.run import die_with_parent
from tests.support.netns import Host

ROOT = Path(__file__).resolve().parent.parent.parent
KEY_FILES = ("secret-key", "field-keys")


die_with_the_suite = partial(die_with_parent, signal.SIGKILL)
"""For a child before it becomes its program."""


class Ready:
    """A process that waits to become commands of one installation; one command at a time. It ends with this object."""

    def __init__(self, environment: Mapping[str, str], host: Host | None = None) -> None:
        self.knows = state_of(environment)
        asked, ask = os.pipe()
        told, tell = os.pipe()
        self._ask, self._told = FileIO(ask, "w"), FileIO(told, "r")
        command = [sys.executable, "-m", "tests.support.manage", str(asked), str(tell)]
        self._process = subprocess.Popen(
            host.command(*command) if host else command,
            stdin=subprocess.DEVNULL, cwd=ROOT, env=dict(environment), pass_fds=(asked, tell),
        )  # fmt: skip
        os.close(asked)
        os.close(tell)

    def run(self, arguments: tuple[str, ...], given: str, seconds: float) -> subprocess.CompletedProcess:
        """What `subprocess.run` would say of `manage.py` with these arguments. Raises subprocess.TimeoutExpired."""
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            (folder / "0").write_text(given, encoding="utf-8")
            self._ask.write(json.dumps({"folder": name, "arguments": arguments}).encode() + b"\n")
            code = self._answer(arguments, seconds)
            said, complained = ((folder / stream).read_text(encoding="utf-8") for stream in ("1", "2"))
        return subprocess.CompletedProcess(arguments, code, said, complained)

    def _answer(self, arguments: tuple[str, ...], seconds: float) -> int:
        if not select([self._told], [], [], seconds)[0]:
            self.close()
            raise subprocess.TimeoutExpired(["manage.py", *arguments], seconds)
        answer = self._told.read(20)
        assert answer, f"manage.py cannot be made ready: exit code {self._process.wait()}"
        return int(answer)

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        for end in (self._ask, self._told):
            end.close()


def state_of(environment: Mapping[str, str]) -> tuple:
    """What was read at the start, and makes it useless when it is another."""
    folder = Path(environment["GSPNP_DATA_DIR"])
    files = [folder / name for name in KEY_FILES]
    return dict(environment), [one.stat().st_mtime_ns for one in files if one.exists()]


def wait_to_become(asked: int, tell: int) -> None:
    """Fork for each line that comes; the fork returns and goes on as the command, this process never does."""
    gc.disable()  # what is imported stays
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "gspnp.settings")
    import django

    django.setup()
    gc.freeze()
    gc.enable()
    with open(asked, encoding="utf-8") as lines:
        for line in lines:
            child = os.fork()
            if not child:
                os.close(tell)
                become(**json.loads(line))
                return
            _, status = os.waitpid(child, 0)
            os.write(tell, b"%d\n" % os.waitstatus_to_exitcode(status))
    os._exit(0)  # the suite has closed its end, or is gone


def become(folder: str, arguments: list[str]) -> None:
    die_with_the_suite()
    for stream in range(3):
        flags = os.O_RDONLY if stream == 0 else os.O_WRONLY | os.O_CREAT
        opened = os.open(f"{folder}/{stream}", flags, 0o600)
        os.dup2(opened, stream)
        os.close(opened)
    sys.argv = ["manage.py", *arguments]


if __name__ == "__main__":
    wait_to_become(int(sys.argv[1]), int(sys.argv[2]))
    import manage

    manage.main()
