"""Everything that is marked `db`, once more on a real PostgreSQL, by the product's own DATABASE_URL."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
SUITE_SECONDS = 400

# Its own group: it runs beside the groups of the other servers.
pytestmark = [pytest.mark.xdist_group("postgresql"), pytest.mark.timeout(SUITE_SECONDS + 60)]


def test_what_is_marked_db_holds_on_postgresql_too(postgresql):
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "tests", "-m", "db", "--ds", "tests.db.settings_postgresql",
         "-q", "-n0", "-p", "no:cacheprovider"],
        cwd=ROOT, env=_environment(postgresql.empty()), capture_output=True, text=True, timeout=SUITE_SECONDS,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"{done.stdout[-20_000:]}\n{done.stderr[-5_000:]}"
    assert " passed" in done.stdout


def _environment(url: str) -> dict[str, str]:
    """This process is a worker of pytest-xdist; the one that it starts is none."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "DJANGO_"))}
    return {**kept, "TESTS_DATABASE_URL": url}
