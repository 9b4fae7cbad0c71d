"""Everything that is marked `db`, once more on a real PostgreSQL, by the product's own DATABASE_URL."""

import pytest

from tests.db.rerun import must_pass

SUITE_SECONDS = 400

# Its own group: it runs beside the groups of the other servers.
pytestmark = [pytest.mark.xdist_group("postgresql"), pytest.mark.timeout(SUITE_SECONDS + 60)]


def test_what_is_marked_db_holds_on_postgresql_too(postgresql):
    must_pass(postgresql.empty(), SUITE_SECONDS, "tests", "db")
