"""What a listener says of itself, so that the console can tell whether phones can be heard, and what was said last."""

from datetime import datetime, timedelta

from django.db import models
from django.utils import timezone

from devices.models import Phone
from devices.trust import CLOCK_SLACK_SECONDS

HEARTBEAT_SECONDS = 5.0
STALE_SECONDS = 15.0  # a listener that has been silent for three beats counts as down


def is_fresh_at(now: datetime) -> models.Q:
    """Listeners that were heard of within three beats, and were not stopped in order since.

    A beat in time to come is that of a listener whose clock is ahead, or one from before this clock was set back:
    which of them it is, the workers find out, who watch whether it moves (sipmcast/silence.py).
    """
    stands_still = models.Q(heartbeat_at__gt=now + timedelta(seconds=CLOCK_SLACK_SECONDS), alarmed_at__isnull=False)
    lately = models.Q(heartbeat_at__gte=now - timedelta(seconds=STALE_SECONDS), stopped_at__isnull=True)
    return lately & ~stands_still


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
    stopped_at = models.DateTimeField(null=True, blank=True, help_text="When it was stopped in order; else empty.")
    alarmed_at = models.DateTimeField(null=True, blank=True, help_text="Since when its silence is an alarm.")

    class Meta:
        ordering = ("name",)
        verbose_name = "listener"

    def __str__(self) -> str:
        return self.name

    @property
    def is_fresh(self) -> bool:
        """Was it heard of within three beats? `is_fresh_at` is the same for a query."""
        now = timezone.now()
        if self.stopped_at is not None:  # its last beat may be one of a clock that was set back since
            return False
        if self.heartbeat_at > now + timedelta(seconds=CLOCK_SLACK_SECONDS) and self.alarmed_at is not None:
            return False
        return self.heartbeat_at >= now - timedelta(seconds=STALE_SECONDS)


class TranscriptKind(models.TextChoices):
    """What the messages of a transcript belong to."""

    SUBSCRIBE = "subscribe", "SUBSCRIBE"
    CLAIM = "claim", "SUBSCRIBE from another address"
    NOTIFY = "notify", "NOTIFY"


class Transcript(models.Model):
    """The last exchange of its kind with a phone, redacted: a row is written over by the next exchange."""

    phone = models.ForeignKey(Phone, on_delete=models.CASCADE, related_name="transcripts", db_index=False)
    kind = models.CharField(max_length=10, choices=TranscriptKind)
    at = models.DateTimeField(help_text="When its last message was sent or heard.")
    messages = models.JSONField(default=list)

    class Meta:
        ordering = ("phone", "-at")
        constraints = (models.UniqueConstraint(name="one_transcript_per_phone_and_kind", fields=("phone", "kind")),)

    def __str__(self) -> str:
        return f"{self.get_kind_display()} of {self.phone}"
