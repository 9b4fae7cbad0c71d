"""Phones that are there came to be listed when they were first seen. In chunks, each committed by itself, so that no
lock is held for long; begun again, it does no harm."""

import time

from django.db import migrations
from django.db.models import F, Max

CHUNK = 1000  # rows; some milliseconds
PAUSE_SECONDS = 0.002  # SQLite's lock is not fair


def _in_chunks(apps, schema_editor, change):
    phones = apps.get_model("devices", "Phone").objects.using(schema_editor.connection.alias)
    last = phones.aggregate(Max("pk"))["pk__max"] or 0
    for start in range(0, last + 1, CHUNK):
        change(phones.order_by().filter(pk__gte=start, pk__lt=start + CHUNK))
        time.sleep(PAUSE_SECONDS)


def listed_when_seen(apps, schema_editor):
    _in_chunks(apps, schema_editor, lambda phones: phones.filter(first_seen_at__isnull=False, listed_as="").update(
        listed_at=F("first_seen_at")
    ))  # fmt: skip


def seen_when_listed(apps, schema_editor):
    """The way back: a phone that was never heard had no place there."""
    _in_chunks(apps, schema_editor, lambda phones: phones.filter(first_seen_at=None).update(
        first_seen_at=F("listed_at"), last_seen_at=F("listed_at")
    ))  # fmt: skip


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("devices", "0005_never_heard")]
    operations = [migrations.RunPython(listed_when_seen, seen_when_listed, atomic=False)]
