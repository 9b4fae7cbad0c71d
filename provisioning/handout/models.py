"""Rows of ranges that are handed out, and of what was handed out."""

from django.db import models
from django.db.models import Q

from devices.models import Phone
from provisioning.layers.models import SettingsLayer


class Handout(models.Model):
    """A range of a site's directory that new phones get by themselves; off until a technician switches it on."""

    site = models.SlugField(max_length=40, blank=True, unique=True)
    is_on = models.BooleanField(default=False)
    since = models.DateTimeField(null=True, help_text="Only phones that were first seen after this time.")
    first = models.CharField(max_length=20)
    last = models.CharField(max_length=20)
    sip_server = models.CharField("SIP server", max_length=300, blank=True, help_text="For entries without their own.")
    codecs = models.JSONField(default=list, blank=True)
    only_models = models.JSONField(default=list, blank=True, help_text="Only these models; empty: every one.")
    template = models.ForeignKey(SettingsLayer, null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    words = models.CharField(max_length=300, blank=True, help_text="Why it does nothing more, and what to do.")
    changed_by = models.CharField(max_length=150, blank=True)
    changed_at = models.DateTimeField()

    class Meta:
        ordering = ("site",)

    def __str__(self) -> str:
        return f"{self.first}–{self.last} for {f'site {self.site}' if self.site else 'the default site'}"


class HandedOut(models.Model):
    """One extension for one phone. It is written before the phone is saved, so that after a crash the phone gets this
    one and no other."""

    handout = models.ForeignKey(Handout, on_delete=models.CASCADE, related_name="given")
    phone = models.OneToOneField(Phone, on_delete=models.CASCADE, related_name="handed_out")
    number = models.CharField(max_length=128)
    at = models.DateTimeField(help_text="When it was claimed, or last tried.")
    done_at = models.DateTimeField(null=True, help_text="When the phone was saved with it, or somebody else saved it.")
    words = models.CharField(max_length=300, blank=True, help_text="Why the phone could not be saved, and what to do.")

    class Meta:
        ordering = ("-id",)
        constraints = (
            models.UniqueConstraint(
                name="handed_out_once", fields=("handout", "number"), condition=Q(done_at__isnull=True)
            ),
        )

    def __str__(self) -> str:
        return f"{self.number} for {self.phone}"
