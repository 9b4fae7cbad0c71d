"""The inventory's tables: phones, their accounts and keys, and the events that tell what happened.

Only `devices/inventory.py` writes them; everybody else reads.
"""

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q
from django.db.models.functions import Length, Now
from django.utils import timezone
from django.utils.translation import gettext

from devices.catalog import KEY_MODE_LABELS, KeyKind, KeyMode, PhoneModel, find_model
from devices.choices import WAY, AlarmKind, EventKind, Neighbour, Stage
from devices.fields import EncryptedTextField, MacField
from devices.mac import colons


class Phone(models.Model):
    """One phone, known by its MAC; what it said of itself, where it is, and how far it has come."""

    mac = MacField("MAC", unique=True, error_messages={"unique": "A phone with this MAC is already listed."})
    vendor = models.CharField(max_length=40, blank=True)
    model = models.CharField(max_length=40, blank=True, db_index=True)
    firmware = models.CharField(max_length=40, blank=True)

    site = models.SlugField(
        max_length=40, blank=True, db_default="", help_text="Where it stands; empty: the only site."
    )
    # None of a phone that no listener has heard since this is noted: any listener with its interface may tell it then.
    heard_site = models.SlugField(  # noqa: DJ001
        max_length=40,
        null=True,
        blank=True,
        db_index=False,
        help_text="Site of the listener that heard it last: that one sends its NOTIFYs.",
    )
    site_moved_at = models.DateTimeField(
        null=True, blank=True, help_text="When it was heard at another site; empty once its file is made anew."
    )

    stage = models.CharField(max_length=10, choices=Stage, default=Stage.SEEN, db_index=True)
    stage_reason = models.CharField(
        "why it stopped", max_length=300, blank=True, help_text="Why the phone stopped on its way."
    )
    stage_at = models.DateTimeField("stage since")
    version = models.PositiveIntegerField(default=0, help_text="Counts saved assignments; guards against lost updates.")

    source_host = models.GenericIPAddressField("address", null=True, blank=True)
    notify_port = models.PositiveIntegerField(default=5060)
    contact = models.CharField(max_length=200, blank=True, help_text="The Contact it claimed; shown, never used.")
    interface = models.CharField(max_length=40, blank=True)
    local_host = models.GenericIPAddressField(
        "this server's address", null=True, blank=True, help_text="Our own address towards it."
    )
    approved_host = models.GenericIPAddressField(
        "confirmed address", null=True, blank=True, help_text="The address that a person saw when saving."
    )
    approved_at = models.DateTimeField(null=True, blank=True)
    steady_host = models.GenericIPAddressField(
        "address of its last fetch", null=True, blank=True, help_text="Where its last complete steady download went."
    )

    claimed_host = models.GenericIPAddressField(
        null=True, blank=True, help_text="Another address that says it is this phone; nothing is sent there."
    )
    claimed_port = models.PositiveIntegerField(default=5060)
    claimed_interface = models.CharField(max_length=40, blank=True)
    claimed_local_host = models.GenericIPAddressField(null=True, blank=True)
    claimed_site = models.SlugField(max_length=40, null=True, blank=True, db_index=False)  # noqa: DJ001
    claimed_at = models.DateTimeField(null=True, blank=True, help_text="When the claim was first heard.")
    claim_heard_at = models.DateTimeField(null=True, blank=True, help_text="When it was last heard.")
    alarm = models.CharField(max_length=300, blank=True)
    alarm_at = models.DateTimeField(null=True, blank=True)

    neighbour = models.CharField(
        max_length=8,
        choices=Neighbour,
        default=Neighbour.UNKNOWN,
        help_text="What the kernel's neighbour table says of its MAC at its address.",
    )
    online = models.BooleanField(null=True, help_text="Does it answer? Empty: not asked yet, or it cannot be known.")
    online_at = models.DateTimeField(null=True, blank=True, help_text="Since when that is so.")
    rtt_ms = models.FloatField(null=True, blank=True, help_text="Round trip of its last answer, in milliseconds.")

    # What the list is sorted by. A phone that was listed by a person gets it anew when it is plugged in.
    listed_at = models.DateTimeField(
        default=timezone.now,
        db_default=Now(),
        db_index=True,
        help_text="When it came to be listed: heard, or listed by a person before that.",
    )
    listed_as = models.CharField(
        max_length=40,
        blank=True,
        default="",
        db_default="",
        help_text="The model that a person said; empty: it was heard first.",
    )
    awaits_file = models.BooleanField(
        default=False,
        db_default=False,
        help_text="Assigned before it was heard: its file is made when it is plugged in.",
    )
    first_seen_at = models.DateTimeField(
        "first seen", null=True, blank=True, db_index=True, help_text="Empty: it was never heard."
    )
    last_seen_at = models.DateTimeField("last seen", null=True, blank=True, db_index=True)
    subscribed_at = models.DateTimeField(null=True, blank=True, help_text="Its last SUBSCRIBE from its own address.")

    class Meta:
        ordering = ("-listed_at", "mac")
        permissions = (("reveal_secret", "Can look at a phone's passwords"),)
        constraints = (
            models.CheckConstraint(name="phone_mac_is_12_upper_hex", condition=Q(mac__regex=r"^[0-9A-F]{12}$")),
        )
        indexes = (
            # Exactly the worker's question, asked twice a second: who is here now, and has no file?
            models.Index(name="phone_awaits_file", fields=("first_seen_at",), condition=Q(awaits_file=True)),
            # Few, and asked for in each round of the worker: whose file is of another site?
            models.Index(name="phone_site_moved", fields=("site_moved_at",), condition=Q(site_moved_at__isnull=False)),
            # Few, and asked for twice a second: who is claimed to be elsewhere?
            models.Index(name="phone_claimed", fields=("claimed_at",), condition=Q(claimed_host__isnull=False)),
            # The list's counts and the values to filter by come from these alone, without a look at any phone.
            models.Index(name="phone_counts", fields=("stage", "online")),
            models.Index(name="phone_kinds", fields=("model", "firmware", "site", "vendor")),
            # Few, and asked for at every look at the list: who needs attention?
            models.Index(name="phone_with_alarm", fields=("alarm_at",), condition=~Q(alarm="")),
            models.Index(name="phone_of_another_mac", fields=("stage",), condition=Q(neighbour="mismatch")),
            # For the overview, answered from the index alone: who runs what, who has stopped and why.
            models.Index(name="phone_runs", fields=("model", "firmware", "stage")),
            models.Index(
                name="phone_has_stopped",
                fields=("stage", "first_seen_at", "stage_reason"),
                condition=~Q(stage_reason=""),
            ),
            # Few, and counted at every look at the list: who was silent, and has been heard since?
            models.Index(name="phone_silent", fields=("stage", "last_seen_at", "online_at"), condition=Q(online=False)),
        )

    def __str__(self) -> str:
        return colons(self.mac)

    @property
    def known_model(self) -> PhoneModel | None:
        """What the catalogue says of this model; None if we cannot configure it."""
        return find_model(self.model)

    @property
    def is_heard(self) -> bool:
        """Was it ever heard? A phone that a person listed before it was plugged in was not."""
        return self.first_seen_at is not None

    @property
    def is_assigned(self) -> bool:
        """Has a configuration of ours, wherever it is on its way."""
        return self.stage in WAY


class Account(models.Model):
    """A SIP identity on a phone."""

    phone = models.ForeignKey(Phone, on_delete=models.CASCADE, related_name="accounts")
    number = models.PositiveSmallIntegerField(validators=[MinValueValidator(1), MaxValueValidator(3)])
    sip_server = models.CharField("SIP server", max_length=300)
    user_id = models.CharField("extension (SIP user id)", max_length=128)
    auth_id = models.CharField("authentication id", max_length=128, blank=True)
    password = EncryptedTextField(blank=True)
    # With which version of the phone its password was written last, also if it was written once more as it was. Null:
    # before this was noted.
    password_version = models.PositiveIntegerField(null=True, editable=False)
    display_name = models.CharField("caller name", max_length=128, blank=True)
    voicemail = models.CharField("voicemail number", max_length=128, blank=True)
    codecs = models.JSONField("preferred codecs", default=list, blank=True)

    class Meta:
        ordering = ("phone", "number")
        constraints = (models.UniqueConstraint(name="account_number_once_per_phone", fields=("phone", "number")),)
        # Which phones have this extension? Asked while somebody types, and for each page of the directory.
        indexes = (models.Index(name="account_user_id", fields=("user_id",)),)

    def __str__(self) -> str:
        return gettext("account %(number)d: %(user_id)s") % {"number": self.number, "user_id": self.user_id}


class Key(models.Model):
    """A programmable button of a phone: a line key or an MPK."""

    phone = models.ForeignKey(Phone, on_delete=models.CASCADE, related_name="keys")
    kind = models.CharField(max_length=4, choices=[(kind.value, kind.value) for kind in KeyKind])
    number = models.PositiveSmallIntegerField(validators=[MinValueValidator(1), MaxValueValidator(8)])
    mode = models.CharField(max_length=24, choices=[(mode.value, KEY_MODE_LABELS[mode]) for mode in KeyMode])
    account = models.PositiveSmallIntegerField(default=1, help_text="Number of the account that it uses.")
    label = models.CharField(max_length=32, blank=True)
    value = models.CharField(max_length=64, blank=True)

    class Meta:
        ordering = ("phone", "kind", "number")
        constraints = (models.UniqueConstraint(name="key_once_per_phone", fields=("phone", "kind", "number")),)
        # Which keys watch this number? Asked when somebody is renamed.
        indexes = (models.Index(name="key_value", fields=("value",)),)

    def __str__(self) -> str:
        return f"{self.kind}{self.number}: {self.mode} {self.value}".rstrip()


class Extension(models.Model):
    """A number of the telephone system that a phone can be given: the directory from which one is chosen.

    Only `devices/directory.py` writes it. What a phone has is a copy, made when it is assigned.
    """

    site = models.SlugField(max_length=40, blank=True, help_text="Where it is used; empty: the default site.")
    number = models.CharField("number (SIP user id)", max_length=128)
    name = models.CharField("caller name", max_length=128, blank=True)
    secret = EncryptedTextField(blank=True)
    auth_id = models.CharField("authentication id", max_length=128, blank=True)
    sip_server = models.CharField("SIP server", max_length=300, blank=True)
    voicemail = models.CharField("voicemail number", max_length=128, blank=True)
    version = models.PositiveIntegerField(default=1, help_text="Counts changes; guards against lost updates.")
    created_at = models.DateTimeField()
    changed_at = models.DateTimeField()

    class Meta:
        ordering = (Length("number"), "number", "site")
        constraints = (models.UniqueConstraint(name="extension_once_per_site", fields=("site", "number")),)
        # 99 before 1000: the order of the list, which is read a page at a time.
        indexes = (models.Index(Length("number"), "number", "site", name="extension_in_order"),)

    def __str__(self) -> str:
        return f"{self.number} {self.name}".rstrip()


class LiveEvent(models.Model):
    """Something that happened to a phone; the carrier of live pages, and the phone's timeline. Never holds a secret."""

    phone = models.ForeignKey(Phone, null=True, on_delete=models.SET_NULL, related_name="events")
    mac = MacField("MAC")
    kind = models.CharField(max_length=10, choices=EventKind)
    stage = models.CharField(max_length=10, choices=Stage, blank=True)
    text = models.CharField(max_length=300, blank=True)
    at = models.DateTimeField()

    class Meta:
        ordering = ("id",)
        indexes = (
            models.Index(fields=("mac", "id"), name="liveevent_timeline"),
            # What is old enough to be deleted? Asked every minute, among millions.
            models.Index(fields=("at",), name="liveevent_by_time"),
        )

    def __str__(self) -> str:
        return f"{self.mac} {self.text}"


class Alarm(models.Model):
    """Something that belongs to no phone: a stranger did it, or a listener is silent. It stands until a person has
    dismissed it, or until it is over.

    Only `devices/alarms.py` writes it, and bounds how many there are.
    """

    kind = models.CharField(max_length=10, choices=AlarmKind)
    source = models.CharField(
        "address", max_length=120, blank=True, help_text="Or a listener's name. Empty: more than one."
    )
    mac = models.CharField("MAC", max_length=12, blank=True, help_text="Of the decoy, if there is one.")
    count = models.PositiveBigIntegerField(default=0)
    first_at = models.DateTimeField()
    last_at = models.DateTimeField()
    told_at = models.DateTimeField(help_text="When open pages were told of it last.")
    dismissed_at = models.DateTimeField(null=True, blank=True)
    dismissed_by = models.CharField(max_length=150, blank=True, help_text="Empty: it ended by itself.")

    class Meta:
        ordering = ("-last_at", "-pk")
        constraints = (
            models.UniqueConstraint(
                name="one_open_alarm_of_a_kind",
                fields=("kind", "source", "mac"),
                condition=Q(dismissed_at__isnull=True),
            ),
        )
        # Asked at every look at the list: is there one?
        indexes = (models.Index(name="alarm_open", fields=("-last_at",), condition=Q(dismissed_at__isnull=True)),)

    def __str__(self) -> str:
        return f"{self.kind} {self.source} {self.mac}".rstrip()


class Decoy(models.Model):
    """A MAC that no phone has: whoever asks for its file, or announces it, tries MACs. Only `devices/decoys.py` writes
    it."""

    mac = MacField("MAC", unique=True)
    note = models.CharField(max_length=100, blank=True)
    created_at = models.DateTimeField()
    created_by = models.CharField(max_length=150, blank=True)

    class Meta:
        ordering = ("mac",)

    def __str__(self) -> str:
        return colons(self.mac)


class Sweep(models.Model):
    """A rule of retention: which process applies it now, and how much it has deleted. Only `devices/retention.py`
    writes it."""

    name = models.CharField(max_length=40, unique=True)
    held_by = models.CharField(max_length=32, blank=True)
    held_until = models.DateTimeField(null=True)
    ran_at = models.DateTimeField(null=True, help_text="When it last had something to delete.")
    removed = models.PositiveBigIntegerField(default=0, help_text="Rows, since the beginning.")
    trouble = models.CharField(max_length=300, blank=True)

    def __str__(self) -> str:
        return f"{self.name}: {self.removed}"
