"""Rows of firmware."""

from django.db import models
from django.utils import timezone

from devices.models import Phone


class FirmwareImage(models.Model):
    """An uploaded image; its bytes lie in the data folder under their SHA-256."""

    version = models.CharField(max_length=40, unique=True)
    sha256 = models.CharField("SHA-256", max_length=64)
    size_bytes = models.PositiveBigIntegerField()
    file_name = models.CharField(max_length=40, help_text="What phones ask for.")
    uploaded_by = models.CharField(max_length=150)
    uploaded_at = models.DateTimeField()

    class Meta:
        ordering = ("version",)
        verbose_name = "firmware image"

    def __str__(self) -> str:
        return self.version


class FirmwareStep(models.Model):
    """A step of a model's path: every phone of that model goes through them in their order."""

    model = models.CharField(max_length=40)
    place = models.PositiveSmallIntegerField()
    image = models.ForeignKey(FirmwareImage, on_delete=models.PROTECT, related_name="steps")
    set_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ("model", "place")
        constraints = (models.UniqueConstraint(name="firmware_step_once", fields=("model", "image")),)

    def __str__(self) -> str:
        return f"{self.model} → {self.image}"


class FirmwareTry(models.Model):
    """How often a phone has fetched an image whole and still ran another one afterwards."""

    phone = models.ForeignKey(Phone, on_delete=models.CASCADE, related_name="firmware_tries")
    version = models.CharField(max_length=40)
    tries = models.PositiveSmallIntegerField(default=0)
    fetched_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ("-fetched_at",)
        constraints = (models.UniqueConstraint(name="firmware_tries_once", fields=("phone", "version")),)

    def __str__(self) -> str:
        return f"{self.phone} {self.version}: {self.tries}"
