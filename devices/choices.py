"""States of a phone and kinds of live event, each named once with its label."""

from django.db import models
from django.utils.translation import gettext_lazy as _


class Stage(models.TextChoices):
    """How far a phone has come; design: seen → assigned → notified → fetched → applied, and two side states."""

    SEEN = "seen", _("Seen")
    ASSIGNED = "assigned", _("Assigned")
    NOTIFIED = "notified", _("Notified")
    FETCHED = "fetched", _("Fetched")
    APPLIED = "applied", _("Applied")
    IGNORED = "ignored", _("Ignored")
    RETIRED = "retired", _("Retired")


# The stages of a phone that has a configuration of ours, in the order in which it passes them.
WAY = (Stage.ASSIGNED, Stage.NOTIFIED, Stage.FETCHED, Stage.APPLIED)
# The side states: out of the working list, and told nothing.
OUT_OF_SIGHT = (Stage.IGNORED, Stage.RETIRED)


class Neighbour(models.TextChoices):
    """What the kernel's neighbour table says of "this MAC lives at this address"; devices/trust.py gives it meaning."""

    MATCH = "match", _("Verified")
    MISMATCH = "mismatch", _("Another device's MAC")
    UNKNOWN = "unknown", _("Not known")


class EventKind(models.TextChoices):
    """What a LiveEvent tells; the same rows are a phone's timeline."""

    SEEN = "seen", _("Seen for the first time")
    CHANGED = "changed", _("Changed")
    STAGE = "stage", _("Stage")
    NOTIFY = "notify", _("NOTIFY")
    DOWNLOAD = "download", _("Download")
    ALARM = "alarm", _("Alarm")
    REASON = "reason", _("Stopped on the way")
    REACH = "reach", _("Online or offline")
    FORGOTTEN = "forgotten", _("Forgotten")
    LOOKED = "looked", _("A person looked at a secret")
    RELEASE = "release", _("Ways to its file")


class AlarmKind(models.TextChoices):
    """Why there is an alarm that belongs to no phone; `devices/alarms.py` raises them."""

    DECOY_HTTP = "decoy_http", _("Asked for a decoy's file")
    DECOY_SIP = "decoy_sip", _("Announced a decoy")
    NAMES = "names", _("Many names that nobody has")
    PHONES = "phones", _("Many phones never seen before")
    FLOOD = "flood", _("More requests than the limit")
    FLOOD_SIP = "flood_sip", _("More SIP than the limit")
    LOGINS = "logins", _("Wrong logins for a phone's file")
    LISTENER = "listener", _("A silent listener")
