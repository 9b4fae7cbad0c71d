"""Phones that came by the path in an encrypted file before this was on record have its key. In chunks, each row
committed by itself, so that no lock is held for long; begun again, it does no harm."""

import time
from itertools import groupby

from django.db import migrations
from django.db.models import Max

CHUNK = 200  # phones
PAUSE_SECONDS = 0.002  # SQLite's lock is not fair


def note(apps, schema_editor):
    alias = schema_editor.connection.alias
    files = apps.get_model("provisioning", "ConfigFile").objects.using(alias)
    last = files.aggregate(Max("phone_id"))["phone_id__max"] or 0
    for start in range(0, last + 1, CHUNK):
        rows = files.filter(phone_id__gte=start, phone_id__lt=start + CHUNK).order_by("phone_id", "-number")
        names = ("phone_id", "pk", "format", "held_back", "steady_at")
        for _, versions in groupby(rows.values_list(*names), key=lambda row: row[0]):
            newest, known_at = _known(list(versions))
            if known_at is not None:
                files.filter(pk=newest, key_known_at=None).update(key_known_at=known_at)
        time.sleep(PAUSE_SECONDS)


def _known(versions):
    """The newest version, and since when its key is known: that changes with the format, and where secrets were held
    back before."""
    for _, _, file_format, held_back, steady_at in versions:
        if file_format != "encrypted" or held_back:
            break
        if steady_at is not None:
            return versions[0][1], steady_at
    return versions[0][1], None


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("provisioning", "0026_key_known_at")]
    operations = [migrations.RunPython(note, migrations.RunPython.noop, atomic=False)]
