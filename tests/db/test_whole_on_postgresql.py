"""All that touches the database, once more on a real PostgreSQL: what is marked `db` is run so in each `make test`."""

import pytest

from tests.db.rerun import must_pass

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
    must_pass(postgresql.empty(), SUITE_SECONDS, f"tests/{folder}", LEFT_OUT)
