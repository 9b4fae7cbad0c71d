"""States of a phone and kinds of live event, each named once with its label."""

from django.db import models


class Stage(models.TextChoices):
    """How far a phone has come; design: seen → assigned → notified → fetched → applied, and two side states."""

    SEEN = "seen", "Seen"
    ASSIGNED = "assigned", "Assigned"
    NOTIFIED = "notified", "Notified"
    FETCHED = "fetched", "Fetched"
    APPLIED = "applied", "Applied"
    IGNORED = "ignored", "Ignored"
    RETIRED = "retired", "Retired"


# The stages of a phone that has a configuration of ours, in the order in which it passes them.
WAY = (Stage.ASSIGNED, Stage.NOTIFIED, Stage.FETCHED, Stage.APPLIED)


class Neighbour(models.TextChoices):
    """What the kernel's neighbour table says of "this MAC lives at this address"; devices/trust.py gives it meaning."""

    MATCH = "match", "Verified"
    MISMATCH = "mismatch", "Another device's MAC"
    UNKNOWN = "unknown", "Not known"


class EventKind(models.TextChoices):
    """What a LiveEvent tells; the same rows are a phone's timeline."""

    SEEN = "seen", "Seen for the first time"
    CHANGED = "changed", "Changed"
    STAGE = "stage", "Stage"
    NOTIFY = "notify", "NOTIFY"
    DOWNLOAD = "download", "Download"
    ALARM = "alarm", "Alarm"
    REASON = "reason", "Stopped on the way"
    REACH = "reach", "Online or offline"
    FORGOTTEN = "forgotten", "Forgotten"
    LOOKED = "looked", "A person looked at a secret"
