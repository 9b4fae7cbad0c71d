"""Rows of the layers."""

import json

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from devices.fields import EncryptedBytesField
from devices.models import Phone
from provisioning.gxp.layers import Layer, Level, Values


class LayerLevel(models.TextChoices):
    """The levels that people write; `gxp.layers.Level` has those that we make ourselves too."""

    SITE = Level.SITE.value, _("Site")
    MODEL = Level.MODEL.value, _("Model")
    TEMPLATE = Level.TEMPLATE.value, _("Template")
    PHONE = Level.PHONE.value, _("Phone")


class SettingsLayer(models.Model):
    """What one layer says: settings by name, encrypted as a whole, because some of them are passwords."""

    level = models.CharField(max_length=8, choices=LayerLevel)
    name = models.CharField(max_length=40, blank=True, help_text="Of the site, the model or the template.")
    phone = models.OneToOneField(Phone, null=True, on_delete=models.CASCADE, related_name="own_layer")
    note = models.CharField(max_length=200, blank=True)
    sealed = EncryptedBytesField(help_text="The values, as JSON.")
    version = models.PositiveIntegerField(default=1, help_text="Counts saves; guards against lost updates.")
    changed_by = models.CharField(max_length=150, blank=True)
    changed_at = models.DateTimeField()

    class Meta:
        ordering = ("level", "name")
        verbose_name = "settings layer"
        constraints = (
            models.UniqueConstraint(name="layer_name_once", fields=("level", "name"), condition=Q(phone=None)),
            models.CheckConstraint(
                name="own_layer_is_a_phones", condition=Q(level="phone", phone__isnull=False) | ~Q(level="phone")
            ),
        )

    def __str__(self) -> str:
        return self.as_layer().title if self.phone_id is None else f"own settings of {self.phone}"

    @property
    def values(self) -> Values:
        """What it says; raises CannotDecrypt."""
        read: dict[str, str | None] = json.loads(bytes(self.sealed))
        return read

    @values.setter
    def values(self, values: Values) -> None:
        self.sealed = json.dumps(dict(values), ensure_ascii=False).encode()

    @property
    def as_level(self) -> Level:
        return Level(self.level)

    def as_layer(self) -> Layer:
        """For merging; raises CannotDecrypt."""
        return Layer(self.as_level, self.name, self.values)


class PhoneTemplate(models.Model):
    """A template that a phone has; a later place wins."""

    phone = models.ForeignKey(Phone, on_delete=models.CASCADE, related_name="templates")
    layer = models.ForeignKey(SettingsLayer, on_delete=models.PROTECT, related_name="phones")
    place = models.PositiveSmallIntegerField()

    class Meta:
        ordering = ("phone", "place")
        constraints = (models.UniqueConstraint(name="template_once_per_phone", fields=("phone", "layer")),)

    def __str__(self) -> str:
        return f"{self.phone}: {self.layer.name}"
