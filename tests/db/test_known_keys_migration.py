"""Phones that had encrypted files before it was on record who has the key: no key is sent to them anew."""

from datetime import timedelta

import pytest
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from tests import cast

pytestmark = [pytest.mark.db, pytest.mark.django_db(transaction=True)]
BEFORE = [("provisioning", "0021_phone_login")]
AFTER = [("provisioning", "0027_keys_known_already")]
SENT, TOOK = None, cast.NOON + timedelta(hours=1)
# Versions of a phone, the oldest first: format, held back, when it was last taken by its own path; is the key known?
PHONES = (
    ((("encrypted", False, TOOK),), True),
    ((("encrypted", False, TOOK), ("encrypted", False, SENT)), True),
    ((("encrypted", False, SENT),), False),
    ((("encrypted", False, TOOK), ("xml", False, TOOK)), False),
    ((("encrypted", False, TOOK), ("binary", False, SENT), ("encrypted", False, SENT)), False),
    ((("encrypted", True, TOOK), ("encrypted", False, SENT)), False),
    ((("xml", False, TOOK),), False),
)


def migrate(target):
    MigrationExecutor(connection).migrate(target)
    return MigrationExecutor(connection).loader.project_state(target).apps


@pytest.mark.usefixtures("present")
def test_who_has_a_key_is_found_from_what_was_on_record():
    apps = migrate(BEFORE)
    phones, files = apps.get_model("devices", "Phone"), apps.get_model("provisioning", "ConfigFile")
    made = {}
    for number, (versions, known) in enumerate(PHONES):
        phone = phones.objects.create(mac=f"000B82{number:06X}", stage_at=cast.NOON, listed_at=cast.NOON)
        for place, (file_format, held_back, steady_at) in enumerate(versions, 1):
            last = files.objects.create(
                phone=phone, number=place, format=file_format, held_back=held_back, steady_at=steady_at,
                content=b"", created_at=cast.NOON, first_hash=f"f{number}-{place}", steady_hash=f"s{number}-{place}",
            )  # fmt: skip
        made[last.pk] = TOOK if known else None
    files = migrate(AFTER).get_model("provisioning", "ConfigFile")
    assert dict(files.objects.filter(pk__in=made).values_list("pk", "key_known_at")) == made
    assert files.objects.exclude(key_known_at=None).count() == sum(known for _, known in PHONES)
    apps = migrate(BEFORE)
    apps.get_model("devices", "Phone").objects.all().delete()
