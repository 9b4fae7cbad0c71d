from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("provisioning", "0017_old_imports"),
    ]

    operations = [
        migrations.AddField(
            model_name="phoneimport",
            name="entered",
            field=models.TextField(
                blank=True, default="", help_text="What was typed into a form, as a query string; empty for a file."
            ),
        ),
    ]
