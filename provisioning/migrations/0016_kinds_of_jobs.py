from django.db import migrations


def refuse_while_open(apps, schema_editor):
    """The code of before takes every job for one that renders files, or has no tables for what it is to do."""
    open_jobs = apps.get_model("provisioning", "Job").objects.using(schema_editor.connection.alias)
    others = open_jobs.filter(state__in=("waiting", "running", "paused")).exclude(kind="rerender").order_by("pk")
    numbers = list(others.values_list("pk", flat=True)[:10])
    if numbers:
        raise RuntimeError(
            f"Jobs of other kinds than new settings are not over: {', '.join(map(str, numbers))}. Let them come to their "
            "end or cancel them (manage.py jobs), and go back then."
        )


class Migration(migrations.Migration):
    dependencies = [
        ("provisioning", "0015_import_rows_by_mac"),
    ]

    operations = [
        migrations.RunPython(migrations.RunPython.noop, refuse_while_open),
    ]
