"""Start the Procfile's processes under honcho and stop them all, whatever ends us: `python -m gspnp.run`.

honcho's own command leaves its children behind when the terminal goes away or when it is killed, waits for
ever for one that does not stop, and fails if Ctrl-C comes while it is starting. This module adds what is
missing there and nothing else. honcho's reading of `.env` is not used: `gspnp.env` reads it literally, in
each process.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import multiprocessing
import os
import signal
import sys
from typing import Any, TextIO

from honcho.environ import parse_procfile
from honcho.manager import Manager as HonchoManager
from honcho.printer import Printer
from honcho.process import Popen as HonchoPopen
from honcho.process import Process as HonchoProcess

from gspnp.env import BASE_DIR

PR_SET_PDEATHSIG = 1  # prctl(2)
# Simulated phones beside the server, for `make demo`. They may come and go; the others must not stop with
# them.
DEMO = (
    "python manage.py simulate_phones --count 6 --model all --interface lo --wait-assign 86400 --stay 3600; "
    'echo "The simulated phones have ended."; exec sleep infinity'
)


def die_with_parent(number: int, parent: int = 0) -> None:
    """Ask Linux to send us this signal when our parent ends, however it ends. Elsewhere: nothing.

    If `parent`, whose process id this is, has ended before we could ask, we end here and now.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(number), 0, 0, 0)
        if parent and os.getppid() != parent:
            os._exit(1)


class Make:
    """The `make` that runs us, if one does.

    GNU make passes SIGTERM on to us, but at SIGINT and SIGHUP it only waits, because a terminal tells
    everyone. When they come from elsewhere (kill, a supervisor), what can be seen is that make has given up
    its handler.
    """

    def __init__(self) -> None:
        self._pid = os.getppid() if os.environ.get("MAKELEVEL") else 0
        self._handled = self._caught()

    def _caught(self) -> int:
        try:
            with open(f"/proc/{self._pid}/status") as status:
                return next(int(line.split()[1], 16) for line in status if line.startswith("SigCgt:"))
        except (OSError, StopIteration, ValueError):
            return 0

    def was_told_to_stop(self) -> bool:
        """Whether make no longer handles a SIGINT or SIGHUP that it handled when we began."""
        mask = self._handled & (1 << (signal.SIGINT - 1) | 1 << (signal.SIGHUP - 1))
        return bool(mask) and self._caught() & mask != mask


class Quiet:
    """A text stream that swallows what a closed terminal or pipe can no longer take.

    It can be written to while it is written to: honcho says "SIGINT received" in the signal's handler, which
    may interrupt another line. Python refuses that (RuntimeError), and the manager must not die of it.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write, or do not."""
        try:
            return self._stream.write(text)
        except (OSError, ValueError, RuntimeError):
            return len(text)

    def flush(self) -> None:
        """Flush, or do not."""
        with contextlib.suppress(OSError, ValueError, RuntimeError):
            self._stream.flush()

    def isatty(self) -> bool:
        """For honcho's colours."""
        return self._stream.isatty()


class Popen(HonchoPopen):
    """The shell of one process; it and what it becomes are told to stop if their watcher dies."""

    def __init__(self, cmd: str, **kwargs: Any) -> None:
        watcher = os.getpid()
        super().__init__(cmd, preexec_fn=lambda: die_with_parent(signal.SIGTERM, watcher), **kwargs)


class Process(HonchoProcess):
    """Watches one process. It lives until that process ends, or until the manager is gone."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._child_ctor = Popen
        self._manager = os.getpid()

    def run(self, events: Any = None, ignore_signals: bool = False) -> None:
        """As in honcho, but deaf to the terminal's signals from the beginning; exec undoes the handlers."""
        die_with_parent(signal.SIGKILL, self._manager)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, lambda *_: None)
        super().run(events, ignore_signals=False)


class Manager(HonchoManager):
    """honcho's manager, which can be told to stop at any moment, and always gets there."""

    def __init__(self, printer: Printer) -> None:
        # From Python 3.14 on a server would be the parent of what we start, and would not end with us.
        multiprocessing.set_start_method("fork", force=True)
        super().__init__(printer)
        self._process_ctor = Process
        self._make = Make()
        self._owner = os.getpid()
        self._stop_asked = False

    def terminate(self) -> None:
        """Stop all. While they are still being started it is only noted, and done when all are there."""
        if os.getpid() != self._owner:
            return
        self._stop_asked = True
        if self._all_started():
            super().terminate()

    def _any_stopped(self) -> bool:
        for name, entry in self._processes.items():
            if "returncode" not in entry and not entry["process"].is_alive() and self.events.empty():
                # Its watcher was killed and can report nothing any more.
                self._system_print(f"{name} was lost\n")
                entry["returncode"] = 1
        if self._make.was_told_to_stop():
            self._stop_asked = True
        return self._stop_asked or super()._any_stopped()

    def hang_up(self, *_: object) -> None:
        """SIGHUP: the terminal is gone."""
        self.returncode = 129
        self.terminate()


def main() -> None:
    """Run the processes of the Procfile until one ends or we are told to stop."""
    parser = argparse.ArgumentParser(prog="python -m gspnp.run", description=__doc__.splitlines()[0])
    parser.add_argument("--demo", action="store_true", help="with six simulated phones on the loopback interface")
    arguments = parser.parse_args()
    if os.environ.get("MAKELEVEL"):
        die_with_parent(signal.SIGTERM)
    os.chdir(BASE_DIR)
    os.umask(0o077)
    environment = os.environ | {
        "PATH": f"{os.path.dirname(sys.executable)}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
        "PYTHONUNBUFFERED": "1",
    }
    manager = Manager(Printer(Quiet(sys.stdout), time_format="%H:%M:%S"))
    processes = parse_procfile((BASE_DIR / "Procfile").read_text(encoding="utf-8")).processes
    if arguments.demo:
        processes["simulator"] = DEMO
    for name, command in processes.items():
        manager.add_process(name, command, env=environment)
    signal.signal(signal.SIGHUP, manager.hang_up)
    manager.loop()
    sys.exit(0 if manager.returncode in (None, 130, 143, 129) else manager.returncode)


if __name__ == "__main__":
    main()
