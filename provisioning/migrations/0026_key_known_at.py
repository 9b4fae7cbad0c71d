from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("provisioning", "0021_phone_login"),
    ]

    operations = [
        migrations.AddField(
            model_name="configfile",
            name="key_known_at",
            field=models.DateTimeField(
                help_text="Since when the phone is known to have the key in it, which is not sent again then.",
                null=True,
            ),
        ),
        migrations.AddField(
            model_name="release",
            name="with_key",
            field=models.BooleanField(
                default=False, help_text="Gives the key to a phone that is known to have it, too."
            ),
        ),
    ]
