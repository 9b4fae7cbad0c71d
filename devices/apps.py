from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class DevicesConfig(AppConfig):
    """The inventory."""

    name = "devices"
    default_auto_field = "django.db.models.BigAutoField"
    verbose_name = _("Devices")

    def ready(self):
        from django.apps import apps
        from django.db.models.signals import pre_save

        from devices import facts, metrics
        from devices.fields import open_dumped, sealed_names

        metrics.facts.append(facts.of_phones)

        for model in apps.get_models():
            if sealed_names(model):
                pre_save.connect(open_dumped, sender=model, dispatch_uid=f"open_dumped {model._meta.label}")
