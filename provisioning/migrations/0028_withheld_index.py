from django.db import migrations, models

from devices.concurrently import AddIndexConcurrently


class Migration(migrations.Migration):
    atomic = False  # the index is made while others write

    dependencies = [
        ("provisioning", "0027_keys_known_already"),
    ]

    operations = [
        AddIndexConcurrently(
            model_name="notify",
            index=models.Index(condition=models.Q(("state", "withheld")), fields=["phone"], name="notify_withheld"),
        ),
    ]
