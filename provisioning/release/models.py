"""Rows of released files."""

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from devices.models import Phone


class ReleaseEnd(models.TextChoices):
    """How a release came to its end."""

    FETCHED = "fetched", _("Fetched")
    EXPIRED = "expired", _("Nobody fetched in time")
    CLOSED = "closed", _("Closed by a person")
    REPLACED = "replaced", _("Opened anew")
    BROKEN = "broken", _("Too many downloads broke off")
    REVOKED = "revoked", _("Its paths were revoked")


class Release(models.Model):
    """One phone's file may leave by its plain name: to one address, once, until a time. Every change is a conditional
    UPDATE, and one download at a time has it in hand."""

    phone = models.ForeignKey(Phone, on_delete=models.CASCADE, related_name="releases")
    host = models.GenericIPAddressField("address")
    opened_at = models.DateTimeField()
    until = models.DateTimeField()
    opened_by = models.CharField(max_length=150)
    closed_at = models.DateTimeField(null=True)
    ended = models.CharField(max_length=10, choices=ReleaseEnd, blank=True)
    in_hand = models.CharField(max_length=32, blank=True, help_text="Names the download that is under way.")
    in_hand_until = models.DateTimeField(null=True)
    with_key = models.BooleanField(default=False, help_text="Gives the key to a phone that is known to have it, too.")
    key_taken_at = models.DateTimeField(null=True, help_text="When the key of an encrypted file left.")
    broken = models.PositiveSmallIntegerField(default=0, help_text="Downloads that broke off.")

    class Meta:
        ordering = ("-id",)
        constraints = (
            models.UniqueConstraint(
                name="one_open_release_per_phone", fields=("phone",), condition=Q(closed_at__isnull=True)
            ),
        )

    def __str__(self) -> str:
        return f"{self.phone} to {self.host}"
