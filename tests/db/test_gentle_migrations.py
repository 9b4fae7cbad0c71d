"""From here on a release is upgraded while its processes run: migrations leave room for the code of before.

docs/upgrading.md promises it. What is older than BASELINE is upgraded with everything stopped.
"""

import pytest
from django.db.migrations import (
    AddConstraint,
    AddField,
    AddIndex,
    DeleteModel,
    RemoveField,
    RenameField,
    RenameModel,
    SeparateDatabaseAndState,
)
from django.db.migrations.loader import MigrationLoader

from devices.concurrently import AddIndexConcurrently

BASELINE = {"devices": "0013", "provisioning": "0027", "sipmcast": "0003", "console": "0003"}
LARGE = {"phone", "liveevent", "download", "notify", "configfile", "account", "key"}
# For each a sentence in docs/upgrading.md: such a release is upgraded with everything stopped.
NOT_GENTLE: frozenset[str] = frozenset()


def newer():
    for (app, name), migration in sorted(MigrationLoader(None, ignore_no_migrations=True).disk_migrations.items()):
        if app in BASELINE and name[:4] > BASELINE[app] and f"{app}.{name}" not in NOT_GENTLE:
            yield f"{app}.{name}", migration


def operations(migration):
    for one in migration.operations:
        yield from one.database_operations if isinstance(one, SeparateDatabaseAndState) else (one,)


def fault(migration, one) -> str:
    """Why the code of before could not go on beside it."""
    if isinstance(one, (RemoveField, RenameField, DeleteModel, RenameModel)):
        return "it takes away what the code of before asks for: first a release that does not use it"
    if (
        isinstance(one, AddField)
        and not one.field.null
        and not one.field.has_db_default()
        and not one.field.many_to_many
    ):
        return "the code of before inserts rows without it: give it db_default, or null=True"
    if isinstance(one, AddIndex) and one.model_name.lower() in LARGE and not isinstance(one, AddIndexConcurrently):
        return "nobody writes the table while the index is made: AddIndexConcurrently"
    if isinstance(one, AddIndexConcurrently) and migration.atomic:
        return "the migration must say atomic = False"
    if isinstance(one, AddConstraint) and one.model_name.lower() in LARGE:
        return "every row is looked at under a lock"
    return ""


@pytest.mark.parametrize(("name", "migration"), newer())
def test_the_code_of_before_goes_on_beside_it(name, migration):
    faults = [f"{one.describe()}: {words}" for one in operations(migration) if (words := fault(migration, one))]
    assert not faults, f"{name}: {faults}"


def test_what_a_fault_is():
    """Of the old ones some are: the test would not be worth much if it found none there."""
    old = MigrationLoader(None, ignore_no_migrations=True).disk_migrations
    assert any(
        fault(migration, one) for (app, _), migration in old.items() if app in BASELINE for one in operations(migration)
    )
