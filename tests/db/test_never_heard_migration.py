"""Phones that were there before any could be listed: they came to be listed when they were first seen; and back."""

from datetime import timedelta

import pytest
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from tests import cast

pytestmark = [pytest.mark.db, pytest.mark.django_db(transaction=True)]
BEFORE = [("devices", "0004_reveal_permission")]
AFTER = [("devices", "0006_listed_at")]
MANY = 1500  # more than one chunk


def migrate(target):
    executor = MigrationExecutor(connection)
    executor.migrate(target)
    return MigrationExecutor(connection).loader.project_state(target).apps.get_model("devices", "Phone")


@pytest.mark.usefixtures("present")
def test_times_of_phones_survive_both_ways():
    old = migrate(BEFORE)
    seen_at, heard_at = cast.NOON, cast.NOON + timedelta(days=1)
    old.objects.bulk_create(
        old(mac=f"000B82{number:06X}", stage_at=seen_at, first_seen_at=seen_at, last_seen_at=heard_at)
        for number in range(MANY)
    )
    new = migrate(AFTER)
    assert new.objects.filter(listed_at=seen_at, first_seen_at=seen_at, last_seen_at=heard_at).count() == MANY
    new.objects.create(mac="000B83000000", stage_at=seen_at, listed_at=heard_at, listed_as="GXP1628")
    old = migrate(BEFORE)
    assert old.objects.filter(first_seen_at=seen_at, last_seen_at=heard_at).count() == MANY
    assert old.objects.get(mac="000B83000000").first_seen_at == heard_at  # it has to have some time there
    old.objects.all().delete()
