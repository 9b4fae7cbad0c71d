"""Everything that is marked `db`, once more on a real PostgreSQL, by the product's own DATABASE_URL.

In two parts, each in a group of its own: they run beside each other, and beside the groups of the other servers.
"""

import pytest

from tests.db.rerun import must_pass

SUITE_SECONDS = 400
MOST = "tests/provisioning"

pytestmark = pytest.mark.timeout(SUITE_SECONDS + 60)


@pytest.mark.xdist_group("postgresql")
def test_what_is_marked_db_holds_on_postgresql_too(postgresql):
    must_pass(postgresql.empty(), SUITE_SECONDS, MOST, "db")


@pytest.mark.xdist_group("postgresql_rest")
def test_so_does_what_stands_in_the_other_folders(postgresql):
    must_pass(postgresql.empty(), SUITE_SECONDS, "tests", "db", f"--ignore={MOST}")
