from django.db import migrations, models

from devices.concurrently import AddIndexConcurrently


class Migration(migrations.Migration):
    atomic = False  # indexes are made while others write

    dependencies = [
        ("devices", "0014_sites"),
    ]

    operations = [
        AddIndexConcurrently(
            model_name="phone",
            index=models.Index(
                condition=models.Q(("site_moved_at__isnull", False)), fields=["site_moved_at"], name="phone_site_moved"
            ),
        ),
        AddIndexConcurrently(
            model_name="liveevent",
            index=models.Index(fields=["at"], name="liveevent_by_time"),
        ),
        AddIndexConcurrently(
            model_name="phone",
            index=models.Index(
                condition=models.Q(("stage_reason", ""), _negated=True),
                fields=["stage", "first_seen_at", "stage_reason"],
                name="phone_has_stopped",
            ),
        ),
        migrations.RemoveIndex(model_name="phone", name="phone_stopped"),
        AddIndexConcurrently(
            model_name="phone",
            index=models.Index(
                condition=models.Q(("online", False)),
                fields=["stage", "last_seen_at", "online_at"],
                name="phone_silent",
            ),
        ),
        migrations.CreateModel(
            name="Sweep",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("name", models.CharField(max_length=40, unique=True)),
                ("held_by", models.CharField(blank=True, max_length=32)),
                ("held_until", models.DateTimeField(null=True)),
                ("ran_at", models.DateTimeField(help_text="When it last had something to delete.", null=True)),
                ("removed", models.PositiveBigIntegerField(default=0, help_text="Rows, since the beginning.")),
                ("trouble", models.CharField(blank=True, max_length=300)),
            ],
        ),
    ]
