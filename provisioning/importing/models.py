"""Rows of imports: what a table said, what became of it, and what is needed to take it back."""

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from devices.fields import EncryptedBytesField
from devices.mac import MacError, colons, parse_mac
from provisioning.jobs.models import Job


class ImportState(models.TextChoices):
    READING = "reading", _("Being read")
    PREVIEW = "preview", _("Preview, not applied")
    APPLYING = "applying", _("Being applied")
    RESTORING = "restoring", _("Being taken back")
    APPLIED = "applied", _("Applied")
    FAILED = "failed", _("Not applied")
    UNDOING = "undoing", _("Being undone")
    UNDONE = "undone", _("Undone")
    DISCARDED = "discarded", _("Discarded")


# What is stored is not settled yet: it is taken back if one more phone is not what the preview saw.
UNSETTLED = (ImportState.APPLYING, ImportState.RESTORING)


class PhoneImport(models.Model):
    """One table of phones, or one change of many from a form, from its preview to its undoing."""

    title = models.CharField(max_length=200)
    entered = models.TextField(
        blank=True, default="", help_text="What was typed into a form, as a query string; empty for a file."
    )
    state = models.CharField(max_length=10, choices=ImportState, default=ImportState.READING)
    created_by = models.CharField(max_length=150)
    created_at = models.DateTimeField()
    applied_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True, help_text="When nothing of it was left to do.")
    undone_by = models.CharField(max_length=150, blank=True)
    words = models.CharField(max_length=300, blank=True, help_text="Why it was not applied, and what to do.")
    total = models.PositiveIntegerField(default=0)
    new = models.PositiveIntegerField(default=0)
    changed = models.PositiveIntegerField(default=0)
    same = models.PositiveIntegerField(default=0)
    faulty = models.PositiveIntegerField(default=0)
    warned = models.PositiveIntegerField(default=0)
    kept = models.PositiveIntegerField(default=0, help_text="Phones that undoing left as they were.")
    job = models.ForeignKey(Job, null=True, on_delete=models.SET_NULL, related_name="imports")

    class Meta:
        ordering = ("-id",)

    def __str__(self) -> str:
        return f"{self.title}: {self.get_state_display()}"

    @property
    def name(self) -> str:
        """What its job and the timelines of its phones are told of it; a change from a form says itself what it is."""
        return self.title if self.entered else f"Import of {self.title}"


class RowOutcome(models.TextChoices):
    NEW = "new", _("New")
    CHANGED = "changed", _("Changes")
    SAME = "same", _("No change")
    FAULTY = "faulty", _("Error")


class RowState(models.TextChoices):
    PLANNED = "planned", _("Planned")
    DONE = "done", _("Done")
    BACK = "back", _("Taken back")
    KEPT = "kept", _("Left as it is")


class ImportRow(models.Model):
    """One row of a table. `after` is gone once it was applied, `before` once it cannot be undone any more."""

    of = models.ForeignKey(PhoneImport, on_delete=models.CASCADE, related_name="rows")
    number = models.PositiveIntegerField(help_text="As the spreadsheet counts.")
    mac = models.CharField(max_length=60, help_text="As 12 digits, or as it was written if it is none.")
    outcome = models.CharField(max_length=8, choices=RowOutcome)
    warned = models.BooleanField(default=False)
    shown = models.JSONField(default=dict, help_text="Faults, warnings and changes in words; no secret.")
    state = models.CharField(max_length=8, choices=RowState, default=RowState.PLANNED)
    note = models.CharField(max_length=300, blank=True, help_text="Why undoing left it as it is.")
    version = models.PositiveIntegerField(default=0, help_text="Of the phone: as it was read, then as it was written.")
    file_id = models.BigIntegerField(null=True, help_text="The version of its file that was made.")
    before = EncryptedBytesField(null=True)
    after = EncryptedBytesField(null=True)

    class Meta:
        ordering = ("of", "id")
        indexes = (
            models.Index(name="import_row_by_outcome", fields=("of", "outcome", "id")),
            models.Index(name="import_row_by_state", fields=("of", "state", "id")),
            # What is old and still keeps something is looked for every few seconds.
            models.Index(name="import_row_before", fields=("of",), condition=Q(before__isnull=False)),
            models.Index(name="import_row_after", fields=("of",), condition=Q(after__isnull=False)),
            models.Index(name="import_row_by_mac", fields=("mac",)),
        )

    def __str__(self) -> str:
        return f"row {self.number}: {self.mac}"

    @property
    def mac_shown(self) -> str:
        """For people; as it was written if it is none."""
        try:
            return colons(parse_mac(self.mac))
        except MacError:
            return self.mac
