from django.apps import AppConfig, apps
from django.utils.translation import gettext_lazy as _


class ProvisioningConfig(AppConfig):
    """Files, the outbox of owed NOTIFYs, and the proof that a phone applied its file."""

    name = "provisioning"
    default_auto_field = "django.db.models.BigAutoField"
    verbose_name = _("Provisioning")

    def ready(self):
        from provisioning import checks  # noqa: F401  (registers itself)
        from provisioning.importing import forgetting  # noqa: F401  (the same)

        if apps.is_installed("django_tasks_db"):  # the phones' door has no jobs
            from provisioning.importing import applying  # noqa: F401  (the same, for jobs)
