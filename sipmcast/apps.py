from django.apps import AppConfig


class SipmcastConfig(AppConfig):
    """SIP: hears phones that plug in, and sends them the NOTIFYs that they are owed."""

    name = "sipmcast"
    verbose_name = "Listening"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self):
        from sipmcast import checks  # noqa: F401  (registers itself)
