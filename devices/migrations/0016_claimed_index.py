from django.db import migrations, models

from devices.concurrently import AddIndexConcurrently


class Migration(migrations.Migration):
    atomic = False  # the index is made while others write

    dependencies = [
        ("devices", "0015_retention"),
    ]

    operations = [
        AddIndexConcurrently(
            model_name="phone",
            index=models.Index(
                condition=models.Q(("claimed_host__isnull", False)), fields=["claimed_at"], name="phone_claimed"
            ),
        ),
    ]
