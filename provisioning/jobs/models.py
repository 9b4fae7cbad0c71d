"""Rows of jobs."""

from django.db import models
from django.utils.translation import gettext_lazy as _

from devices.models import Phone


class JobState(models.TextChoices):
    WAITING = "waiting", _("Waiting")
    RUNNING = "running", _("Running")
    PAUSED = "paused", _("Paused")
    DONE = "done", _("Done")
    CANCELLED = "cancelled", _("Cancelled")
    FAILED = "failed", _("Failed")


OPEN_JOBS = (JobState.WAITING, JobState.RUNNING, JobState.PAUSED)


class Job(models.Model):
    """One piece of long work. It goes from phone to phone in the order of their ids; `after_id` is how far it came,
    so that it is taken up where it stopped, and a phone that was done already is found unchanged."""

    kind = models.CharField(max_length=20)  # see kinds.py
    title = models.CharField(max_length=200)
    scope = models.JSONField(
        default=dict, help_text="Which phones; see provisioning/layers/scope.py. Orders have targets instead."
    )
    orders = models.JSONField(default=dict, help_text="What it is to do, where its kind does not say all. No secret.")
    state = models.CharField(max_length=10, choices=JobState, default=JobState.WAITING)
    pace_per_second = models.FloatField(default=5.0, help_text="How many NOTIFYs leave in a second.")
    total = models.PositiveIntegerField(default=0)
    done = models.PositiveIntegerField(default=0)
    changed = models.PositiveIntegerField(default=0)
    failed = models.PositiveIntegerField(default=0)
    after_id = models.BigIntegerField(default=0)
    created_by = models.CharField(max_length=150)
    created_at = models.DateTimeField()
    called_at = models.DateTimeField(help_text="When a worker was last called to it.")
    started_at = models.DateTimeField(null=True)
    beat_at = models.DateTimeField(null=True, help_text="When its worker was last heard.")
    worker = models.CharField(max_length=64, blank=True)
    ended_at = models.DateTimeField(null=True)
    words = models.CharField(max_length=300, blank=True, help_text="Why it failed, and what to do.")

    class Meta:
        ordering = ("-id",)
        indexes = (models.Index(name="job_open", fields=("state", "beat_at")),)

    def __str__(self) -> str:
        return f"{self.title}: {self.get_state_display()}"

    @property
    def pace_per_minute(self) -> float:
        """Its pace as people are told it (pace.py)."""
        return round(60 * self.pace_per_second, 1)


class JobTarget(models.Model):
    """A phone that an order has yet to do. The row goes in the very transaction that does it, so that nothing is done
    twice, whenever a worker dies. Of a cancelled order those stay whom it did not come to: a person may order it anew
    for them."""

    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="targets", db_index=False)
    phone = models.ForeignKey(Phone, on_delete=models.CASCADE, related_name="+")
    host = models.GenericIPAddressField(null=True, help_text="The address that was shown when it was ordered.")

    class Meta:
        ordering = ("id",)
        indexes = (models.Index(name="target_of_job", fields=("job", "id")),)

    def __str__(self) -> str:
        return f"{self.phone} at {self.host}"


class JobFailure(models.Model):
    """A phone that a job could not do, the field to blame, and what to do."""

    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="failures")
    phone = models.ForeignKey(Phone, on_delete=models.CASCADE, related_name="+")
    field = models.CharField(max_length=80, blank=True)
    message = models.CharField(max_length=300)

    class Meta:
        ordering = ("id",)

    def __str__(self) -> str:
        return f"{self.phone}: {self.field} {self.message}"


class WorkerStatus(models.Model):
    """One row per machine on which `manage.py work` goes its rounds: its last sign of life, and what went wrong."""

    machine = models.CharField(max_length=120, unique=True)
    started_at = models.DateTimeField()
    heartbeat_at = models.DateTimeField()
    trouble = models.CharField(max_length=300, blank=True)

    def __str__(self) -> str:
        return self.machine
