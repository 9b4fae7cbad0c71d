from django.apps import AppConfig


class DevicesConfig(AppConfig):
    """The inventory."""

    name = "devices"
    default_auto_field = "django.db.models.BigAutoField"
