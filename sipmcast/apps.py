from django.apps import AppConfig


class SipmcastConfig(AppConfig):
    name = "sipmcast"
    default_auto_field = "django.db.models.BigAutoField"
