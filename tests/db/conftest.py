"""Tests of the database. On SQLite they run as all others do; test_on_postgresql.py runs them once more."""

import os

import pytest
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from tests.support.servers import postgresql  # noqa: F401

# What only PostgreSQL can do is not collected on SQLite.
collect_ignore = [] if "TESTS_DATABASE_URL" in os.environ else ["postgresql_only"]


@pytest.fixture
def present():
    """Whatever happens, the tables are as they were."""
    yield
    executor = MigrationExecutor(connection)
    executor.migrate(executor.loader.graph.leaf_nodes())
