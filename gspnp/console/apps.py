from django.apps import AppConfig


class ConsoleConfig(AppConfig):
    """The pages, the live consumer and the admin classes."""

    name = "gspnp.console"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self):
        from gspnp.console import first_password  # noqa: F401  (its receivers register themselves)
