from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class DevicesConfig(AppConfig):
    """The inventory."""

    name = "devices"
    default_auto_field = "django.db.models.BigAutoField"
    verbose_name = _("Devices")
