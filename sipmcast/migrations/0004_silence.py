from django.db import migrations, models
from django.db.models import F


def count_as_stopped(apps, schema_editor):
    """Those that were there before: whether they were stopped was not noted, and one that lives says so in 5 s."""
    apps.get_model("sipmcast", "ListenerStatus").objects.update(stopped_at=F("heartbeat_at"))


class Migration(migrations.Migration):
    dependencies = [
        ("sipmcast", "0003_transcripts"),
    ]

    operations = [
        migrations.AddField(
            model_name="listenerstatus",
            name="alarmed_at",
            field=models.DateTimeField(blank=True, help_text="Since when its silence is an alarm.", null=True),
        ),
        migrations.AddField(
            model_name="listenerstatus",
            name="stopped_at",
            field=models.DateTimeField(blank=True, help_text="When it was stopped in order; else empty.", null=True),
        ),
        migrations.RunPython(count_as_stopped, migrations.RunPython.noop, elidable=True),
    ]
