from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class SipmcastConfig(AppConfig):
    """SIP: hears phones that plug in, and sends them the NOTIFYs that they are owed."""

    name = "sipmcast"
    default_auto_field = "django.db.models.BigAutoField"
    verbose_name = _("Listening")

    def ready(self):
        from devices import metrics
        from provisioning import stuck
        from provisioning.jobs import rounds
        from sipmcast import checks, silence, status  # noqa: F401  (checks register themselves)

        metrics.facts.append(status.metrics_of_all)
        rounds.also.append(silence.look)
        stuck.silent_listeners.append(silence.silent_sites)
