"""What holds for the whole suite. The environment is set earlier, by `tests/support/environment.py`."""

import sys
import zlib
from collections.abc import Iterator
from typing import Any

import pytest

GROUPS = ("net", "browser", "servers")
LONGEST = ("postgresql", *GROUPS)
CHAINS = 3  # of tests in network namespaces of their own: they wait most of the time, and no two share one


@pytest.hookimpl(tryfirst=True, wrapper=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> Iterator[None]:
    """Tests of a group share one worker, so that one runs at a time (pytest-xdist, --dist loadgroup). What takes
    longest begins first, so that nothing is waited for at the end; after pytest-django has sorted by databases."""
    for item in items:
        if item.get_closest_marker("xdist_group"):
            continue
        for group in GROUPS:
            if item.get_closest_marker(group):
                chain = str(zlib.crc32(item.nodeid.partition("::")[0].encode()) % CHAINS) if group == "net" else ""
                item.add_marker(pytest.mark.xdist_group(group + chain))
                break
    yield
    items.sort(key=_begins)


def _begins(item: pytest.Item) -> int:
    """The groups in the order of what they take, all that is marked `db` once more on PostgreSQL among them; then the
    rest, which is spread over whoever is free."""
    group = item.get_closest_marker("xdist_group")
    if group is None:
        return len(LONGEST) + 1
    return next((at for at, name in enumerate(LONGEST) if group.args[0].startswith(name)), len(LONGEST))


@pytest.fixture(autouse=True)
def nothing_noted_before() -> None:
    """What the phones' door holds in memory for a moment is of one installation, which a test begins anew."""
    for name in ("provisioning.attempts", "provisioning.plain.missed", "provisioning.plain.heard"):
        if (module := sys.modules.get(name)) is not None:
            module._held.clear()
    for name in ("provisioning.door.again", "provisioning.door.guard", "provisioning.door.watch"):
        if (module := sys.modules.get(name)) is not None:
            module.forget()


@pytest.fixture(scope="session", autouse=True)
def passwords_cost_little() -> Iterator[None]:
    """The product's own way to keep a password, without the work that it makes for who guesses: a sign-in takes as
    much of a core as the test around it. What the product starts as processes of its own keeps its full cost."""
    from django.contrib.auth.hashers import Argon2PasswordHasher

    with pytest.MonkeyPatch.context() as patch:
        for name, value in (("time_cost", 1), ("memory_cost", 8), ("parallelism", 1)):
            patch.setattr(Argon2PasswordHasher, name, value)
        yield


@pytest.fixture(scope="session", autouse=True)
def what_is_always_there_is_remembered() -> Iterator[None]:
    from tests.support.flushed import put_back_from_memory

    with put_back_from_memory():
        yield


@pytest.fixture
def clock() -> Iterator[Any]:
    """Time for the whole product, which stands still until a test moves it."""
    from tests import cast  # needs Django, which is not set up yet when this file is read

    with cast.stopped_clock() as stopped:
        yield stopped


@pytest.fixture(scope="session")
def django_db_modify_db_settings_parallel_suffix() -> None:
    """SQLite in a file, as in the product: in memory, readers and the writer would refuse each other at once.

    Each process of the suite has a data folder of its own, so no name has to tell them apart.
    """
    from django.conf import settings
    from django.db import connections

    database = connections.databases["default"]
    if database["ENGINE"] == "gspnp.sqlite":
        database["TEST"]["NAME"] = str(settings.GSPNP_DATA_DIR / "tests.sqlite3")
