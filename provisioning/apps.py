from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class ProvisioningConfig(AppConfig):
    """Files, the outbox of owed NOTIFYs, and the proof that a phone applied its file."""

    name = "provisioning"
    default_auto_field = "django.db.models.BigAutoField"
    verbose_name = _("Provisioning")

    def ready(self):
        from devices import metrics
        from provisioning import checks, facts  # noqa: F401  (checks register themselves)
        from provisioning.importing import forgetting  # noqa: F401  (the same)

        metrics.facts.extend((facts.of_outbox, facts.of_work))
