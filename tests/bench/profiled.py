"""Run one command of manage.py under cProfile, a profile per thread: `python -m tests.bench.profiled
FOLDER COMMAND...`. At its end each thread's profile stands in FOLDER. A helper of `hotspots.py`.
"""

import cProfile
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from django.core.management import execute_from_command_line

_profiles: list[tuple[str, cProfile.Profile]] = []


def _profiled(run: Callable[..., Any]) -> Callable[..., Any]:
    """The same, measured. By the wall clock: to ask for a thread's CPU time costs more than what is measured."""

    def wrapped(*arguments: Any, **named: Any) -> Any:
        profile = cProfile.Profile()
        _profiles.append((threading.current_thread().name, profile))
        return profile.runcall(run, *arguments, **named)

    return wrapped


def main(folder: Path, command: list[str]) -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "gspnp.settings")
    threading.Thread.run = _profiled(threading.Thread.run)  # type: ignore[method-assign]
    try:
        _profiled(execute_from_command_line)(["manage.py", *command])
    finally:
        for number, (name, profile) in enumerate(_profiles):
            profile.dump_stats(folder / f"{number:02}-{name}.prof")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
