"""All that touches the database, once more on a real PostgreSQL: what is marked `db` is run so in each `make test`."""

import subprocess
import sys

import pytest

from tests.db.test_on_postgresql import ROOT, _environment

SUITE_SECONDS = 2400
# Each folder has a process and a database of its own: what one leaves behind does not fail the others.
FOLDERS = ("devices", "provisioning", "sipmcast", "console", "gspnp")
# A browser and a namespace show nothing of the database; servers of their own make their own databases.
LEFT_OUT = "not browser and not net and not servers and not long"

pytestmark = [
    pytest.mark.long,
    pytest.mark.xdist_group("postgresql"),
    pytest.mark.timeout(SUITE_SECONDS + 60),
]


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_whole_folder_holds_on_postgresql_too(postgresql, folder):
    done = subprocess.run(
        [sys.executable, "-m", "pytest", f"tests/{folder}", "-m", LEFT_OUT, "--ds", "tests.db.settings_postgresql",
         "-q", "-n0", "-p", "no:cacheprovider"],
        cwd=ROOT, env=_environment(postgresql.empty()), capture_output=True, text=True, timeout=SUITE_SECONDS,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"{done.stdout[-20_000:]}\n{done.stderr[-5_000:]}"
    assert " passed" in done.stdout
