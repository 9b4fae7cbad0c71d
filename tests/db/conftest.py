"""Tests of the database. On SQLite they run as all others do; test_on_postgresql.py runs them once more."""

import os

from tests.support.servers import postgresql  # noqa: F401

# What only PostgreSQL can do is not collected on SQLite.
collect_ignore = [] if "TESTS_DATABASE_URL" in os.environ else ["postgresql_only"]
