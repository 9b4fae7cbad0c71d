from django.apps import AppConfig
from django.db.models.signals import post_migrate


class ConsoleConfig(AppConfig):
    """The pages, the live consumer and the admin classes."""

    name = "gspnp.console"
    default_auto_field = "django.db.models.BigAutoField"

    def import_models(self):
        """This is the last app of ours: all models are there, and the administration has made no form of them yet."""
        super().import_models()
        from gspnp.console import model_words

        model_words.make_translatable()

    def ready(self):
        # Their receivers register themselves.
        from gspnp.console import audit, first_password, keeping, roles, sessions, signed_out  # noqa: F401

        post_migrate.connect(roles.make_missing, sender=self, dispatch_uid="gspnp.roles")
        audit.watch()
