"""What a listener says of itself, so that the console can tell whether phones can be heard."""

from django.db import models

HEARTBEAT_SECONDS = 5.0
STALE_SECONDS = 15.0  # a listener that has been silent for three beats counts as down


class ListenerStatus(models.Model):
    """One row per listener: where it listens, since when, and what hinders it."""

    name = models.CharField(max_length=120, unique=True)
    instance = models.CharField(max_length=40, blank=True, help_text="Which process it is.")
    site = models.SlugField(blank=True)
    started_at = models.DateTimeField()
    heartbeat_at = models.DateTimeField()
    interfaces = models.JSONField(default=list)
    trouble = models.CharField(max_length=300, blank=True)
    counters = models.JSONField(default=dict)
    heard_at = models.JSONField(default=dict, help_text="Interface name -> when a SUBSCRIBE was last heard there.")
    warnings = models.JSONField(default=list, help_text="What does not stop it, but should be looked at.")

    class Meta:
        ordering = ("name",)
        verbose_name = "listener"

    def __str__(self) -> str:
        return self.name
