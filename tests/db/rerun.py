"""A part of the suite once more, on a PostgreSQL: in a process of its own, because settings are read once."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent


def must_pass(url: str, seconds: float, folder: str, marked: str, *more: str) -> None:
    """Run what is marked so below this folder of tests on the database of this URL; `more` are words to pytest."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", folder, "-m", marked, "--ds", "tests.db.settings_postgresql",
         "-q", "-n0", "-p", "no:cacheprovider", *more],
        cwd=ROOT, env=_environment(url), capture_output=True, text=True, timeout=seconds, check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"{done.stdout[-20_000:]}\n{done.stderr[-5_000:]}"
    assert " passed" in done.stdout


def _environment(url: str) -> dict[str, str]:
    """This process is a worker of pytest-xdist; the one that it starts is none."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "DJANGO_"))}
    return {**kept, "TESTS_DATABASE_URL": url}
