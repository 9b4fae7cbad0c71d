"""Rendered files, the outbox of owed NOTIFYs, and who fetched what."""

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from devices.fields import EncryptedBytesField, EncryptedTokenField
from devices.models import Phone
from provisioning.firmware.models import FirmwareImage, FirmwareStep, FirmwareTry
from provisioning.gxp.files import Bootstrap, FileFormat, FormatChoice, Part
from provisioning.gxp.openssl_enc import Digest
from provisioning.handout.models import HandedOut, Handout
from provisioning.importing.models import ImportRow, ImportState, PhoneImport, RowOutcome, RowState
from provisioning.jobs.models import Job, JobFailure, JobState, JobTarget, WorkerStatus
from provisioning.layers.models import LayerLevel, PhoneTemplate, SettingsLayer
from provisioning.phonebook.models import Contact, Phonebook
from provisioning.plain.models import DoorHour, MissedAsk, ModelFile
from provisioning.release.models import Release, ReleaseEnd

__all__ = [
    "OPEN_STATES", "Attempt", "AttemptKind", "ConfigFile", "Contact", "DoorHour", "Download", "FirmwareImage",
    "FirmwareStep", "FirmwareTry", "HandedOut", "Handout", "ImportRow", "ImportState", "Job", "JobFailure", "JobState",
    "JobTarget", "LayerLevel", "LearnedUrlForm", "MissedAsk", "ModelFile", "Notify", "NotifyKind", "NotifyOrigin",
    "NotifyState", "PathKind", "PhoneImport", "PhoneTemplate", "Phonebook", "Release", "ReleaseEnd", "RowOutcome",
    "RowState", "SettingsLayer", "UrlForm", "WorkerStatus",
]  # fmt: skip


class ConfigFile(models.Model):
    """One version of a phone's configuration: immutable bytes and the two paths that lead to them.

    The *first* path goes into the NOTIFY; the *steady* path stands only inside the bytes (P237), so whoever asks by
    it has read the file. Paths are found by hash and kept encrypted, because re-rendering needs them.
    """

    phone = models.ForeignKey(Phone, on_delete=models.CASCADE, related_name="config_files")
    number = models.PositiveIntegerField()
    content = EncryptedBytesField(help_text="The settings as XML text, whatever format the phone gets.")
    format = models.CharField(max_length=10, choices=[(one.value, one.value) for one in FileFormat], default="xml")
    digest = models.CharField(max_length=6, default="md5", help_text="Of the key derivation of an encrypted file.")
    bootstrap_kind = models.CharField(max_length=6, default="binary")
    body = EncryptedBytesField(null=True, help_text="What the phone gets, where that is not the XML text.")
    bootstrap = EncryptedBytesField(null=True, help_text="What brings the key of an encrypted file.")
    bootstrap_at = models.DateTimeField(null=True, help_text="When the phone had taken the bootstrap.")
    key_known_at = models.DateTimeField(
        null=True, help_text="Since when the phone is known to have the key in it, which is not sent again then."
    )
    etag = models.CharField(max_length=64)
    firmware = models.CharField(max_length=40, blank=True, help_text="The version that it makes the phone fetch.")
    held_back = models.BooleanField(default=False, help_text="Without secrets, until the phone runs safe firmware.")
    base_url = models.CharField(max_length=255, help_text="Scheme, host and port that the phone is sent to.")
    first_hash = models.CharField(max_length=64, unique=True)
    first_secret = EncryptedTokenField()
    steady_hash = models.CharField(max_length=64, unique=True)
    steady_secret = EncryptedTokenField()
    login_scheme = models.CharField(
        max_length=6, blank=True, help_text="How a phone with this file logs in where it asks for it: basic, digest."
    )
    login_secret = EncryptedTokenField(blank=True, help_text="The password of that login; its user is the MAC.")
    silent_because = models.CharField(
        max_length=100, blank=True, help_text="Why a phone with this file may not answer our OPTIONS over UDP."
    )
    created_at = models.DateTimeField()
    saved_by = models.CharField(max_length=150, blank=True)
    why = models.CharField(max_length=200, blank=True, help_text="What made this version.")
    first_host = models.GenericIPAddressField(null=True, help_text="The only address that may use the first path.")
    first_until = models.DateTimeField(null=True)
    fetched_at = models.DateTimeField(null=True, help_text="First complete download.")
    applied_at = models.DateTimeField(null=True, help_text="First complete download by the steady path, after that.")
    steady_at = models.DateTimeField(null=True, help_text="Last complete download by the steady path.")
    retired_at = models.DateTimeField(null=True, help_text="From here on its steady path leads nowhere.")

    same_key_as: int | None = None
    """Of a version that is not stored yet: the one before it, if the same key opens both (file_key.carry)."""

    class Meta:
        ordering = ("phone", "-number")
        constraints = (models.UniqueConstraint(name="config_file_number", fields=("phone", "number")),)
        indexes = (
            # Few, and asked for every few seconds: whose upgrade is under way?
            models.Index(name="file_of_an_upgrade", fields=("phone",), condition=~Q(firmware="") | Q(held_back=True)),
        )

    def __str__(self) -> str:
        return f"{self.phone} version {self.number}"

    @property
    def choice(self) -> FormatChoice:
        """Its format."""
        digest: Digest = "sha256" if self.digest == "sha256" else "md5"
        return FormatChoice(FileFormat(self.format), digest, Bootstrap(self.bootstrap_kind))

    def bytes_of(self, part: Part) -> bytes:
        """What the phone gets; raises CannotDecrypt."""
        if part is Part.BOOTSTRAP:
            return bytes(self.bootstrap or b"")
        return bytes(self.content if self.body is None else self.body)


class NotifyState(models.TextChoices):
    WAITING = "waiting", _("Waiting to be sent")
    SENDING = "sending", _("Sent, no final answer yet")
    WITHHELD = "withheld", _("Withheld; its note says why")
    DELIVERED = "delivered", _("Answered 2xx")
    REFUSED = "refused", _("Refused by the phone")
    UNANSWERED = "unanswered", _("Not answered in 32 s")
    SUPERSEDED = "superseded", _("Superseded by a newer save")
    NOT_NEEDED = "not_needed", _("Not needed any more")


OPEN_STATES = (NotifyState.WAITING, NotifyState.SENDING, NotifyState.WITHHELD)


class NotifyOrigin(models.TextChoices):
    SAVE = "save", _("A save")
    JOB = "job", _("A change of settings for many phones")
    PERSON = "person", _("A person")
    AUTOMATIC = "automatic", _("The phone was seen again, or did not answer")


class NotifyKind(models.TextChoices):
    """What a NOTIFY asks of a phone; formats.md (f) and (g)."""

    PROFILE = "profile", _("Configuration")
    CHECK_SYNC = "check-sync", _("Check for a new configuration")
    RESYNC = "resync", _("Load the configuration again")
    REBOOT = "reboot", _("Restart")


class UrlForm(models.TextChoices):
    """How the NOTIFY names the file; formats.md f33 to f36."""

    FILE = "file", _("Full file path")
    FOLDER = "folder", _("Folder")


class LearnedUrlForm(models.Model):
    """Which form of URL phones of this model and firmware really fetched."""

    model = models.CharField(max_length=40)
    firmware = models.CharField(max_length=40)
    form = models.CharField(max_length=6, choices=UrlForm)
    learned_at = models.DateTimeField()

    class Meta:
        constraints = (models.UniqueConstraint(name="one_url_form_per_firmware", fields=("model", "firmware")),)
        verbose_name = "learned URL form"

    def __str__(self) -> str:
        return f"{self.model} {self.firmware}: {self.form}"


class Notify(models.Model):
    """One owed NOTIFY, which is one SIP transaction at a time once it is opened.

    Everything that identifies the transaction is stored before its first datagram leaves, so that after a crash the
    same bytes are sent again, never others. A challenge (401, 407) or an unknown address (404, 481) may open a
    further transaction of the same row.
    """

    phone = models.ForeignKey(Phone, on_delete=models.CASCADE, related_name="notifies")
    config_file = models.ForeignKey(ConfigFile, on_delete=models.CASCADE, related_name="notifies")
    kind = models.CharField(max_length=10, choices=NotifyKind, default=NotifyKind.PROFILE)
    origin = models.CharField(max_length=10, choices=NotifyOrigin)
    state = models.CharField(max_length=10, choices=NotifyState, default=NotifyState.WAITING)
    note = models.CharField(max_length=300, blank=True, help_text="Why it waits, or how it ended, in plain words.")
    created_at = models.DateTimeField()
    next_at = models.DateTimeField(help_text="Not before this time.")
    unless_steady_since = models.DateTimeField(
        null=True, help_text="Dropped if the phone fetches by its steady path after this time."
    )

    job = models.ForeignKey(
        Job,
        null=True,
        on_delete=models.SET_NULL,
        related_name="notifies",
        db_index=False,
        help_text="The change of many phones that owes it.",
    )

    claimed_by = models.CharField(max_length=120, blank=True)
    call_id = models.CharField("Call-ID", max_length=80, blank=True)
    branch = models.CharField(max_length=80, blank=True)
    from_tag = models.CharField(max_length=40, blank=True)
    cseq = models.PositiveIntegerField("CSeq", default=1)
    datagram = EncryptedBytesField(null=True)
    url_form = models.CharField(max_length=6, choices=UrlForm, blank=True)
    to_user = models.CharField(max_length=128, blank=True, help_text="The SIP user it was sent to; empty: the device.")
    challenged_at = models.DateTimeField(null=True, help_text="When the phone first asked for a password.")
    logins_tried = models.PositiveSmallIntegerField(default=0, help_text="How many accounts have answered a challenge.")
    renewed = models.BooleanField(default=False, help_text="A stale nonce was answered anew.")
    target_host = models.GenericIPAddressField(null=True)
    target_port = models.PositiveIntegerField(null=True)
    interface = models.CharField(max_length=40, blank=True)
    local_host = models.GenericIPAddressField(null=True)
    first_sent_at = models.DateTimeField(null=True, help_text="When its first transaction was opened.")
    opened_at = models.DateTimeField(null=True, help_text="When its present transaction was opened.")
    status = models.PositiveSmallIntegerField(null=True)
    reason = models.CharField(max_length=100, blank=True)
    settled_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ("-id",)
        verbose_name = "NOTIFY"
        verbose_name_plural = "NOTIFYs"
        constraints = (
            models.UniqueConstraint(
                name="one_open_notify_per_phone_and_kind",
                fields=("phone", "kind"),
                condition=Q(state__in=("waiting", "sending", "withheld")),
            ),
        )
        indexes = (
            # Exactly the worker's question: what is due?
            models.Index(name="notify_due", fields=("next_at",), condition=Q(state="waiting")),
            models.Index(name="notify_under_way", fields=("claimed_by",), condition=Q(state="sending")),
            models.Index(name="notify_withheld", fields=("phone",), condition=Q(state="withheld")),
            models.Index(name="notify_of_job", fields=("job", "next_at"), condition=Q(job__isnull=False)),
        )

    def __str__(self) -> str:
        return f"NOTIFY to {self.phone}: {self.get_state_display()}"

    @property
    def target(self) -> tuple[str, int]:
        """Where it was sent: the phone's address and port at that time."""
        return self.target_host or "", self.target_port or 0


class PathKind(models.TextChoices):
    FIRST = "first", _("First path")
    STEADY = "steady", _("Steady path")
    OLD = "old", _("Steady path of an earlier version")
    PLAIN = "plain", _("Plain name, released by a person")


class Download(models.Model):
    """A request that was served from a secret path or a released name; the proof behind `fetched` and `applied`."""

    phone = models.ForeignKey(Phone, on_delete=models.CASCADE, related_name="downloads")
    config_file = models.ForeignKey(ConfigFile, on_delete=models.CASCADE, related_name="downloads")
    path_kind = models.CharField(max_length=6, choices=PathKind)
    name = models.CharField(max_length=40)
    status = models.PositiveSmallIntegerField()
    counts = models.BooleanField(help_text="A complete answer that may prove a stage.")
    source_host = models.GenericIPAddressField()
    user_agent = models.CharField(max_length=200, blank=True)
    at = models.DateTimeField()

    class Meta:
        ordering = ("-id",)
        indexes = (
            # How many in each hour, answered from the index alone.
            models.Index(name="download_by_time", fields=("at", "status", "counts")),
        )

    def __str__(self) -> str:
        return f"{self.phone} {self.name} {self.status}"


class AttemptKind(models.TextChoices):
    """How a phone's request for its file came to nothing; the door's answer was the one 404, or no whole file."""

    BROKEN = "broken", _("Broke off before the end")
    HEAD = "head", _("Asked for the headers only")
    PART = "part", _("Asked for a part only")
    PLAIN = "plain", _("Asked by the plain name")
    ELSEWHERE = "elsewhere", _("Asked from another address than the one notified")
    OLD = "old", _("Asked by a path that is over")
    NAME = "name", _("Asked for a name that its file does not have")
    LOGIN = "login", _("Asked with a wrong login")
    NO_LOGIN = "no_login", _("Was asked for its login, and did not give it")


class Attempt(models.Model):
    """The last request of its kind that came to nothing: what a stuck phone really did. It proves nothing."""

    phone = models.ForeignKey(Phone, on_delete=models.CASCADE, related_name="attempts", db_index=False)
    kind = models.CharField(max_length=10, choices=AttemptKind)
    name = models.CharField(max_length=40, help_text="Of the file; never the path, which may be secret.")
    source_host = models.GenericIPAddressField("address")
    size = models.PositiveIntegerField(default=0, help_text="Bytes of the whole file, where it was there to be had.")
    count = models.PositiveIntegerField(default=0)
    at = models.DateTimeField(db_index=True)

    class Meta:
        ordering = ("-at",)
        constraints = (models.UniqueConstraint(name="one_attempt_per_phone_and_kind", fields=("phone", "kind")),)

    def __str__(self) -> str:
        return f"{self.phone}: {self.get_kind_display()}"
