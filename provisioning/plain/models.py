"""Rows behind plain names."""

from django.db import models


class ModelFile(models.Model):
    """`cfg<model>.xml`, and `cfg.xml` for no model: what the layers say for every phone, without secrets."""

    model = models.CharField(max_length=40, blank=True, unique=True)
    content = models.BinaryField(help_text="In the clear: there is no secret in it.")
    etag = models.CharField(max_length=64)

    def __str__(self) -> str:
        return f"cfg{self.model.lower()}.xml"


class MissedAsk(models.Model):
    """Something that a phone asked for and that we do not have, counted."""

    mac = models.CharField("MAC", max_length=12, blank=True, help_text="As it says itself.")
    source_host = models.GenericIPAddressField("address")
    name = models.CharField(max_length=80)
    count = models.PositiveIntegerField(default=0)
    first_at = models.DateTimeField()
    last_at = models.DateTimeField(db_index=True)

    class Meta:
        ordering = ("-last_at",)
        constraints = (models.UniqueConstraint(name="missed_once", fields=("mac", "source_host", "name")),)

    def __str__(self) -> str:
        return f"{self.name}, asked for by {self.source_host}"


class DoorHour(models.Model):
    """What the phones' door counted in one hour, beside the downloads, which are stored one by one."""

    hour = models.DateTimeField(unique=True, help_text="Its beginning.")
    refused = models.PositiveIntegerField(default=0, help_text="Requests of phones of ours that got a 404.")
    refused_strangers = models.PositiveIntegerField(default=0, help_text="The same, of what is no phone of ours.")
    broken_off = models.PositiveIntegerField(default=0, help_text="Files that were not taken to their end.")

    def __str__(self) -> str:
        return f"{self.hour:%Y-%m-%d %H:00}: {self.refused} refused, {self.broken_off} broken off"
